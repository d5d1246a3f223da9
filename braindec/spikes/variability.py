"""Variability of counts: the Fano factor over windows or trials, with intervals and an exact test against Poisson.

The factor is the variance of counts over their mean, 1 for a Poisson process. Given the sum of all counts, those of a
Poisson process of constant rate are multinomial: draws from that are an exact test, also for few spikes. Intervals are
those of a jackknife of the logarithm, and not narrower than those of the variance of normal counts; resampling counts
would make them too narrow.

Source: Fano 1947 (Phys Rev 72:26); Miller 1968 (Ann Math Stat 39:567) for the jackknife of a log variance; Fisher 1950 (Biometrics 6:17) for the conditional test of dispersion; Churchland et
al. 2010 (Nature Neuroscience 13:369, online methods) for matching the distribution of means over time.
Differs from elephant in: the variance has n - 1 by default (``ddof=0`` is as there).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes._observed import checked_spikes, joined
from braindec.spikes.aligned import Aligned, Labels
from braindec.spikes.rates import block_counts
from braindec.stats.asked import number, whole
from braindec.types import Spikes

__all__ = ["fano", "fano_factor", "mean_matched_fano", "windows_of"]


def fano_factor(counts: np.ndarray, *, axis: int = -1, ddof: int = 1) -> np.ndarray:
    """Return variance over mean of counts along ``axis``; NaN where there is no spike.

    Raises
    ------
    BraindecError
        If there are fewer than 2 counts, or some are negative or not finite.
    """
    counts = np.asarray(counts, dtype=float)
    if counts.shape[axis] < 2:
        raise BraindecError("a Fano factor needs 2 counts or more", found=f"{counts.shape[axis]}")
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise BraindecError("counts are finite and 0 or more", found=f"{counts.min()} to {counts.max()}")
    mean, spread = counts.mean(axis=axis), counts.var(axis=axis, ddof=ddof)
    return np.divide(spread, mean, out=np.full_like(mean, np.nan), where=mean > 0)


def windows_of(spikes: Spikes, *, window: float) -> np.ndarray:
    """Return windows of ``window`` s that fit the support one after the other, none across a gap, shape (n, 2).

    Raises
    ------
    BraindecError
        If none fits.
    """
    number(window, "window", least=0, ends=False, unit="s")
    parts = []
    for a, b in joined(spikes.support).tolist():
        n = int((b - a) / window + 1e-9)
        parts.append(a + window * np.stack([np.arange(n), np.arange(n) + 1.0], axis=1))
    out = np.concatenate(parts)
    if not len(out):
        longest = float(np.diff(spikes.support, axis=1).max())
        raise BraindecError(
            f"windows of {window:g} s do not fit", found=f"the longest observed interval has {longest:g} s"
        )
    return out


def fano(
    source: Spikes | Aligned, *, window: float | None = None, by: Labels | None = None, level: float = 0.95,
    n_draws: int = 999, seed: int = 0, ddof: int = 1,
) -> pd.DataFrame:  # fmt: skip
    """Return the Fano factor of each unit.

    Parameters
    ----------
    source : Spikes or Aligned
        A recording, cut into windows of ``window`` s; or trials, whose counts in the whole window are taken.
    window : float, optional
        s; for a recording.
    by : str or sequence, optional
        Conditions of trials: the factor is taken within each, weighted by the number of its trials less one, so that
        tuning is not taken for variability.
    level : float
        Coverage wanted.
    n_draws : int
        Draws from the multinomial (0: no p).
    seed : int
        Source of chance.
    ddof : int
        1 or 0.

    Returns
    -------
    DataFrame
        unit, name, value, low, high (NaN with fewer than 5 windows), p (two-sided, against a Poisson process of constant rate in each condition), n
        (windows), mean (spikes in a window), note. Units without spikes have NaN and say so.
    """
    if isinstance(source, Aligned):
        counts = source.counts()[:, :, 0].T
        labels = None if by is None else np.unique(source.column(by).astype(str), return_inverse=True)[1]
        names = source.units["name"]
    else:
        checked_spikes(source, "fano")
        if window is None or by is not None:
            raise BraindecError(
                "fano of a recording needs window (s); conditions are for trials", fix="aligned(...) makes trials"
            )
        windows = windows_of(source, window=window)
        counts, labels, names = _in_windows(source, windows), None, source.units["name"]
    n = counts.shape[1]
    labels = np.zeros(n, dtype=int) if labels is None else labels
    value = _within(counts, labels, ddof)
    rng = np.random.default_rng(seed)
    low, high, p = np.full((3, len(counts)), np.nan)
    for u in np.flatnonzero(np.isfinite(value)):
        low[u], high[u] = _interval(counts[u], labels, float(value[u]), ddof, level)
        if whole(n_draws, "n_draws"):
            p[u] = _poisson_p(counts[u], labels, value[u], ddof, n_draws, rng)
    return pd.DataFrame({"unit": np.arange(len(counts)), "name": names.astype(str), "value": value, "low": low, "high": high, "p": p, "n": n,
                         "mean": counts.mean(axis=1), "note": np.where(np.isfinite(value), "", "no spikes")})  # fmt: skip


def _in_windows(spikes: Spikes, windows: np.ndarray) -> np.ndarray:
    """Counts in windows that may leave gaps between them."""
    edges = np.unique(windows.ravel())
    every = (
        block_counts(spikes, np.stack([edges[:-1], edges[1:]], axis=1))
        if len(edges) > 1
        else np.zeros((spikes.n_units, 0), int)
    )
    return every[:, np.searchsorted(edges, windows[:, 0])]


def _within(counts: np.ndarray, labels: np.ndarray, ddof: int) -> np.ndarray:
    """Fano factor within conditions, weighted by trials less one; conditions without spikes say nothing."""
    total, weight = np.zeros(counts.shape[:-1]), np.zeros(counts.shape[:-1])
    for k in range(labels.max() + 1):
        mine = counts[..., labels == k]
        if mine.shape[-1] < 2:
            continue
        factor = fano_factor(mine, ddof=ddof)
        known = np.isfinite(factor)
        total += np.where(known, factor, 0.0) * (mine.shape[-1] - 1)
        weight += known * (mine.shape[-1] - 1)
    return np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)


def _interval(counts: np.ndarray, labels: np.ndarray, value: float, ddof: int, level: float) -> tuple[float, float]:
    """Jackknife of the logarithm, or the interval of a chi-squared variance at each end where that is wider."""
    left, n = _left_out(counts, labels, ddof), len(counts)
    free = n - len(np.unique(labels))
    if n < 5 or free < 2 or value <= 0:
        return np.nan, np.nan
    low, high = (free * value / stats.chi2.ppf(q, free) for q in ((1 + level) / 2, (1 - level) / 2))
    if (left > 0).all():
        each = n * np.log(value) - (n - 1) * np.log(left)
        half = stats.t.ppf((1 + level) / 2, free) * each.std(ddof=1) / np.sqrt(n)
        low, high = min(low, np.exp(each.mean() - half)), max(high, np.exp(each.mean() + half))
    return float(low), float(high)


def _left_out(counts: np.ndarray, labels: np.ndarray, ddof: int) -> np.ndarray:
    """The factor within conditions with each count left out, 0 where nothing is left of it."""
    factor, weight, mine = np.zeros(len(counts)), np.zeros(len(counts)), np.zeros(len(counts))
    total = heavy = 0.0
    for k in np.unique(labels):
        own = counts[labels == k].astype(float)
        n = len(own)
        if n < 2:
            continue
        known = own.sum() > 0
        total += own.var(ddof=ddof) / own.mean() * (n - 1) if known else 0.0
        heavy += n - 1 if known else 0.0
        mine[labels == k] = own.var(ddof=ddof) / own.mean() * (n - 1) if known else 0.0
        rest = own.sum() - own
        if n > 2:
            mean = rest / (n - 1)
            spread = np.maximum(((own**2).sum() - own**2) / (n - 1) - mean**2, 0.0) * (n - 1) / (n - 1 - ddof)
            factor[labels == k] = np.divide(spread, mean, out=np.zeros(n), where=mean > 0) * (n - 2)
            weight[labels == k] = (n - 1 if known else 0) - (n - 2) * (rest > 0)
        else:
            weight[labels == k] = n - 1 if known else 0
    left, remains = total - mine + factor, heavy - weight
    return np.divide(left, remains, out=np.zeros(len(counts)), where=remains > 0)


def _poisson_p(
    counts: np.ndarray, labels: np.ndarray, value: float, ddof: int, n: int, rng: np.random.Generator
) -> float:
    null = np.empty((n, len(counts)))
    for k in range(labels.max() + 1):
        mine = np.flatnonzero(labels == k)
        null[:, mine] = rng.multinomial(int(counts[mine].sum()), np.full(len(mine), 1 / len(mine)), size=n)
    draws = _within(null, labels, ddof)
    above = (1 + np.sum(draws >= value - 1e-12)) / (n + 1)
    below = (1 + np.sum(draws <= value + 1e-12)) / (n + 1)
    return float(min(1.0, 2 * min(above, below)))


def mean_matched_fano(
    found: Aligned, *, width: float, by: Labels | None = None, n_bins: int = 10, n_repeats: int = 50, seed: int = 0
) -> pd.DataFrame:  # fmt: skip
    """Return the Fano factor over time with the distribution of mean counts held constant.

    Points are (unit, condition); in each window the same number of them is kept in each bin of the mean count, the least
    over windows, so that a change of rate is not taken for one of variability. The factor is the slope of variance over
    mean through the origin, weighted by one over the mean (that is, summed variances over summed means).

    Parameters
    ----------
    found : Aligned
        Trials.
    width : float
        Windows, s.
    by : str or sequence, optional
        Conditions.
    n_bins, n_repeats : int
        Bins of the mean count; random choices that are averaged.
    seed : int
        Source of chance.

    Returns
    -------
    DataFrame
        time (middle, s), value, raw (not matched), n (points kept).

    Raises
    ------
    BraindecError
        If no point can be matched in all windows.
    """
    counts = found.counts(width).astype(float)
    labels = (
        np.zeros(found.n_trials, dtype=int)
        if by is None
        else np.unique(found.column(by).astype(str), return_inverse=True)[1]
    )
    parts = [counts[labels == k] for k in range(labels.max() + 1) if (labels == k).sum() > 1]
    if not parts:
        raise BraindecError("a Fano factor needs 2 trials or more of a condition", found=f"{found.n_trials} trials")
    mean = np.concatenate([c.mean(axis=0) for c in parts])  # (point, window)
    spread = np.concatenate([c.var(axis=0, ddof=1) for c in parts])
    edges = np.unique(np.quantile(mean[mean > 0], np.linspace(0, 1, n_bins + 1))) if (mean > 0).any() else np.zeros(1)
    place = np.where(mean > 0, np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, max(len(edges) - 2, 0)), -1)
    keep = np.array(
        [min((place[:, w] == b).sum() for w in range(mean.shape[1])) for b in range(max(len(edges) - 1, 1))]
    )
    if not keep.sum():
        raise BraindecError(
            "mean counts of the windows have nothing in common", fix="take a wider window, more units, or fewer n_bins"
        )
    rng = np.random.default_rng(seed)
    values = np.empty((n_repeats, mean.shape[1]))
    for r in range(n_repeats):
        for w in range(mean.shape[1]):
            rows = np.concatenate([rng.permutation(np.flatnonzero(place[:, w] == b))[:k] for b, k in enumerate(keep)])
            values[r, w] = spread[rows, w].sum() / mean[rows, w].sum()
    times = found.edges(width)
    return pd.DataFrame({"time": (times[:-1] + times[1:]) / 2, "value": values.mean(axis=0), "raw": spread.sum(axis=0) / mean.sum(axis=0),
                         "n": int(keep.sum())})  # fmt: skip
