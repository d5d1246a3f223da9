"""Early-warning measures: variance and lag-1 autocorrelation in sliding windows, their trends tested against surrogates.

Before a system tips over it recovers ever more slowly, and both measures rise. The slow course is taken away first (Gaussian
kernel or lines), the trend of a measure is Kendall's tau over windows, and its p-value is the share of surrogates with a tau as
large: series of the same length from an autoregressive model fitted to the detrended series, or with its phases turned, that go
through the same steps (windows overlap, so that tau's own p-value means nothing).

Source: Scheffer et al. 2009 (Nature 461:53); Dakos et al. 2008 (PNAS 105:14308), 2012 (PLoS ONE 7:e41010) for the steps; Theiler et
al. 1992 (Physica D 58:77) for turned phases; Peng et al. 1994 (Phys Rev E 49:1685) for detrended fluctuations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, whole
from braindec.stats.permutation import permutation_p
from braindec.stats.surrogates import phase_randomized

__all__ = ["EarlyWarning", "detrended", "dfa_exponent", "early_warning"]

_DETREND = ("gaussian", "linear", "none")
_SURROGATES = ("autoregressive", "phases")


@dataclass(frozen=True)
class EarlyWarning:
    """Measures over time and their trends.

    Parameters
    ----------
    times : array of shape (n_windows,)
        End of each window, s from the first sample: a measure knows the past only.
    variance, autocorrelation : array of shape (n_windows,)
        Of the detrended series in the window.
    residual, trend : array of shape (n_samples,)
        What detrending left, and what it took away.
    table : DataFrame
        metric, value (Kendall's tau), p (one-sided: a rise), n (windows), null_low, null_high (95 % of surrogates).
    null : array of shape (n_surrogates, 2)
        tau of surrogates.
    """

    times: np.ndarray
    variance: np.ndarray
    autocorrelation: np.ndarray
    residual: np.ndarray
    trend: np.ndarray
    table: pd.DataFrame
    null: np.ndarray


def detrended(values: np.ndarray, *, step: float, how: str = "gaussian", bandwidth: float | None = None) -> np.ndarray:
    """Return the slow course of a series, to be taken away from it.

    Parameters
    ----------
    values : array of shape (..., n)
        The series.
    step : float
        s between samples.
    how : {"gaussian", "linear", "none"}
        A kernel, a straight line, or the mean.
    bandwidth : float, optional
        Standard deviation of the kernel, s; a tenth of the series by default.
    """
    values = np.asarray(values, dtype=float)
    n = values.shape[-1]
    if how not in _DETREND:
        raise BraindecError(f"unknown detrending {how!r}{did_you_mean(how, _DETREND)}", allowed=", ".join(_DETREND))
    if how == "none":
        return np.broadcast_to(values.mean(axis=-1, keepdims=True), values.shape)
    if how == "linear":
        x = np.arange(n) - (n - 1) / 2
        return values.mean(axis=-1, keepdims=True) + (values @ x / (x @ x))[..., None] * x
    from scipy.ndimage import gaussian_filter1d

    sigma = n / 10 if bandwidth is None else number(bandwidth, "bandwidth", least=0, ends=False, unit="s") / step
    weight = gaussian_filter1d(np.ones(n), sigma, mode="constant")
    return gaussian_filter1d(values, sigma, axis=-1, mode="constant") / weight


def early_warning(
    values: np.ndarray, *, step: float, window: float | None = None, detrend: str = "gaussian", bandwidth: float | None = None,
    surrogate: str = "autoregressive", n_surrogates: int = 499, n_windows: int = 200, seed: int = 0,
) -> EarlyWarning:  # fmt: skip
    """Return early-warning measures of a series, e.g. of a population's rate before a seizure, and test whether they rise.

    Parameters
    ----------
    values : array of shape (n_samples,)
        The series up to (not over) the transition.
    step : float
        s between samples.
    window : float, optional
        Length of the sliding window, s; half of the series by default.
    detrend : {"gaussian", "linear", "none"}
        What is taken away first.
    bandwidth : float, optional
        Of the Gaussian kernel, s; a tenth of the series by default.
    surrogate : {"autoregressive", "phases"}
        How surrogates are made. Those with the phases turned keep the spectrum of the whole series.
    n_surrogates : int
        The smallest p is 1 / (n_surrogates + 1).
    n_windows : int
        About so many windows, evenly spaced.
    seed : int
        Source of chance.

    Raises
    ------
    BraindecError
        If the series is shorter than 50 samples, flat or not finite, or the window does not fit.
    """
    series = np.asarray(values, dtype=float)
    number(step, "step", least=0, ends=False, unit="s")
    if series.ndim != 1 or len(series) < 50:
        raise BraindecError(
            "early-warning measures need one series of 50 samples or more", found=f"shape {series.shape}"
        )
    if not np.isfinite(series).all() or np.ptp(series) == 0:
        raise BraindecError("early-warning measures need a finite series that varies", found=f"{int((~np.isfinite(series)).sum())} values that are not finite"
                            if not np.isfinite(series).all() else "a flat series")  # fmt: skip
    if surrogate not in _SURROGATES:
        raise BraindecError(
            f"unknown surrogates {surrogate!r}{did_you_mean(surrogate, _SURROGATES)}", allowed=", ".join(_SURROGATES)
        )
    n = len(series)
    size = n // 2 if window is None else round(number(window, "window", least=0, ends=False, unit="s") / step)
    if not 10 <= size <= n - 5:
        raise BraindecError("the window must hold 10 samples or more and leave room to slide", found=f"{size} of {n} samples",
                            allowed=f"{10 * step:g} to {(n - 5) * step:g} s")  # fmt: skip
    ends = np.unique(np.linspace(size, n, min(n_windows, n - size + 1)).astype(int))
    trend = detrended(series, step=step, how=detrend, bandwidth=bandwidth)
    residual = series - trend
    own = _measures(residual[None], ends, size)
    rng = np.random.default_rng(seed)
    made = _made(residual, surrogate, whole(n_surrogates, "n_surrogates", least=19), rng)
    made = made - detrended(made, step=step, how=detrend, bandwidth=bandwidth)
    tau = np.array([_kendall(m)[0] for m in own])
    null = np.stack([_kendall(m) for m in _measures(made, ends, size)], axis=1)
    low, high = np.quantile(null, [0.025, 0.975], axis=0)
    table = pd.DataFrame({"metric": ["variance", "autocorrelation"], "value": tau, "p": permutation_p(tau, null), "n": len(ends),
                          "null_low": low, "null_high": high})  # fmt: skip
    return EarlyWarning(ends * step, own[0][0], own[1][0], residual, np.asarray(trend), table, null)


def _measures(series: np.ndarray, ends: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance and lag-1 autocorrelation of (n, sample) in windows that end before ``ends``, each (n, window)."""

    def sums(x: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        total = np.concatenate([np.zeros((len(x), 1)), np.cumsum(x, axis=1)], axis=1)
        return total[:, last] - total[:, first]

    first = ends - size
    mean = sums(series, first, ends) / size
    variance = np.maximum(sums(series**2, first, ends) / size - mean**2, 0.0)
    product = sums(series[:, 1:] * series[:, :-1], first, ends - 1)
    edge = sums(series[:, :-1], first, ends - 1) + sums(series[:, 1:], first, ends - 1)
    covariance = (product - mean * edge + (size - 1) * mean**2) / size
    return variance, np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)


def _kendall(curves: np.ndarray) -> np.ndarray:
    """Kendall's tau of each curve (n, window) with time; ties count as neither."""
    n = curves.shape[1]
    total = np.zeros(len(curves))
    for k in range(1, n):
        total += np.sign(curves[:, k:] - curves[:, :-k]).sum(axis=1)
    return total / (n * (n - 1) / 2)


def _made(residual: np.ndarray, how: str, n: int, rng: np.random.Generator) -> np.ndarray:
    if how == "phases":
        return np.stack([phase_randomized(residual[:, None], rng=rng)[:, 0] for _ in range(n)])
    weights, spread = _autoregression(residual)
    from scipy.signal import lfilter

    lead = 200 + 20 * len(weights)
    noise = spread * rng.standard_normal((n, lead + len(residual)))
    return np.asarray(lfilter([1.0], np.append(1.0, -weights), noise, axis=1))[:, lead:]


def _autoregression(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Yule-Walker fit of the order with the least AIC, up to 10 log10(n); its weights and the noise's deviation."""
    from scipy.linalg import solve_toeplitz

    x = x - x.mean()
    n, most = len(x), int(10 * np.log10(len(x)))
    acf = np.array([x[: n - k] @ x[k:] for k in range(most + 1)]) / n
    best: tuple[float, np.ndarray, float] | None = None
    for order in range(1, most + 1):
        weights = solve_toeplitz(acf[:order], acf[1 : order + 1])
        spread = max(acf[0] - weights @ acf[1 : order + 1], 1e-300)
        aic = n * np.log(spread) + 2 * order
        if best is None or aic < best[0]:
            best = (aic, weights, float(np.sqrt(spread)))
    assert best is not None
    return best[1], best[2]


def dfa_exponent(values: np.ndarray, *, scales: np.ndarray | None = None) -> float:
    """Return the exponent of detrended fluctuations: 0.5 for white noise, 1 for 1/f noise, 1.5 for a random walk.

    Parameters
    ----------
    values : array of shape (n_samples,)
        The series.
    scales : array of int, optional
        Samples in a window; 15 by default, from 10 to a quarter of the series.

    Raises
    ------
    BraindecError
        If the series is shorter than 100 samples, or a scale does not fit.
    """
    series = np.asarray(values, dtype=float)
    if series.ndim != 1 or len(series) < 100 or not np.isfinite(series).all():
        raise BraindecError(
            "detrended fluctuations need one finite series of 100 samples or more", found=f"shape {series.shape}"
        )
    sizes = (
        np.unique(np.geomspace(10, len(series) // 4, 15).astype(int))
        if scales is None
        else np.asarray(scales, dtype=int)
    )
    if len(sizes) < 3 or sizes.min() < 4 or sizes.max() > len(series) // 2:
        raise BraindecError(
            "scales are 3 or more, from 4 samples to half of the series", found=str(sizes.tolist())[:80]
        )
    profile = np.cumsum(series - series.mean())
    spread = []
    for size in sizes:
        n = len(profile) // size
        parts = np.concatenate([profile[: n * size].reshape(n, size), profile[-n * size :].reshape(n, size)])
        left = parts - detrended(parts, step=1.0, how="linear")
        spread.append(np.sqrt((left**2).mean()))
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(spread, 1e-300)), 1)[0])
