"""Units chosen on one half of the stimuli and evaluated on the other, both ways, with a p-value for the whole procedure.

Source: Kriegeskorte et al. 2009 (Nat Neurosci 12:535) for why selection and evaluation use different stimuli; Ojala &
Garriga 2010 (JMLR 11:1833) for permuting labels through everything that looks at them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.stats.contrast import (
    FLAT,
    Reliability,
    Welch,
    matrix_of,
    reliability_of,
    welch_of,
    welch_t,
    within_groups,
)
from braindec.stats.permutation import permutation_p

_CHUNK = 2_000_000  # numbers of a block of permuted statistics

__all__ = ["CrossFit", "cross_fit", "effect_interval", "reliability_test"]


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Units chosen on one half of the stimuli, evaluated on the other, both ways.

    Parameters
    ----------
    selections : sequence of array of int
        Units chosen on the odd, and on the even stimuli.
    effects : array of shape (2,)
        Mean effect (Cohen's d) of each selection in the half that did not choose it.
    effect : float
        Their mean.
    circular : float
        The same when each half is evaluated by its own choice: what selection alone adds is in it.
    overlap : float
        Dice coefficient of both selections.
    overlap_chance : float
        That of random selections of these sizes.
    p : float
        One-sided, from labels permuted through selection and evaluation; NaN without permutations.
    null : array of shape (n_permutations,)
    """

    selections: Sequence[np.ndarray]
    effects: np.ndarray
    effect: float
    circular: float
    overlap: float
    overlap_chance: float
    p: float
    null: np.ndarray


def cross_fit(
    a: np.ndarray, b: np.ndarray, choose: Callable[[np.ndarray, np.ndarray], np.ndarray], *, absolute: bool = False,
    n_permutations: int = 0, rng: np.random.Generator | int = 0,
) -> CrossFit:  # fmt: skip
    """Choose units on odd stimuli and evaluate them on even ones, and the other way round.

    Parameters
    ----------
    a, b : array of shape (n_rows, n_units)
        The two conditions.
    choose : callable
        ``choose(t, df) -> rows`` of the units that a half chooses; it may choose none, the effect is then 0.
    absolute : bool
        As for :func:`welch_t`.
    n_permutations : int
        Labels are permuted within each half and the whole procedure repeated.
    rng : Generator or int
    """
    sums, first = _halves(a, b, absolute)
    rng = np.random.default_rng(rng)
    observed, chosen = _crossed(sums, [own[None] for own in first], choose)
    n_units = sums[0].x.shape[1]
    same = [_mean(f.contrast(own[None]).effect[0], rows) for f, own, rows in zip(sums, first, chosen[0], strict=True)]
    null = []
    step = max(1, _CHUNK // n_units)
    for start in range(0, n_permutations, step):
        labels = [
            np.stack([rng.permutation(first[h]) for _ in range(min(step, n_permutations - start))]) for h in (0, 1)
        ]
        null.append(_crossed(sums, labels, choose)[0].mean(axis=1))
    drawn = np.concatenate(null) if null else np.zeros(0)
    effect = float(observed[0].mean())
    one, two = chosen[0]
    shared, total = len(np.intersect1d(one, two)), len(one) + len(two)
    return CrossFit(
        (one, two), observed[0], effect, float(np.mean(same)), 2 * shared / total if total else np.nan,
        2 * len(one) * len(two) / n_units / total if total else np.nan,
        float(permutation_p(effect, drawn)) if len(drawn) else np.nan, drawn,
    )  # fmt: skip


def reliability_test(
    a: np.ndarray, b: np.ndarray, *, absolute: bool = False, groups: np.ndarray | None = None, n_permutations: int = 199,
    rng: np.random.Generator | int = 0,
) -> tuple[Reliability, float, np.ndarray]:  # fmt: skip
    """Test whether the maps of odd and even stimuli agree; units depend on one another, so labels are permuted.

    Parameters
    ----------
    a, b : array of shape (n_rows, n_units)
    absolute, groups
        As for :func:`braindec.stats.contrast.split_half`.
    n_permutations : int
        Labels are permuted within each half.
    rng : Generator or int

    Returns
    -------
    Reliability
    p : float
        One-sided, of the correlation within groups.
    null : array of shape (n_permutations,)
    """
    sums, labels = _halves(a, b, absolute)
    rng = np.random.default_rng(rng)
    odd, even = (s.contrast(own[None]).t[0] for s, own in zip(sums, labels, strict=True))
    found, null = reliability_of(odd, even, groups=groups), []
    step = max(1, _CHUNK // len(odd))
    for start in range(0, n_permutations, step):
        drawn_labels = [
            np.stack([rng.permutation(own) for _ in range(min(step, n_permutations - start))]) for own in labels
        ]
        maps = [s.contrast(own).t for s, own in zip(sums, drawn_labels, strict=True)]
        null += [within_groups(one, two, groups) for one, two in zip(*maps, strict=True)]
    drawn = np.array(null)
    p = permutation_p(found.within, drawn) if n_permutations and np.isfinite(found.within) else np.nan
    return found, float(p), drawn


def effect_interval(
    a: np.ndarray, b: np.ndarray, selections: Sequence[np.ndarray], *, absolute: bool = False, n: int = 1000,
    rng: np.random.Generator | int = 0,
) -> tuple[float, float]:  # fmt: skip
    """95 % interval of the cross-fitted effect of given selections: stimuli are drawn again within condition and half.

    Parameters
    ----------
    a, b : array of shape (n_rows, n_units)
    selections : (rows chosen on odd stimuli, rows chosen on even ones)
        As :attr:`CrossFit.selections`; they stay as they are.
    n : int
        Resamples.
    """
    a, b = (np.abs(matrix_of(x)) if absolute else matrix_of(x) for x in (a, b))
    rng, draws, point = np.random.default_rng(rng), np.zeros((2, n)), np.zeros(2)
    for half in (0, 1):
        rows = np.asarray(selections[1 - half], dtype=int)  # chosen on the other half
        if not len(rows):
            continue
        point[half] = np.nan_to_num(welch_t(a[half::2][:, rows], b[half::2][:, rows]).effect).mean()
        moments = []
        for x in (a[half::2][:, rows], b[half::2][:, rows]):
            x = x - x.mean(axis=0)
            weight = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), size=n).astype(float)
            mean = weight @ x / len(x)
            moments.append((mean, np.maximum(weight @ x**2 / len(x) - mean**2, 0.0) * len(x) / (len(x) - 1)))
        gap = a[half::2][:, rows].mean(axis=0) - b[half::2][:, rows].mean(axis=0) + moments[0][0] - moments[1][0]
        spread = np.sqrt((moments[0][1] + moments[1][1]) / 2)
        draws[half] = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0).mean(axis=1)
    values, observed = draws.mean(axis=0), float(np.mean(point))
    low, high = np.quantile(
        values - values.mean() + observed, [0.025, 0.975]
    )  # drawn again, spreads are smaller and effects larger
    return float(low), float(high)


def _halves(a: np.ndarray, b: np.ndarray, absolute: bool) -> tuple[list[_Sums], list[np.ndarray]]:
    """Sums of odd and of even stimuli, and which rows are of the first condition."""
    a, b = matrix_of(a), matrix_of(b)
    if min(len(a), len(b)) < 4:
        raise BraindecError("halves of stimuli need at least 4 in each condition", found=f"{len(a)} and {len(b)}")
    values = np.concatenate([a, b])
    values = np.abs(values) if absolute else values
    half = np.concatenate([np.arange(len(a)) % 2, np.arange(len(b)) % 2])
    first = np.concatenate([np.ones(len(a)), np.zeros(len(b))])
    return [_Sums(values[half == h]) for h in (0, 1)], [first[half == h] for h in (0, 1)]


class _Sums:
    """Statistics of many labellings of the same rows at once: two matrix products each."""

    def __init__(self, values: np.ndarray) -> None:
        self.x = values - values.mean(axis=0)  # sums of centred values lose no digits
        self.x2 = self.x**2
        self.total2 = self.x2.sum(axis=0)
        self.floor = (FLAT * np.abs(values).max(axis=0, initial=0.0)) ** 2

    def contrast(self, labels: np.ndarray) -> Welch:
        """``labels`` (n_labellings, n_rows) of 0 and 1 -> Welch with arrays (n_labellings, n_units)."""
        n_a = int(labels[0].sum())
        n_b = labels.shape[1] - n_a
        sum_a, square_a = labels @ self.x, labels @ self.x2
        mean_a, mean_b = sum_a / n_a, -sum_a / n_b  # centred: the sums of both conditions are opposite
        var_a = (square_a - n_a * mean_a**2) / (n_a - 1)
        var_b = (self.total2 - square_a - n_b * mean_b**2) / (n_b - 1)
        var_a, var_b = (np.where(v <= self.floor, 0.0, v) for v in (var_a, var_b))
        t, df = welch_of(mean_a - mean_b, var_a, var_b, n_a, n_b)
        spread = np.sqrt((var_a + var_b) / 2)
        effect = np.divide(mean_a - mean_b, spread, out=np.zeros_like(t), where=spread > 0)
        return Welch(t, df, mean_a - mean_b, effect, (n_a, n_b))


def _crossed(
    sums: Sequence[_Sums], labels: Sequence[np.ndarray], choose: Callable
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Effects (n_labellings, 2) of what each half chooses in the other, and the choices."""
    found = [s.contrast(own) for s, own in zip(sums, labels, strict=True)]
    effects, chosen = np.zeros((len(labels[0]), 2)), []
    for i in range(len(effects)):
        one, two = (np.asarray(choose(f.t[i], f.df[i]), dtype=int) for f in found)
        effects[i] = [_mean(found[1].effect[i], one), _mean(found[0].effect[i], two)]
        chosen.append((one, two))
    return effects, chosen


def _mean(values: np.ndarray, rows: np.ndarray) -> float:
    return float(values[rows].mean()) if len(rows) else 0.0
