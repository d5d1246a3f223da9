"""Spikes counted in bins around events (peri-stimulus time histogram), for all units, summed or event by event.

Bin ``k`` of an event at ``e`` holds the spikes with ``e + tmin + k width <= t < e + tmin + (k + 1) width``: the bins of
:mod:`braindec.kernels.binning` begun at ``e + tmin``, with its rule for spikes on edges. Events may overlap, be out of
order, or lie at the ends of the recording: a bin that was not observed counts no spikes, so leave such events out.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import boolean, cuda, int32, int64, njit
from numba import float64 as f8

from braindec.kernels._backend import choose
from braindec.kernels._threads import run_parts, split_rows
from braindec.kernels._trains import check_count, check_positive, check_time, check_times, check_trains
from braindec.kernels.binning import EDGE, bin_spikes_numpy

__all__ = ["psth", "psth_numpy"]


def psth(
    flat: np.ndarray,
    offsets: np.ndarray,
    events: np.ndarray,
    *,
    tmin: float,
    width: float,
    n_bins: int,
    by_trial: bool = False,
    backend: str | None = None,
) -> np.ndarray:
    """Count the spikes of each unit in bins around events.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains in s, sorted within each unit.
    events : array of shape (n_events,)
        Times of events, s, in any order.
    tmin : float
        Where the first bin begins, s after the event (negative: before it).
    width : float
        Width of a bin, s.
    n_bins : int
        Number of bins.
    by_trial : bool
        Keep events apart.
    backend : {"numba", "numpy", "cuda"}, optional
        Which version runs; all return the same.

    Returns
    -------
    array of int64, shape (n_units, n_bins), or of int32, shape (n_events, n_units, n_bins)
        Counts summed over events, or event by event.

    Raises
    ------
    BraindecError
        If times are not sorted or not finite, the width is not above 0, or there is no bin.
    """
    chosen = choose(backend, kernel="psth")
    flat, offsets = check_trains(flat, offsets)
    events = check_times(events, "times of events", ordered=False)
    tmin, width, n_bins = check_time(tmin, "tmin"), check_positive(width, "width"), check_count(n_bins, "n_bins")
    if chosen == "numpy":
        return psth_numpy(flat, offsets, events, tmin=tmin, width=width, n_bins=n_bins, by_trial=by_trial)
    n_units = len(offsets) - 1
    shape = (len(events) if by_trial else 1, n_units, n_bins)
    out = np.zeros(shape, dtype=np.int32 if by_trial else np.int64)
    if chosen == "numba":
        spikes = np.diff(offsets) * min(1.0, n_bins * width / max(np.ptp(flat), width)) if len(flat) else 0.0
        work = len(events) * (10.0 + spikes) * np.ones(n_units)
        edges = split_rows(work, least=200_000)
        run_parts(partial(_count, flat, offsets, events + tmin, width, by_trial, out), edges)
    elif n_units and len(events):
        _on_device(flat, offsets, events + tmin, width, by_trial, out)
    return out if by_trial else out[0]


def psth_numpy(
    flat: np.ndarray, offsets: np.ndarray, events: np.ndarray, *, tmin: float, width: float, n_bins: int,
    by_trial: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return what :func:`psth` does, from the definition: bins of each event, one event after another."""
    trials = np.zeros((len(events), len(offsets) - 1, n_bins), dtype=np.int32)
    for row, begin in enumerate(np.asarray(events) + tmin):
        trials[row] = bin_spikes_numpy(flat, offsets, start=begin, width=width, n_bins=n_bins)
    return trials if by_trial else trials.sum(axis=0, dtype=np.int64)


def _first_from(flat, first, last, time):  # type: ignore[no-untyped-def]
    """Return the first place in ``flat[first:last]`` with a spike at ``time`` or later."""
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        if flat[middle] < time:
            low = middle + 1
        else:
            high = middle
    return low


_first_from_cpu = njit(inline="always")(_first_from)
_first_from_gpu = cuda.jit(device=True)(_first_from)


@njit(cache=True, nogil=True)
def _count(flat, offsets, begins, width, by_trial, out, first, last):  # type: ignore[no-untyped-def]
    n_bins = out.shape[2]
    for unit in range(first, last):
        end = offsets[unit + 1]
        for e in range(len(begins)):
            begin, trial = begins[e], e if by_trial else 0
            for s in range(_first_from_cpu(flat, offsets[unit], end, begin - width), end):
                place = (flat[s] - begin) / width + EDGE
                if place >= n_bins:
                    break
                if place >= 0:
                    out[trial, unit, np.uint64(place)] += 1


def _on_device(
    flat: np.ndarray, offsets: np.ndarray, begins: np.ndarray, width: float, by_trial: bool, out: np.ndarray
) -> None:
    counts = cuda.to_device(out)
    threads = 128
    blocks = ((len(offsets) - 1) * len(begins) + threads - 1) // threads
    arrays = (cuda.to_device(a) for a in (flat, offsets, begins))
    _count_cuda[blocks, threads](*arrays, width, by_trial, counts)
    counts.copy_to_host(out)


@cuda.jit
def _count_cuda(flat, offsets, begins, width, by_trial, out):  # type: ignore[no-untyped-def]
    lane = cuda.grid(1)
    unit, e = lane // begins.shape[0], lane % begins.shape[0]
    if unit < offsets.shape[0] - 1:
        begin, end, trial = begins[e], offsets[unit + 1], e if by_trial else 0
        for s in range(_first_from_gpu(flat, offsets[unit], end, begin - width), end):
            place = (flat[s] - begin) / width + EDGE
            if place >= out.shape[2]:
                break
            if place >= 0:
                cuda.atomic.add(out, (trial, unit, int(place)), 1)


_SENT = (f8[::1], int64[::1], f8[::1], f8, boolean)
PTX_SIGNATURES = {_count_cuda: [(*_SENT, int64[:, :, ::1]), (*_SENT, int32[:, :, ::1])]}
