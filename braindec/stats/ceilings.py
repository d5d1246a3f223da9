"""Noise ceilings: the share of a response's variance that anything could explain, estimated from responses alone.

Five estimates, each named in its result: from repeats by an analysis of variance (the form of the Natural Scenes Dataset),
explainable variance of repeated time courses, split halves with the Spearman-Brown formula, leaving one subject out, and
other subjects extrapolated to infinitely many of them.
None looks at features or predictions, so none of them can favour a model. Nothing is clipped: an estimate below 0 says
that noise hides the response and stays below 0; too few repeats give NaN.

Source: Allen et al. 2022 (Nat Neurosci 25:116), Methods, "Noise ceiling estimation": ncsnr and
100 ncsnr^2 / (ncsnr^2 + 1 / n); Sahani & Linden 2002 (NIPS 15), Schoppe et al. 2016 (Front Comput Neurosci 10:10) for
explainable variance; Spearman 1910, Brown 1910 (Brit J Psychol 3) for split halves; Nili et al. 2014 (PLoS Comput Biol
10:e1003553) for the lower and upper bound over subjects; Schrimpf et al. 2021 (PNAS 118:e2105646118), SI, for the
extrapolation v(x) = v0 (1 - exp(-x / tau)) over pools of x subjects; Lage-Castellanos et al. 2019 (PLoS Comput Biol 15:e1006397) on
what a ceiling means for predictions.

Differs from the reference in: the total variance is estimated by an analysis of variance, with unequal numbers of
repeats, instead of being 1 by z-scoring; signal variances below 0 are kept instead of set to 0; an extrapolation whose fit
fails is NaN and counted, instead of held to [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from braindec.errors import BraindecError
from braindec.stats._extrapolation import fit_curve, pool_scores

__all__ = [
    "Ceiling",
    "explainable_variance",
    "extrapolated_ceiling",
    "noise_ceiling",
    "normalized",
    "split_half",
    "subject_ceiling",
]


@dataclass(frozen=True, eq=False)
class Ceiling:
    """A noise ceiling of each target.

    Parameters
    ----------
    share : array of shape (n_targets,)
        Share of the variance that could be explained (1: all). May be below 0; NaN where it cannot be estimated.
    kind : str
        Which estimate.
    n_averaged : int
        The ceiling is that of the mean of so many repeats.
    low, high : array of shape (n_targets,), optional
        95 % bootstrap interval of the share.
    extra : dict of str to array
        ``ncsnr`` of :func:`noise_ceiling`; ``lower`` and ``upper`` correlations of :func:`subject_ceiling`.
    note : str
        How it was made, for a report.
    """

    share: np.ndarray
    kind: str
    n_averaged: int = 1
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    extra: dict[str, np.ndarray] | None = None
    note: str = ""

    @property
    def from_responses_only(self) -> bool:
        """True: no feature and no prediction entered, so targets may be chosen by it."""
        return True


def noise_ceiling(
    Y: np.ndarray, conditions: np.ndarray, *, n_averaged: int = 1, n_bootstrap: int = 0,
    rng: np.random.Generator | int = 0,
) -> Ceiling:  # fmt: skip
    """Noise ceiling from repeats: ``ncsnr**2 / (ncsnr**2 + 1 / n)``.

    ``ncsnr`` is the standard deviation of the signal over that of the noise: the noise variance is the variance among
    repeats of one condition (ddof 1), pooled over conditions; the signal variance is what the variance of condition
    means leaves when the noise in those means is taken away (one-way analysis of variance, random effects). Where the
    signal variance is below 0, ``ncsnr`` is NaN and the share is ``-q / (q + 1 / n)`` with q the size of
    signal / noise variance: below 0, never clipped.

    Parameters
    ----------
    Y : array of shape (n_rows, n_targets)
        Single trials or volumes.
    conditions : array of shape (n_rows,)
        Rows with one value repeat one another; "" or None for rows that repeat nothing. Conditions shown once are left out.
    n_averaged : int
        Repeats that are averaged before they are compared with a prediction; 1 for single trials.
    n_bootstrap : int
        Resamples of conditions for the interval; 0 for none.
    rng : Generator or int

    Returns
    -------
    Ceiling
        NaN everywhere with fewer than 2 repeated conditions; NaN for targets that are not finite or never change.
    """
    Y, n_averaged = _matrix(Y), _whole(n_averaged)
    codes = _codes(conditions, len(Y))
    kept = np.flatnonzero(codes >= 0)
    codes = np.unique(codes[kept], return_inverse=True)[1].reshape(-1)
    m = int(codes.max()) + 1 if len(codes) else 0
    note = f"ANOVA over {m} conditions with {len(kept)} repeats, for the mean of {n_averaged}"
    if m < 2:
        nan = np.full(Y.shape[1], np.nan)
        return Ceiling(nan, "repeats", n_averaged, extra={"ncsnr": nan.copy()}, note=note + ": too few")
    order = np.argsort(codes, kind="stable")
    data = np.asarray(Y[kept[order]], dtype=np.float64)
    counts = np.bincount(codes).astype(float)
    starts = (np.cumsum(counts) - counts).astype(int)
    data = data - data.mean(axis=0)
    means = np.add.reduceat(data, starts, axis=0) / counts[:, None]
    within = np.add.reduceat((data - np.repeat(means, counts.astype(int), axis=0)) ** 2, starts, axis=0)

    def share(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _anova(means, within, counts, weights, n_averaged)

    value, ncsnr = share(np.ones(m))
    low = high = None
    if n_bootstrap:
        rng = np.random.default_rng(rng)
        draws = np.stack(
            [share(rng.multinomial(m, np.full(m, 1 / m)).astype(float))[0] for _ in range(int(n_bootstrap))]
        )
        low, high = _percentiles(draws)
    return Ceiling(value, "repeats", n_averaged, low, high, {"ncsnr": ncsnr}, note)


def explainable_variance(
    repeats: np.ndarray, *, bias_correction: bool = True, n_bootstrap: int = 0, n_blocks: int = 10,
    rng: np.random.Generator | int = 0,
) -> Ceiling:  # fmt: skip
    """Explainable variance of repeated time courses: variance of their mean over the mean of their variances.

    ``EV = var_t(mean over repeats) / mean over repeats of var_t`` (ddof 1), and, as the mean of n repeats still holds
    1 / n of the noise, ``EV - (1 - EV) / (n - 1)``: the share of a single repeat's variance that all repeats have in
    common.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_times, n_targets)
        Responses to the same stimulus.
    bias_correction : bool
        Take the noise left in the mean away.
    n_bootstrap : int
        Resamples of ``n_blocks`` contiguous blocks of time for the interval; 0 for none.
    rng : Generator or int

    Returns
    -------
    Ceiling
        NaN with fewer than 2 repeats or 3 samples, and for targets that are constant or not finite.
    """
    repeats = _cube(repeats)
    n, n_times, n_targets = repeats.shape
    note = f"explainable variance of {n} repeats of {n_times} samples" + (", bias corrected" if bias_correction else "")
    if n < 2 or n_times < 3:
        return Ceiling(np.full(n_targets, np.nan), "explainable variance", note=note + ": too few")

    def share(data: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = data.var(axis=1, ddof=1).mean(axis=0)
            value = data.mean(axis=0).var(axis=0, ddof=1) / np.where(total > 0, total, np.nan)
        return value - (1 - value) / (n - 1) if bias_correction else value

    low, high = _by_blocks(repeats, share, n_bootstrap, n_blocks, rng)
    return Ceiling(share(repeats), "explainable variance", 1, low, high, note=note)


def split_half(
    repeats: np.ndarray, *, n_splits: int = 50, n_bootstrap: int = 0, n_blocks: int = 10,
    rng: np.random.Generator | int = 0,
) -> Ceiling:  # fmt: skip
    """Reliability of the mean over all repeats: correlation of random halves, lengthened by Spearman-Brown.

    The mean correlation r over ``n_splits`` random halves of the repeats becomes ``2 r / (1 + r)``, the share of the
    variance of the *mean of all repeats* that is signal. With an odd number of repeats one of them, another each time,
    is left out, and the formula's factor is ``n / ((n - 1) / 2)`` instead of 2.

    Parameters
    ----------
    repeats : array of shape (n_repeats, n_items, n_targets)
        Responses to the same items (or times).
    n_splits : int
        Random halves.
    n_bootstrap : int
        Resamples of ``n_blocks`` contiguous blocks of items for the interval; 0 for none.
    rng : Generator or int

    Returns
    -------
    Ceiling
        NaN with fewer than 2 repeats or 3 items, and for targets that are constant or not finite.
    """
    repeats = _cube(repeats)
    n, n_items, n_targets = repeats.shape
    note = f"split halves of {n} repeats of {n_items} items, {n_splits} splits, Spearman-Brown"
    if n < 2 or n_items < 3:
        return Ceiling(np.full(n_targets, np.nan), "split half", max(n, 1), note=note + ": too few")
    rng = np.random.default_rng(rng)
    half = n // 2
    orders = [rng.permutation(n) for _ in range(_whole(n_splits))] if n > 2 else [np.arange(2)]

    def share(data: np.ndarray) -> np.ndarray:
        total = np.zeros(n_targets)
        for order in orders:
            total += _correlation(data[order[:half]].mean(axis=0), data[order[half : 2 * half]].mean(axis=0))
        r = total / len(orders)
        factor = n / half
        with np.errstate(divide="ignore", invalid="ignore"):
            return factor * r / (1 + (factor - 1) * r)

    low, high = _by_blocks(repeats, share, n_bootstrap, n_blocks, rng)
    return Ceiling(share(repeats), "split half", n, low, high, note=note)


def subject_ceiling(subjects: np.ndarray, *, n_bootstrap: int = 0, rng: np.random.Generator | int = 0) -> Ceiling:
    """Ceiling from other subjects: how well the mean of the others predicts the one left out.

    ``lower`` is the mean over subjects of the correlation with the mean of the *other* subjects, ``upper`` that with the
    mean of *all*, the one itself included. The share is ``lower`` squared with the sign of ``lower``: what a prediction that
    is the same for all subjects can be expected to reach at least.

    Parameters
    ----------
    subjects : array of shape (n_subjects, n_items, n_targets)
        Responses of each subject to the same items in a common space.
    n_bootstrap : int
        Resamples of subjects for the interval; 0 for none. Correlations of the left-out subjects are resampled, means
        are not formed again.
    rng : Generator or int

    Returns
    -------
    Ceiling
        ``extra["lower"]``, ``extra["upper"]``: correlations. NaN with fewer than 3 subjects or items.
    """
    subjects = _cube(subjects)
    n, n_items, n_targets = subjects.shape
    note = f"leave one of {n} subjects out, {n_items} items"
    if n < 3 or n_items < 3:
        nan = np.full(n_targets, np.nan)
        return Ceiling(nan, "other subjects", note=note + ": too few", extra={"lower": nan.copy(), "upper": nan.copy()})
    total = subjects.sum(axis=0)
    lower = np.stack([_correlation(s, (total - s) / (n - 1)) for s in subjects])
    upper = np.stack([_correlation(s, total / n) for s in subjects])
    low = high = None
    if n_bootstrap:
        picks = np.random.default_rng(rng).integers(0, n, size=(int(n_bootstrap), n))
        low, high = _percentiles(_signed_square(lower[picks].mean(axis=1)))
    extra = {"lower": lower.mean(axis=0), "upper": upper.mean(axis=0)}
    return Ceiling(_signed_square(extra["lower"]), "other subjects", 1, low, high, extra, note)


def extrapolated_ceiling(
    subjects: np.ndarray, *, score: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    form: Literal["exponential", "reliability"] = "exponential", n_bootstrap: int = 100, rng: np.random.Generator | int = 0,
) -> Ceiling:  # fmt: skip
    """Ceiling from pools of other subjects, extrapolated to a pool of infinitely many.

    Each subject is predicted from pools of x = 1, 2, ... others; the scores v(x) rise with x, and a curve is fitted to them:
    ``v0 (1 - exp(-x / tau))`` (published form), or ``v0 / sqrt(1 + c / x)`` ("reliability"), which the mean of subjects with one
    shared signal and independent noise follows exactly. The exponential levels off sooner, and stays below the truth
    (simulated, 8 subjects: 0.65 where 0.71 is true).

    Parameters
    ----------
    subjects : array of shape (n_subjects, n_items, n_targets)
        Responses of each subject to the same items; targets correspond.
    score : callable, optional
        ``score(pool (x, n_items, n_targets), held (n_items, n_targets)) -> (n_targets,)`` correlations; by default that of the
        mean of the pool. Pass the metric that models are scored with (a cross-validated regression, ...).
    form : {"exponential", "reliability"}
    n_bootstrap : int
        Resamples of pools; the ceiling is the median of their v0, ``low`` and ``high`` 2.5 and 97.5 %.
    rng : Generator or int

    Returns
    -------
    Ceiling
        ``share`` is v0 squared; ``extra``: "correlation" (v0), "rate" (tau or c), "failed" (1 where no curve could be fitted:
        scores that do not level off, or are not above 0; NaN there). NaN with fewer than 4 subjects.
    """
    subjects, rng = _cube(subjects), np.random.default_rng(rng)
    n, n_items, n_targets = subjects.shape
    note = f"pools of 1 to {n - 1} of {n} subjects, {n_items} items, {form} curve"
    if form not in ("exponential", "reliability"):
        raise BraindecError(f"a curve called {form!r} is unknown", allowed="exponential, reliability")
    if n < 4 or n_items < 3:
        nan = np.full(n_targets, np.nan)
        return Ceiling(
            nan,
            "extrapolated",
            note=note + ": too few",
            extra={"correlation": nan.copy(), "failed": np.ones(n_targets)},
        )
    score = score or (lambda pool, held: _correlation(pool.mean(axis=0), held))
    each = pool_scores(subjects, score, rng)
    found, rate, _ = fit_curve(np.stack([v.mean(axis=0) for v in each]), form)
    draws = np.stack([fit_curve(np.stack([v[rng.integers(0, len(v), len(v))].mean(axis=0) for v in each]), form)[0]
                      for _ in range(int(n_bootstrap))]) if n_bootstrap else found[None]  # fmt: skip
    known = np.isfinite(draws).mean(axis=0) > 0.5
    top, low, high = (np.full(n_targets, np.nan) for _ in range(3))
    if known.any():
        top[known], low[known], high[known] = np.nanquantile(draws[:, known], [0.5, 0.025, 0.975], axis=0)
    if not known.all():
        note += f"; no curve for {int((~known).sum())} of {n_targets} targets"
    extra = {"correlation": top, "rate": np.where(known, rate, np.nan), "failed": (~known).astype(float)}
    ends = (_signed_square(low), _signed_square(high)) if n_bootstrap else (None, None)
    return Ceiling(_signed_square(top), "extrapolated", 1, *ends, extra, note)


def normalized(
    score: np.ndarray, ceiling: np.ndarray | Ceiling, *, kind: Literal["r", "r2"] = "r", floor: float = 0.05
) -> np.ndarray:
    """Return a score as a fraction of what could be reached; NaN where the ceiling is below ``floor`` or unknown.

    A correlation is divided by the square root of the share of variance, an R2 by the share itself. Values above 1 are
    kept: they say that the ceiling or the score is uncertain there.

    Parameters
    ----------
    score : array of shape (n_targets,)
    ceiling : Ceiling or array of shape (n_targets,)
        Share of the variance that could be explained.
    kind : {"r", "r2"}
    floor : float
        Ceilings below this share say nothing reliable.

    Examples
    --------
    >>> normalized(np.array([0.3, 0.3]), np.array([0.36, 0.01]))
    array([0.5, nan])
    """
    share = np.asarray(ceiling.share if isinstance(ceiling, Ceiling) else ceiling, dtype=float)
    score = np.asarray(score, dtype=float)
    if kind not in ("r", "r2") or not 0 < floor < 1:
        raise BraindecError(
            "a normalised score is that of r or r2, with a floor between 0 and 1", found=f"{kind!r}, floor={floor}"
        )
    if share.shape != score.shape:
        raise BraindecError("scores and ceilings differ in shape", found=f"{score.shape} and {share.shape}")
    kept = np.where(share >= floor, share, np.nan)
    return score / (np.sqrt(kept) if kind == "r" else kept)


def _anova(
    means: np.ndarray, within: np.ndarray, counts: np.ndarray, weights: np.ndarray, n_averaged: int
) -> tuple[np.ndarray, np.ndarray]:
    """Share and ncsnr with conditions weighted by how often they were drawn; (n_targets,) each."""
    m, rows = weights.sum(), float(weights @ counts)
    grand = (weights * counts) @ means / rows
    between = (weights * counts) @ (means - grand) ** 2 / (m - 1)
    noise = weights @ within / (rows - m)
    size = (rows - float(weights @ counts**2) / rows) / (m - 1)  # repeats of a condition, on average
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (between - noise) / size / noise  # signal variance over noise variance
        # without any noise, or constant: all signal, or nothing to say
        ratio = np.where(noise > 0, ratio, np.where(between > 0, np.inf, np.nan))
        share = np.where(np.isinf(ratio), 1.0, ratio / (np.abs(ratio) + 1 / n_averaged))
        return share, np.sqrt(np.where(ratio >= 0, ratio, np.nan))


def _by_blocks(
    data: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], n: int, n_blocks: int, rng: np.random.Generator | int
) -> tuple[np.ndarray | None, np.ndarray | None]:  # fmt: skip
    """95 % interval over contiguous blocks of the second axis."""
    if not n:
        return None, None
    if not 2 <= n_blocks <= data.shape[1]:
        raise BraindecError("blocks of the interval do not fit", found=f"{n_blocks} blocks of {data.shape[1]} samples",
                            allowed=f"2 to {data.shape[1]}")  # fmt: skip
    blocks = np.array_split(np.arange(data.shape[1]), n_blocks)
    picks = np.random.default_rng(rng).integers(0, n_blocks, size=(int(n), n_blocks))
    return _percentiles(np.stack([statistic(data[:, np.concatenate([blocks[k] for k in row])]) for row in picks]))


def _percentiles(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Column-wise correlation, NaN for constant columns."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        return (a * b).sum(axis=0) / np.where(size > 0, size, np.nan)


def _signed_square(r: np.ndarray) -> np.ndarray:
    return np.sign(r) * r**2


def _codes(conditions: np.ndarray, n: int) -> np.ndarray:
    """Number of the condition of each row; -1 where nothing repeats."""
    labels = np.array(
        ["" if c is None or c != c else str(c) for c in np.asarray(conditions, dtype=object)], dtype=object
    )
    if labels.shape != (n,):
        raise BraindecError("conditions need one label for each row", found=f"shape {labels.shape} for {n} rows")
    _, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    return np.where((counts[codes] > 1) & (labels != ""), codes, -1)


def _matrix(Y: np.ndarray) -> np.ndarray:
    Y = np.asarray(Y)
    if Y.ndim != 2:
        raise BraindecError("responses are a matrix of (row, target)", found=f"shape {Y.shape}")
    return Y


def _cube(data: np.ndarray) -> np.ndarray:
    data = np.asarray(data, dtype=np.float64)
    if data.ndim == 2:
        data = data[:, :, None]
    if data.ndim != 3:
        raise BraindecError("repeats are (repeat, time or item, target)", found=f"shape {data.shape}")
    return data


def _whole(n: int) -> int:
    if int(n) != n or n < 1:
        raise BraindecError("a number of repeats or splits is a whole number of at least 1", found=repr(n))
    return int(n)
