"""Ranks of segments and of words for retrieval from continuous speech, and the exchange of whole blocks of sentences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from braindec.errors import BraindecError

_GRID = 1e9  # similarities closer than 1e-9 of the row's largest are ties: they differ by rounding only
_BLOCK = 4_000_000  # similarities in memory at once

__all__ = ["block_exchange", "exchange_table", "places_in_content", "rank_blocks", "word_probabilities"]


def rank_blocks(similarity: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (rows, above, tied) for every candidate: how many are more similar, and how many others exactly as similar."""
    step = max(1, _BLOCK // max(1, similarity.shape[1]))
    for start in range(0, len(similarity), step):
        rows = slice(start, min(start + step, len(similarity)))
        part = np.asarray(similarity[rows], dtype=np.float64)
        largest = np.abs(part).max(axis=1, keepdims=True)
        part = np.rint(part / np.where(largest > 0, largest, 1.0) * _GRID)
        low = rankdata(-part, method="min", axis=1).astype(np.int64)
        high = rankdata(-part, method="max", axis=1).astype(np.int64)
        yield rows, low - 1, high - low


def word_probabilities(similarity: np.ndarray, word: np.ndarray, n_words: int, scale: float) -> np.ndarray:
    """Softmax of ``scale * similarity`` over candidates, summed over those of one word: (n_windows, n_words)."""
    out = np.empty((len(similarity), n_words))
    step = max(1, _BLOCK // max(1, similarity.shape[1]))
    order = np.argsort(word, kind="stable")
    starts = np.searchsorted(word[order], np.arange(n_words))
    for start in range(0, len(similarity), step):
        part = scale * np.asarray(similarity[start : start + step], dtype=np.float64)
        part = np.exp(part - part.max(axis=1, keepdims=True))
        part /= part.sum(axis=1, keepdims=True)
        out[start : start + step] = np.add.reduceat(part[:, order], starts, axis=1)
    return out


def block_exchange(
    content: np.ndarray, position: np.ndarray, *, n: int, rng: np.random.Generator
) -> tuple[Iterator[np.ndarray], int, bool]:
    """Exchange the identities of whole contents; what stood at a place in one goes to that place in the other.

    Parameters
    ----------
    content : array of int, shape (n_candidates,)
        The content of each candidate, numbered from 0.
    position : array of shape (n_candidates,)
        s from the content's begin. A longer content goes around in a shorter one.
    n : int
        Exchanges wanted.
    rng : numpy.random.Generator

    Returns
    -------
    maps : iterator of array of int, shape (n_candidates,)
        Which candidate each one becomes.
    n : int
        How many there are.
    exhaustive : bool
        All orders of the contents were tried, the true one among them.

    Notes
    -----
    Windows of one sentence overlap, so that neither they nor their hits are independent: contents are what can be exchanged.
    """
    n_contents = int(content.max()) + 1
    if n_contents < 2:
        raise BraindecError(
            "there is nothing to exchange: all test segments are of one content", found="1 content",
            fix="a larger test part, or n_permutations=0",
        )  # fmt: skip
    table, rows = exchange_table(content, position), np.arange(len(content))
    if math.factorial(n_contents) <= n:
        orders: Iterator = (np.array(o) for o in itertools.permutations(range(n_contents)))
        return (table[rows, o[content]] for o in orders), math.factorial(n_contents), True
    return (table[rows, rng.permutation(n_contents)[content]] for _ in range(n)), n, False


def exchange_table(content: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Which candidate each one becomes if its content becomes another: (n_candidates, n_contents), the nearest place in it."""
    n_contents = int(content.max()) + 1
    begins = np.array([position[content == c].min() for c in range(n_contents)])
    at = position - begins[content]
    table = np.empty((len(content), n_contents), dtype=np.int64)
    for c in range(n_contents):
        own = np.flatnonzero(content == c)
        own = own[np.argsort(position[own], kind="stable")]
        places = position[own] - begins[c]
        around = places[-1] + (np.median(np.diff(places)) if len(places) > 1 else 1.0)
        wrapped = np.where(content == c, at, np.mod(at, around))
        after = np.minimum(np.searchsorted(places, wrapped), len(own) - 1)
        before = np.maximum(after - 1, 0)
        near = np.where(np.abs(places[before] - wrapped) < np.abs(places[after] - wrapped), before, after)
        table[:, c] = own[near]
        table[own, c] = own  # itself
    return table


def places_in_content(items: pd.DataFrame, content: str) -> tuple[np.ndarray, np.ndarray]:
    """Number of the content of each candidate, and s from its begin (blocks of one content laid end to end)."""
    code, _ = pd.factorize(items[content].astype(str), sort=True)
    if "in_block" not in items:
        place = items.groupby(code).cumcount().to_numpy(dtype=float)
        return code, place
    within = items["in_block"].to_numpy(dtype=float)
    block = items["block_id"].astype(str).to_numpy() if "block_id" in items else code.astype(str)
    shift = np.zeros(len(items))
    for c in np.unique(code):
        reach = 0.0
        for b in dict.fromkeys(block[code == c]):
            mine = (code == c) & (block == b)
            shift[mine] = reach - within[mine].min()
            reach += np.ptp(within[mine]) + 1.0
    return code, within + shift
