"""Peri-stimulus time histograms: the rate around events with intervals over trials, the best width of bins, a test of a response.

Source: Shimazaki & Shinomoto 2007 (Neural Computation 19:1503, eq. 5) for the width of bins. The test compares counts
after and before the onset within trials by exchanging signs (Nichols & Holmes 2002), units corrected by the largest
statistic, so that it needs no model of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.aligned import Aligned, Labels
from braindec.spikes.rates import widened
from braindec.stats.asked import number, whole
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import max_statistic, permutation_p

__all__ = ["Psth", "optimal_bin_width", "psth", "response_test"]


@dataclass(frozen=True)
class Psth:
    """Rates around events.

    Parameters
    ----------
    times : array of shape (n_bins,)
        Middle of each bin, s from the onset.
    values, low, high : array of shape (n_conditions, n_units, n_bins)
        Hz; ends of the interval over trials (NaN for a single trial).
    conditions : list of str
        Names; one empty name without conditions.
    n : array of int, shape (n_conditions,)
        Trials.
    width : float
        Width of a bin, s.
    """

    times: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    conditions: list[str]
    n: np.ndarray
    width: float


def psth(found: Aligned, *, width: float, by: Labels | None = None, level: float = 0.95, smooth: float = 0.0) -> Psth:
    """Return the mean rate in bins over trials, with Student intervals over trials.

    Bins with fewer than ten spikes have an interval no narrower than that of a Poisson process (not smoothed curves).

    Parameters
    ----------
    found : Aligned
        Spikes around events.
    width : float
        Width of a bin, s.
    by : str or sequence, optional
        A column of the trials, or one label a trial: a curve for each.
    level : float
        Coverage wanted, of each bin by itself.
    smooth : float
        Standard deviation, s, of a Gaussian kernel that smooths each trial; its edges are corrected by the kernel's weight
        inside the window. 0 smooths nothing.

    Raises
    ------
    BraindecError
        If the bins do not fit the window or labels do not fit the trials.
    """
    rates = found.counts(width) / width
    number(smooth, "smooth", least=0, unit="s")
    if smooth:
        rates = _smoothed(rates, smooth / width)
    edges = found.edges(width)
    labels = np.full(found.n_trials, "") if by is None else found.column(by).astype(str)
    names = sorted(set(labels.tolist()))
    parts = [rates[labels == name] for name in names]
    n = np.array([len(p) for p in parts])
    mean = np.stack([p.mean(axis=0) for p in parts])
    with np.errstate(invalid="ignore"):
        half = np.stack([
            stats.t.ppf((1 + level) / 2, len(p) - 1) * p.std(axis=0, ddof=1) / np.sqrt(len(p)) if len(p) > 1 else np.full(p.shape[1:], np.nan)
            for p in parts
        ])  # fmt: skip
    low, high = np.maximum(mean - half, 0.0), mean + half
    if not smooth:
        total = np.rint(mean * width * n[:, None, None])
        low, high = widened(low, high, total, width * n[:, None, None], level=level)
    return Psth((edges[:-1] + edges[1:]) / 2, mean, low, high, names, n, float(width))


def _smoothed(rates: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    weight = gaussian_filter1d(np.ones(rates.shape[-1]), sigma, mode="constant")
    return gaussian_filter1d(rates.astype(float), sigma, axis=-1, mode="constant") / weight


def optimal_bin_width(found: Aligned, unit: int, *, candidates: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Return the width of bins with the least expected error of the rate of one unit, and the cost of each candidate.

    The cost is (2 mean - variance) / (n width)^2 of the counts summed over n trials, for trials that are Poisson processes
    of one rate; it is averaged over shifts of the bins.

    Parameters
    ----------
    found : Aligned
        Spikes around events.
    unit : int
        Row of the unit.
    candidates : array, optional
        Widths in s; 40 by default, from a 200th to a quarter of the window.

    Raises
    ------
    BraindecError
        If the unit has no spike in the window, or a width does not fit it twice.
    """
    times = found.times[found.unit == unit]
    if not len(times):
        raise BraindecError("an optimal width of bins needs spikes", found=f"unit {unit} has none in the window")
    span = found.tmax - found.tmin
    widths = np.geomspace(span / 200, span / 4, 40) if candidates is None else np.asarray(candidates, dtype=float)
    if not len(widths) or widths.min() <= 0 or widths.max() > span / 2:
        raise BraindecError("widths of bins must fit the window twice or more", found=f"{widths.tolist()[:8]}",
                            allowed=f"above 0, up to {span / 2:g} s")  # fmt: skip
    costs = np.array([np.mean([_cost(times, found, w, shift) for shift in np.arange(8) * w / 8]) for w in widths])
    return float(widths[costs.argmin()]), np.stack([widths, costs], axis=1)


def _cost(times: np.ndarray, found: Aligned, width: float, shift: float) -> float:
    n_bins = int((found.tmax - found.tmin - shift) / width + 1e-9)
    counts = np.histogram(times, found.tmin + shift + width * np.arange(n_bins + 1))[0]
    return float((2 * counts.mean() - counts.var()) / (found.n_trials * width) ** 2)


def response_test(
    found: Aligned,
    *,
    before: tuple[float, float],
    after: tuple[float, float],
    n_permutations: int = 1999,
    seed: int = 0,
) -> pd.DataFrame:
    """Test whether units fire differently after the onset than before it.

    Parameters
    ----------
    found : Aligned
        Spikes around events.
    before, after : (float, float)
        Windows, s from the onset.
    n_permutations : int
        Sign flips of the trials' differences; the same for all units.
    seed : int
        Source of chance.

    Returns
    -------
    DataFrame
        unit, name, value (Hz after minus before), low, high (Student), p (two-sided), p_family (largest over units), q
        (false discovery rate over units), n (trials).
    """
    if found.n_trials < 5:
        raise BraindecError("a test of responses needs 5 trials or more", found=f"{found.n_trials}")
    rate = [found.between(*w).counts()[:, :, 0] / (w[1] - w[0]) for w in (before, after)]
    change = rate[1] - rate[0]
    n = found.n_trials
    flips = np.random.default_rng(seed).choice((-1.0, 1.0), size=(whole(n_permutations, "n_permutations", least=19), n))
    scale = np.sqrt((change**2).sum(axis=0))
    scale[scale == 0] = 1.0  # a unit that never differs has the statistic 0
    observed, null = np.abs(change.sum(axis=0)) / scale, np.abs(flips @ change) / scale
    half = stats.t.ppf(0.975, n - 1) * change.std(axis=0, ddof=1) / np.sqrt(n)
    p = permutation_p(observed, null)
    return pd.DataFrame({"unit": np.arange(found.n_units), "name": found.units["name"].astype(str), "value": change.mean(axis=0),
                         "low": change.mean(axis=0) - half, "high": change.mean(axis=0) + half, "p": p,
                         "p_family": max_statistic(observed, null).p, "q": fdr_bh(np.asarray(p)), "n": n})  # fmt: skip
