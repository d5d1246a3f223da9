"""Cross-correlograms of many units: three normalisations, and which pairs are synchronous beyond their rates.

``values[p, k]`` counts pairs of spikes whose lag, second unit less first unit, falls into bin k (a lag on an edge belongs
to the later bin, see :mod:`braindec.kernels.correlogram`). "rate" divides by the spikes of the first unit, the width of
the bin, and the share of them for which that lag was observed: Hz of the second unit around a spike of the first.
"coefficient" is (counts per bin of time - product of the means) over the root of the product of the means: the
correlation of counts in bins so short that variances equal means.

Significance compares with surrogates in which both units' spikes were moved (:mod:`braindec.spikes.surrogates`). Each lag
is standardised by the mean and spread over data and surrogates together, so that the test stays exact; the largest absolute
value over lags gives the p of a pair, the largest over lags and pairs the family-wise p.

Source: Perkel, Gerstein & Moore 1967 (Biophys J 7:419); Amarasingham et al. 2012 (J Neurophysiol 107:517) for
simultaneous bands; Nichols & Holmes 2002 for the maximum statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import checked_spikes, overlap_at
from braindec.spikes.surrogates import surrogate_trains
from braindec.stats.asked import whole
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p
from braindec.types import Spikes

__all__ = ["Correlograms", "Significance", "correlogram_significance", "correlograms"]

_NORMALIZE = ("counts", "rate", "coefficient")
_HELD = 400e6  # bytes of surrogate counts that are kept; beyond that they are made twice


@dataclass(frozen=True)
class Correlograms:
    """Correlograms of pairs.

    Parameters
    ----------
    lags : array of shape (n_bins,)
        Middle of each bin, s; second unit less first.
    values : array of shape (n_pairs, n_bins)
        Counts, Hz, or coefficients.
    pairs : array of int, shape (n_pairs, 2)
        Rows of units.
    names : list of str
        Names of the units.
    width : float
        Width of a bin, s.
    normalize : str
        What ``values`` are.
    """

    lags: np.ndarray
    values: np.ndarray
    pairs: np.ndarray
    names: list[str]
    width: float
    normalize: str

    def of(self, first: int, second: int) -> np.ndarray:
        """Return one pair; turned round if it was computed as (second, first)."""
        for row, (i, j) in enumerate(self.pairs.tolist()):
            if (i, j) == (first, second):
                return self.values[row]
            if (j, i) == (first, second):
                return self.values[row][::-1]
        raise BraindecError("that pair was not computed", found=f"{first}, {second}")


@dataclass(frozen=True)
class Significance:
    """Synchrony beyond rates.

    Parameters
    ----------
    table : DataFrame
        One row a pair: first, second (names), lag (s, of the largest deviation), value (counts there), expected (mean of
        surrogates), z, p (over lags), p_family (over lags and pairs), q (false discovery rate over pairs).
    correlograms : Correlograms
        Counts.
    expected, low, high : array of shape (n_pairs, n_bins)
        Mean of surrogates, and the band that 95 % of surrogates stay in at all lags at once (of that pair).
    p : array of shape (n_pairs, n_bins)
        Of each lag by itself, two-sided.
    null : array of shape (n_surrogates, n_pairs)
        Largest deviation over lags of each surrogate, in standard deviations.
    """

    table: pd.DataFrame
    correlograms: Correlograms
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    null: np.ndarray


def correlograms(
    spikes: Spikes, *, width: float = 0.001, max_lag: float = 0.05, normalize: str = "counts", pairs: Any = None
) -> Correlograms:
    """Return the correlograms of pairs of units.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    width : float
        Width of a bin, s.
    max_lag : float
        s; the bin of lag 0 is in the middle.
    normalize : {"counts", "rate", "coefficient"}
        See the head of this file; units without spikes give 0.
    pairs : sequence of (int, int), optional
        Rows of units; all pairs of different units, each once, by default. (i, i) gives an auto-correlogram without
        the pairs of a spike with itself.

    Raises
    ------
    BraindecError
        If there is no pair, or an unknown one.
    """
    from braindec.kernels.correlogram import correlogram, correlogram_lags

    checked_spikes(spikes, "correlograms")
    if normalize not in _NORMALIZE:
        raise BraindecError(
            f"unknown normalisation {normalize!r}{did_you_mean(normalize, _NORMALIZE)}", allowed=", ".join(_NORMALIZE)
        )
    asked = _pairs(pairs, spikes.n_units)
    flat, offsets = spikes.trains()
    counts = correlogram(flat, offsets, width=width, max_lag=max_lag, origin=spikes.start, pairs=asked)
    lags = correlogram_lags(width=width, max_lag=max_lag)
    found = Correlograms(lags, counts, asked, spikes.units["name"].astype(str).tolist(), float(width), normalize)
    return found if normalize == "counts" else _normalised(found, np.diff(offsets), spikes, normalize)


def _normalised(found: Correlograms, n: np.ndarray, spikes: Spikes, how: str) -> Correlograms:
    i, j = found.pairs.T
    seen = overlap_at(spikes.support, found.lags)  # s
    if how == "rate":
        base = n[i][:, None] * found.width * (seen / spikes.duration)
        values = np.divide(found.values, base, out=np.zeros(found.values.shape), where=base > 0)
    else:
        mean = n * found.width / spikes.duration
        product = (mean[i] * mean[j])[:, None]
        joint = np.divide(found.values * found.width, seen, out=np.zeros(found.values.shape), where=seen > 0)
        values = np.divide(joint - product, np.sqrt(product), out=np.zeros(found.values.shape), where=product > 0)
    return Correlograms(found.lags, values, found.pairs, found.names, found.width, how)


def _pairs(pairs: Any, n_units: int) -> np.ndarray:
    if pairs is None:
        if n_units < 2:
            raise BraindecError(
                "pairs need 2 units or more", found=f"{n_units}", fix="give pairs=[(0, 0)] for an auto-correlogram"
            )
        return np.array(list(combinations(range(n_units), 2)), dtype=np.int64)
    asked = np.asarray(pairs)
    if asked.ndim != 2 or asked.shape[1] != 2 or not len(asked) or asked.dtype.kind not in "iu":
        raise BraindecError("pairs are rows of two units", found=f"shape {asked.shape} of {asked.dtype}")
    if asked.min() < 0 or asked.max() >= n_units:
        raise BraindecError("a pair names no unit", found=f"{asked.max()}", allowed=f"0 to {n_units - 1}")
    return asked.astype(np.int64)


def correlogram_significance(
    spikes: Spikes, *, width: float = 0.001, max_lag: float = 0.02, pairs: Sequence[Sequence[int]] | None = None,
    surrogate: str = "jitter", window: float = 0.025, refractory: float = 0.0, bursts: float = 0.0, n_surrogates: int = 500,
    seed: int = 0,
) -> Significance:  # fmt: skip
    """Return which pairs of units are synchronous beyond what their rates explain.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    width, max_lag, pairs
        As in :func:`correlograms`.
    surrogate : {"jitter", "patterns", "dither", "shuffle_intervals"}
        How the surrogates are made; with "jitter", rates may be correlated on time scales longer than ``window``. For units
        that fire in bursts take "patterns": with "jitter" one pair in seven of independent bursting units has p <= 0.05.
    window : float
        Window of the jitter, or reach of the dither, s: synchrony finer than that is found.
    refractory : float
        Kept by surrogates, s.
    bursts : float
        For "patterns": spikes of a unit at most so far apart move together, s.
    n_surrogates : int
        The smallest p is 1 / (n_surrogates + 1); a false discovery rate over m pairs needs some 20 m.
    seed : int
        Source of chance.
    """
    from braindec.kernels.correlogram import correlogram

    whole(n_surrogates, "n_surrogates", least=19)
    found = correlograms(spikes, width=width, max_lag=max_lag, pairs=pairs)
    offsets = spikes.trains()[1]

    def each() -> Iterator[np.ndarray]:
        for flat in surrogate_trains(
            spikes, kind=surrogate, width=window, n=n_surrogates, seed=seed, refractory=refractory, bursts=bursts
        ):
            yield correlogram(
                flat, offsets, width=width, max_lag=max_lag, origin=spikes.start, pairs=found.pairs
            ).astype(np.int32)

    made = _held(each, found.values.size * n_surrogates * 4)
    return _judge(found, made, n_surrogates)


def _held(each: Callable[[], Iterator[np.ndarray]], size: float) -> Callable[[], Iterator[np.ndarray]]:
    """Keep what is made, where it is not too large, so that a second look costs nothing."""
    if size > _HELD:
        return each
    kept = list(each())
    return lambda: iter(kept)


def _judge(found: Correlograms, made: Callable[[], Iterator[np.ndarray]], n: int) -> Significance:
    observed = found.values.astype(float)
    total, squares = np.zeros_like(observed), np.zeros_like(observed)
    for counts in made():
        total += counts - observed  # differences from the data: no loss of digits
        squares += (counts - observed) ** 2
    mean, every = total / n, n + 1
    centre = total / every  # of data and surrogates together
    spread = np.sqrt(np.maximum(squares / every - centre**2, 0.0))
    own = np.sqrt(np.maximum(squares / n - mean**2, 0.0))
    scale = np.where(spread > 0, spread, np.inf)
    z = np.abs(centre) / scale  # the data's own distance from the centre
    above, largest = np.ones(observed.shape), np.empty((n, len(observed)))
    for k, counts in enumerate(made()):
        mine = np.abs(counts - observed - centre) / scale
        above += mine >= z - 1e-12
        largest[k] = mine.max(axis=1)
    peak = z.argmax(axis=1)
    rows = np.arange(len(observed))
    top = z[rows, peak]
    p = np.asarray(permutation_p(top, largest))
    family = np.asarray(permutation_p(top, np.repeat(largest.max(axis=1)[:, None], len(top), axis=1)))
    reach = np.quantile(largest, 0.95, axis=0)[:, None] * spread
    expected = observed + mean
    deviation = np.divide(observed - expected, own, out=np.zeros_like(observed), where=own > 0)
    names = np.array(found.names, dtype=object)
    table = pd.DataFrame({"first": names[found.pairs[:, 0]], "second": names[found.pairs[:, 1]], "lag": found.lags[peak],
                          "value": found.values[rows, peak], "expected": expected[rows, peak], "z": deviation[rows, peak],
                          "p": p, "p_family": family, "q": fdr_bh(p)})  # fmt: skip
    band = (observed + centre - reach, observed + centre + reach)
    return Significance(table, found, expected, np.maximum(band[0], 0.0), band[1], above / every, largest)
