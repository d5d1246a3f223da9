"""Loops of :mod:`braindec.kernels.spike_surrogates`: draws, sorts and places of one train, on the processor and on CUDA.

A train is one unit in one stretch of time. Each train of each surrogate has a key, and its draw ``k`` is a hash of the key
and of ``k``: no state is carried, so the order in which trains are done changes nothing.

Source: Steele, Lea & Flood 2014 (SplitMix64, OOPSLA) for the hash.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numba import boolean, cuda, int64, njit, uint64
from numba import float64 as f8

from braindec.kernels._threads import run_parts, split_rows

__all__ = ["PTX_SIGNATURES", "draws", "keys_of", "make_room", "run_loop"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11, _ONE = (np.uint64(k) for k in (30, 27, 31, 11, 1))
_UNIT = 2.0**-53
_PATIENCE = 16  # moves a spike after which sorting by insertion gives way to a heap


def _mix(value):  # type: ignore[no-untyped-def]
    """Return 64 well-mixed bits of an array of uint64; sums and products wrap around."""
    z = value + _GOLDEN
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


def keys_of(seed: int, salt: int, n_surrogates: int, n_trains: int) -> np.ndarray:
    """Return a key for each train of each surrogate, uint64, shape (n_surrogates, n_trains)."""
    one = _mix(_mix(np.array([seed], dtype=np.uint64)) + np.uint64(salt))
    rows = _mix(one + _GOLDEN * np.arange(n_surrogates, dtype=np.uint64))
    return _mix(rows[:, None] + _GOLDEN * np.arange(n_trains, dtype=np.uint64))


def draws(key: np.uint64, n: int) -> np.ndarray:
    """Return the first ``n`` numbers in [0, 1) of a key."""
    return (_mix(key + _GOLDEN * np.arange(1, n + 1, dtype=np.uint64)) >> _S11).astype(np.float64) * _UNIT


@njit(cache=True)
def _draw(key, k):  # type: ignore[no-untyped-def]
    z = np.uint64(key) + _GOLDEN * (np.uint64(k) + _ONE) + _GOLDEN
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return np.float64(np.int64((z ^ (z >> _S31)) >> _S11)) * _UNIT


@njit(cache=True)
def make_room(bound, total, gap, follows):  # type: ignore[no-untyped-def]
    """Lower the upper bounds of windows, in place, so that dead times of those after them fit.

    ``total`` is the sum of dead times inside a window, ``gap`` the one before its first spike, ``follows`` whether a
    window of the same train is before it.
    """
    for w in range(len(bound) - 2, -1, -1):
        if follows[w + 1]:
            bound[w] = min(bound[w], bound[w + 1] - total[w + 1] - gap[w + 1])


def _sort(values, row, group, whole, first, last):  # type: ignore[no-untyped-def]
    """Sort each run of one group in a stretch of a row, or the ``whole`` stretch."""
    begin = first
    while begin < last:
        end = begin + 1
        while end < last and (whole or group[end] == group[begin]):
            end += 1
        left, i = _PATIENCE * (end - begin), begin + 1
        while i < end and left > 0:
            value, j = values[row, i], i
            while j > begin and values[row, j - 1] > value:
                values[row, j] = values[row, j - 1]
                j -= 1
                left -= 1
            values[row, j] = value
            i += 1
        if i < end:  # far from sorted
            n = end - begin
            top, size = n // 2, n
            while size > 1:
                if top > 0:
                    top -= 1
                    value = values[row, begin + top]
                else:
                    size -= 1
                    value = values[row, begin + size]
                    values[row, begin + size] = values[row, begin]
                hole, child = top, 2 * top + 1
                while child < size:
                    if child + 1 < size and values[row, begin + child + 1] > values[row, begin + child]:
                        child += 1
                    if values[row, begin + child] <= value:
                        break
                    values[row, begin + hole] = values[row, begin + child]
                    hole, child = child, 2 * child + 1
                values[row, begin + hole] = value
        begin = end


def _place(values, row, group, low, high, within, total, gap, chain, first, last):  # type: ignore[no-untyped-def]
    """Turn sorted draws into times: each group lies in the room that its bounds and its dead times leave."""
    base, room = 0.0, 0.0
    for i in range(first, last):
        if i == first or group[i] != group[i - 1]:
            base = low[i]
            if chain and i > first and values[row, i - 1] + gap[i] > base:
                base = values[row, i - 1] + gap[i]
            room = high[i] - base - total[i]
            if room < 0.0:  # by rounding
                room = 0.0
        values[row, i] = base + within[i] + room * values[row, i]


def _shuffle(values, row, flat, key, first, last):  # type: ignore[no-untyped-def]
    """Write a train with its intervals in another order: each interval changes place with one before it or itself."""
    if last <= first:
        return
    values[row, first] = flat[first]
    for i in range(first + 1, last):
        values[row, i] = flat[i] - flat[i - 1]
    for i in range(last - 1, first + 1, -1):
        j = first + 1 + int(_draw(key, i - first) * (i - first))
        values[row, i], values[row, j] = values[row, j], values[row, i]
    for i in range(first + 1, last):
        time = values[row, i - 1] + values[row, i]
        values[row, i] = time if time < flat[last - 1] else flat[last - 1]
    values[row, last - 1] = flat[last - 1]


def _turn(values, row, flat, start, stop, width, key, first, last):  # type: ignore[no-untyped-def]
    """Write a train moved as a whole; what leaves the stretch comes in at its other end."""
    length = stop - start
    by = _draw(key, 0) * length
    if width < length:
        by = (2.0 * _draw(key, 0) - 1.0) * width
        if by < 0.0:
            by += length
    cut = last
    while cut > first and flat[cut - 1] + by >= stop:
        cut -= 1
    for i in range(first, last):
        n_wrapped = last - cut
        at = first + n_wrapped + (i - first) if i < cut else first + (i - cut)
        time = flat[i] + by if i < cut else flat[i] + by - length
        if time < start:
            time = start
        values[row, at] = time if time < stop else stop


_sort_cpu, _place_cpu, _shuffle_cpu, _turn_cpu = (
    njit(cache=True, nogil=True)(f) for f in (_sort, _place, _shuffle, _turn)
)
_sort_gpu, _place_gpu, _shuffle_gpu, _turn_gpu = (cuda.jit(device=True)(f) for f in (_sort, _place, _shuffle, _turn))


@njit(cache=True, nogil=True)
def _move_rows(keys, cuts, group, low, high, within, total, gap, chain, resort, out, begin, end):  # type: ignore[no-untyped-def]
    n_trains = keys.shape[1]
    for lane in range(begin, end):
        row, train = lane // n_trains, lane % n_trains
        first, last = cuts[train], cuts[train + 1]
        for i in range(first, last):
            out[row, i] = _draw(keys[row, train], i - first)
        _sort_cpu(out, row, group, False, first, last)
        _place_cpu(out, row, group, low, high, within, total, gap, chain, first, last)
        if resort:
            _sort_cpu(out, row, group, True, first, last)


@cuda.jit
def _move_cuda(keys, cuts, group, low, high, within, total, gap, chain, resort, out):  # type: ignore[no-untyped-def]
    lane, n_trains = cuda.grid(1), keys.shape[1]
    row, train = lane // n_trains, lane % n_trains
    if row < keys.shape[0]:
        first, last = cuts[train], cuts[train + 1]
        for i in range(first, last):
            out[row, i] = _draw(keys[row, train], i - first)
        _sort_gpu(out, row, group, False, first, last)
        _place_gpu(out, row, group, low, high, within, total, gap, chain, first, last)
        if resort:
            _sort_gpu(out, row, group, True, first, last)


@njit(cache=True, nogil=True)
def _shuffle_rows(keys, cuts, flat, out, begin, end):  # type: ignore[no-untyped-def]
    n_trains = keys.shape[1]
    for lane in range(begin, end):
        row, train = lane // n_trains, lane % n_trains
        _shuffle_cpu(out, row, flat, keys[row, train], cuts[train], cuts[train + 1])


@cuda.jit
def _shuffle_cuda(keys, cuts, flat, out):  # type: ignore[no-untyped-def]
    lane, n_trains = cuda.grid(1), keys.shape[1]
    row, train = lane // n_trains, lane % n_trains
    if row < keys.shape[0]:
        _shuffle_gpu(out, row, flat, keys[row, train], cuts[train], cuts[train + 1])


@njit(cache=True, nogil=True)
def _turn_rows(keys, cuts, flat, starts, stops, width, out, begin, end):  # type: ignore[no-untyped-def]
    n_trains = keys.shape[1]
    for lane in range(begin, end):
        row, train = lane // n_trains, lane % n_trains
        key = keys[row, train]
        _turn_cpu(out, row, flat, starts[train], stops[train], width, key, cuts[train], cuts[train + 1])


@cuda.jit
def _turn_cuda(keys, cuts, flat, starts, stops, width, out):  # type: ignore[no-untyped-def]
    lane, n_trains = cuda.grid(1), keys.shape[1]
    row, train = lane // n_trains, lane % n_trains
    if row < keys.shape[0]:
        key = keys[row, train]
        _turn_gpu(out, row, flat, starts[train], stops[train], width, key, cuts[train], cuts[train + 1])


_LOOPS: dict[str, tuple[Callable, Callable]] = {
    "move": (_move_rows, _move_cuda), "shuffle": (_shuffle_rows, _shuffle_cuda), "turn": (_turn_rows, _turn_cuda),
}  # fmt: skip


def run_loop(name: str, backend: str, keys: np.ndarray, cuts: np.ndarray, *rest: object) -> np.ndarray:
    """Run one loop over all trains of all surrogates; ``rest`` are its arguments. Shape (n_surrogates, n_spikes)."""
    on_processor, on_device = _LOOPS[name]
    out = np.zeros((len(keys), int(cuts[-1])))
    if backend == "numba":
        work = np.tile(np.diff(cuts) + 1.0, len(keys))
        run_parts(partial(on_processor, keys, cuts, *rest, out), split_rows(work, least=50_000))
        return out
    if out.size:
        sent = [cuda.to_device(a) if isinstance(a, np.ndarray) else a for a in (keys, cuts, *rest, out)]
        threads = 64
        on_device[(keys.size + threads - 1) // threads, threads](*sent)
        sent[-1].copy_to_host(out)
    return out


_TIMES, _PLACES = f8[::1], int64[::1]
PTX_SIGNATURES = {
    _move_cuda: (uint64[:, ::1], _PLACES, _PLACES, *(_TIMES,) * 5, boolean, boolean, f8[:, ::1]),
    _shuffle_cuda: (uint64[:, ::1], _PLACES, _TIMES, f8[:, ::1]),
    _turn_cuda: (uint64[:, ::1], _PLACES, _TIMES, _TIMES, _TIMES, f8, f8[:, ::1]),
}
