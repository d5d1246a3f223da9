"""Branching parameter of spiking activity: how many spikes one spike brings about in the next time bin.

Activity of a network with branching parameter ``m`` and outside input ``h`` is ``E[A(t+1) | A(t)] = m A(t) + h``. Below 1 a
disturbance dies out, with autocorrelation time ``-bin / ln m``; at 1 it neither dies nor grows; above 1 it explodes.

:func:`branching_factor` is the multistep-regression estimator: slopes ``r_k`` of linear regressions of ``A(t+k)`` on ``A(t)``
for many ``k`` follow ``r_k = b m^k``; the fit of ``m`` holds also where only a part of the neurons is seen (``b < 1``) and
where there is constant outside input. Input that itself changes in time has correlations of its own and is mistaken for
branching: measure while the input is steady.

:func:`spike_ratio` is the older measure, mean ``A(t+1) / A(t)``: it is near 1 for any steady activity with input from outside,
and is here to be compared.

Source: Wilting & Priesemann 2018, Nature Communications 9:2325, methods; Beggs & Plenz 2003, Journal of Neuroscience 23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.stats.asked import number, seed_of, whole

__all__ = ["Branching", "branching_factor", "branching_process", "spike_ratio"]

_FEWEST = 10  # time bins beyond the largest lag, at least


@dataclass(frozen=True)
class Branching:
    """An estimate of the branching parameter.

    Parameters
    ----------
    m : float
        Branching parameter by multistep regression; 0 where no correlation is found.
    low, high : float
        95 % interval from resampled stretches of time; NaN without resamples.
    r1 : float
        Slope at lag 1, the conventional estimate: too small where only a part of the neurons is seen.
    b : float
        Amplitude of the fit; 1 where every neuron is seen.
    tau : float
        Autocorrelation time ``-bin_width / ln m``, s; infinite for m >= 1, 0 where no correlation is left.
    lags : array of int, shape (n_lags,)
    slopes : array of float, shape (n_lags,)
        ``r_k``.
    bin_width : float
        s.
    """

    m: float
    low: float
    high: float
    r1: float
    b: float
    tau: float
    lags: np.ndarray
    slopes: np.ndarray
    bin_width: float

    @property
    def explained(self) -> float:
        """Share of the slopes (sum of squares) that the exponential explains: low where activity bursts or oscillates, and
        ``m`` then means nothing."""
        rest = self.slopes - self.b * self.m**self.lags
        whole = float(self.slopes @ self.slopes)
        return 1.0 - float(rest @ rest) / whole if whole > 0 else 0.0


def branching_factor(
    counts: Any, *, bin_width: float, max_lag: int = 40, n_bootstrap: int = 100, seed: int = 0
) -> Branching:
    """Estimate the branching parameter from numbers of spikes.

    Parameters
    ----------
    counts : array of shape (n_bins,) or (n_trials, n_bins)
        Spikes of all recorded neurons in each time bin. Trials are pooled: one mean for all of them.
    bin_width : float
        s; m is per bin, so that ``m ** (dt / bin_width)`` is the parameter for bins of ``dt``.
    max_lag : int
        Largest lag in bins; some autocorrelation times.
    n_bootstrap : int
        Resamples of trials, or of 20 stretches of one long trial, for the interval; 0 for none.
    seed : int

    Raises
    ------
    BraindecError
        If counts are negative, not finite, constant, or shorter than the largest lag.
    """
    try:
        table = np.atleast_2d(np.asarray(counts, dtype=float))
    except (TypeError, ValueError):
        raise BraindecError(
            "spike counts must be (trial, bin), as many bins in each trial", found=type(counts).__name__
        ) from None
    number(bin_width, "bin_width", least=0, ends=False, unit="s")
    max_lag, n_bootstrap = whole(max_lag, "max_lag"), whole(n_bootstrap, "n_bootstrap")
    if table.ndim != 2 or not np.isfinite(table).all() or (table < 0).any():
        raise BraindecError("spike counts must be (trial, bin), finite and not negative", found=f"shape {table.shape}")
    if max_lag < 2 or table.shape[1] < max_lag + _FEWEST:
        raise BraindecError(
            "the stretch is too short for the lags",
            found=f"{table.shape[1]} bins of {bin_width:g} s, lags up to {max_lag}",
            allowed=f"max_lag from 2 to {max(table.shape[1] - _FEWEST, 2)}",
        )
    if np.ptp(table) == 0:
        raise BraindecError("activity that never changes has no branching parameter", found=f"{table.flat[0]:g} in every bin")  # fmt: skip
    lags = np.arange(1, max_lag + 1)
    pieces = table if len(table) > 1 else _stretches(table[0], max_lag)
    sums = _sums(pieces, table.mean(), lags)
    slopes, noise = _slopes(sums.sum(axis=0)), 2.0 / np.sqrt(table.size)
    m, b = _fit(lags, slopes, noise)
    low = high = float("nan")
    if n_bootstrap and len(pieces) > 1:
        rng = np.random.default_rng(seed_of(seed))
        drawn = [sums[rng.integers(len(sums), size=len(sums))].sum(axis=0) for _ in range(n_bootstrap)]
        low, high = np.percentile([_fit(lags, _slopes(d), noise)[0] for d in drawn], [2.5, 97.5])
    tau = float("inf") if m >= 1 else -bin_width / np.log(m) if m > 0 else 0.0
    return Branching(m, float(low), float(high), float(slopes[0]), b, float(tau), lags, slopes, float(bin_width))


def spike_ratio(counts: Any) -> float:
    """Return the mean of ``A(t+1) / A(t)`` over bins with spikes; NaN where there are none."""
    table = np.atleast_2d(np.asarray(counts, dtype=float))
    now, later = table[:, :-1].ravel(), table[:, 1:].ravel()
    return float(np.mean(later[now > 0] / now[now > 0])) if (now > 0).any() else float("nan")


def branching_process(m: float, input_rate: float, n_bins: int, *, seed: int, seen: float = 1.0) -> np.ndarray:
    """Return the activity of a branching process with Poisson offspring and Poisson input, shape (n_bins,).

    Parameters
    ----------
    m : float
        Below 1.
    input_rate : float
        Mean input a bin.
    n_bins : int
    seed : int
    seen : float
        Probability that a spike is recorded.
    """
    if not 0 <= m < 1:
        raise BraindecError("a process with steady activity needs 0 <= m < 1", found=f"{m:g}")
    number(input_rate, "input_rate", least=0)
    number(seen, "seen", least=0, most=1)
    rng = np.random.default_rng(seed_of(seed))
    activity = np.zeros(n_bins, dtype=np.int64)
    now = round(input_rate / (1 - m))
    for t in range(n_bins):
        now = rng.poisson(m * now + input_rate)
        activity[t] = now
    return rng.binomial(activity, seen) if seen < 1 else activity


def _stretches(counts: np.ndarray, max_lag: int) -> np.ndarray:
    """Cut one long trial into 20 stretches, or as many as are longer than four times the lag; (n_stretches, n_bins)."""
    n = max(min(20, len(counts) // (4 * max_lag)), 1)
    length = len(counts) // n
    return counts[: n * length].reshape(n, length)


def _sums(pieces: np.ndarray, mean: float, lags: np.ndarray) -> np.ndarray:
    """Return sums of x y and x x over the pairs of each lag, shape (n_pieces, 2, n_lags)."""
    x = pieces - mean
    n = x.shape[1]
    products = np.array([(x[:, : n - k] * x[:, k:]).sum(axis=1) for k in lags]).T
    squares = np.array([(x[:, : n - k] ** 2).sum(axis=1) for k in lags]).T
    return np.stack([products, squares], axis=1)


def _slopes(sums: np.ndarray) -> np.ndarray:
    return sums[0] / np.where(sums[1] > 0, sums[1], np.nan)


def _fit(lags: np.ndarray, slopes: np.ndarray, noise: float) -> tuple[float, float]:
    """Return m and b of ``b m^k`` by least squares: b in closed form for each m, m by a search; 0 where the fitted slope at
    lag 1 is within ``noise`` of 0, because any m fits no correlation."""
    from scipy.optimize import minimize_scalar

    def rest(m: float) -> float:
        power = m**lags
        return float(((slopes - (slopes @ power) / (power @ power) * power) ** 2).sum())

    grid = np.linspace(0.01, 1.05, 105)
    at = int(np.argmin([rest(m) for m in grid]))
    found = minimize_scalar(rest, bounds=(grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]), method="bounded")
    m = float(found.x)
    power = m**lags
    b = float((slopes @ power) / (power @ power))
    return (m, b) if b * m > noise else (0.0, 0.0)
