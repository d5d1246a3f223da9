"""Victor-Purpura distances of all pairs of spike trains: the least cost of turning one train into the other.

Deleting or inserting a spike costs 1, moving one by ``dt`` costs ``cost * |dt|``. With ``D[i, j]`` for the first ``i`` and
``j`` spikes::

    D[i, j] = min(D[i-1, j] + 1, D[i, j-1] + 1, D[i-1, j-1] + cost |a_i - b_j|)

The compiled version walks along anti-diagonals ``i + j``, whose cells do not depend on one another and fill vector
registers. Moving a spike by more than ``2 / cost`` is never better than deleting it and inserting the other, so only a band
of cells can take the third way; its ends go up by at most one cell from one anti-diagonal to the next, and next to the band
one cell is kept on either side. Nothing is approximated. The CUDA version has one thread a pair and one row of the same band.

Source: Victor & Purpura 1996 (J Neurophysiol 76:1310), D^spike; the recursion is that of Sellers 1974.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._pairs import launch_pairs, run_pairs
from braindec.kernels._trains import check_trains

__all__ = ["PTX_SIGNATURES", "victor_purpura", "victor_purpura_numpy"]

_LARGEST = 1e300  # stands for an infinite cost: any distance of two doubles times this is above 2


def victor_purpura_numpy(flat: np.ndarray, offsets: np.ndarray, *, cost: float) -> np.ndarray:
    """Return what :func:`victor_purpura` does, from the recursion over all cells."""
    n = len(offsets) - 1
    out = np.zeros((n, n))
    for x in range(n):
        a = flat[offsets[x] : offsets[x + 1]]
        for y in range(x + 1, n):
            b = flat[offsets[y] : offsets[y + 1]]
            move = min(cost, _LARGEST) * np.abs(a[:, None] - b[None, :])
            least = np.zeros((len(a) + 1, len(b) + 1))
            least[0], least[:, 0] = np.arange(len(b) + 1), np.arange(len(a) + 1)
            for i in range(len(a)):
                for j in range(len(b)):
                    least[i + 1, j + 1] = min(least[i, j + 1] + 1, least[i + 1, j] + 1, least[i, j] + move[i, j])
            out[x, y] = out[y, x] = least[-1, -1]
    return out


def victor_purpura(flat: np.ndarray, offsets: np.ndarray, *, cost: float, backend: str | None = None) -> np.ndarray:
    """Return the distances of all pairs of units.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains, times in s (:meth:`braindec.types.Spikes.trains`).
    cost : float
        Cost of moving a spike by one second, in 1 / s: 0 compares numbers of spikes, infinity counts the spikes that are
        not simultaneous. Spikes farther apart than ``2 / cost`` do not belong to one another.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_units, n_units)
        Symmetric, zeros on the diagonal. A unit without spikes is as far from another as that one has spikes.

    Raises
    ------
    BraindecError
        If trains are not sorted, or the cost is below 0 or not a number.
    """
    flat, offsets = check_trains(flat, offsets)
    try:
        cost = float(cost)
    except (TypeError, ValueError):
        cost = np.nan
    if not cost >= 0:
        raise BraindecError("the cost of moving a spike must be a number of at least 0, in 1 / s", found=f"{cost}")
    backend = choose(backend, kernel="victor_purpura")
    if backend == "numpy":
        return victor_purpura_numpy(flat, offsets, cost=cost)
    n = len(offsets) - 1
    counts = np.diff(offsets)
    if cost == 0:  # every spike can be moved for nothing
        return np.abs(counts[:, None] - counts[None, :]).astype(np.float64)
    cost, out = min(cost, _LARGEST), np.zeros((n, n))
    if backend == "cuda":
        launch_pairs(_pairs_cuda, (flat, offsets), (cost,), out, scratch=(int(counts.max(initial=0)) + 1,))
    else:
        backward = flat[::-1].copy()  # unit after unit from its last spike to its first
        work = counts[:, None] * counts[None, :].astype(np.float64)
        run_pairs(lambda first, last: _rows(flat, backward, offsets, cost, first, last, out), work, least=3e5)
    return out + out.T


@njit(cache=True, nogil=True, inline="never", fastmath={"contract", "nnan", "nsz"})
def _cells(last, before, now, a, b, low, back, n_cells, cost):  # type: ignore[no-untyped-def]
    # One stretch of an anti-diagonal. Unsigned places are never wrapped from the end, which keeps the loop vectorised.
    one = np.uint64(1)
    for k in range(np.uint64(n_cells)):
        i = np.uint64(low) + k
        keep = min(last[i], last[i - one]) + 1.0
        now[i] = min(keep, before[i - one] + cost * abs(a[i - one] - b[np.uint64(back) + k]))


@njit(cache=True, nogil=True)
def _distance(a, b, cost, one, two, three):  # type: ignore[no-untyped-def]
    # a, b: times of one train, and of the other from its last to its first; D[i, d - i] lies at place i of diagonal d
    n, m = len(a), len(b)
    reach = 2.0 / cost
    before, last, now = one, two, three
    before[0] = 0.0
    last[0], last[1] = 1.0, 1.0
    low, high = 1, 0  # cells low ... high of the diagonal are in the band
    for d in range(2, n + m + 1):
        first, final = max(1, d - m), min(n, d - 1)
        low = max(low, first)
        while low <= final and a[low - 1] - b[m - d + low] <= -reach:
            low += 1
        high = max(high, low - 1)
        while high < final and a[high] - b[m - d + high + 1] < reach:
            high += 1
        if high >= low:
            _cells(last, before, now, a, b, low, m - d + low, high - low + 1, cost)
        now[low - 1] = last[low - 1] + 1.0  # below the band only the other train's spike can go
        now[high + 1] = last[high] + 1.0
        before, last, now = last, now, before
    return last[n]


@njit(cache=True, nogil=True)
def _rows(flat, backward, offsets, cost, first, last, out):  # type: ignore[no-untyped-def]
    n, end = len(offsets) - 1, len(flat)
    longest = 0
    for x in range(first, last):
        longest = max(longest, offsets[x + 1] - offsets[x])
    one, two, three = np.empty(longest + 2), np.empty(longest + 2), np.empty(longest + 2)
    for x in range(first, last):
        a = flat[offsets[x] : offsets[x + 1]]
        for y in range(x + 1, n):
            b = backward[end - offsets[y + 1] : end - offsets[y]]
            if len(a) and len(b):
                out[x, y] = _distance(a, b, cost, one, two, three)
            else:
                out[x, y] = len(a) + len(b)


@cuda.jit
def _pairs_cuda(flat, offsets, cost, first, second, rows, out):  # type: ignore[no-untyped-def]
    lane, step = cuda.grid(1), cuda.gridsize(1)
    reach = 2.0 / cost
    for pair in range(lane, len(first), step):
        x, y = first[pair], second[pair]
        a, b = offsets[x], offsets[y]
        n, m = offsets[x + 1] - a, offsets[y + 1] - b
        rows[0, lane] = 0.0
        low, known = 1, 0  # the row holds D[i, j] for j up to known; from there on each spike of b adds 1
        for i in range(n):
            time = flat[a + i]
            while low <= m and flat[b + low - 1] - time <= -reach:
                if low > known:
                    rows[known + 1, lane] = rows[known, lane] + 1.0
                    known += 1
                low += 1
            corner = rows[low - 1, lane]
            left = corner + 1.0  # beside spikes that are all too early, this one can only go
            rows[low - 1, lane] = left
            j = low
            while j <= m and flat[b + j - 1] - time < reach:
                above = rows[j, lane] if j <= known else corner + 1.0
                left = (left if left < above else above) + 1.0  # min() does not compile for CUDA in Numba 0.68
                move = corner + cost * abs(time - flat[b + j - 1])
                left = left if left < move else move
                rows[j, lane] = left
                corner = above
                j += 1
            known = j - 1
        out[x, y] = rows[known, lane] + (m - known)


PTX_SIGNATURES = {"_pairs_cuda": "void(f8[::1], i8[::1], f8, i4[::1], i4[::1], f8[:, ::1], f8[:, ::1])"}
