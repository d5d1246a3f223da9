"""How many bits a minute a decoder carries: Wolpaw's rate, mutual information of a confusion matrix, evidence over repeats.

Wolpaw's formula assumes N equally likely choices, one accuracy for all of them, and errors spread evenly over the other
choices; below chance it is set to 0 here. Mutual information assumes none of that: it is computed from the counts, minus
the bias that few counts have, and may come out slightly below 0 where there is none. Both are per decision; a rate needs the
true time from one decision to the next, pauses included.

Source: Wolpaw, Ramoser, McFarland & Pfurtscheller (1998, IEEE Trans Rehab Eng 6:326), eq. for B; Shannon (1948); Miller
(1955) and Panzeri & Treves (1996, Network 7:87), eq. 10 first order, for the bias; Yuan et al. (2013, J Neural Eng
10:026014) on what the rate needs to be honest; Wald (1945, Ann Math Stat 16:117) for adding log likelihoods up to a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate._exchange import exchange_in_order
from braindec.stats.binomial import clopper_pearson
from braindec.stats.permutation import permutation_p

__all__ = [
    "Accumulated",
    "accumulate",
    "bits_per_minute",
    "information_rate",
    "mutual_information",
    "stop_early",
    "stopping_threshold",
    "wolpaw_bits",
]


def wolpaw_bits(accuracy: float, n_classes: int) -> float:
    """Return bits a decision for one accuracy over ``n_classes`` equally likely choices; 0 at chance and below.

    Raises
    ------
    BraindecError
        If the accuracy is no share, or there are fewer than two choices.

    Examples
    --------
    >>> wolpaw_bits(1.0, 4)
    2.0
    >>> wolpaw_bits(0.5, 2)
    0.0
    """
    p, n = float(accuracy), int(n_classes)
    if not 0 <= p <= 1 or n < 2:
        raise BraindecError("Wolpaw's rate needs an accuracy from 0 to 1 and two choices or more", found=f"{p}, {n}")
    if p <= 1 / n:
        return 0.0
    wrong = 0.0 if p == 1 else (1 - p) * np.log2((1 - p) / (n - 1))
    return float(np.log2(n) + p * np.log2(p) + wrong)


def mutual_information(counts: np.ndarray, *, correct: bool = True) -> float | np.ndarray:
    """Return the mutual information of true and decided classes in bits, from counts.

    Parameters
    ----------
    counts : array of shape (..., n_true, n_decided)
        Confusion matrices.
    correct : bool
        Take away the expected bias of the plain estimate, (R_both - R_true - R_decided + 1) / (2 n ln 2), where R counts
        the cells that occur.

    Raises
    ------
    BraindecError
        If counts are negative, not finite, or all 0.

    Examples
    --------
    >>> float(mutual_information(np.array([[50, 0], [0, 50]]), correct=False))
    1.0
    """
    table = np.asarray(counts, dtype=float)
    total = table.sum(axis=(-2, -1))
    if table.ndim < 2 or not np.isfinite(table).all() or table.min() < 0 or not np.all(total > 0):
        raise BraindecError("mutual information needs counts (true, decided)", found=f"shape {table.shape}")
    joint = table / total[..., None, None]
    rows, columns = joint.sum(axis=-1, keepdims=True), joint.sum(axis=-2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(joint > 0, joint * np.log2(joint / (rows * columns)), 0.0)
    bits = terms.sum(axis=(-2, -1))
    if correct:
        occur = [(a > 0).sum(axis=(-2, -1)) for a in (joint, rows, columns)]
        bits = bits - (occur[0] - occur[1] - occur[2] + 1) / (2 * total * np.log(2))
    return float(bits) if np.ndim(bits) == 0 else bits


def bits_per_minute(bits: float, seconds: float) -> float:
    """Return a rate from bits a decision and the true time from one decision to the next, s.

    Raises
    ------
    BraindecError
        If the time is not positive.
    """
    if not seconds > 0:
        raise BraindecError("a rate needs the time from one decision to the next", found=f"{seconds} s")
    return 60.0 * float(bits) / float(seconds)


def information_rate(
    true: Sequence[Any],
    predicted: Sequence[Any],
    *,
    seconds: float,
    classes: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    n_permutations: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the information rate of decisions, with intervals and p.

    Parameters
    ----------
    true, predicted : sequence of shape (n,)
        Classes, in order of time within each run; decisions that were not made are left out before, and their time stays in
        ``seconds``.
    seconds : float
        Mean time from one decision to the next, pauses included, s.
    classes : sequence, optional
        All choices there were; those that occur in ``true`` by default.
    groups : sequence of shape (n,), optional
        Runs: true classes are permuted within them, whole blocks of them where they come in blocks (several decisions on one
        trial). Intervals are over runs (jackknife, t) when there are 5 or more; over such blocks or single decisions otherwise.
    n_permutations : int
        Permutations of the true classes; 0 gives no p.
    seed : int
        Same seed, same numbers.

    Returns
    -------
    DataFrame
        information_rate (mutual information), and wolpaw_rate where choices occur about equally often, as it assumes:
        metric, version, value (bits a minute), chance, low, high, p, n, bits (a decision), note.

    Raises
    ------
    BraindecError
        If there are fewer than 10 decisions, or one choice only.
    """
    names = np.unique(np.asarray(true).astype(str)) if classes is None else np.asarray([str(c) for c in classes])
    if len(names) < 2:
        raise BraindecError("one choice only: nothing is told by choosing it", found=", ".join(names))
    both = np.unique(np.concatenate([names, np.asarray(predicted).astype(str)]))
    a, b = (np.searchsorted(both, np.asarray(v).astype(str)) for v in (true, predicted))
    if len(a) != len(b) or len(a) < 10 or not np.isin(np.asarray(true).astype(str), names).all():
        raise BraindecError(
            "a rate needs 10 decisions or more, each with its true class", found=f"{len(a)} and {len(b)}"
        )
    home = (
        np.zeros(len(a), dtype=int)
        if groups is None
        else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    )
    exchange = exchange_in_order(a, home, "recording" if groups is None else "run")
    units = home if home.max() >= 4 else exchange.units
    k, n_true = len(both), len(names)

    def measures(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        table = np.bincount(x * k + y, minlength=k * k).reshape(k, k)
        return float(mutual_information(table)), wolpaw_bits(np.trace(table) / table.sum(), n_true)

    observed = np.array(measures(a, b))
    table = np.bincount(a * k + b, minlength=k * k).reshape(k, k)
    labellings = exchange.draw(a, (), n=n_permutations, rng=np.random.default_rng([seed, 11]))
    null = np.array([measures(drawn, b) for drawn in labellings]) if n_permutations else np.empty((0, 2))
    ends = _ends(a, b, units, k, n_true, observed[0])
    single = len(np.unique(exchange.units)) == len(a)
    how = (
        f"interval over {home.max() + 1} runs"
        if home.max() >= 4
        else f"interval over {'decisions' if single else 'blocks of decisions'}"
    )
    even = _alike(table, both, names)
    said = f"one decision every {seconds:.3g} s, {how}" + (f"; {exchange.how}" if n_permutations else "")
    notes = [
        f"{observed[0]:.3g} bits a decision from the confusion matrix, the bias of few counts taken away; {said}"
        + ("" if even else "; choices do not occur equally often, so that Wolpaw's formula does not hold"),
        f"{observed[1]:.3g} bits a decision; assumes {n_true} equally likely choices and evenly spread errors; {said}",
    ]
    rows = []
    for i, metric in enumerate(("information_rate", "wolpaw_rate")[: 1 + even]):
        p = float(permutation_p(observed[i], null[:, i])) if len(null) else np.nan
        most = float(np.log2(min(n_true, k)))
        value, low, high = (bits_per_minute(v, seconds) for v in (observed[i], ends[i][0], min(most, ends[i][1])))
        rows.append({"metric": metric, "version": "1", "value": value, "chance": 0.0, "low": low, "high": high, "p": p,
                     "n": len(a), "bits": observed[i], "note": notes[i]})  # fmt: skip
    return pd.DataFrame(rows)


def _ends(
    a: np.ndarray, b: np.ndarray, units: np.ndarray, k: int, n_true: int, bits: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of the intervals of mutual information and of Wolpaw's bits, the latter from those of the accuracy it rises with.

    Near 0 mutual information is a sum of squares, of which a jackknife sees nothing: the variance that it has there
    (of a chi-squared, 2 df / (2 n ln 2)^2) is added. Without a single error no bits are sure: the accuracy is then no less than
    the exact end of as many hits as there are units.
    """
    from scipy.stats import t

    n, n_units = len(a), len(np.unique(units))
    error, of_share = _jackknife(a, b, units, k)
    df = (len(np.unique(a)) - 1) * (len(np.unique(b)) - 1)
    wide = t.ppf(0.975, max(1, n_units - 1))
    half = wide * np.hypot(error, np.sqrt(2 * df) / (2 * n * np.log(2)))
    share = float(np.mean(a == b))
    low, high = (float(np.clip(share + sign * wide * of_share, 0.0, 1.0)) for sign in (-1, 1))
    if share == 1.0:
        low = clopper_pearson(n_units, n_units)[0]
        half = max(half, bits - wolpaw_bits(low, n_true))
    return (bits - half, bits + half), (wolpaw_bits(low, n_true), wolpaw_bits(high, n_true))


def _jackknife(a: np.ndarray, b: np.ndarray, units: np.ndarray, k: int) -> np.ndarray:
    """Standard errors of mutual information and of the share of right decisions when units are left out one by one."""
    code = np.unique(units, return_inverse=True)[1]
    n = int(code.max()) + 1
    cell = a * k + b
    table = np.bincount(cell, minlength=k * k).astype(float)
    own = np.zeros((n, k * k))
    np.add.at(own, (code, cell), 1.0)
    kinds, times = np.unique(own, axis=0, return_counts=True)  # single decisions: k * k kinds at most
    left = np.maximum(table - kinds, 0.0).reshape(-1, k, k)
    usable = left.sum(axis=(1, 2)) > 0
    left, times = left[usable], times[usable]
    shares = np.trace(left, axis1=1, axis2=2) / left.sum(axis=(1, 2))
    values = np.stack([mutual_information(left), shares], axis=1)
    centre = np.average(values, axis=0, weights=times)
    return np.sqrt((n - 1) / n * (times[:, None] * (values - centre) ** 2).sum(axis=0))


def _alike(table: np.ndarray, both: np.ndarray, names: np.ndarray) -> bool:
    """True when choices occur about equally often, as Wolpaw's rate assumes."""
    counts = table.sum(axis=1)[np.isin(both, names)]
    return bool(counts.min() > 0.7 * counts.max())


@dataclass(frozen=True, eq=False)
class Accumulated:
    """Evidence of repeated presentations added up.

    Parameters
    ----------
    evidence : array of shape (n_selections, n_repeats, n_choices)
        Log posterior (normalised) after each repeat; NaN where a selection had fewer.
    true : array of int, shape (n_selections,)
        The choice that was meant.
    """

    evidence: np.ndarray
    true: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """Best choice after each repeat, (n_selections, n_repeats); -1 where there is no evidence."""
        known = np.isfinite(self.evidence).all(axis=2)
        return np.where(known, np.where(known[:, :, None], self.evidence, 0.0).argmax(axis=2), -1)

    @property
    def accuracy(self) -> np.ndarray:
        """Share of right choices after each repeat, (n_repeats,)."""
        chosen = self.chosen
        known = chosen >= 0
        return (known & (chosen == self.true[:, None])).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def accumulate(log_posteriors: np.ndarray, true: Sequence[int], *, prior: Sequence[float] | None = None) -> Accumulated:
    """Add up evidence for each choice over repeated presentations.

    Parameters
    ----------
    log_posteriors : array of shape (n_selections, n_repeats, n_choices)
        What each repeat says of each choice: log posteriors or log likelihoods up to a constant of the repeat. For a speller,
        the log odds that the flash of a choice was the target.
    true : sequence of int, shape (n_selections,)
        The choice that was meant.
    prior : sequence of shape (n_choices,), optional
        Equal by default.

    Raises
    ------
    BraindecError
        If shapes do not fit.
    """
    from scipy.special import logsumexp

    parts, true = np.asarray(log_posteriors, dtype=float), np.asarray(true)
    if parts.ndim != 3 or len(parts) != len(true) or parts.shape[2] < 2:
        raise BraindecError("evidence is (selection, repeat, choice), with one true choice each",
                            found=f"{parts.shape}, {true.shape}")  # fmt: skip
    if len(true) and not (0 <= true.min() and true.max() < parts.shape[2]):
        raise BraindecError(
            "a true choice is none of the choices",
            found=f"{true.min()} to {true.max()}",
            allowed=f"0 to {parts.shape[2] - 1}",
        )
    start = np.zeros(parts.shape[2]) if prior is None else np.log(np.asarray(prior, dtype=float))
    total = start + np.cumsum(parts, axis=1)
    return Accumulated(total - logsumexp(np.nan_to_num(total, nan=0.0), axis=2, keepdims=True), true)


def stop_early(found: Accumulated, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the choice and the number of repeats used when a selection ends as soon as its posterior reaches ``threshold``."""
    best = np.exp(np.nan_to_num(found.evidence.max(axis=2), nan=-np.inf))  # (selection, repeat)
    known = found.chosen >= 0
    last = known.sum(axis=1) - 1
    reached = (best >= threshold) & known
    at = np.where(reached.any(axis=1), reached.argmax(axis=1), last)
    return found.chosen[np.arange(len(at)), at], at + 1


def stopping_threshold(
    training: Accumulated, *, seconds_a_repeat: float, pause: float = 0.0, thresholds: Sequence[float] | None = None
) -> float:
    """Return the posterior at which to stop that carries most bits a minute on training selections (Wolpaw's rate).

    Parameters
    ----------
    training : Accumulated
        Selections of the training runs, scored by a decoder that did not see them.
    seconds_a_repeat, pause : float
        Time of one repeat of all choices, and between selections, s.
    thresholds : sequence of float, optional
        Tried ones; the largest of equally good ones is taken.
    """
    tried = np.asarray(
        [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999, 1.1] if thresholds is None else thresholds
    )
    n_choices = training.evidence.shape[2]
    rates = []
    for threshold in tried:
        chosen, used = stop_early(training, float(threshold))
        bits = wolpaw_bits(float(np.mean(chosen == training.true)), n_choices)
        rates.append(bits_per_minute(bits, float(used.mean()) * seconds_a_repeat + pause))
    best = np.flatnonzero(np.asarray(rates) >= max(rates) - 1e-12)[-1]
    return float(tried[best])
