"""Work of a kernel shared out over threads: each thread owns a stretch of rows, so no two write to one place.

A compiled function that gives up the interpreter's lock (``njit(nogil=True)``) and writes only rows ``first`` to
``last`` of its output gives the same bytes for any number of threads. Python's threads carry it: there is nothing to
compile twice, and a short job stays on one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np

__all__ = ["in_parts", "run_parts", "split_rows"]


def split_rows(weights: np.ndarray, *, least: float, threads: int | None = None) -> np.ndarray:
    """Return the edges of stretches of rows with about the same weight, at most one a thread.

    Parameters
    ----------
    weights : array of shape (n_rows,)
        Work in each row, in any unit.
    least : float
        Work, in that unit, below which a thread does not pay.
    threads : int, optional
        Threads; by default as many as Numba may use (``NUMBA_NUM_THREADS``).

    Returns
    -------
    array of int64, shape (n_parts + 1,)
        From 0 to ``n_rows``.
    """
    done = np.concatenate([[0.0], np.cumsum(np.asarray(weights, dtype=np.float64))])
    n_rows, total = len(done) - 1, float(done[-1])
    wanted = numba.config.NUMBA_NUM_THREADS if threads is None else threads
    n_parts = max(1, min(int(wanted), n_rows, int(total / least)))
    inner = np.searchsorted((done[1:] + done[:-1]) / 2, total * np.arange(1, n_parts) / n_parts)  # the nearest edge
    return np.unique(np.concatenate([[0], inner, [n_rows]])).astype(np.int64)


def run_parts(run: Callable[[int, int], None], edges: Sequence[int] | np.ndarray) -> None:
    """Call ``run(first, last)`` for each stretch between two ``edges``, each on a thread of its own."""
    parts = [(int(a), int(b)) for a, b in pairwise(edges)]
    if len(parts) <= 1:
        for part in parts:
            run(*part)
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: run(*part), parts))


def in_parts(part: Callable[[int, int], None], total: int, *, threads: int) -> None:
    """Call ``part(first, last)`` over rows 0 to ``total`` that are all the same work.

    Parameters
    ----------
    part : callable
        Must not hold the interpreter's lock, and must write to places of its own.
    total : int
        Rows.
    threads : int
        How many, at most one a row.
    """
    n = max(1, min(threads, total))
    run_parts(part, [total * i // n for i in range(n + 1)])
