"""Cross-correlograms of all pairs of units: whole-number lags, counted in one pass over the merged stream of spikes.

Times become whole ticks, ``rint((t - origin) / tick)``, and a bin is a whole number of ticks, so no count depends on
rounding. ``C[i, j]`` counts the lags ``t_j - t_i`` of all pairs of spikes; with bins of ``w`` ticks and ``m`` bins a side

- ``edges="centred"``: ``2 m + 1`` bins, bin ``m + k`` holds ``(k - 1/2) w <= lag < (k + 1/2) w``: lag 0 in the middle;
- ``edges="left"``: ``2 m`` bins, bin ``m + k`` holds ``k w <= lag < (k + 1) w``: lag 0 begins the bin ``m``.

The tie rule is one: a lag that lies exactly on an edge belongs to the bin that begins there. So ``C[j, i]`` is
``C[i, j]`` turned round but for lags on edges (a centred bin of an odd number of ticks has none). Pairs of one spike with
itself are left out; two spikes of a unit at one tick are a pair (i, j) and a pair (j, i) with lag 0.

How it is counted: each spike meets those after it in the stream, once. A lag and its negative fall into bins that are
known from a table of the lags, in which a lag on an edge is a class of its own; one pass therefore gives both halves of
the matrix. Each thread owns the units that come first, and writes to their rows alone.

Differs from other packages: SpikeInterface (0.105, ``compute_correlograms``) has the bins of ``edges="left"`` and lags
``t_i - t_j``, that is ``correlogram(..., edges="left")`` with the two units changed round, exactly. pynapple
(``compute_crosscorrelogram``) has centred bins whose edges are running sums of floating-point widths, and gives rates
divided by the rate of the second unit. elephant (``cross_correlation_histogram``) correlates binned trains, so the bins of
its lags are triangles of twice the width.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import cuda, int32, int64, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._threads import run_parts, split_rows
from braindec.kernels._trains import check_positive, check_time, check_trains

__all__ = ["correlogram", "correlogram_lags", "correlogram_numpy"]

_SLACK = 1e-6  # a width may differ that much from a whole number of ticks
_MOST_LAGS = 1 << 24  # entries of the table of lags
_SAFE = 1 << 31  # pairs of spikes of two units that a counter of 32 bits can hold
_BLOCK = 1 << 26  # counters of pairs of units that are held at a time
_TILE = 1 << 17  # spikes of the stream that a thread reads again and again before it goes on: they stay in the cache


def correlogram(
    flat: np.ndarray,
    offsets: np.ndarray,
    *,
    width: float,
    max_lag: float,
    edges: str = "centred",
    tick: float | None = None,
    origin: float = 0.0,
    pairs: np.ndarray | None = None,
    backend: str | None = None,
) -> np.ndarray:
    """Count the lags between the spikes of every two units, and of each unit with itself.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains in s, sorted within each unit.
    width : float
        Width of a bin, s: a whole number of ticks.
    max_lag : float
        Bins a side times the width, s; centred bins reach half a bin further.
    edges : {"centred", "left"}
        Whether lag 0 is in the middle of a bin or begins one.
    tick : float, optional
        Smallest time that counts, s. Take the sampling interval of the recording where it is known (1 / 30000);
        by default a hundredth of the width.
    origin : float
        Time of tick 0, s: where sampling began.
    pairs : array of int, shape (n_pairs, 2), optional
        Rows of units (i, j); by default all.
    backend : {"numba", "numpy", "cuda"}, optional
        Which version runs; all return the same.

    Returns
    -------
    array of int64, shape (n_units, n_units, n_bins) or (n_pairs, n_bins)
        Counts; :func:`correlogram_lags` gives the lags of the bins.

    Raises
    ------
    BraindecError
        If the trains are not sorted or not finite, widths do not fit each other, or a pair names no unit.
    """
    chosen = choose(backend, kernel="correlogram")
    flat, offsets = check_trains(flat, offsets)
    w, m, tick = _in_ticks(width, max_lag, tick)
    plus, minus = _bins_of_lags(w, m, edges)
    n_units = len(offsets) - 1
    asked = _check_pairs(pairs, n_units)
    if pairs is not None:
        flat, offsets, asked = _used(flat, offsets, asked)
    ticks = _to_ticks(flat, tick, check_time(origin, "origin"))
    n_bins = 2 * m + (edges == "centred")
    if chosen == "numpy":
        found = correlogram_numpy(ticks, offsets, w=w, m=m, edges=edges, pairs=asked)
    else:
        found = _merged(ticks, offsets, asked, plus, minus, n_bins, chosen)
    return found.reshape(n_units, n_units, n_bins) if pairs is None else found


def correlogram_lags(*, width: float, max_lag: float, edges: str = "centred") -> np.ndarray:
    """Return the lag in the middle of each bin, s, shape (n_bins,)."""
    m = _in_ticks(width, max_lag, None)[1]
    _bins_of_lags(1, 1, edges)
    return width * (np.arange(2 * m + 1) - m if edges == "centred" else np.arange(2 * m) - m + 0.5)


def correlogram_numpy(
    ticks: np.ndarray, offsets: np.ndarray, *, w: int, m: int, edges: str, pairs: np.ndarray
) -> np.ndarray:
    """Return what :func:`correlogram` does, from the definition, pair by pair, shape (n_pairs, n_bins).

    Parameters
    ----------
    ticks : array of int64, shape (n_spikes,)
        Times in ticks, sorted within each unit.
    offsets : array of int64
        Where each unit begins.
    w, m : int
        Ticks in a bin, bins a side.
    edges : {"centred", "left"}
        As in :func:`correlogram`.
    pairs : array of int64, shape (n_pairs, 2)
        Rows of units.
    """
    n_bins = 2 * m + (edges == "centred")
    out = np.zeros((len(pairs), n_bins), dtype=np.int64)
    for row, (i, j) in enumerate(pairs):
        a, b = ticks[offsets[i] : offsets[i + 1]], ticks[offsets[j] : offsets[j + 1]]
        low, high = np.searchsorted(b, a - (m + 1) * w, "left"), np.searchsorted(b, a + (m + 1) * w, "right")
        first = np.repeat(np.arange(len(a)), high - low)
        second = np.arange(len(first)) - np.repeat(np.cumsum(high - low) - high, high - low)
        lag = (b[second] - a[first])[(first != second) if i == j else slice(None)]
        place = (2 * lag + w) // (2 * w) + m if edges == "centred" else lag // w + m
        out[row] = np.bincount(place[(place >= 0) & (place < n_bins)], minlength=n_bins)
    return out


def _in_ticks(width: float, max_lag: float, tick: float | None) -> tuple[int, int, float]:
    """Return ticks in a bin, bins a side, and the tick in s."""
    width, max_lag = check_positive(width, "the width of a bin"), check_positive(max_lag, "max_lag")
    tick = width / 100 if tick is None else check_positive(tick, "tick")
    w, m = round(width / tick), round(max_lag / width)
    if w < 1 or abs(w * tick - width) > _SLACK * width:
        raise BraindecError(
            "a bin must be a whole number of ticks", found=f"width {width:g} s, tick {tick:g} s",
            fix="take the sampling interval as tick and a whole number of it as width",
        )  # fmt: skip
    if m < 1 or abs(m * width - max_lag) > _SLACK * width:
        raise BraindecError(
            "max_lag must be a whole number of bins", found=f"max_lag {max_lag:g} s, width {width:g} s",
            fix=f"max_lag={max(1, m) * width:g}",
        )  # fmt: skip
    if (m + 1) * w > _MOST_LAGS:
        raise BraindecError(
            "there are too many ticks in max_lag", found=f"{m * w}", allowed=f"{_MOST_LAGS}", fix="a longer tick"
        )
    return w, m, tick


def _bins_of_lags(w: int, m: int, edges: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the bins of lags 0, 1, 2, ... ticks and of their negatives; the number of bins or more stands for none."""
    lag = np.arange((m + 1) * w + 1)
    if edges == "centred":
        plus, minus, n_bins = (2 * lag + w) // (2 * w) + m, (w - 2 * lag) // (2 * w) + m, 2 * m + 1
    elif edges == "left":
        plus, minus, n_bins = lag // w + m, -lag // w + m, 2 * m
    else:
        raise BraindecError("bins of lags are of two kinds", found=repr(edges), allowed="'centred', 'left'")
    plus, minus = np.where(plus < n_bins, plus, n_bins), np.where(minus >= 0, minus, n_bins)
    last = np.flatnonzero((plus < n_bins) | (minus < n_bins))[-1]
    return plus[: last + 1], minus[: last + 1]


def _check_pairs(pairs: Any, n_units: int) -> np.ndarray:
    if pairs is None:
        return np.stack(np.divmod(np.arange(n_units**2), n_units), axis=1)
    found = np.asarray(pairs)
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise BraindecError("pairs are rows (i, j) of units", found=f"{found.dtype}, shape {found.shape}")
    if len(found) and (found.min() < 0 or found.max() >= n_units):
        raise BraindecError(
            "a pair names an unknown unit", found=str(found[((found < 0) | (found >= n_units)).any(axis=1)][0].tolist()),
            allowed=f"0 to {n_units - 1}",
        )  # fmt: skip
    return found.astype(np.int64)


def _used(flat: np.ndarray, offsets: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the trains of units that stand in a pair, and the pairs among them."""
    units, among = np.unique(pairs, return_inverse=True)
    count = np.diff(offsets)
    keep = np.repeat(np.isin(np.arange(len(count)), units), count)
    return flat[keep], np.concatenate([[0], np.cumsum(count[units])]).astype(np.int64), among.reshape(pairs.shape)


def _to_ticks(flat: np.ndarray, tick: float, origin: float) -> np.ndarray:
    """Return times as int64 ticks from the first spike on."""
    rate = round(1 / tick)  # 10,000 Hz is a number, a tenth of a millisecond is not
    ticks = np.rint((flat - origin) * rate if abs(rate * tick - 1) < 1e-12 else (flat - origin) / tick)
    if len(ticks):
        ticks -= ticks.min()
        if ticks.max() >= 2**31 - 1:
            raise BraindecError(
                "the recording is longer than can be counted in ticks of this length",
                found=f"{ticks.max():.3g} ticks of {tick:g} s", allowed=f"{2**31 - 2}",
                fix="are the times in s? milliseconds must be divided by 1000 (time_unit of the reader); else take a longer tick",
            )  # fmt: skip
    return ticks.astype(np.int64)


def _merged(
    ticks: np.ndarray, offsets: np.ndarray, pairs: np.ndarray, plus: np.ndarray, minus: np.ndarray,
    n_bins: int, backend: str,
) -> np.ndarray:  # fmt: skip
    """Count pairs in the merged stream, shape (n_pairs, n_bins)."""
    n_units = len(offsets) - 1
    change = (np.diff(plus, prepend=plus[:1]) != 0) | (np.diff(minus, prepend=minus[:1]) != 0)
    kind = np.cumsum(change).astype(np.int32)  # class of each lag
    plus, minus = plus[np.append(True, change[1:])], minus[np.append(True, change[1:])]
    n_kinds, count = len(plus), np.diff(offsets)
    unit = np.repeat(np.arange(n_units, dtype=np.int64), count)
    order = np.sort((ticks << 32) | np.arange(len(ticks)))  # two numbers in one: by tick, then by place
    stream, place = (order >> 32).astype(np.int32), order & 0xFFFFFFFF
    row = (unit[place] * n_kinds).astype(np.int32)
    at = np.empty(len(place), dtype=np.int32)  # where each spike of flat stands in the stream
    at[place] = np.arange(len(place), dtype=np.int32)
    end = _ends(stream, len(kind))
    small = not len(count) or int(count.max()) ** 2 < _SAFE  # no class can hold more pairs
    out = np.zeros((len(pairs), n_bins + 1), dtype=np.int64)
    units = max(1, min(n_units, _BLOCK // max(1, n_units * n_kinds)))
    for low in range(0, n_units, units):
        high = min(low + units, n_units)
        forward = np.zeros((high - low, n_units * n_kinds), dtype=np.int32 if small else np.int64)
        if backend == "cuda":
            _on_device(stream, row, end, kind, low * n_kinds, high * n_kinds, n_kinds, forward)
        else:
            edges = low + split_rows(count[low:high], least=20_000)
            run_parts(partial(_forward, stream, row, end, at, offsets, kind, _TILE, low, forward), edges)
        _collect(forward, low, high, pairs, plus, minus, out)
    return out[:, :n_bins]


@njit(cache=True, nogil=True)
def _ends(stream, reach):  # type: ignore[no-untyped-def]
    """Return for each spike the place of the first one that is ``reach`` ticks later or more."""
    end = np.empty(len(stream), dtype=np.int32)
    q = 0
    for p in range(len(stream)):
        while q < len(stream) and stream[q] - stream[p] < reach:
            q += 1
        end[p] = q
    return end


@njit(cache=True, nogil=True)
def _forward(stream, row, end, at, offsets, kind, tile, low, forward, first, last):  # type: ignore[no-untyped-def]
    """Count for units ``first`` to ``last`` the lags of all later spikes, by unit and class of the lag."""
    begin = offsets[first:last].copy()
    for top in range(tile, len(stream) + tile, tile):  # a stretch of the stream at a time, for all of them
        for unit in range(first, last):
            mine = forward[unit - low]
            s = begin[unit - first]
            while s < offsets[unit + 1] and at[s] < top:
                p = at[s]
                now = stream[p]
                for q in range(np.uint32(p + 1), np.uint32(end[p])):  # unsigned: no test for negative places
                    mine[np.uint32(row[q] + kind[np.uint32(stream[q] - now)])] += 1
                s += 1
            begin[unit - first] = s


@njit(cache=True, nogil=True)
def _collect(forward, low, high, pairs, plus, minus, out):  # type: ignore[no-untyped-def]
    """Add what units ``low`` to ``high`` met: lags of pairs that begin with them, negative lags of those that end."""
    for p in range(len(pairs)):
        i, j = pairs[p]
        if low <= i < high:
            for c in range(len(plus)):
                out[p, plus[c]] += forward[i - low, j * len(plus) + c]
        if low <= j < high:
            for c in range(len(plus)):
                out[p, minus[c]] += forward[j - low, i * len(plus) + c]


def _on_device(
    stream: np.ndarray, row: np.ndarray, end: np.ndarray, kind: np.ndarray,
    low: int, high: int, n_kinds: int, forward: np.ndarray,
) -> None:  # fmt: skip
    if not len(stream):
        return
    counts = cuda.to_device(forward)
    threads = 128
    blocks = (len(stream) + threads - 1) // threads
    arrays = (cuda.to_device(a) for a in (stream, row, end, kind))
    _forward_cuda[blocks, threads](*arrays, low, high, n_kinds, counts)
    counts.copy_to_host(forward)


@cuda.jit
def _forward_cuda(stream, row, end, kind, low, high, n_kinds, forward):  # type: ignore[no-untyped-def]
    p = cuda.grid(1)
    if p < stream.shape[0] and low <= row[p] and row[p] < high:
        mine = (row[p] - low) // n_kinds
        for q in range(p + 1, end[p]):
            cuda.atomic.add(forward, (mine, row[q] + kind[stream[q] - stream[p]]), 1)


_SENT = (int32[::1], int32[::1], int32[::1], int32[::1], int64, int64, int64)
PTX_SIGNATURES = {_forward_cuda: [(*_SENT, int32[:, ::1]), (*_SENT, int64[:, ::1])]}
