"""SPIKE distance of all pairs of spike trains: how far apart the spikes around each moment are, averaged over time.

Each spike has a distance ``d`` to the nearest spike of the other train. Between two spikes of train 1 the local
dissimilarity ``S_1(t)`` goes linearly from the ``d`` of the one to that of the next; ``nu_1(t)`` is the interval between
them::

    S(t) = (S_1 nu_2 + S_2 nu_1) / (1/2 (nu_1 + nu_2)^2),    D = 1 / T * integral S(t) dt

It has no parameter and lies from 0 to 1. The profile is linear between spikes of either train and may jump at them. Before
the first and after the last spike ``S_1`` stays at the ``d`` of that spike; intervals at the edges, and trains without
spikes, are those of ``_knots.py``, and the auxiliary spikes there count as spikes that may be the nearest.

The compiled version finds nearest spikes in one pass over both trains and integrates in a second one: O(n + m). The mean of
a linear piece is its value in the middle.

Source: Kreuz et al. 2013 (J Neurophysiol 109:1457); edges from Kreuz, Mulansky & Bozanic 2015 (J Neurophysiol 113:3432)
and Mulansky & Kreuz 2016 (SoftwareX 5:183).
Differs from the reference in: a train of one spike that lies exactly at the start, for which PySpike 0.9 measures the
distance of the stop to the other train; here ``S_1`` stays at the ``d`` of the last spike, as everywhere else.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, njit

from braindec.kernels._backend import choose
from braindec.kernels._knots import add_knots, check_pair, one_train, order_keys
from braindec.kernels._pairs import launch_pairs, run_pairs
from braindec.kernels._trains import check_stretch, check_trains

__all__ = ["PTX_SIGNATURES", "spike_distance", "spike_distance_numpy", "spike_distance_profile"]


def spike_distance_profile(
    first: np.ndarray, second: np.ndarray, *, start: float, stop: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ``S(t)`` of two trains.

    Parameters
    ----------
    first, second : array
        Sorted times in s.
    start, stop : float
        The stretch that was observed, s.

    Returns
    -------
    edges : array of shape (n + 1,)
        Ends of the linear pieces, s; from ``start`` to ``stop``.
    begins, ends : array of shape (n,)
        The profile just after the beginning and just before the end of each piece.
    """
    trains, start, stop = check_pair(first, second, start, stop)
    edges = np.unique(np.concatenate([[start], *trains, [stop]]))
    knots = [one_train(train, start, stop) for train in trains]
    nu, local = [], []
    for mine, other in (knots, knots[::-1]):
        after = np.clip(np.searchsorted(other, mine[1:-1]), 1, len(other) - 1)
        d = np.minimum(np.abs(mine[1:-1] - other[after - 1]), np.abs(other[after] - mine[1:-1]))
        d = np.concatenate([d[:1], d, d[-1:]])
        piece = np.searchsorted(mine, edges[:-1], side="right") - 1
        nu.append(np.diff(mine)[piece])
        slope = (d[piece + 1] - d[piece]) / nu[-1]
        local.append(d[piece] + slope * (np.stack([edges[:-1], edges[1:]]) - mine[piece]))
    begins, ends = (local[0] * nu[1] + local[1] * nu[0]) / (0.5 * (nu[0] + nu[1]) ** 2)
    return edges, begins, ends


def spike_distance_numpy(flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float) -> np.ndarray:
    """Return what :func:`spike_distance` does, from the profile of each pair."""
    n = len(offsets) - 1
    trains = [flat[offsets[u] : offsets[u + 1]] for u in range(n)]
    out = np.zeros((n, n))
    for x in range(n):
        for y in range(x + 1, n):
            edges, begins, ends = spike_distance_profile(trains[x], trains[y], start=start, stop=stop)
            out[x, y] = out[y, x] = np.sum((begins + ends) / 2 * np.diff(edges)) / (stop - start)
    return out


def spike_distance(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, backend: str | None = None
) -> np.ndarray:
    """Return the distances of all pairs of units.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains, times in s (:meth:`braindec.types.Spikes.trains`).
    start, stop : float
        The stretch that was observed, s.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_units, n_units)
        From 0 to 1, symmetric, zeros on the diagonal.

    Raises
    ------
    BraindecError
        If trains are not sorted or spikes lie outside the stretch.
    """
    flat, offsets = check_trains(flat, offsets)
    start, stop = check_stretch(start, stop, flat)
    backend = choose(backend, kernel="spike_distance")
    if backend == "numpy":
        return spike_distance_numpy(flat, offsets, start=start, stop=stop)
    knots, places = add_knots(flat, offsets, start, stop)
    keys = order_keys(knots, places, start)
    n, counts = len(offsets) - 1, np.diff(places)
    out = np.zeros((n, n))
    if backend == "cuda":
        launch_pairs(_pairs_cuda, (knots, keys, places), (start, stop), out, scratch=(int(counts.max()),) * 2)
    else:
        work = counts[:, None] + counts[None, :]
        run_pairs(lambda first, last: _rows(knots, keys, places, start, stop, first, last, out), work, least=5e4)
    return out + out.T


def _distance_body(knots, keys, x, n, y, m, mine, theirs, start, stop):  # type: ignore[no-untyped-def]
    # x, y: places of the auxiliary spikes before two trains of n and m spikes, which are gone through in order of time.
    # First the distance of each spike to the nearest of the other train. It is written whenever the spike is next in its
    # own train, and last when it is next of both, with the spikes of the other train just before and after it.
    one = np.uint64(1)
    i, j = one, one
    for _ in range(n + m):
        a, b = knots[x + i], knots[y + j]
        between, since, other = abs(a - b), a - knots[y + j - one], b - knots[x + i - one]
        mine[i] = since if since < between else between  # min() does not compile for CUDA in Numba 0.68
        theirs[j] = other if other < between else between
        first = np.uint64(keys[x + i] <= keys[y + j])
        i += first
        j += one - first
    mine[0], mine[n + 1] = mine[1], mine[n]
    theirs[0], theirs[m + 1] = theirs[1], theirs[m]
    time, total = start, 0.0
    i, j = one - one, one - one
    for step in range(n + m + 1):
        p, a, q, b = knots[x + i], knots[x + i + one], knots[y + j], knots[y + j + one]
        first = keys[x + i + one] <= keys[y + j + one]
        now = a if first else b
        if step == n + m:
            now = stop
        nu, other, middle = a - p, b - q, 0.5 * (time + now)
        here = mine[i] * (a - middle) + mine[i + one] * (middle - p)  # S_1 times nu_1
        there = theirs[j] * (b - middle) + theirs[j + one] * (middle - q)
        if now > time:  # intervals of no length have no slope
            total += (
                (here * other * other + there * nu * nu) * (now - time) / (nu * other * (nu + other) * (nu + other))
            )
        time = now
        forward = np.uint64(first)
        i += forward
        j += one - forward
    return 2.0 * total / (stop - start)


_distance = njit(cache=True, nogil=True)(_distance_body)
_distance_device = cuda.jit(device=True)(_distance_body)


@njit(cache=True, nogil=True)
def _rows(knots, keys, places, start, stop, first, last, out):  # type: ignore[no-untyped-def]
    longest = 0
    for x in range(len(places) - 1):
        longest = max(longest, places[x + 1] - places[x])
    mine, theirs = np.empty(longest), np.empty(longest)
    for x in range(first, last):
        n = places[x + 1] - places[x] - 2
        for y in range(x + 1, len(places) - 1):
            m = places[y + 1] - places[y] - 2
            out[x, y] = _distance(
                knots, keys, np.uint64(places[x]), n, np.uint64(places[y]), m, mine, theirs, start, stop
            )


@cuda.jit
def _pairs_cuda(knots, keys, places, start, stop, first, second, mine, theirs, out):  # type: ignore[no-untyped-def]
    lane = cuda.grid(1)
    for pair in range(lane, len(first), cuda.gridsize(1)):
        x, y = first[pair], second[pair]
        n, m = places[x + 1] - places[x] - 2, places[y + 1] - places[y] - 2
        out[x, y] = _distance_device(
            knots, keys, np.uint64(places[x]), n, np.uint64(places[y]), m, mine[:, lane], theirs[:, lane], start, stop
        )


PTX_SIGNATURES = {
    "_pairs_cuda": "void(f8[::1], i8[::1], i8[::1], f8, f8, i4[::1], i4[::1], f8[:, ::1], f8[:, ::1], f8[:, ::1])"
}
