"""Ranks of candidates that are fair to ties, in blocks, with the permutation of item identities alongside.

A query's true candidate has ``above`` candidates strictly more similar and ``tied`` others exactly as similar. Under
random tie-breaking its rank is uniform on ``above + 1 ... above + tied + 1``; every statistic here is the
expectation under that, so no order of the candidates can help or hurt.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

_GRID = 1e9  # similarities closer than 1e-9 are ties: they differ by rounding only
_BLOCK = 4_000_000  # similarities in memory at once


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, float64; a zero row stays zero."""
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def blocks(queries: np.ndarray, candidates: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, similarity (n_rows, n_candidates)) a block of queries at a time, on the grid that makes ties exact."""
    step = max(1, _BLOCK // max(1, len(candidates)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        yield rows, np.rint(queries[rows] @ candidates.T * _GRID) / _GRID


def true_ranks(queries: np.ndarray, candidates: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the candidates above and tied with the true one.

    Parameters
    ----------
    queries : array of shape (n_queries, dim)
    candidates : array of shape (n_candidates, dim)
    true : array of int, shape (n_queries,)
        Row of the true candidate.

    Returns
    -------
    above, tied : array of int, shape (n_queries,)
        ``tied`` does not count the true candidate itself.
    """
    above, tied = np.empty(len(queries), dtype=np.int64), np.empty(len(queries), dtype=np.int64)
    for rows, similarity in blocks(queries, candidates):
        own = np.take_along_axis(similarity, true[rows, None], axis=1)
        above[rows] = (similarity > own).sum(axis=1)
        tied[rows] = (similarity == own).sum(axis=1) - 1
    return above, tied


def all_ranks(
    queries: np.ndarray, candidates: np.ndarray, shown: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (rows, above, tied) for every candidate in ``shown``, a block of queries at a time."""
    for rows, similarity in blocks(queries, candidates):
        low = rankdata(-similarity, method="min", axis=1)[:, shown]
        high = rankdata(-similarity, method="max", axis=1)[:, shown]
        yield rows, low.astype(np.int64) - 1, (high - low).astype(np.int64)


def top_credit(above: np.ndarray, tied: np.ndarray, k: int) -> np.ndarray:
    """Probability that the true candidate is among the first ``k``."""
    return np.clip((k - above) / (tied + 1.0), 0.0, 1.0)


def expected_rank(above: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """Expected rank, 1 is best."""
    return above + 1.0 + tied / 2.0


def reciprocal(above: np.ndarray, tied: np.ndarray, n_candidates: int) -> np.ndarray:
    """Expected 1 / rank."""
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, n_candidates + 1))]
    return (harmonic[above + tied + 1] - harmonic[above]) / (tied + 1.0)


def pairwise(above: np.ndarray, tied: np.ndarray, n_candidates: int) -> np.ndarray:
    """Share of wrong candidates that are less similar than the true one, ties counting half."""
    return (n_candidates - expected_rank(above, tied)) / (n_candidates - 1.0)
