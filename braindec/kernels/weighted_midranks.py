"""Mid-ranks of the entries of a distance matrix when its conditions are drawn several times or not at all.

A resample of conditions draws condition i ``m_i`` times; the entry of the pair (i, j) then stands ``m_i m_j`` times in the
resampled matrix. Its mid-rank among all copies is ``(copies below) + (copies equal + 1) / 2``, so one sort of the entries
serves every resample. Ranks are given centred, ``rank - (N + 1) / 2`` with ``N`` the number of all copies.

Source: the definition of mid-ranks (Kendall 1948, Rank Correlation Methods, chapter 3) over a multiset.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

__all__ = ["LANES", "SortedPairs", "sort_pairs", "take_lane", "weighted_midranks", "weighted_midranks_numpy"]

LANES = 8  # resamples that are ranked together: their running sums fill one vector register


@dataclass(frozen=True)
class SortedPairs:
    """Entries of one matrix in rising order.

    Parameters
    ----------
    order, first, second : array of int32, shape (n_pairs,)
        Place of each entry in the upper triangle and its two conditions.
    ends : array of int32
        Where runs of equal entries end.
    """

    order: np.ndarray
    first: np.ndarray
    second: np.ndarray
    ends: np.ndarray


def sort_pairs(values: np.ndarray, n_conditions: int) -> list[SortedPairs]:
    """Sort each row of ``values``, shape (n_rdm, n_pairs), upper triangles row by row; once for all resamples."""
    first, second = np.triu_indices(n_conditions, 1)
    found = []
    for row in np.asarray(values):
        order = np.argsort(row, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(row[order]) != 0) + 1, len(row))
        found.append(SortedPairs(*(a.astype(np.int32) for a in (order, first[order], second[order], ends))))
    return found


def weighted_midranks_numpy(values: np.ndarray, multiplicity: np.ndarray) -> np.ndarray:
    """Return centred mid-ranks from their definition, shape (n_pairs,); for pairs that are not drawn the place between ranks.

    Parameters
    ----------
    values : array of shape (n_pairs,)
        Upper triangle, row by row.
    multiplicity : array of int, shape (n_conditions,)
        How often each condition is drawn.
    """
    first, second = np.triu_indices(len(multiplicity), 1)
    weight = (multiplicity[first] * multiplicity[second]).astype(float)
    below = (weight[None, :] * (values[None, :] < values[:, None])).sum(axis=1)
    equal = (weight[None, :] * (values[None, :] == values[:, None])).sum(axis=1)
    return below + equal / 2 - weight.sum() / 2


def weighted_midranks(pairs: SortedPairs, lanes: np.ndarray, out: np.ndarray) -> None:
    """Write the centred mid-ranks of one matrix in :data:`LANES` resamples into ``out``.

    Parameters
    ----------
    pairs : SortedPairs
        Entries in rising order.
    lanes : array of float32, shape (n_conditions, LANES)
        How often each condition is drawn.
    out : array of float32, shape (n_pairs, LANES)
        Filled. Exact while there are fewer than 2 ** 23 copies.
    """
    total = lanes.sum(axis=0, dtype=float)
    copies = (total**2 - (lanes.astype(float) ** 2).sum(axis=0)) / 2
    start = (-copies / 2).astype(np.float32)
    _compiled()[0](pairs.order, pairs.first, pairs.second, pairs.ends, np.ascontiguousarray(lanes), start, out)


def take_lane(out: np.ndarray, drawn: np.ndarray, lane: int, into: np.ndarray) -> None:
    """Write ``out[drawn, lane]`` of (n_pairs, LANES) into ``into``, shape (n_drawn,)."""
    _compiled()[1](out, drawn, lane, into)


@cache
def _compiled() -> Any:
    from numba import njit

    # Eight numbers as a tuple: LLVM keeps them in one vector register, which it does not do for a small array.
    @njit(inline="always")
    def halves(x, y):  # type: ignore[no-untyped-def]
        h = np.float32(0.5)
        return (h * x[0] * y[0], h * x[1] * y[1], h * x[2] * y[2], h * x[3] * y[3],
                h * x[4] * y[4], h * x[5] * y[5], h * x[6] * y[6], h * x[7] * y[7])  # fmt: skip

    @njit(inline="always")
    def plus(x, y):  # type: ignore[no-untyped-def]
        return (x[0] + y[0], x[1] + y[1], x[2] + y[2], x[3] + y[3], x[4] + y[4], x[5] + y[5], x[6] + y[6], x[7] + y[7])

    @njit(inline="always")
    def put(row, x):  # type: ignore[no-untyped-def]
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] = x

    @njit(cache=False)
    def run(order, first, second, ends, lanes, start, out):  # type: ignore[no-untyped-def]
        z = np.float32(0)
        zero = (z, z, z, z, z, z, z, z)
        below = plus(start, zero)
        begin = 0
        for end in ends:
            if end == begin + 1:
                half = halves(lanes[first[begin]], lanes[second[begin]])
                below = plus(below, half)
                put(out[order[begin]], below)
            else:
                half = zero
                for at in range(begin, end):
                    half = plus(half, halves(lanes[first[at]], lanes[second[at]]))
                below = plus(below, half)
                for at in range(begin, end):
                    put(out[order[at]], below)
            below = plus(below, half)
            begin = end

    @njit(cache=False)
    def gather(out, drawn, lane, into):  # type: ignore[no-untyped-def]
        for i in range(len(drawn)):
            into[i] = out[drawn[i], lane]

    return run, gather
