"""Exponential traces: spikes filtered by a decaying exponential, at given times or on a grid.

The trace of a unit is ``x(t) = sum over t_k <= t of exp(-(t - t_k) / tau)``: a spike adds 1 at its own time (and
already a millionth of ``tau`` before: times of a grid are rounded, and so are spikes). The compiled
version follows ``x`` from one time to the next, ``x(t') = x(t) exp(-(t' - t) / tau) + the spikes in between``, with one
exponential a spike and one a time; the definition and the CUDA version sum over spikes. They differ by rounding alone
(a few parts in 1e15 of the trace); the CUDA version leaves out spikes that are 50 time constants old (2e-22 each).

Source: traces of spike-timing-dependent plasticity, Morrison, Diesmann & Gerstner 2008 (Biol Cybern 98:459), section 4.1;
van Rossum 2001 (Neural Comput 13:751), eq. 2.1.
"""

from __future__ import annotations

from functools import partial
from math import exp

import numpy as np
from numba import cuda, int64, njit
from numba import float64 as f8

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._threads import run_parts, split_rows
from braindec.kernels._trains import check_count, check_positive, check_time, check_times, check_trains

__all__ = ["exponential_traces", "exponential_traces_numpy"]

_SLACK = 1e-6  # of tau: a spike that is later than a time by less counts as at that time
_GONE = 50.0  # time constants after which a spike is below the rounding of one that counts: exp(-50) is 2e-22
_NOTHING = 1e-290  # traces below are 0: numbers that are nearly too small are slow
_ENTRIES = 1 << 20  # exponentials that the definition holds at a time


def exponential_traces(
    flat: np.ndarray,
    offsets: np.ndarray,
    *,
    tau: float,
    at: np.ndarray | None = None,
    start: float | None = None,
    sfreq: float | None = None,
    n_samples: int | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Filter each unit by a decaying exponential.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains in s, sorted within each unit.
    tau : float
        Time constant, s.
    at : array of shape (n_times,), optional
        Times at which the traces are wanted, s, sorted; or a grid:
    start, sfreq, n_samples : float, float, int, optional
        First time in s, rate in Hz and number of times of a grid.
    backend : {"numba", "numpy", "cuda"}, optional
        Which version runs.

    Returns
    -------
    array of float64, shape (n_units, n_times)
        Traces; divide by ``tau`` for a rate in Hz.

    Raises
    ------
    BraindecError
        If times are not sorted or not finite, ``tau`` is not above 0, or neither or both of times and grid are given.
    """
    chosen = choose(backend, kernel="exponential_traces")
    flat, offsets = check_trains(flat, offsets)
    tau, at = check_positive(tau, "tau"), _times(at, start, sfreq, n_samples)
    if chosen == "numpy":
        return exponential_traces_numpy(flat, offsets, tau=tau, at=at)
    out = np.zeros((len(offsets) - 1, len(at)))
    if chosen == "cuda":
        if out.size:
            _on_device(flat, offsets, tau, at, out)
        return out
    decay = np.exp(-np.diff(at, prepend=at[:1]) / tau)
    edges = split_rows(5.0 * np.diff(offsets) + len(at), least=200_000)
    run_parts(partial(_follow, flat, offsets, tau, at, decay, out), edges)
    return out


def exponential_traces_numpy(flat: np.ndarray, offsets: np.ndarray, *, tau: float, at: np.ndarray) -> np.ndarray:
    """Return what :func:`exponential_traces` does, from the sum over all spikes."""
    out = np.zeros((len(offsets) - 1, len(at)))
    rows = max(1, _ENTRIES // max(1, len(at)))
    for unit, mine in enumerate(out):
        for first in range(offsets[unit], offsets[unit + 1], rows):
            spikes = flat[first : min(first + rows, offsets[unit + 1])]
            age = at[None, :] - spikes[:, None]
            mine += np.where(age >= -_SLACK * tau, np.exp(-np.maximum(age, -_SLACK * tau) / tau), 0.0).sum(axis=0)
    return out


def _times(at: np.ndarray | None, start: float | None, sfreq: float | None, n_samples: int | None) -> np.ndarray:
    grid = (start, sfreq, n_samples)
    if (at is None) == all(g is None for g in grid) or (at is None and any(g is None for g in grid)):
        raise BraindecError("traces need times or a grid", allowed="at=times, or start=, sfreq= and n_samples=")
    if at is not None:
        return check_times(at, "times of the traces")
    n = check_count(n_samples, "n_samples")
    return check_time(start, "start") + np.arange(n) / check_positive(sfreq, "sfreq")


@njit(cache=True, nogil=True)
def _follow(flat, offsets, tau, at, decay, out, first, last):  # type: ignore[no-untyped-def]
    for unit in range(first, last):
        s, end, trace = offsets[unit], offsets[unit + 1], 0.0
        for k in range(len(at)):
            trace *= decay[k]
            if trace < _NOTHING:
                trace = 0.0
            while s < end and flat[s] <= at[k] + _SLACK * tau:
                trace += exp((flat[s] - at[k]) / tau)
                s += 1
            out[unit, k] = trace


def _on_device(flat: np.ndarray, offsets: np.ndarray, tau: float, at: np.ndarray, out: np.ndarray) -> None:
    traces = cuda.to_device(out)
    threads = 128
    blocks = (out.size + threads - 1) // threads
    _sum_cuda[blocks, threads](cuda.to_device(flat), cuda.to_device(offsets), tau, cuda.to_device(at), traces)
    traces.copy_to_host(out)


@cuda.jit
def _sum_cuda(flat, offsets, tau, at, out):  # type: ignore[no-untyped-def]
    lane = cuda.grid(1)
    unit, k = lane // at.shape[0], lane % at.shape[0]
    if unit < out.shape[0]:
        low, high = offsets[unit], offsets[unit + 1]
        first, now, trace = low, at[k], 0.0
        late = now + _SLACK * tau
        while low < high:  # half-way search for the first spike after it
            middle = (low + high) // 2
            if flat[middle] <= late:
                low = middle + 1
            else:
                high = middle
        s = low - 1
        while s >= first and now - flat[s] < _GONE * tau:
            trace += exp((flat[s] - now) / tau)
            s -= 1
        out[unit, k] = trace


PTX_SIGNATURES = {_sum_cuda: (f8[::1], int64[::1], f8, f8[::1], f8[:, ::1])}
