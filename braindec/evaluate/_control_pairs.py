"""Every made item against the truth of every item: the tables from which exchanging items gives a null in no time.

A row that never saw the brain's answer to an item can not know whose picture it is: exchanging which made item belongs to which
true one changes nothing but chance. With the score of all pairs at hand a thousand exchanges are a thousand look-ups.

Source: permutation of items as in :mod:`braindec.evaluate.identification`; Phipson & Smyth 2010 (SAGMB 9:39) for p.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from braindec.stats.permutation import permute_within

_GRID = 1e9  # similarities closer than 1e-9 are ties: they differ by rounding only
_BLOCK = 20_000_000  # look-ups at once

__all__ = ["as_unit", "beaten", "correlations", "exchange_null", "exchanges", "first", "thumbnails"]


def as_unit(made: np.ndarray) -> np.ndarray:
    """Return pictures as float32 of 0 to 1 (8-bit ones are divided by 255); texts as they are."""
    made = np.asarray(made)
    if made.dtype == np.uint8:
        return made.astype(np.float32) / 255
    return made if made.dtype.kind in "OUS" else made.astype(np.float32, copy=False)


def thumbnails(pictures: np.ndarray, *, size: int = 32, frames: int = 8) -> np.ndarray:
    """Return pictures (or films) made small by averaging, as vectors, shape (n, units), float32.

    Parameters
    ----------
    pictures : array of shape (n, [n_frames,] height, width, channel)
    size, frames : int
        Height, width and number of frames at most.
    """
    small = np.asarray(pictures, dtype=np.float32)
    for axis, most in [(small.ndim - 3, size), (small.ndim - 2, size), *([(1, frames)] if small.ndim == 5 else [])]:
        length = small.shape[axis]
        if length > most:
            edges = np.linspace(0, length, most + 1).astype(int)
            shape = [1] * small.ndim
            shape[axis] = most
            small = np.add.reduceat(small, edges[:-1], axis=axis) / np.diff(edges).reshape(shape).astype(np.float32)
    return small.reshape(len(small), -1)


def correlations(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of every row of ``made`` with every row of ``true``; 0 where a row does not vary."""
    a, b = (_centred(np.asarray(v, dtype=np.float64).reshape(len(v), -1)) for v in (made, true))
    return np.rint(a @ b.T * _GRID) / _GRID


def beaten(similarity: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
    """Return what each made item would score in two-way identification if it were of each item, shape (n_made, n_items).

    Entry (i, j) is the share of other items that are less similar to made item i than item j is; ties count one half.

    Parameters
    ----------
    similarity : array of shape (n_made, n_items)
    within : array of shape (n_items,), optional
        Only items of the same class are distractors; NaN for an item that is alone in its class.
    """
    groups = np.zeros(similarity.shape[1], dtype=int) if within is None else np.unique(within, return_inverse=True)[1]
    out = np.full(similarity.shape, np.nan)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        if len(mine) > 1:
            out[:, mine] = (rankdata(similarity[:, mine], axis=1) - 1) / (len(mine) - 1)
    return out


def first(similarity: np.ndarray) -> np.ndarray:
    """Return whether each made item is nearer to an item than to any other, shape (n_made, n_items); ties share the place."""
    best = similarity == similarity.max(axis=1, keepdims=True)
    return best / best.sum(axis=1, keepdims=True)


def exchanges(n_items: int, groups: np.ndarray | None, *, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``n`` ways to exchange items, (n, n_items) of item numbers; only within groups where there are some."""
    own = np.arange(n_items)
    return np.array([permute_within(own, groups, rng) for _ in range(n)], dtype=np.int64).reshape(n, n_items)


def exchange_null(pairs: np.ndarray, code: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return the mean score under each exchange of items, shape (len(orders),).

    Parameters
    ----------
    pairs : array of shape (n_made, n_items)
        See :func:`beaten`; made items of which nothing is defined are left out.
    code : array of int, shape (n_made,)
        The item of each made one.
    orders : array of int, shape (n_exchanges, n_items)
        See :func:`exchanges`.
    """
    rows = np.flatnonzero(np.isfinite(pairs[np.arange(len(pairs)), code]))
    step = max(1, _BLOCK // max(1, len(rows)))
    parts = [pairs[rows, orders[i : i + step][:, code[rows]]].mean(axis=1) for i in range(0, len(orders), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _centred(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = length <= 1e-9 * np.sqrt(rows.shape[1])
    return np.divide(rows, length, out=np.zeros_like(rows), where=~flat)
