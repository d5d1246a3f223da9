"""Bootstrap intervals: percentile or BCa, by row or by whole clusters, with a correction for few units.

Source: Efron & Tibshirani 1993 (An Introduction to the Bootstrap, chapters 13-14); Davison & Hinkley 1997 section 3.8
for resampling clusters; Hesterberg 2015 (The American Statistician 69:371) for the expanded percentiles that give a
small number of units its honest width: the percentiles of a t-interval with the factor sqrt(n / (n - 1)). Below 20
units percentiles have no room for that, and a t-interval with the bootstrap's standard error takes their place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from braindec.errors import BraindecError

_FEW = 20  # units below which a t-interval is used

__all__ = ["Interval", "bootstrap_interval", "bootstrap_weights", "interval_of"]


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float] | None = None,
    *,
    n: int = 2000,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
    clusters: np.ndarray | None = None,
    method: str = "percentile",
) -> Interval:
    """Return the bootstrap interval of a statistic of the rows of ``values`` (the mean by default).

    Parameters
    ----------
    values : array of shape (n_rows, ...)
        What is resampled.
    statistic : callable, optional
        ``statistic(values[rows]) -> float``; the mean over everything by default.
    n : int
        Resamples.
    level : float
        Coverage wanted.
    rng : Generator or int
        Source of chance.
    clusters : array of shape (n_rows,), optional
        Rows with one name are resampled together (trials of one run, runs of one subject).
    method : {"percentile", "bca"}
        "percentile" is widened for few units (below 20: a t-interval, which may leave the range of a score); "bca"
        corrects bias and skew and suits 20 units or more.

    Raises
    ------
    BraindecError
        If there are fewer than 2 units, or the statistic is not finite.
    """
    values = np.asarray(values, dtype=float)
    if clusters is None:
        members = [np.array([i]) for i in range(len(values))]
    else:
        code = np.unique(np.asarray(clusters), return_inverse=True)[1]
        members = [np.flatnonzero(code == k) for k in range(code.max() + 1)] if len(values) else []
    if len(members) < 2:
        raise BraindecError("a bootstrap interval needs at least 2 units", found=f"{len(members)}")
    rng = np.random.default_rng(rng)
    picks = rng.integers(0, len(members), size=(n, len(members)))
    if statistic is None and clusters is None and values.ndim == 1:
        draws, observed = values[picks].mean(axis=1), float(values.mean())
    else:
        statistic = statistic or np.mean
        draws = np.array([float(statistic(values[np.concatenate([members[k] for k in row])])) for row in picks])
        observed = float(statistic(values))
    if method == "bca":
        statistic = statistic or np.mean
        left_out = [float(statistic(np.delete(values, m, axis=0))) for m in members]
        return _bca(draws, observed, np.array(left_out), level)
    if method != "percentile":
        raise BraindecError(f"unknown bootstrap method {method!r}", allowed="percentile, bca")
    return interval_of(draws, n_units=len(members), level=level)


def interval_of(draws: np.ndarray, *, n_units: int | None = None, level: float = 0.95) -> Interval:
    """Return the percentile interval of bootstrap draws, widened for a small number of resampled units.

    Parameters
    ----------
    draws : array of shape (n,)
        The statistic in each resample.
    n_units : int, optional
        Units that were resampled; None leaves the percentiles as they are.
    level : float
        Coverage wanted.
    """
    draws = np.asarray(draws, dtype=float)
    if not np.isfinite(draws).all():
        raise BraindecError(
            "the statistic is not finite in some resamples", found=f"{int((~np.isfinite(draws)).sum())} of {len(draws)}",
            fix="a class or a group may be missing in them: resample within classes, or use more trials",
        )  # fmt: skip
    tail = (1 - level) / 2
    if n_units is not None and n_units > 1:
        widen = np.sqrt(n_units / (n_units - 1))
        if n_units < _FEW:
            half = -stats.t.ppf(tail, n_units - 1) * widen * draws.std()
            return Interval(float(draws.mean() - half), float(draws.mean() + half))
        tail = float(stats.norm.cdf(widen * stats.t.ppf(tail, n_units - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bootstrap_weights(units: np.ndarray, strata: np.ndarray | None, *, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each row is drawn when units are resampled within strata, shape (n, n_rows), float32.

    Parameters
    ----------
    units : array of shape (n_rows,)
        Rows of one unit are drawn together.
    strata : array of shape (n_rows,), optional
        Units are drawn within a stratum (fold and class), as many as it holds; constant within each unit.
    n : int
        Resamples.
    rng : numpy.random.Generator
        Source of chance.
    """
    first, code = np.unique(np.asarray(units), return_index=True, return_inverse=True)[1:]
    stratum = np.zeros(len(first), dtype=int)
    if strata is not None:
        stratum = np.unique(np.asarray(strata), return_inverse=True)[1].reshape(-1)[first]
    counts = np.empty((n, len(first)), dtype=np.float32)
    for s in np.unique(stratum):
        mine = np.flatnonzero(stratum == s)
        counts[:, mine] = rng.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), size=n)
    return counts[:, code.reshape(-1)]


def _bca(draws: np.ndarray, observed: float, left_out: np.ndarray, level: float) -> Interval:
    interval_of(draws)  # refuses what is not finite
    share = (np.sum(draws < observed) + 0.5 * np.sum(draws == observed)) / len(draws)
    bias = stats.norm.ppf(np.clip(share, 1 / len(draws), 1 - 1 / len(draws)))
    centred = left_out.mean() - left_out
    spread = np.sum(centred**2) ** 1.5
    skew = float(np.sum(centred**3) / (6 * spread)) if spread > 0 else 0.0
    z = stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(draws, stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z))))
    return Interval(float(low), float(high))
