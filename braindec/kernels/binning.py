"""Spikes counted in bins of one width, for all units.

Bin ``k`` holds the spikes with ``start + k width <= t < start + (k + 1) width``; a spike that lies less than a millionth
of a bin below an edge counts as on it, because 0.29 / 0.01 is 28.999... in floating point. Spikes before the first and
after the last bin are left out; a spike at the very end of the last bin is after it.

Differs from other packages: elephant (``BinnedSpikeTrain``) has the same bins and a tolerance of 1e-8 bins; pynapple
(``count``) makes its bins inside each epoch from the epoch's start, reports their centres, and its edges are running
sums of the width; ``numpy.histogram`` puts a spike at the very end into the last bin.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, int32, njit
from numba import float64 as f8

from braindec.kernels._backend import choose
from braindec.kernels._threads import run_parts, split_rows
from braindec.kernels._trains import check_count, check_positive, check_time, check_trains
from braindec.types.spikes import EDGE

__all__ = ["EDGE", "bin_spikes", "bin_spikes_numpy"]


def bin_spikes(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, width: float, n_bins: int, backend: str | None = None
) -> np.ndarray:
    """Count the spikes of each unit in bins.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains in s, sorted within each unit.
    start : float
        Where the first bin begins, s.
    width : float
        Width of a bin, s.
    n_bins : int
        Number of bins.
    backend : {"numba", "numpy", "cuda"}, optional
        Which version runs; all return the same.

    Returns
    -------
    array of int32, shape (n_units, n_bins)
        Counts.

    Raises
    ------
    BraindecError
        If the trains are not sorted or not finite, the width is not above 0, or there is no bin.
    """
    chosen = choose(backend, kernel="bin_spikes")
    flat, offsets = check_trains(flat, offsets)
    start, width, n_bins = check_time(start, "start"), check_positive(width, "width"), check_count(n_bins, "n_bins")
    if chosen == "numpy":
        return bin_spikes_numpy(flat, offsets, start=start, width=width, n_bins=n_bins)
    out = np.zeros((len(offsets) - 1, n_bins), dtype=np.int32)
    if chosen == "numba":
        edges = split_rows(np.diff(offsets) + n_bins / 16, least=200_000)
        run_parts(lambda first, last: _bin(flat, offsets, first, last, start, width, out), edges)
        return out
    if len(flat):
        unit = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
        counts = cuda.to_device(out)
        threads = 128
        blocks = (len(flat) + threads - 1) // threads
        _bin_cuda[blocks, threads](cuda.to_device(flat), cuda.to_device(unit), start, width, counts)
        counts.copy_to_host(out)
    return out


def bin_spikes_numpy(flat: np.ndarray, offsets: np.ndarray, *, start: float, width: float, n_bins: int) -> np.ndarray:
    """Return what :func:`bin_spikes` does, from the definition."""
    n_units = len(offsets) - 1
    unit = np.repeat(np.arange(n_units), np.diff(offsets))
    place = (flat - start) / width + EDGE
    inside = (place >= 0) & (place < n_bins)
    counts = np.bincount(unit[inside] * n_bins + place[inside].astype(np.int64), minlength=n_units * n_bins)
    return counts.reshape(n_units, n_bins).astype(np.int32)


@njit(cache=True, nogil=True)
def _bin(flat, offsets, first, last, start, width, out):  # type: ignore[no-untyped-def]
    n_bins = out.shape[1]
    for unit in range(first, last):
        for s in range(offsets[unit], offsets[unit + 1]):
            place = (flat[s] - start) / width + EDGE
            if place >= n_bins:
                break  # sorted: all others are later
            if place >= 0:
                out[unit, np.uint64(place)] += 1


@cuda.jit
def _bin_cuda(flat, unit, start, width, out):  # type: ignore[no-untyped-def]
    s = cuda.grid(1)
    if s < flat.shape[0]:
        place = (flat[s] - start) / width + EDGE
        if place >= 0 and place < out.shape[1]:
            cuda.atomic.add(out, (unit[s], int(place)), 1)  # whole numbers: any order gives the same sum


PTX_SIGNATURES = {_bin_cuda: (f8[::1], int32[::1], f8, f8, int32[:, ::1])}
