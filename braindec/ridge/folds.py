"""Folds of ordered data: contiguous blocks or whole groups, never shuffled, with a buffer around the test rows.

Source: the buffer is the h-block of Burman, Chow & Nolan 1994 (Biometrika 81:351) and Racine 2000 (J. Econometrics 99:39):
rows near the test rows are neither tested nor trained on, because neighbours in time are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from braindec.errors import BraindecError

__all__ = ["Fold", "check_folds", "contiguous_folds", "group_folds"]

Fold = tuple[np.ndarray, np.ndarray]  # training rows, test rows


def contiguous_folds(n: int, n_folds: int, *, runs: np.ndarray | None = None, buffer: int = 0) -> list[Fold]:
    """Cut rows into contiguous test blocks of (nearly) one size.

    Parameters
    ----------
    n : int
        Number of rows, in order of time within each run.
    n_folds : int
    runs : array of shape (n,), optional
        Run of each row. Rows of other runs are no neighbours: the buffer stops at the border of a run.
    buffer : int
        So many rows on either side of the test rows, in the same run, leave the training rows.

    Returns
    -------
    list of (train_rows, test_rows)

    Raises
    ------
    BraindecError
        If there are fewer rows than folds, or a fold is left without training rows.
    """
    if not 2 <= n_folds <= n:
        raise BraindecError(
            f"{n_folds} contiguous folds of {n} rows", allowed=f"2 to {n} folds", fix="ask for fewer folds"
        )
    runs = np.zeros(n, dtype=int) if runs is None else _codes(runs, n, "runs")
    edges = np.linspace(0, n, n_folds + 1).round().astype(int)
    tests = [np.arange(a, b) for a, b in pairwise(edges)]
    return [(_train(test, runs, _places(runs), buffer), test) for test in tests]


def group_folds(
    groups: np.ndarray, n_folds: int | None = None, *, buffer: int = 0, order: np.ndarray | None = None
) -> list[Fold]:
    """Hold whole groups out (runs, stimuli, stories): one at a time, or neighbours together in ``n_folds`` parts.

    Parameters
    ----------
    groups : array of shape (n,)
        Group of each row; groups are taken in order of their first row.
    n_folds : int, optional
        Number of parts of nearly one size in rows; None leaves one group out at a time.
    buffer : int
        So many rows on either side of the test rows leave the training rows.
    order : array of shape (n,), optional
        Run of each row: the buffer acts within a run only. By default all rows follow one another.

    Returns
    -------
    list of (train_rows, test_rows)
    """
    groups = np.asarray(groups)
    n = len(groups)
    codes = _codes(groups, n, "groups")
    n_groups = int(codes.max()) + 1 if n else 0
    n_parts = n_groups if n_folds is None else n_folds
    if not 2 <= n_parts <= n_groups:
        raise BraindecError(
            f"{n_parts} folds of {n_groups} groups",
            allowed=f"2 to {n_groups} folds",
            fix="give more groups or fewer folds",
        )
    middle = np.cumsum(np.bincount(codes)) - np.bincount(codes) / 2.0
    part = np.minimum((middle / n * n_parts).astype(int), n_parts - 1)
    if len(np.unique(part)) < n_parts:  # one large group: cut by number of groups instead of rows
        part = np.arange(n_groups) * n_parts // n_groups
    runs = np.zeros(n, dtype=int) if order is None else _codes(order, n, "order")
    places = _places(runs)
    tests = [np.flatnonzero(part[codes] == p) for p in range(n_parts)]
    return [(_train(test, runs, places, buffer), test) for test in tests]


def check_folds(folds: Sequence[Fold], n: int) -> list[Fold]:
    """Return the folds as integer arrays, or say which of them cannot be used."""
    checked = []
    for k, fold in enumerate(folds):
        if len(fold) != 2:
            raise BraindecError(f"fold {k} must be a pair (training rows, test rows)", found=f"{len(fold)} parts")
        train, test = (_rows(part, n, f"{name} rows of fold {k}") for part, name in zip(fold, ("training", "test")))
        both = np.intersect1d(train, test)
        if len(both):
            raise BraindecError(
                f"fold {k} trains on rows that it tests on", found=f"{len(both)} shared rows, the first is {both[0]}"
            )
        if len(train) < 2:
            raise BraindecError(f"fold {k} needs at least 2 training rows", found=f"{len(train)}")
        checked.append((train, test))
    if not checked:
        raise BraindecError("cross-validation needs at least one fold", found="none")
    return checked


def _rows(part: np.ndarray, n: int, name: str) -> np.ndarray:
    rows = np.asarray(part)
    if rows.dtype == bool and rows.shape == (n,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
        raise BraindecError(f"the {name} must be row numbers", found=f"shape {rows.shape}, {rows.dtype}")
    if rows.min() < 0 or rows.max() >= n:
        raise BraindecError(
            f"the {name} leave the data", found=f"{rows.min()} to {rows.max()}", allowed=f"0 to {n - 1}"
        )
    if len(np.unique(rows)) < len(rows):
        raise BraindecError(
            f"the {name} name a row twice", found=f"{len(rows)} rows, {len(np.unique(rows))} of them different"
        )
    return np.sort(rows).astype(np.intp)


def _codes(values: np.ndarray, n: int, name: str) -> np.ndarray:
    """Integers 0, 1, ... in order of first appearance."""
    values = np.asarray(values)
    if values.shape != (n,):
        raise BraindecError(f"{name} must have one entry a row", found=f"shape {values.shape}", allowed=f"({n},)")
    _, first, codes = np.unique(values.astype(str), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes]


def _places(runs: np.ndarray) -> np.ndarray:
    """Place of each row within its run."""
    places = np.empty(len(runs), dtype=int)
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        places[rows] = np.arange(len(rows))
    return places


def _train(test: np.ndarray, runs: np.ndarray, places: np.ndarray, buffer: int) -> np.ndarray:
    if buffer < 0:
        raise BraindecError("a buffer is a number of rows", found=str(buffer), allowed="0 or more")
    out = np.zeros(len(runs), dtype=bool)
    out[test] = True
    for run in np.unique(runs[test]) if buffer else ():
        rows = np.flatnonzero(runs == run)
        tested = np.sort(places[test[runs[test] == run]])
        after = np.searchsorted(tested, places[rows])
        below = places[rows] - tested[np.maximum(after - 1, 0)]
        above = tested[np.minimum(after, len(tested) - 1)] - places[rows]
        out[rows[np.minimum(np.abs(below), np.abs(above)) <= buffer]] = True
    train = np.flatnonzero(~out)
    if len(train) < 2:
        raise BraindecError(
            f"a fold of {len(test)} test rows with a buffer of {buffer} leaves {len(train)} training rows",
            fix="take a smaller buffer, more folds or more data",
        )
    return train
