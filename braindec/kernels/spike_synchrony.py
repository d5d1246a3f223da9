"""SPIKE-synchronisation of all pairs of spike trains: the share of spikes that have a partner in the other train.

Spikes ``i`` of one train and ``j`` of the other are coincident if they are closer than half of the shortest of the four
intervals beside them, a window that follows the rates and has no parameter::

    |a_i - b_j| < tau_ij,    tau_ij = 1/2 min(a_{i+1} - a_i, a_i - a_{i-1}, b_{j+1} - b_j, b_j - b_{j-1})

The value is the number of spikes with a partner over the number of all spikes of both, 1 if neither train has any. An
interval that is missing (before the first and after the last spike) counts as the length of the recording. Simultaneous
spikes are always coincident.

A distance of exactly ``tau_ij`` is no coincidence. Times on a grid of samples have many such ties, whose differences rounding
puts to either side, another one wherever the recording begins; distances within four units in the last place of the latest
time count as equal, so that the value does not change when all times are shifted.

Source: Kreuz, Mulansky & Bozanic 2015 (SPIKY, J Neurophysiol 113:3432); Quian Quiroga et al. 2002
(Phys Rev E 66:041904) for the window.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._knots import check_pair
from braindec.kernels._pairs import launch_pairs, run_pairs, time_slack
from braindec.kernels._trains import check_stretch, check_trains

__all__ = [
    "PTX_SIGNATURES",
    "coincidences",
    "coincidences_numpy",
    "spike_synchrony",
    "spike_synchrony_numpy",
    "spike_synchrony_profile",
]


def spike_synchrony(
    flat: np.ndarray,
    offsets: np.ndarray,
    *,
    start: float,
    stop: float,
    max_tau: float = math.inf,
    backend: str | None = None,
) -> np.ndarray:
    """Return the synchrony of all pairs of units.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains, times in s (:meth:`braindec.types.Spikes.trains`).
    start, stop : float
        The stretch that was observed, s.
    max_tau : float
        Longest window of coincidence, s.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_units, n_units)
        From 0 to 1, symmetric, ones on the diagonal.

    Raises
    ------
    BraindecError
        If trains are not sorted, spikes lie outside the stretch, or ``max_tau`` is not above 0.
    """
    found = coincidences(flat, offsets, start=start, stop=stop, max_tau=max_tau, backend=backend)
    return _share(found, np.diff(offsets))


def spike_synchrony_numpy(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, max_tau: float = math.inf
) -> np.ndarray:
    """Return what :func:`spike_synchrony` does, from all differences of times."""
    return _share(coincidences_numpy(flat, offsets, start=start, stop=stop, max_tau=max_tau), np.diff(offsets))


def spike_synchrony_profile(
    first: np.ndarray, second: np.ndarray, *, start: float, stop: float, max_tau: float = math.inf
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which spikes of two trains have a partner.

    Returns
    -------
    times : array of shape (n_spikes,)
        Spikes of both trains in order, s.
    train : array of int, shape (n_spikes,)
        Whose spike it is, 0 or 1.
    coincident : array of bool, shape (n_spikes,)
        Whether it has a partner; the mean is the synchrony.
    """
    trains, start, stop = check_pair(first, second, start, stop)
    max_tau = _check_window(max_tau)
    times, train = np.concatenate(trains), np.repeat([0, 1], [len(t) for t in trains])
    coincident = np.concatenate([_partner(*pair, start, stop, max_tau) for pair in (trains, trains[::-1])])
    order = np.argsort(times, kind="stable")
    return times[order], train[order], coincident[order]


def coincidences(
    flat: np.ndarray,
    offsets: np.ndarray,
    *,
    start: float,
    stop: float,
    max_tau: float = math.inf,
    backend: str | None = None,
) -> np.ndarray:
    """Return the number of spikes, of both units together, that have a partner; arguments of :func:`spike_synchrony`.

    Returns
    -------
    array of int64, shape (n_units, n_units)
        On the diagonal twice the number of spikes: each is its own partner.
    """
    flat, offsets = check_trains(flat, offsets)
    start, stop = check_stretch(start, stop, flat)
    max_tau = _check_window(max_tau)
    backend = choose(backend, kernel="spike_synchrony")
    if backend == "numpy":
        return coincidences_numpy(flat, offsets, start=start, stop=stop, max_tau=max_tau)
    n, counts = len(offsets) - 1, np.diff(offsets)
    never, slack = offsets[1:], time_slack(start, stop)
    times = np.insert(flat, never, np.inf)  # a spike that never comes ends each unit
    keys = (times - start).view(np.int64)  # bits of numbers from 0 on have their order
    windows = np.insert(np.minimum(_windows(flat, offsets, stop - start), max_tau) - slack, never, -1.0)
    out = np.zeros((n, n), dtype=np.int64)
    if backend == "cuda":
        launch_pairs(_pairs_cuda, (times, keys, windows, offsets), (slack,), out)
    else:
        work = counts[:, None] + counts[None, :]
        run_pairs(lambda first, last: _rows(times, keys, windows, offsets, slack, first, last, out), work, least=1e5)
    return out + out.T + np.diag(2 * counts)


def coincidences_numpy(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, max_tau: float = math.inf
) -> np.ndarray:
    """Return what :func:`coincidences` does, from all differences of times."""
    n = len(offsets) - 1
    trains = [flat[offsets[u] : offsets[u + 1]] for u in range(n)]
    out = np.diag(2 * np.diff(offsets))
    for x in range(n):
        for y in range(x + 1, n):
            close = _close(trains[x], trains[y], start, stop, max_tau)
            out[x, y] = out[y, x] = close.any(axis=0).sum() + close.any(axis=1).sum()
    return out


def _check_window(max_tau: float) -> float:
    try:
        longest = float(max_tau)
    except (TypeError, ValueError):
        longest = math.nan
    if not longest > 0:
        raise BraindecError("the longest window of coincidence must be above 0 s", found=f"{max_tau}")
    return longest


def _close(first: np.ndarray, second: np.ndarray, start: float, stop: float, max_tau: float) -> np.ndarray:
    """Return which spikes of two trains are coincident, shape (n_first, n_second)."""
    slack = time_slack(start, stop)
    one, two = (_windows(np.asarray(t), np.array([0, len(t)]), stop - start) for t in (first, second))
    tau = np.minimum(np.minimum(one[:, None], two[None, :]), max_tau)
    apart = np.abs(np.subtract.outer(first, second))
    return (apart < tau - slack) | (apart <= slack)


def _partner(mine: np.ndarray, other: np.ndarray, start: float, stop: float, max_tau: float) -> np.ndarray:
    """Return which spikes of one train have a partner: one of the spikes of the other just before and after them."""
    found, slack = np.zeros(len(mine), dtype=bool), time_slack(start, stop)
    if not len(other):
        return found
    windows = [np.minimum(_windows(t, np.array([0, len(t)]), stop - start), max_tau) for t in (mine, other)]
    after = np.searchsorted(other, mine)
    for near in (np.clip(after - 1, 0, None), np.clip(after, None, len(other) - 1)):
        apart = np.abs(mine - other[near])
        found |= (apart < np.minimum(windows[0], windows[1][near]) - slack) | (apart <= slack)
    return found


def _windows(flat: np.ndarray, offsets: np.ndarray, missing: float) -> np.ndarray:
    """Return half of the shorter interval beside each spike."""
    gaps = np.full(len(flat) + 1, missing, dtype=np.float64)
    gaps[1:-1] = flat[1:] - flat[:-1]
    gaps[offsets] = missing
    return 0.5 * np.minimum(gaps[1:], gaps[:-1])


def _share(found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the share of spikes with a partner; 1 where there are no spikes."""
    spikes = counts[:, None] + counts[None, :]
    return np.where(spikes > 0, found / np.maximum(spikes, 1), 1.0)


def _count_body(times, keys, windows, slack, a, n, b, m):  # type: ignore[no-untyped-def]
    # a, b: places of the first spikes of two trains of n and m, which are gone through in order of time. Only the spikes
    # of the other train just before and after one can be its partners.
    one = np.uint64(1)
    found, before_a, before_b = 0, -np.inf, -np.inf
    window_a, window_b = -1.0, -1.0
    for _ in range(n + m):
        mine = keys[a] <= keys[b]
        x, y, wx, wy = times[a], times[b], windows[a], windows[b]
        now, window = (x, wx) if mine else (y, wy)
        early, early_window = (before_b, window_b) if mine else (before_a, window_a)
        late, late_window = (y, wy) if mine else (x, wx)
        since, until = now - early, late - now
        found += (
            ((since < window) & (since < early_window))
            | ((until < window) & (until < late_window))
            | ((since <= slack) | (until <= slack))
        )
        if mine:
            before_a, window_a = x, wx
        else:
            before_b, window_b = y, wy
        step = np.uint64(mine)
        a += step
        b += one - step
    return found


_count = njit(cache=True, nogil=True)(_count_body)
_count_device = cuda.jit(device=True)(_count_body)


@njit(cache=True, nogil=True)
def _rows(times, keys, windows, offsets, slack, first, last, out):  # type: ignore[no-untyped-def]
    units = len(offsets) - 1
    for x in range(first, last):
        n, a = offsets[x + 1] - offsets[x], np.uint64(offsets[x] + x)  # each unit before has one more entry
        for y in range(x + 1, units):
            m, b = offsets[y + 1] - offsets[y], np.uint64(offsets[y] + y)
            out[x, y] = _count(times, keys, windows, slack, a, n, b, m)


@cuda.jit
def _pairs_cuda(times, keys, windows, offsets, slack, first, second, out):  # type: ignore[no-untyped-def]
    for pair in range(cuda.grid(1), len(first), cuda.gridsize(1)):
        x, y = first[pair], second[pair]
        n, m = offsets[x + 1] - offsets[x], offsets[y + 1] - offsets[y]
        a, b = np.uint64(offsets[x] + x), np.uint64(offsets[y] + y)
        out[x, y] = _count_device(times, keys, windows, slack, a, n, b, m)


PTX_SIGNATURES = {"_pairs_cuda": "void(f8[::1], i8[::1], f8[::1], i8[::1], f8, i4[::1], i4[::1], i8[:, ::1])"}
