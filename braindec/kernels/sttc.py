"""Spike time tiling coefficient of all pairs of spike trains: a correlation that rates do not bias.

With ``T_A`` the share of the recording that lies within ``dt`` of a spike of A and ``P_A`` the share of spikes of A that lie
within ``dt`` of a spike of B::

    STTC = 1/2 ((P_A - T_B) / (1 - P_A T_B) + (P_B - T_A) / (1 - P_B T_A))

A term 0 / 0 (all spikes and all of the time within reach) counts as 1. A unit without spikes has no coefficient: NaN.

"Within" includes a distance of exactly ``dt``. Times on a grid of samples have many such ties, whose differences rounding
puts to either side, another one wherever the recording begins; so distances up to ``dt`` and four units in the last place
of the latest time count as ``dt``, and the coefficient does not change when all times are shifted. (Elephant 1.2 compares
with ``numpy.isclose(..., atol=dt)``, whose relative tolerance stays at 1e-5: its window is ``dt + 1e-5 |t|``, which is
wrong by 50 ms at 5,000 s and turns independent trains into correlated ones.)

The compiled version asks for each spike of A which spikes of B are next to it, by a table over cells of time that is made
once for each B.

Source: Cutts & Eglen 2014 (J Neurosci 34:14288).
"""

from __future__ import annotations

import numpy as np
from numba import cuda, njit

from braindec.kernels._backend import choose
from braindec.kernels._pairs import launch_pairs, time_slack
from braindec.kernels._threads import run_parts, split_rows
from braindec.kernels._trains import check_positive, check_stretch, check_trains

__all__ = ["PTX_SIGNATURES", "sttc", "sttc_from_counts", "sttc_numpy", "tile_counts", "tile_counts_numpy"]

_CELLS = 8  # cells of the table for each spike
_MOST_CELLS = 2**22


def sttc(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, dt: float, backend: str | None = None
) -> np.ndarray:
    """Return the coefficients of all pairs of units.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains, times in s (:meth:`braindec.types.Spikes.trains`).
    start, stop : float
        The stretch that was observed, s; tiles are cut at its ends.
    dt : float
        Reach of a spike to either side, s.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_units, n_units)
        From -1 to 1, symmetric, 1 on the diagonal; NaN in rows and columns of units without spikes.

    Raises
    ------
    BraindecError
        If trains are not sorted, spikes lie outside the stretch, or ``dt`` is not above 0.
    """
    flat, offsets = check_trains(flat, offsets)
    inside, tiled = tile_counts(flat, offsets, start=start, stop=stop, dt=dt, backend=backend)
    return sttc_from_counts(inside, tiled / (float(stop) - float(start)), np.diff(offsets))


def sttc_numpy(flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, dt: float) -> np.ndarray:
    """Return what :func:`sttc` does, from all differences of times."""
    inside, tiled = tile_counts_numpy(flat, offsets, start=start, stop=stop, dt=dt)
    return sttc_from_counts(inside, tiled / (stop - start), np.diff(offsets))


def sttc_from_counts(inside: np.ndarray, share: np.ndarray, n_spikes: np.ndarray) -> np.ndarray:
    """Return coefficients from what :func:`tile_counts` finds, which may be summed over several stretches before.

    Parameters
    ----------
    inside : array of int, shape (n_units, n_units)
        At [a, b]: spikes of a within reach of a spike of b.
    share : array of shape (n_units,)
        Share of the time within reach of a unit's spikes, 0 to 1.
    n_spikes : array of int, shape (n_units,)
        Spikes of each unit.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = inside / n_spikes[:, None]
        top, bottom = p - share[None, :], 1 - p * share[None, :]
        term = np.where(bottom > 0, top / bottom, 1.0)
    value = np.clip((term + term.T) / 2, -1.0, 1.0)
    np.fill_diagonal(value, 1.0)
    value[n_spikes == 0], value[:, n_spikes == 0] = np.nan, np.nan
    return value


def tile_counts(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, dt: float, backend: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes within reach of other units' spikes and the time within reach; arguments as in :func:`sttc`.

    Returns
    -------
    inside : array of int64, shape (n_units, n_units)
        At [a, b]: spikes of a within ``dt`` of a spike of b.
    tiled : array of shape (n_units,)
        Time within ``dt`` of a unit's spikes, s.
    """
    flat, offsets = check_trains(flat, offsets)
    start, stop = check_stretch(start, stop, flat)
    dt = check_positive(dt, "the reach dt of a spike (s)")
    backend = choose(backend, kernel="sttc")
    if backend == "numpy":
        return tile_counts_numpy(flat, offsets, start=start, stop=stop, dt=dt)
    n, counts, reach = len(offsets) - 1, np.diff(offsets), dt + time_slack(start, stop)
    inside = np.zeros((n, n), dtype=np.int64)
    if backend == "cuda":
        launch_pairs(_pairs_cuda, (flat, offsets), (reach,), inside, ordered=True)
    else:
        n_cells = min(max(16, _CELLS * int(counts.max(initial=0))), _MOST_CELLS)
        cells = np.minimum((flat - start) * (n_cells / (stop - start)), n_cells - 1).astype(np.int32)
        edges = split_rows(np.full(n, len(flat) + n_cells), least=1e5)
        run_parts(lambda first, last: _columns(flat, cells, offsets, n_cells, reach, first, last, inside), edges)
    return inside, _tiled(flat, offsets, start, stop, dt)


def tile_counts_numpy(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, dt: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return what :func:`tile_counts` does, from all differences of times."""
    n, reach = len(offsets) - 1, dt + time_slack(start, stop)
    trains = [flat[offsets[u] : offsets[u + 1]] for u in range(n)]
    inside = [[int((np.abs(a[:, None] - b[None, :]) <= reach).any(axis=1).sum()) for b in trains] for a in trains]
    tiled = np.zeros(n)
    for unit, train in enumerate(trains):
        covered = start
        for t in train:
            tiled[unit] += max(0.0, min(t + dt, stop) - max(t - dt, covered))
            covered = max(covered, min(t + dt, stop))
    return np.array(inside, dtype=np.int64).reshape(n, n), tiled


def _tiled(flat: np.ndarray, offsets: np.ndarray, start: float, stop: float, dt: float) -> np.ndarray:
    """Return the time within ``dt`` of the spikes of each unit: a tile ends where the next one begins."""
    ends = np.minimum(flat + dt, stop)
    begins = np.maximum(flat - dt, start)
    follows = np.ones(len(flat), dtype=bool)
    follows[offsets[:-1][np.diff(offsets) > 0]] = False
    before = np.where(follows, np.concatenate([[start], ends[:-1]])[: len(flat)], start)
    tiled, fires = np.zeros(len(offsets) - 1), np.diff(offsets) > 0
    if fires.any():
        tiled[fires] = np.add.reduceat(ends - np.maximum(begins, before), offsets[:-1][fires])
    return tiled


@njit(cache=True, nogil=True)
def _columns(flat, cells, offsets, n_cells, reach, first, last, inside):  # type: ignore[no-untyped-def]
    n = len(offsets) - 1
    table = np.empty(n_cells, dtype=np.int32)
    for b in range(first, last):
        begin, m = offsets[b], offsets[b + 1] - offsets[b]
        train = np.empty(m + 2)  # between a spike long before and one long after
        train[0], train[m + 1] = -np.inf, np.inf
        train[1 : m + 1] = flat[begin : begin + m]
        k = 0
        for cell in range(n_cells):  # spikes in cells before this one
            table[cell] = k
            while k < m and cells[begin + k] == cell:
                k += 1
        for a in range(n):
            found, k = 0, np.uint32(0)
            for s in range(np.uint64(offsets[a]), np.uint64(offsets[a + 1])):
                t = flat[s]
                k = max(k, np.uint32(table[np.uint32(cells[s])]))
                while train[k + np.uint32(1)] <= t:
                    k += np.uint32(1)
                found += (t - train[k] <= reach) | (train[k + np.uint32(1)] - t <= reach)
            inside[a, b] = found


@cuda.jit
def _pairs_cuda(flat, offsets, reach, first, second, inside):  # type: ignore[no-untyped-def]
    for pair in range(cuda.grid(1), len(first), cuda.gridsize(1)):
        a, b = first[pair], second[pair]
        k, end, found = offsets[b], offsets[b + 1], 0
        for s in range(offsets[a], offsets[a + 1]):
            while k < end and flat[s] - flat[k] > reach:
                k += 1  # too early for this spike, and so for all later ones
            if k < end and flat[k] - flat[s] <= reach:
                found += 1
        inside[a, b] = found


PTX_SIGNATURES = {"_pairs_cuda": "void(f8[::1], i8[::1], f8, i4[::1], i4[::1], i8[:, ::1])"}
