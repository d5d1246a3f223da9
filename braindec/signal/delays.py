"""Delayed copies of features (finite impulse response): the response may follow the stimulus by several samples.

A run is an island: its first rows have no past, and that past is filled with zeros, never with the end of the run
before.

Source: Dale 1999 (Human Brain Mapping 8:109) for the finite impulse response in fMRI; Nishimoto et al. 2011 (Current
Biology 21:1641) for delayed feature spaces.

Differs from the delayers in common use in: they shift the concatenated array, so that the end of each run leaks into
the start of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.errors import BraindecError

__all__ = ["delayed", "run_blocks"]


def delayed(X: np.ndarray, delays: Sequence[int], *, runs: np.ndarray | None = None) -> np.ndarray:
    """Return copies of the columns, each shifted later by a number of rows, side by side.

    Parameters
    ----------
    X : array of shape (n, p)
        Rows in order of time within each run.
    delays : sequence of int
        Rows by which a copy is late: row ``t`` of the copy holds row ``t - delay`` of ``X``. Negative delays (the
        future) are allowed, as a control. A delay beyond the length of a run gives zeros there.
    runs : array of shape (n,), optional
        Run of each row; rows of a run must be neighbours. One run by default.

    Returns
    -------
    array of shape (n, p * n_delays)
        All columns at the first delay, then all columns at the second, ...; float32 stays float32.

    Raises
    ------
    BraindecError
        If the delays are empty, repeated or not whole numbers, or the rows of a run are not neighbours.

    Examples
    --------
    >>> delayed(np.array([[1.0], [2.0], [3.0], [4.0]]), [0, 1], runs=["a", "a", "b", "b"])
    array([[1., 0.],
           [2., 1.],
           [3., 0.],
           [4., 3.]])
    """
    X = np.asarray(X)
    if X.ndim != 2:
        raise BraindecError("features to delay are a matrix of (row, column)", found=f"shape {X.shape}")
    steps = [int(d) for d in delays if float(d).is_integer()]
    if not steps or len(steps) < len(list(delays)) or len(set(steps)) < len(steps):
        raise BraindecError("delays are different whole numbers of rows", found=repr(list(delays)), allowed="e.g. [1, 2, 3, 4]",
                            fix="divide delays in s by the sampling step and round")  # fmt: skip
    n, p = X.shape
    out = np.zeros((n, p * len(steps)), dtype=X.dtype if X.dtype.kind == "f" else np.float64)
    for start, stop in run_blocks(runs, n):
        for k, delay in enumerate(steps):
            length = stop - start - abs(delay)
            if length <= 0:
                continue
            to, source = start + max(delay, 0), start + max(-delay, 0)
            out[to : to + length, k * p : (k + 1) * p] = X[source : source + length]
    return out


def run_blocks(runs: np.ndarray | None, n: int) -> list[tuple[int, int]]:
    """Return the first row and the row after the last one of each run, in order.

    Raises
    ------
    BraindecError
        If there is not one label a row, or the rows of a run are not neighbours.
    """
    if n == 0:
        return []
    if runs is None:
        return [(0, n)]
    labels = np.asarray(runs)
    if labels.shape != (n,):
        raise BraindecError("runs need one label for each row", found=f"shape {labels.shape} for {n} rows")
    code = np.unique(labels.astype(str), return_inverse=True)[1]
    edges = np.r_[0, np.flatnonzero(np.diff(code)) + 1, n]
    first = code[edges[:-1]]
    if len(set(first.tolist())) < len(first):
        twice = next(k for k in range(1, len(first)) if first[k] in first[:k])
        raise BraindecError(
            f"rows of run {labels[edges[twice]]!r} are not neighbours", found=f"it goes on at row {edges[twice]}",
            fix="sort the rows by run and time; name runs by subject and session too",
        )  # fmt: skip
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
