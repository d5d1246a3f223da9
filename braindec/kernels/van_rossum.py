"""Van Rossum distances of all pairs of spike trains: how far apart they are after a causal exponential filter.

Each train is filtered with ``exp(-t / tau)`` for ``t >= 0``; the distance is the root of the integral of the squared
difference, in units in which a single spike is at distance 1 from no spike::

    D^2 = 2 / tau * integral (f - g)^2 dt
        = sum_ij exp(-|a_i - a_j| / tau) + sum_ij exp(-|b_i - b_j| / tau) - 2 sum_ij exp(-|a_i - b_j| / tau)

The compiled version goes once through the spikes of both trains in order. Between two of them the difference ``h`` of the
filtered trains only fades, so with ``e`` the fading from one spike to the next ``D^2 = sum h^2 (1 - e^2)``: O(n + m), and
all terms are positive, so equal trains are at distance 0 exactly. The exponentials of differences come from one exponential
a spike and a table: ``e = down(t') up(t) table[blocks between]`` with blocks whose width is a power of two of about 4 to 8
``tau``, so that places in a block are exact.

Source: van Rossum 2001 (Neural Comput 13:751); Houghton & Kreuz 2012 (Network 23:48) for O(n + m) by memories of spikes.
Differs from the reference in: the factor 2 / tau (van Rossum has 1 / tau; divide by sqrt(2) for his numbers).
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._pairs import launch_pairs, run_pairs
from braindec.kernels._trains import check_trains

__all__ = ["PTX_SIGNATURES", "van_rossum", "van_rossum_numpy"]

_FADED = 750.0  # exp(-750) is 0 in double precision


def van_rossum_numpy(flat: np.ndarray, offsets: np.ndarray, *, tau: float) -> np.ndarray:
    """Return what :func:`van_rossum` does, from the double sums; small distances suffer from their cancelling."""
    n = len(offsets) - 1
    product = np.zeros((n, n))
    for x in range(n):
        a = flat[offsets[x] : offsets[x + 1]]
        for y in range(x, n):
            b = flat[offsets[y] : offsets[y + 1]]
            product[x, y] = product[y, x] = np.exp(-np.abs(a[:, None] - b[None, :]) / tau).sum()
    size = np.diag(product)
    return np.sqrt(np.maximum(size[:, None] + size[None, :] - 2 * product, 0.0))


def van_rossum(flat: np.ndarray, offsets: np.ndarray, *, tau: float, backend: str | None = None) -> np.ndarray:
    """Return the distances of all pairs of units.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains, times in s (:meth:`braindec.types.Spikes.trains`).
    tau : float
        Time constant of the filter in s, above 0; infinity compares numbers of spikes.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_units, n_units)
        Symmetric, zeros on the diagonal. Filtered trains run on after the end of the recording.

    Raises
    ------
    BraindecError
        If trains are not sorted, or ``tau`` is not above 0.
    """
    flat, offsets = check_trains(flat, offsets)
    try:
        tau = float(tau)
    except (TypeError, ValueError):
        tau = math.nan
    if not tau > 0:
        raise BraindecError("the time constant of a van Rossum distance must be above 0 s", found=f"{tau}")
    backend = choose(backend, kernel="van_rossum")
    if backend == "numpy":
        return van_rossum_numpy(flat, offsets, tau=tau)
    n, counts = len(offsets) - 1, np.diff(offsets)
    if math.isinf(tau):  # nothing fades
        return np.abs(counts[:, None] - counts[None, :]).astype(np.float64)
    out = np.zeros((n, n))
    arrays = (*_prepare(flat, offsets, tau), offsets)
    if backend == "cuda":
        launch_pairs(_pairs_cuda, arrays, (), out)
    else:
        work = counts[:, None] + counts[None, :]
        run_pairs(lambda first, last: _rows(*arrays, first, last, out), work, least=1e5)
    return out + out.T


def _prepare(flat: np.ndarray, offsets: np.ndarray, tau: float) -> tuple[np.ndarray, ...]:
    """Return times with a spike that never comes after each unit, the factors of every spike, and the table."""
    tau = min(max(tau, 1e-290), 1e290)  # beyond, nothing changes but numbers overflow
    width = 2.0 ** math.ceil(math.log2(4.0 * tau))
    block = np.floor(flat / width)
    place = (flat - block * width) / tau  # exact but for the division
    never, first = offsets[1:], 0.0 if not len(block) else block.min()
    since = flat - (flat.min() if len(flat) else 0.0)
    keys = np.insert(since, never, np.inf).view(
        np.int64
    )  # bits of numbers from 0 on have their order; quicker to compare
    blocks = np.insert(block - first, never, 0.0)
    up, down = np.insert(np.exp(place), never, 1.0), np.insert(np.exp(-place), never, 1.0)
    table = np.exp(-np.arange(math.ceil(_FADED / (width / tau)) + 2) * (width / tau))
    table[-1] = 0.0
    return keys, blocks, up, down, table


def _distance_body(keys, blocks, up, down, table, a, n, b, m):  # type: ignore[no-untyped-def]
    # a, b: places of the first spikes of two trains of n and m, which are gone through in order of time
    height, total = 0.0, 0.0
    farthest = float(len(table) - 1)
    rising, block, before = 0.0, 0.0, np.int64(-1)  # of the spike before; there is none before the first
    for _ in range(n + m):
        mine = keys[a] <= keys[b]
        at = a if mine else b
        apart = blocks[at] - block
        fade = down[at] * rising * table[int(apart if apart < farthest else farthest)]
        fade = (
            1.0 if (fade > 1.0) | (keys[at] == before) else fade
        )  # the product of three roundings may be off a little
        total += height * height * (1.0 - fade * fade)
        height = height * fade + (1.0 if mine else -1.0)
        rising, block, before = up[at], blocks[at], keys[at]
        step = np.uint64(mine)
        a += step
        b += np.uint64(1) - step
    return math.sqrt(total + height * height)


_distance = njit(cache=True, nogil=True)(_distance_body)
_distance_device = cuda.jit(device=True)(_distance_body)


@njit(cache=True, nogil=True)
def _rows(keys, blocks, up, down, table, offsets, first, last, out):  # type: ignore[no-untyped-def]
    units = len(offsets) - 1
    for x in range(first, last):
        for y in range(x + 1, units):
            n, m = offsets[x + 1] - offsets[x], offsets[y + 1] - offsets[y]
            a, b = np.uint64(offsets[x] + x), np.uint64(offsets[y] + y)  # each unit before has one more entry
            out[x, y] = _distance(keys, blocks, up, down, table, a, n, b, m)


@cuda.jit
def _pairs_cuda(keys, blocks, up, down, table, offsets, first, second, out):  # type: ignore[no-untyped-def]
    for pair in range(cuda.grid(1), len(first), cuda.gridsize(1)):
        x, y = first[pair], second[pair]
        n, m = offsets[x + 1] - offsets[x], offsets[y + 1] - offsets[y]
        a, b = np.uint64(offsets[x] + x), np.uint64(offsets[y] + y)
        out[x, y] = _distance_device(keys, blocks, up, down, table, a, n, b, m)


PTX_SIGNATURES = {
    "_pairs_cuda": "void(i8[::1], f8[::1], f8[::1], f8[::1], f8[::1], i8[::1], i4[::1], i4[::1], f8[:, ::1])"
}
