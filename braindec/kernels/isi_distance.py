"""ISI distance of all pairs of spike trains: how much their instantaneous rates differ, averaged over time.

With ``nu(t)`` the interval between the spikes of a train that surround ``t``::

    I(t) = |nu_1 - nu_2| / max(nu_1, nu_2),    D = 1 / T * integral I(t) dt

It has no parameter and lies from 0 to 1. The profile is constant between spikes. Intervals at the edges, and trains without
spikes, are those of ``_knots.py``: a unit without spikes has one interval as long as the recording.

Source: Kreuz et al. 2007 (J Neurosci Methods 165:151); edges from Kreuz, Mulansky & Bozanic 2015 (J Neurophysiol 113:3432).
"""

from __future__ import annotations

import numpy as np
from numba import cuda, njit

from braindec.kernels._backend import choose
from braindec.kernels._knots import add_knots, check_pair, one_train, order_keys
from braindec.kernels._pairs import launch_pairs, run_pairs
from braindec.kernels._trains import check_stretch, check_trains

__all__ = ["PTX_SIGNATURES", "isi_distance", "isi_distance_numpy", "isi_distance_profile"]


def isi_distance_profile(
    first: np.ndarray, second: np.ndarray, *, start: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``I(t)`` of two trains.

    Parameters
    ----------
    first, second : array
        Sorted times in s.
    start, stop : float
        The stretch that was observed, s.

    Returns
    -------
    edges : array of shape (n + 1,)
        Where the profile jumps, s; from ``start`` to ``stop``.
    values : array of shape (n,)
        The profile between two edges.
    """
    trains, start, stop = check_pair(first, second, start, stop)
    edges = np.unique(np.concatenate([[start], *trains, [stop]]))
    nu = []
    for train in trains:
        knots = one_train(train, start, stop)
        nu.append(np.diff(knots)[np.searchsorted(knots, edges[:-1], side="right") - 1])
    return edges, np.abs(nu[0] - nu[1]) / np.maximum(nu[0], nu[1])


def isi_distance_numpy(flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float) -> np.ndarray:
    """Return what :func:`isi_distance` does, from the profile of each pair."""
    n = len(offsets) - 1
    trains = [flat[offsets[u] : offsets[u + 1]] for u in range(n)]
    out = np.zeros((n, n))
    for x in range(n):
        for y in range(x + 1, n):
            edges, values = isi_distance_profile(trains[x], trains[y], start=start, stop=stop)
            out[x, y] = out[y, x] = np.sum(values * np.diff(edges)) / (stop - start)
    return out


def isi_distance(
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
    backend = choose(backend, kernel="isi_distance")
    if backend == "numpy":
        return isi_distance_numpy(flat, offsets, start=start, stop=stop)
    knots, places = add_knots(flat, offsets, start, stop)
    nu = np.append(np.diff(knots), 0.0)  # what lies between two units is never read
    rate = 1.0 / np.maximum(nu, np.finfo(np.float64).tiny)  # intervals of no length take no time
    keys = order_keys(knots, places, start)
    n = len(offsets) - 1
    out = np.zeros((n, n))
    if backend == "cuda":
        launch_pairs(_pairs_cuda, (knots, keys, nu, rate, places), (start, stop), out)
    else:
        counts = np.diff(places)
        work = counts[:, None] + counts[None, :]
        run_pairs(
            lambda first, last: _rows(knots, keys, nu, rate, places, start, stop, first, last, out), work, least=1e5
        )
    return out + out.T


def _distance_body(knots, keys, nu, rate, x, n, y, m, start, stop):  # type: ignore[no-untyped-def]
    # x, y: places of the auxiliary spikes before two trains of n and m spikes, which are gone through in order of time
    time, total = start, 0.0
    for _ in range(n + m):
        one, two = x + np.uint64(1), y + np.uint64(1)
        mine = keys[one] <= keys[two]
        now = knots[one] if mine else knots[two]
        slower = rate[x] if rate[x] < rate[y] else rate[y]  # min() does not compile for CUDA in Numba 0.68
        total += abs(nu[x] - nu[y]) * slower * (now - time)
        time = now
        step = np.uint64(mine)
        x += step
        y += np.uint64(1) - step
    slower = rate[x] if rate[x] < rate[y] else rate[y]
    total += abs(nu[x] - nu[y]) * slower * (stop - time)
    return total / (stop - start)


_distance = njit(cache=True, nogil=True)(_distance_body)
_distance_device = cuda.jit(device=True)(_distance_body)


@njit(cache=True, nogil=True)
def _rows(knots, keys, nu, rate, places, start, stop, first, last, out):  # type: ignore[no-untyped-def]
    for x in range(first, last):
        n = places[x + 1] - places[x] - 2
        for y in range(x + 1, len(places) - 1):
            m = places[y + 1] - places[y] - 2
            out[x, y] = _distance(knots, keys, nu, rate, np.uint64(places[x]), n, np.uint64(places[y]), m, start, stop)


@cuda.jit
def _pairs_cuda(knots, keys, nu, rate, places, start, stop, first, second, out):  # type: ignore[no-untyped-def]
    for pair in range(cuda.grid(1), len(first), cuda.gridsize(1)):
        x, y = first[pair], second[pair]
        n, m = places[x + 1] - places[x] - 2, places[y + 1] - places[y] - 2
        out[x, y] = _distance_device(
            knots, keys, nu, rate, np.uint64(places[x]), n, np.uint64(places[y]), m, start, stop
        )


PTX_SIGNATURES = {
    "_pairs_cuda": "void(f8[::1], i8[::1], f8[::1], f8[::1], i8[::1], f8, f8, i4[::1], i4[::1], f8[:, ::1])"
}
