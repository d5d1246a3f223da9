"""Tuning: how the rate of each unit depends on a condition or a direction, with p-values corrected over units.

The test permutes the conditions of trials (the same way for all units), takes the F statistic of a one-way analysis of
variance on counts, and corrects over units by the largest statistic; no distribution of counts is assumed. The null is that
conditions have no bearing on counts at all: where conditions of unequal size differ in variability alone, F can be large too
(the p of :func:`braindec.spikes.rates.rate_ratio` is about means), and where conditions were not mixed in time a drift of the
rate is taken for tuning (give blocks: ``within``). Information is
the plug-in mutual information of count and condition less its mean over the same permutations.

Source: Nichols & Holmes 2002 for the maximum statistic; Panzeri et al. 2007 (J Neurophysiol 98:1064) for the bias of
information and ways to take it away; Panzeri & Treves 1996 (Network 7:87) for its first-order term; Mazurek et al. 2014 (Front Neural Circuits 8:92) for the resultant
vector as a measure of direction and orientation tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.aligned import Aligned, Labels
from braindec.spikes.rates import widened
from braindec.stats.asked import whole
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import max_statistic, permutation_p, permute_within

__all__ = ["Tuning", "count_information", "dprime", "tuning"]


@dataclass(frozen=True)
class Tuning:
    """Rates by condition and tests.

    Parameters
    ----------
    rates : DataFrame
        unit, name, condition, value (Hz), low, high (Student over trials; no narrower than Poisson below ten spikes), n (trials).
    tests : DataFrame
        One row a unit: unit, name, value (F), p, p_family (largest over units), q (false discovery rate), preferred
        (condition of the highest rate), dprime (preferred against the lowest), information (bits, bias taken away),
        information_p; with directions also direction (rad), resultant (0 to 1), resultant_p.
    null : array of shape (n_permutations, n_units)
        F of permuted conditions.
    """

    rates: pd.DataFrame
    tests: pd.DataFrame
    null: np.ndarray


def tuning(
    found: Aligned, by: Labels, *, window: tuple[float, float] | None = None, angles: Labels | None = None,
    within: Labels | None = None, n_permutations: int = 999, level: float = 0.95, seed: int = 0,
) -> Tuning:  # fmt: skip
    """Return the tuning of each unit to a condition.

    Parameters
    ----------
    found : Aligned
        Trials.
    by : str or sequence
        Condition of each trial: a column of the trials, or labels.
    window : (float, float), optional
        Part of the window whose spikes count, s from the onset.
    angles : str or sequence of float, optional
        Direction of each trial in rad, for preferred directions.
    within : str or sequence, optional
        Blocks (runs) inside which conditions are permuted.
    n_permutations : int
        Permutations.
    level : float
        Coverage of the intervals of rates.
    seed : int
        Source of chance.

    Raises
    ------
    BraindecError
        If there is one condition only, or none has 2 trials.
    """
    part = found if window is None else found.between(*window)
    counts = part.counts()[:, :, 0].astype(float)
    names, code = np.unique(found.column(by).astype(str), return_inverse=True)
    sizes = np.bincount(code)
    if len(names) < 2 or sizes.max() < 2:
        raise BraindecError("tuning needs 2 conditions or more with some trials each", found=", ".join(f"{a}: {b}" for a, b in zip(names, sizes, strict=True))[:200])  # fmt: skip
    groups = None if within is None else found.column(within)
    rng = np.random.default_rng(seed)
    rows = [
        permute_within(np.arange(len(code)), groups, rng)
        for _ in range(whole(n_permutations, "n_permutations", least=19))
    ]
    observed = _f_statistic(counts, code)
    null = np.stack([_f_statistic(counts, code[r]) for r in rows])
    info = _information(counts, code, rows)
    mean = np.stack([counts[code == k].mean(axis=0) for k in range(len(names))])
    best, least = mean.argmax(axis=0), mean.argmin(axis=0)
    tests = pd.DataFrame({"unit": np.arange(found.n_units), "name": found.units["name"].astype(str), "value": observed})
    tests["p"] = permutation_p(observed, null)
    tests["p_family"] = max_statistic(observed, null).p
    tests["q"] = fdr_bh(tests["p"].to_numpy())
    tests["preferred"] = names[best]
    tests["dprime"] = [
        dprime(counts[code == b, u], counts[code == a, u]) for u, (a, b) in enumerate(zip(least, best, strict=True))
    ]
    tests["information"], tests["information_p"] = info
    tests["n"] = len(code)
    if angles is not None:
        for key, value in _direction(counts, found.column(angles).astype(float), rows).items():
            tests[key] = value
    return Tuning(_rates(counts, code, names, found, part.tmax - part.tmin, level), tests, null)


def _rates(
    counts: np.ndarray, code: np.ndarray, names: np.ndarray, found: Aligned, seconds: float, level: float
) -> pd.DataFrame:
    parts = []
    for k, name in enumerate(names):
        mine = counts[code == k] / seconds
        n = len(mine)
        half = (
            stats.t.ppf((1 + level) / 2, n - 1) * mine.std(axis=0, ddof=1) / np.sqrt(n)
            if n > 1
            else np.full(found.n_units, np.nan)
        )
        low, high = widened(
            np.maximum(mine.mean(axis=0) - half, 0.0),
            mine.mean(axis=0) + half,
            counts[code == k].sum(axis=0),
            n * seconds,
            level=level,
        )
        parts.append(pd.DataFrame({"unit": np.arange(found.n_units), "name": found.units["name"].astype(str), "condition": name, "value": mine.mean(axis=0),
                                   "low": low, "high": high, "n": n}))  # fmt: skip
    return pd.concat(parts, ignore_index=True).sort_values(["unit", "condition"], kind="stable", ignore_index=True)


def _f_statistic(counts: np.ndarray, code: np.ndarray) -> np.ndarray:
    """F of a one-way analysis of variance of each column; 0 where nothing varies."""
    n, sizes = len(code), np.bincount(code)
    sums = np.stack([np.bincount(code, weights=c, minlength=len(sizes)) for c in counts.T], axis=1)
    used = sizes > 0
    between = (sums[used] ** 2 / sizes[used, None]).sum(axis=0) - counts.sum(axis=0) ** 2 / n
    total = ((counts - counts.mean(axis=0)) ** 2).sum(axis=0)
    inside = np.maximum(total - between, 0.0)
    free = (used.sum() - 1, n - used.sum())
    tiny = 1e-9 * np.maximum(total, 1e-9)  # conditions that tell every count apart: a large number, not infinity
    return np.where(total > 0, between / free[0] / (np.maximum(inside, tiny) / max(free[1], 1)), 0.0)


def dprime(first: np.ndarray, second: np.ndarray) -> float:
    """Return (mean of first - mean of second) over the root of the mean of both variances; NaN where nothing varies."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if len(a) < 2 or len(b) < 2:
        return float("nan")
    spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    return float((a.mean() - b.mean()) / spread) if spread > 0 else float("nan")


def count_information(
    counts: np.ndarray,
    conditions: Sequence[Any],
    *,
    correct: str | None = "shuffle",
    n_shuffles: int = 200,
    seed: int = 0,
) -> float:
    """Return the mutual information of a unit's counts and conditions in bits.

    Parameters
    ----------
    counts : array of int, shape (n_trials,)
        Spikes in each trial.
    conditions : sequence, shape (n_trials,)
        Conditions.
    correct : {"shuffle", "panzeri_treves"} or None
        How the bias of the plug-in value is taken away: the mean of shuffled conditions (0 on average without tuning), or the
        first-order term with responses counted as seen, which leaves some of it where trials are few. The corrected value
        may be a little below 0.
    n_shuffles : int
        Shuffles.
    seed : int
        Source of chance.
    """
    counts, labels = np.asarray(counts), np.asarray(conditions)
    if counts.shape != labels.shape or counts.ndim != 1 or not len(counts):
        raise BraindecError(
            "information needs one count and one condition a trial", found=f"{counts.shape} and {labels.shape}"
        )
    if correct not in (None, "shuffle", "panzeri_treves"):
        raise BraindecError(f"unknown correction {correct!r}", allowed="shuffle, panzeri_treves, None")
    response = np.unique(counts, return_inverse=True)[1]
    code = np.unique(labels.astype(str), return_inverse=True)[1]
    table = _tables(response, code[None])
    plain = float(_bits(table)[0])
    if correct == "shuffle":
        rng = np.random.default_rng(seed)
        shuffled = np.stack([rng.permutation(code) for _ in range(whole(n_shuffles, "n_shuffles", least=1))])
        return plain - float(_bits(_tables(response, shuffled)).mean())
    return plain - (_first_order_bias(table[0]) if correct else 0.0)


def _tables(response: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """How often each condition has each response, for several labellings: (labelling, condition, response)."""
    n_labels, n_codes, n_responses = len(codes), int(codes.max()) + 1, int(response.max()) + 1
    place = (np.arange(n_labels)[:, None] * n_codes + codes) * n_responses + response
    return np.bincount(place.ravel(), minlength=n_labels * n_codes * n_responses).reshape(
        n_labels, n_codes, n_responses
    )


def _bits(table: np.ndarray) -> np.ndarray:
    """Plug-in information of each table, bits."""
    joint = table / table.sum(axis=(1, 2), keepdims=True)
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=2, keepdims=True)
    ratio = np.divide(joint, expected, out=np.ones_like(joint), where=joint > 0)
    return (joint * np.log2(ratio)).sum(axis=(1, 2))


def _first_order_bias(table: np.ndarray) -> float:
    """The term of order 1 / n: (sum over conditions of responses - 1, less responses - 1) / (2 n ln 2)."""
    seen = (table > 0).sum(axis=1)
    return float((seen[seen > 0] - 1).sum() - ((table.sum(axis=0) > 0).sum() - 1)) / (2 * table.sum() * np.log(2))


def _information(counts: np.ndarray, code: np.ndarray, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Information of each unit less its mean over permutations, and its p over them."""
    codes = np.stack([code, *[code[r] for r in rows]])
    value, p = np.empty(counts.shape[1]), np.empty(counts.shape[1])
    for u in range(counts.shape[1]):
        response = np.unique(counts[:, u], return_inverse=True)[1]
        bits = _bits(_tables(response, codes))
        value[u], p[u] = bits[0] - bits[1:].mean(), permutation_p(bits[0], bits[1:])
    return value, p


def _direction(counts: np.ndarray, angles: np.ndarray, rows: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Preferred direction and length of the resultant of mean rates over directions, with its p."""
    if not np.isfinite(angles).all():
        raise BraindecError(
            "directions must be finite, in rad", found=f"{int((~np.isfinite(angles)).sum())} that are not"
        )
    _, code, sizes = np.unique(np.round(angles, 9), return_inverse=True, return_counts=True)
    turn = np.exp(1j * angles) / sizes[code]  # every direction has one vote

    def vector(order: np.ndarray) -> np.ndarray:
        total = ((1 / sizes[code])[order, None] * counts).sum(axis=0)
        return np.divide(turn[order] @ counts, total, out=np.zeros(counts.shape[1], complex), where=total > 0)

    plain = vector(np.arange(len(code)))
    null = np.abs(np.stack([vector(r) for r in rows]))
    return {
        "direction": np.angle(plain),
        "resultant": np.abs(plain),
        "resultant_p": np.asarray(permutation_p(np.abs(plain), null)),
    }
