"""Firing rates: means with intervals, the ratio of two conditions, and curves by kernels of a chosen or optimal width.

Two intervals of a mean rate stand side by side: the exact one of a Poisson process (Garwood), which is too narrow for a
neuron whose rate wanders, and a bootstrap over blocks of time, which is not. The p of two rates exchanges blocks and takes
the difference over its standard error: without that, conditions of unequal size and unequal variability differ by chance.

Source: Garwood 1936 (Biometrika 28:437); Davison & Hinkley 1997 section 8.2 for blocks; Janssen 1997 (Stat Probab Lett
36:9) for the permutation test of a difference over its standard error; Shimazaki & Shinomoto 2010 (J Comput Neurosci
29:171, eq. 9) for the width of the kernel; Cunningham et al. 2009 (Neural Networks 22:1235) compare estimators.
Differs from elephant's ``instantaneous_rate`` in: edges are corrected by the part of the kernel that was observed
(``edges="none"`` is as there), gaps of the support count as not observed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import TIE, blocks_of, checked_spikes, observed_in_bins
from braindec.stats.asked import number, whole
from braindec.stats.bootstrap import interval_of
from braindec.stats.permutation import permutation_p
from braindec.types import Spikes

__all__ = ["RateCurve", "garwood", "mean_rate", "optimal_bandwidth", "rate_ratio", "smoothed_rate", "widened"]

_FEW = 10  # spikes: with fewer, variances of counts are not known

_REACH = {"gaussian": 5.0, "boxcar": 1.8, "exponential": 12.0, "alpha": 12.0}  # of sigma; what lies beyond is left out


@dataclass(frozen=True)
class RateCurve:
    """Rates over time.

    Parameters
    ----------
    times : array of shape (n_bins,)
        Middle of each bin, s.
    values : array of shape (n_units, n_bins)
        Hz; NaN where no part of the kernel was observed.
    observed : array of shape (n_bins,)
        Share of the kernel that was observed.
    sigma : float
        Standard deviation of the kernel, s.
    """

    times: np.ndarray
    values: np.ndarray
    observed: np.ndarray
    sigma: float


def garwood(n: np.ndarray | int, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact interval of the mean of a Poisson variable that was seen to be ``n``."""
    n, tail = np.asarray(n, dtype=float), (1 - number(level, "level", least=0, most=1, ends=False)) / 2
    low = np.where(n > 0, stats.chi2.ppf(tail, 2 * np.maximum(n, 1)) / 2, 0.0)
    return low, stats.chi2.ppf(1 - tail, 2 * (n + 1)) / 2


def widened(
    low: np.ndarray, high: np.ndarray, n: np.ndarray, seconds: np.ndarray | float, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ends of intervals of rates that are no narrower than those of a Poisson process where there are few spikes.

    Student's interval over trials has no width for a bin without spikes, and too little for a bin with one or two.
    """
    least, most = garwood(n, level=level)
    few = np.asarray(n) < _FEW
    return np.where(few, np.minimum(low, least / seconds), low), np.where(few, np.maximum(high, most / seconds), high)


def mean_rate(
    spikes: Spikes, *, block: float | None = None, level: float = 0.95, n_bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Return the mean rate of each unit: spikes over observed time.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    block : float, optional
        Length of the blocks of the bootstrap, s; by default a twentieth of the observed time.
    level : float
        Coverage wanted.
    n_bootstrap : int
        Resamples of blocks.
    seed : int
        Seed of the resampling.

    Returns
    -------
    DataFrame
        unit, name, value (Hz), low, high (bootstrap over blocks; NaN with fewer than 4 blocks or no spike), poisson_low,
        poisson_high (Garwood), n (spikes), seconds.
    """
    checked_spikes(spikes, "mean_rate")
    seconds = spikes.duration
    blocks = blocks_of(spikes.support, length=_block(block, seconds))
    counts, lengths = block_counts(spikes, blocks), blocks[:, 1] - blocks[:, 0]
    n = counts.sum(axis=1)
    low, high = np.full((2, spikes.n_units), np.nan)
    if len(blocks) >= 4:
        picks = np.random.default_rng(seed).integers(0, len(blocks), size=(whole(n_bootstrap, "n_bootstrap", least=100), len(blocks)))  # fmt: skip
        drawn = np.stack([np.bincount(row, minlength=len(blocks)) for row in picks])
        draws = (drawn @ counts.T) / (drawn @ lengths)[:, None]
        ends = [interval_of(draws[:, u], n_units=len(blocks), level=level) for u in range(spikes.n_units)]
        low, high = np.maximum([e.low for e in ends], 0.0), np.array([e.high for e in ends])
    exact_low, exact_high = garwood(n, level=level)
    low[n == 0], high[n == 0] = np.nan, np.nan  # resamples of silence are silent
    return pd.DataFrame(
        {"unit": np.arange(spikes.n_units), "name": spikes.units["name"].astype(str), "value": n / seconds, "low": low, "high": high,
         "poisson_low": exact_low / seconds, "poisson_high": exact_high / seconds, "n": n, "seconds": seconds}
    )  # fmt: skip


def block_counts(spikes: Spikes, blocks: np.ndarray) -> np.ndarray:
    """Count spikes in intervals of shape (n_blocks, 2), in order and without overlap, array of int (unit, block).

    An interval has its beginning and not its end; the last one before a gap, or the end, has both.
    """
    which = np.searchsorted(blocks[:, 0], spikes.times + TIE, side="right") - 1
    inside = (which >= 0) & (spikes.times <= blocks[np.maximum(which, 0), 1] + TIE)
    place = spikes.unit[inside].astype(np.int64) * len(blocks) + which[inside]
    return np.bincount(place, minlength=spikes.n_units * len(blocks)).reshape(spikes.n_units, len(blocks))


def rate_ratio(
    first: np.ndarray, second: np.ndarray, *, seconds: tuple[np.ndarray | float, np.ndarray | float], level: float = 0.95,
    n_permutations: int = 1999, n_bootstrap: int = 2000, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Compare the rates of two conditions from the counts of their trials or blocks of time.

    Parameters
    ----------
    first, second : array of shape (n_first,), (n_second,)
        Counts of each trial or block.
    seconds : pair of float or arrays
        How long each trial or block was observed.
    level : float
        Coverage wanted.
    n_permutations, n_bootstrap : int
        Blocks exchanged between conditions; resamples of blocks within them.
    seed : int
        Source of chance.

    Returns
    -------
    dict
        value (second over first), low, high (bootstrap of blocks, on the logarithm), p (two-sided: blocks exchanged, on
        the difference of rates over its standard error), null, null_low, null_high (median and central 95 % of the ratio
        when blocks are exchanged), poisson_low, poisson_high, poisson_p (exact, conditional on the sum of both), first, second (Hz), n (spikes).

    Raises
    ------
    BraindecError
        If a condition has fewer than 2 blocks, or has no spike (a ratio needs some in both).
    """
    counts = [np.asarray(c, dtype=float).ravel() for c in (first, second)]
    times = [np.broadcast_to(np.asarray(s, dtype=float), c.shape) for s, c in zip(seconds, counts, strict=True)]
    if min(map(len, counts)) < 2:
        raise BraindecError(
            "a rate ratio needs 2 blocks or more of each condition", found=f"{len(counts[0])} and {len(counts[1])}"
        )
    if not all(c.sum() > 0 for c in counts):
        raise BraindecError("a rate ratio needs spikes in both conditions", found=f"{counts[0].sum():g} and {counts[1].sum():g}",
                            fix="compare differences of rates (tuning) instead")  # fmt: skip
    rng = np.random.default_rng(seed)
    rates = [c.sum() / t.sum() for c, t in zip(counts, times, strict=True)]
    logs = [
        _log_rates(c, t, whole(n_bootstrap, "n_bootstrap", least=100), rng) for c, t in zip(counts, times, strict=True)
    ]
    inside = interval_of(logs[1] - logs[0], n_units=min(map(len, counts)), level=level)
    k, n = counts[1].sum(), counts[0].sum() + counts[1].sum()
    share = times[1].sum() / (times[0].sum() + times[1].sum())
    exact = stats.binomtest(round(k), round(n), share).proportion_ci(level, method="exact")
    odds = [e / (1 - e) * (1 - share) / share if e < 1 else np.inf for e in (exact.low, exact.high)]
    p, null = _exchanged(counts, times, whole(n_permutations, "n_permutations", least=19), rng)
    return {"value": rates[1] / rates[0], "low": float(np.exp(inside.low)), "high": float(np.exp(inside.high)), "p": p,
            "null": float(np.median(null)), "null_low": float(np.quantile(null, 0.025)), "null_high": float(np.quantile(null, 0.975)),
            "poisson_low": odds[0], "poisson_high": odds[1], "poisson_p": float(stats.binomtest(round(k), round(n), share).pvalue),
            "first": rates[0], "second": rates[1], "n": int(n)}  # fmt: skip


def _log_rates(counts: np.ndarray, times: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    picks = rng.integers(0, len(counts), size=(n, len(counts)))
    return np.log((counts[picks].sum(axis=1) + 0.5) / (times[picks].sum(axis=1)))


def _exchanged(
    counts: list[np.ndarray], times: list[np.ndarray], n: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Two-sided p of the difference of rates over its standard error, and the ratios, when blocks are exchanged."""
    together, lengths, k = np.concatenate(counts), np.concatenate(times), len(counts[0])

    def rates(order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        c, t = together[order], lengths[order]
        each, error = [], np.zeros(order.shape[:-1])
        for part in (slice(None, k), slice(k, None)):
            spikes, seconds = c[..., part], t[..., part]
            rate = spikes.sum(-1) / seconds.sum(-1)
            m = seconds.shape[-1]
            error += ((spikes - rate[..., None] * seconds) ** 2).sum(-1) / seconds.sum(-1) ** 2 * m / (m - 1)
            each.append(rate)
        return each[0], each[1], np.sqrt(error)

    own = rates(np.arange(len(together)))
    null = rates(np.argsort(rng.random((n, len(together))), axis=1))
    tiny = 1e-6 * together.sum() / lengths.sum()  # counts that are all equal have no error
    value, drawn = (np.abs(r[1] - r[0]) / np.maximum(r[2], tiny) for r in (own, null))
    return float(permutation_p(float(value), drawn)), null[1] / np.maximum(null[0], 1e-12)


def smoothed_rate(
    spikes: Spikes, *, sigma: float, width: float = 0.01, kernel: str = "gaussian", edges: str = "corrected"
) -> RateCurve:
    """Smooth spike trains with a kernel.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    sigma : float
        Standard deviation of the kernel, s (of an exponential kernel: its time constant).
    width : float
        Bins in which spikes are counted first, s; not above ``sigma``.
    kernel : {"gaussian", "boxcar", "exponential", "alpha"}
        The last two are causal: a rate depends on earlier spikes only.
    edges : {"corrected", "none"}
        Divide by the part of the kernel that was observed, or take what was not observed as silence.

    Returns
    -------
    RateCurve
        ``values[u, i]`` is the sum over bins j of counts[u, j] K(t_i - t_j).
    """
    checked_spikes(spikes, "smoothed_rate")
    number(sigma, "sigma", least=0, ends=False, unit="s")
    number(width, "width", least=0, ends=False, unit="s")
    if kernel not in _REACH:
        raise BraindecError(f"unknown kernel {kernel!r}{did_you_mean(kernel, _REACH)}", allowed=", ".join(_REACH))
    if edges not in ("corrected", "none"):
        raise BraindecError(f"unknown edges {edges!r}", allowed="corrected, none")
    if width > sigma:
        raise BraindecError("bins are wider than the kernel", found=f"width {width:g} s, sigma {sigma:g} s",
                            fix=f"take width={sigma / 5:g} or smaller")  # fmt: skip
    from scipy.signal import oaconvolve

    from braindec.kernels.binning import bin_spikes

    n_bins = max(1, int((spikes.stop - spikes.start) / width + 1e-6))
    flat, offsets = spikes.trains()
    counts = bin_spikes(flat, offsets, start=spikes.start, width=width, n_bins=n_bins).astype(np.float64)
    weights, lead = _kernel(kernel, sigma, width)
    smooth = np.clip(oaconvolve(counts, weights[None], axes=1)[:, lead : lead + n_bins], 0.0, None)
    seen = observed_in_bins(spikes.support, start=spikes.start, width=width, n_bins=n_bins)
    share = np.clip(oaconvolve(seen, weights)[lead : lead + n_bins] * width, 0.0, None)
    share /= weights.sum() * width
    if edges == "corrected":
        with np.errstate(divide="ignore", invalid="ignore"):
            smooth = np.where(share > 1e-6, smooth / share, np.nan)
    times = spikes.start + width * (np.arange(n_bins) + 0.5)
    return RateCurve(times, smooth, share, float(sigma))


def _kernel(name: str, sigma: float, width: float) -> tuple[np.ndarray, int]:
    """The kernel at the lags of bins, 1/s, and how many bins of it lie before lag 0."""
    half = int(np.ceil(_REACH[name] * sigma / width - TIE))
    lags = np.arange(-half, half + 1) * width
    if name == "gaussian":
        return np.exp(-0.5 * (lags / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)), half
    if name == "boxcar":
        inside = (np.abs(lags) <= np.sqrt(3) * sigma + TIE).astype(float)
        return inside / (inside.sum() * width), half
    later = np.arange(half + 1) * width + width / 2  # a spike is, on average, half a bin before the end of its bin
    if name == "exponential":
        shape = np.exp(-later / sigma)
    else:
        tau = sigma / np.sqrt(2)  # the standard deviation of t exp(-t / tau) is tau sqrt(2)
        shape = later * np.exp(-later / tau)
    return shape / (shape.sum() * width), 0


def optimal_bandwidth(
    spikes: Spikes, unit: int | str, *, candidates: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return the width of a Gaussian kernel with the least expected error of a unit's rate, and the cost of each candidate.

    The cost is the integrated square error but for a constant, estimated from the spikes alone for an inhomogeneous
    Poisson process: the sum over pairs of N(ti - tj; sqrt(2) w) minus twice that over different spikes of N(ti - tj; w).

    Parameters
    ----------
    spikes : Spikes
        The recording.
    unit : int or str
        Row or name.
    candidates : array, optional
        Standard deviations in s; 30 by default, from the median interval to a quarter of the observed time.

    Returns
    -------
    (float, array of shape (n_candidates, 2))
        The best width in s; candidates and their costs.

    Raises
    ------
    BraindecError
        If the unit has fewer than 10 spikes.
    """
    times = spikes.train(unit)
    if len(times) < 10:
        raise BraindecError("an optimal bandwidth needs 10 spikes or more", found=f"{len(times)}")
    if candidates is None:
        first = max(float(np.median(np.diff(times))), 1e-3)
        candidates = np.geomspace(first, max(spikes.duration / 4, 2 * first), 30)
    widths = np.asarray(candidates, dtype=float)
    if not len(widths) or widths.min() <= 0:
        raise BraindecError("bandwidths lie above 0 s", found=str(widths.tolist())[:80])
    costs = np.array([_cost(times, w) for w in widths]) / spikes.duration
    return float(widths[costs.argmin()]), np.stack([widths, costs], axis=1)


def _cost(times: np.ndarray, w: float) -> float:
    last = np.searchsorted(times, times + 6 * np.sqrt(2) * w, side="right")
    total = 0.0
    for start in range(0, len(times), 512):  # pairs of some spikes at a time keep memory small
        rows = np.arange(start, min(start + 512, len(times)))
        n = last[rows] - rows - 1
        gap = times[np.repeat(rows + 1, n) + np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)] - np.repeat(
            times[rows], n
        )
        total += 2 * float((_normal(gap, np.sqrt(2) * w) - 2 * _normal(gap, w)).sum())
    return total + len(times) * float(_normal(np.zeros(1), np.sqrt(2) * w)[0])


def _normal(x: np.ndarray, sd: float) -> np.ndarray:
    return np.exp(-0.5 * (x / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


def _block(block: float | None, seconds: float) -> float:
    return seconds / 20 if block is None else number(block, "block", least=0, ends=False, unit="s")
