"""Noise ceilings of rank comparators in one resample: pool ranks, rank the pool again, correlate it with each matrix.

The pool of several matrices is the mean of their ranks, and the matrix that fits them best by ranks is the pool ranked
again. A resample needs one such ranking for the upper ceiling and one for each subject left out. Sums of ranks are
half-integers of a known range, so a radix sort in two or three passes takes the place of comparisons.

Source: Nili et al. 2014 (PLoS Comput Biol 10:e1003553) for the ceilings; Schütt et al. 2023 (eLife 12:e82566) for
rho-a and its pool.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["rank_again", "rank_again_numpy", "rank_ceilings", "rank_ceilings_numpy"]

_BITS = 11  # 2,048 counters stay in the first cache


def rank_again_numpy(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return centred mid-ranks of ``values`` that stand ``weights`` times each, both of shape (n,): the plain form."""
    order = np.argsort(values, kind="stable")
    run = np.append(0, np.cumsum(np.diff(values[order]) != 0))
    equal = np.bincount(run, weights[order])
    below = np.cumsum(equal) - equal
    out = np.empty(len(values))
    out[order] = (below + equal / 2)[run] - weights.sum() / 2
    return out


def rank_ceilings_numpy(
    ranks: np.ndarray, weights: np.ndarray, *, copies: np.ndarray, share: np.ndarray, subject: np.ndarray, ties: bool
) -> np.ndarray:
    """Return what :func:`rank_ceilings` does, from the definitions."""
    found = np.full((len(copies), 2), np.nan)
    n = weights.sum()

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        top = np.sum(weights * a * b)
        if not ties:
            return top / ((n**3 - n) / 12)
        size = np.sum(weights * a * a) * np.sum(weights * b * b)
        return top / np.sqrt(size) if size > 0 else 0.0

    for row, (c, s) in enumerate(zip(copies, share, strict=True)):
        drawn = np.flatnonzero(c)
        pool = rank_again_numpy(c @ ranks, weights)
        found[row, 1] = sum(s[r] * similarity(pool, ranks[r]) for r in drawn) / s.sum()
        if len(set(subject[drawn])) < 2:
            continue
        found[row, 0] = 0.0
        for r in drawn:
            others = rank_again_numpy(np.where(subject == subject[r], 0, c) @ ranks, weights)
            found[row, 0] += s[r] * similarity(others, ranks[r]) / s.sum()
    return found


def rank_again(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return centred mid-ranks of half-integers, shape (n,), float32 weights, by a radix sort."""
    out = np.empty(len(values), dtype=np.float32)
    keys = np.empty((2, len(values)), dtype=np.int64)
    again = _compiled()[0]
    values, weights = np.asarray(values, dtype=np.float32), np.asarray(weights, dtype=np.float32)
    again(values, weights, float(np.abs(values).max(initial=0)), float(weights.sum(dtype=float)), keys[0], keys[1], out)
    return out


def rank_ceilings(
    ranks: np.ndarray, weights: np.ndarray, *, copies: np.ndarray, share: np.ndarray, subject: np.ndarray, ties: bool
) -> np.ndarray:
    """Return lower and upper ceiling for several resamples of subjects, shape (n_resamples, 2).

    Parameters
    ----------
    ranks : array of float32, shape (n_rdm, n_pairs)
        Centred mid-ranks of the pairs that are drawn.
    weights : array of float32, shape (n_pairs,)
        How often each pair stands in the resample of conditions.
    copies : array of float64, shape (n_resamples, n_rdm)
        How often each matrix is drawn.
    share : array of float64, shape (n_resamples, n_rdm)
        Weight of each matrix in the mean over matrices.
    subject : array of int64, shape (n_rdm,)
        Whose matrix it is: the lower ceiling leaves out all matrices of a subject.
    ties : bool
        True divides by the sizes of the ranks (Spearman), False by their size without ties (rho-a).

    Notes
    -----
    The lower ceiling is NaN where a single subject was drawn: nobody is left to predict it.
    """
    part = share / share.sum(axis=1, keepdims=True)
    n = float(np.sum(weights, dtype=float))
    return _compiled()[1](ranks, weights, copies.astype(np.float32), part, subject, ties, n, int(subject.max()) + 1)


@cache
def _compiled() -> Any:
    from numba import njit

    size = 1 << _BITS
    sums = {"reassoc", "contract", "nsz"}  # sums may be taken in several lanes

    @njit(cache=False)
    def again(values, weights, reach, copies, key, other_key, out):  # type: ignore[no-untyped-def]
        # values lie within -reach and reach; a key holds twice the value above, and the place below, 32 bits
        n, most = len(values), np.int64(4.0 * reach + 1.0)
        low, high = np.zeros(size + 1, dtype=np.int32), np.zeros(size + 1, dtype=np.int32)
        for i in range(n):
            value = np.int64(2.0 * (values[i] + reach) + 0.5)
            key[i] = (value << 32) | i
            low[(value & (size - 1)) + 1] += 1
            high[((value >> _BITS) & (size - 1)) + 1] += 1
        shift = 0
        while shift == 0 or (most >> shift) > 0:
            count = low if shift == 0 else high
            if shift > _BITS:  # a third digit
                count[:] = 0
                for i in range(n):
                    count[((key[i] >> (32 + shift)) & (size - 1)) + 1] += 1
            for b in range(size):
                count[b + 1] += count[b]
            for i in range(n):
                bucket = (key[i] >> (32 + shift)) & (size - 1)
                other_key[count[bucket]] = key[i]
                count[bucket] += 1
            key, other_key = other_key, key
            shift += _BITS
        begin, place, below = 0, np.int64(0xFFFFFFFF), -0.5 * copies
        while begin < n:
            value, end, equal = key[begin] >> 32, begin, 0.0
            while end < n and key[end] >> 32 == value:
                equal += weights[key[end] & place]
                end += 1
            for at in range(begin, end):
                out[key[at] & place] = below + 0.5 * equal
            below += equal
            begin = end

    @njit(cache=False, fastmath=sums)
    def dot(pool, row, weights):  # type: ignore[no-untyped-def]
        top = 0.0
        for i in range(len(pool)):
            top += np.float64(weights[i] * pool[i]) * row[i]
        return top

    @njit(cache=False)
    def similarity(pool, row, weights, n, ties):  # type: ignore[no-untyped-def]
        top = dot(pool, row, weights)
        if not ties:
            return top / ((n * n * n - n) / 12.0)
        both = dot(pool, pool, weights) * dot(row, row, weights)
        return top / np.sqrt(both) if both > 0 else 0.0

    @njit(cache=False)
    def run(ranks, weights, copies, share, subject, ties, n, n_subjects):  # type: ignore[no-untyped-def]
        n_rdm, n_pairs = ranks.shape
        found = np.full((len(copies), 2), np.nan)
        pool, others = np.empty(n_pairs, dtype=np.float32), np.empty(n_pairs, dtype=np.float32)
        best, left = np.empty(n_pairs, dtype=np.float32), np.empty(n_pairs, dtype=np.float32)
        key, other_key = np.empty(n_pairs, dtype=np.int64), np.empty(n_pairs, dtype=np.int64)
        for row in range(len(copies)):
            c, s, reach = copies[row], share[row], 0.0
            for r in range(n_rdm):
                reach += 0.5 * n * c[r]
            for i in range(n_pairs):
                pool[i] = 0.0
            for r in range(n_rdm):
                if c[r] > 0:
                    for i in range(n_pairs):
                        pool[i] += c[r] * ranks[r, i]
            again(pool, weights, reach, n, key, other_key, best)
            upper, lower, n_drawn = 0.0, 0.0, 0
            for one in range(n_subjects):
                drawn = False
                for i in range(n_pairs):
                    others[i] = pool[i]
                for r in range(n_rdm):
                    if subject[r] == one and c[r] > 0:
                        drawn = True
                        upper += s[r] * similarity(best, ranks[r], weights, n, ties)
                        for i in range(n_pairs):
                            others[i] -= c[r] * ranks[r, i]
                if not drawn:
                    continue
                n_drawn += 1
                again(others, weights, reach, n, key, other_key, left)
                for r in range(n_rdm):
                    if subject[r] == one and c[r] > 0:
                        lower += s[r] * similarity(left, ranks[r], weights, n, ties)
            found[row, 1] = upper
            if n_drawn > 1:
                found[row, 0] = lower
        return found

    return again, run
