"""A contrast of two conditions in many units at once: Welch's t, its false discovery rate, reliability, honest selection.

Units are columns. Everything is computed in float64 from counts, means and squared deviations, which can be gathered
block by block (:class:`Moments`), so that activations need not be in memory together. A unit that is constant in both
conditions has no t: it is NaN and counted, never infinite.

Source: Welch 1947 (Biometrika 34:28) and Satterthwaite 1946 for t and its degrees of freedom; Chan, Golub & LeVeque 1983
(Am Stat 37:242) for merging moments; Fedorenko et al. 2010 (J Neurophysiol 104:1177) for a localizer contrast, AlKhamissi
et al. 2025 (NAACL, "The LLM language network") for its use on units of language models.

Differs from the reference in: signed activations or absolute ones is a stated choice; p-values gate the selection where
that is asked; a tie at the cut never makes the selection larger. Choosing and evaluating on different stimuli is in
:mod:`braindec.stats.cross_fit`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from braindec.errors import BraindecError
from braindec.stats.fdr import fdr_bh

FLAT = 1e-12  # a spread below this share of the mean is rounding, not variance

__all__ = [
    "Moments",
    "Reliability",
    "Selection",
    "Welch",
    "reliability_of",
    "split_half",
    "top_units",
    "welch_t",
]


class Moments:
    """Count, mean and squared deviations of each unit, gathered block by block.

    Parameters
    ----------
    absolute : bool
        Gather ``|x|`` instead of ``x``.

    Examples
    --------
    >>> m = Moments().add(np.array([[1.0], [3.0]])).add(np.array([[5.0]]))
    >>> m.n, float(m.mean[0]), float(m.variance[0])
    (3, 3.0, 4.0)
    """

    def __init__(self, *, absolute: bool = False) -> None:
        self.absolute, self.n = absolute, 0
        self.mean, self.squares = np.zeros(0), np.zeros(0)

    def add(self, block: np.ndarray) -> Moments:
        """Take in rows, shape (n_rows, n_units); returns itself.

        Raises
        ------
        BraindecError
            If the block is no matrix, has another number of units, or holds values that are not finite.
        """
        block = matrix_of(block)
        if self.absolute:
            block = np.abs(block)
        n, mean = len(block), block.mean(axis=0) if len(block) else None
        if mean is None:
            return self
        squares = ((block - mean) ** 2).sum(axis=0)
        if not self.n:
            self.n, self.mean, self.squares = n, mean, squares
            return self
        return self._merge(n, mean, squares)

    def merge(self, other: Moments) -> Moments:
        """Take in the rows that another gathered; returns itself."""
        if self.absolute != other.absolute:
            raise BraindecError("moments of signed and of absolute values cannot be merged")
        if not self.n:
            self.n, self.mean, self.squares = other.n, other.mean.copy(), other.squares.copy()
            return self
        return self._merge(other.n, other.mean, other.squares) if other.n else self

    def _merge(self, n: int, mean: np.ndarray, squares: np.ndarray) -> Moments:
        if mean.shape != self.mean.shape:
            raise BraindecError("blocks differ in units", found=f"{len(self.mean)} and {len(mean)}")
        total, gap = self.n + n, mean - self.mean
        self.squares = self.squares + squares + gap**2 * (self.n * n / total)
        self.mean = self.mean + gap * (n / total)
        self.n = total
        return self

    @property
    def variance(self) -> np.ndarray:
        """Variance of each unit (ddof 1); exactly 0 where the spread is rounding."""
        if self.n < 2:
            return np.full(self.mean.shape, np.nan)
        variance = self.squares / (self.n - 1)
        return np.where(variance <= (FLAT * np.abs(self.mean)) ** 2, 0.0, variance)


@dataclass(frozen=True, eq=False)
class Welch:
    """Welch's t of each unit; shapes (n_units,).

    Parameters
    ----------
    t, df : array
        NaN where neither condition varies.
    difference : array
        Mean of the first condition minus that of the second, in the units of the data.
    effect : array
        Difference over the root of the mean of both variances (Cohen's d for equal sizes).
    n : tuple of int
        Rows of both conditions.
    """

    t: np.ndarray
    df: np.ndarray
    difference: np.ndarray
    effect: np.ndarray
    n: tuple[int, int]

    def p(self, alternative: str = "two-sided") -> np.ndarray:
        """Return p-values for "two-sided", "greater" (first above second) or "less"; NaN where t is."""
        tails = {"two-sided": lambda t, d: 2 * stats.t.sf(np.abs(t), d), "greater": stats.t.sf, "less": stats.t.cdf}
        if alternative not in tails:
            raise BraindecError(f"alternative {alternative!r} is unknown", allowed=", ".join(tails))
        return np.asarray(tails[alternative](self.t, self.df), dtype=float)

    def q(self, alternative: str = "two-sided") -> np.ndarray:
        """Return p-values adjusted over all units by Benjamini-Hochberg."""
        return fdr_bh(self.p(alternative))

    @property
    def n_undefined(self) -> int:
        """How many units have no t."""
        return int(np.isnan(self.t).sum())


def welch_t(a: np.ndarray | Moments, b: np.ndarray | Moments, *, absolute: bool = False) -> Welch:
    """Contrast two conditions in each unit.

    Parameters
    ----------
    a, b : array of shape (n_rows, n_units), or Moments
        Independent rows (stimuli) of the two conditions.
    absolute : bool
        Contrast ``|x|``: a unit that is driven strongly in either direction counts. Moments have made that choice already.

    Raises
    ------
    BraindecError
        For fewer than 2 rows in a condition, units that differ, or values that are not finite.
    """
    first, second = (m if isinstance(m, Moments) else Moments(absolute=absolute).add(m) for m in (a, b))
    if first.absolute != second.absolute or (absolute and not first.absolute):
        raise BraindecError("one condition holds absolute values and the other does not")
    if min(first.n, second.n) < 2:
        raise BraindecError("a contrast needs at least 2 rows in each condition", found=f"{first.n} and {second.n}")
    if first.mean.shape != second.mean.shape:
        raise BraindecError("the conditions differ in units", found=f"{len(first.mean)} and {len(second.mean)}")
    t, df = welch_of(first.mean - second.mean, first.variance, second.variance, first.n, second.n)
    gap = first.mean - second.mean
    spread = np.sqrt((first.variance + second.variance) / 2)
    effect = np.divide(gap, spread, out=np.full_like(gap, np.nan), where=spread > 0)
    return Welch(t, df, gap, effect, (first.n, second.n))


def welch_of(
    gap: np.ndarray, var_a: np.ndarray, var_b: np.ndarray, n_a: np.ndarray | int, n_b: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """t and Satterthwaite's degrees of freedom; NaN where both variances are 0."""
    error_a, error_b = var_a / n_a, var_b / n_b
    error = error_a + error_b
    known = error > 0
    safe = np.where(known, error, 1.0)
    t = np.where(known, gap / np.sqrt(safe), np.nan)
    # as shares of the error, so that squares of tiny variances do not underflow
    below = (error_a / safe) ** 2 / (np.asarray(n_a) - 1) + (error_b / safe) ** 2 / (np.asarray(n_b) - 1)
    df = np.where(known, 1.0 / np.where(known, below, 1.0), np.nan)
    return t, df


@dataclass(frozen=True, eq=False)
class Selection:
    """Which units were chosen.

    Parameters
    ----------
    rows : array of int
        Sorted.
    asked : int
        How many were wanted; fewer are chosen where fewer may be.
    n_tied : int
        Units that share the score at the cut and were decided between by the rule for ties.
    n_allowed : int
        Units that passed the gate and have a score.
    note : str
        The same in words.
    """

    rows: np.ndarray
    asked: int
    n_tied: int
    n_allowed: int
    note: str

    def __len__(self) -> int:
        return len(self.rows)

    def mask(self, n: int) -> np.ndarray:
        """The choice as an array of bool, shape (n,)."""
        out = np.zeros(n, dtype=bool)
        out[self.rows] = True
        return out


def top_units(
    scores: np.ndarray, *, k: int | None = None, percent: float | None = None, groups: np.ndarray | None = None,
    allowed: np.ndarray | None = None, rng: np.random.Generator | int | None = None,
) -> Selection:  # fmt: skip
    """Choose the units with the largest scores, never more than asked for.

    Parameters
    ----------
    scores : array of shape (n_units,)
        NaN is never chosen.
    k : int, optional
        How many; or
    percent : float, optional
        how many in percent of all units (of each group), rounded down.
    groups : array of shape (n_units,), optional
        ``k`` or ``percent`` are chosen within each group (each layer).
    allowed : array of bool, shape (n_units,), optional
        Gate: only these may be chosen (for example ``q <= 0.05``).
    rng : Generator or int, optional
        Ties at the cut are broken at random; by the lower row without it.

    Raises
    ------
    BraindecError
        If neither or both of ``k`` and ``percent`` are given, or they are out of range.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 1 or np.isinf(scores).any():
        raise BraindecError("scores are one number a unit, not infinite", found=f"shape {scores.shape}")
    if (k is None) == (percent is None):
        raise BraindecError("say how many units: either k or percent", found=f"k={k}, percent={percent}")
    if (k is not None and (int(k) != k or k < 1)) or (percent is not None and not 0 < percent <= 100):
        raise BraindecError(
            "units to choose", found=f"k={k}, percent={percent}", allowed="k >= 1, or 0 < percent <= 100"
        )
    gate = ~np.isnan(scores) & (np.ones(len(scores), bool) if allowed is None else np.asarray(allowed, dtype=bool))
    code = np.zeros(len(scores), int) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    chance = None if rng is None else np.random.default_rng(rng).random(len(scores))
    chosen: list[np.ndarray] = []
    asked = n_tied = 0
    for group in range(code.max() + 1 if len(code) else 0):
        members = np.flatnonzero(code == group)
        wanted = int(k) if k is not None else int(np.floor(len(members) * float(percent or 0) / 100 + 1e-9))
        open_ = members[gate[members]]
        rule = open_ if chance is None else chance[open_]
        best = open_[np.lexsort((rule, -scores[open_]))][:wanted]
        asked, chosen = asked + wanted, [*chosen, best]
        if 0 < len(best) < len(open_):
            tied = int((scores[open_] == scores[best[-1]]).sum())
            n_tied += tied if tied > int((scores[best] == scores[best[-1]]).sum()) else 0
    rows = np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, int)
    note = f"{len(rows)} of {asked} units asked for, among {int(gate.sum())} of {len(scores)} that may be chosen"
    if n_tied:
        note += f"; {n_tied} share the score at the cut, decided by {'the lower row' if rng is None else 'chance'}"
    return Selection(rows, asked, n_tied, int(gate.sum()), note)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Whether a contrast comes again in other stimuli.

    Parameters
    ----------
    r, rho : float
        Pearson and Spearman correlation over units between t of odd and t of even stimuli.
    within : float
        Pearson correlation after the mean of each group (layer) is taken away: layers that differ as wholes do not count.
    odd, even : array of shape (n_units,)
        t of the halves.
    """

    r: float
    rho: float
    within: float
    odd: np.ndarray
    even: np.ndarray


def split_half(
    a: np.ndarray, b: np.ndarray, *, absolute: bool = False, groups: np.ndarray | None = None
) -> Reliability:  # fmt: skip
    """Correlate t of the odd stimuli of both conditions with t of the even ones, over units.

    Parameters
    ----------
    a, b : array of shape (n_rows, n_units)
    absolute : bool
        As for :func:`welch_t`.
    groups : array of shape (n_units,), optional
        Layer of each unit.
    """
    a, b = matrix_of(a), matrix_of(b)
    odd, even = (welch_t(a[h::2], b[h::2], absolute=absolute).t for h in (0, 1))
    return reliability_of(odd, even, groups=groups)


def reliability_of(odd: np.ndarray, even: np.ndarray, *, groups: np.ndarray | None = None) -> Reliability:
    """Correlate two maps of t, shape (n_units,), over the units that have both."""
    known = ~np.isnan(odd) & ~np.isnan(even)
    x, y = odd[known], even[known]
    ranks = _pearson(stats.rankdata(x), stats.rankdata(y))
    return Reliability(_pearson(x, y), ranks, within_groups(odd, even, groups), odd, even)


def within_groups(odd: np.ndarray, even: np.ndarray, groups: np.ndarray | None) -> float:
    """Correlate two maps over units, the mean of each group taken away; NaN in either is left out."""
    known = ~np.isnan(odd) & ~np.isnan(even)
    x, y = odd[known], even[known]
    code = np.unique(np.asarray(groups)[known], return_inverse=True)[1] if groups is not None else np.zeros(len(x), int)
    return _pearson(_centred(x, code), _centred(y, code))


def _centred(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    counts = np.bincount(code) if len(code) else np.zeros(0)
    return values - (np.bincount(code, values) / np.maximum(counts, 1))[code] if len(code) else values


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation; NaN for fewer than 3 values or constant ones."""
    if len(x) < 3:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y / size) if size > 0 else float("nan")


def matrix_of(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2:
        raise BraindecError("activations of a condition are a matrix of (row, unit)", found=f"shape {values.shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=0).sum())
        raise BraindecError("activations are not finite", found=f"{bad} of {values.shape[1]} units hold NaN or infinity",
                            fix="look at the stimuli or the precision (dtype) that gave them, or leave these units out")  # fmt: skip
    return values
