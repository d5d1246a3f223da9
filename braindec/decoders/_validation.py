"""Rows for early stopping, taken out of the training rows: whole runs, or the end of each run with a gap before it."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._rows import distance_to, rows_of
from braindec.types import Windows

_FEWEST_RUNS = 3  # of two runs, one for validation would leave half for training
_LARGEST = 0.5  # share of the training rows beyond which validation does not grow

__all__ = ["validation_rows"]


def validation_rows(
    windows: Windows, codes: np.ndarray, share: float, *, fewest: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Divide training windows into rows to fit on and rows that early stopping looks at.

    With three runs or more, whole runs are taken; with fewer, the last windows of each run, and windows closer to them
    than a window's length are left out of both parts. More than ``share`` is taken where a class would be missing.

    Parameters
    ----------
    windows : Windows
        Training windows; a run is one recording.
    codes : array of int, shape (n_windows,)
        Class of each window, from 0.
    share : float
        Share of the windows for validation.
    fewest : int
        With fewer windows for validation than this, none are taken: the loss of a handful of windows is mostly chance, and
        stopping by it does harm.
    seed : int
        Which runs are taken.

    Returns
    -------
    fit, validation : array of int
        Row numbers. Every class is among the first; where the design allows it, among the second too. Without
        validation, all rows and none.

    Raises
    ------
    BraindecError
        If every choice leaves no window of some class to fit on.
    """
    rows = rows_of(windows)
    runs = np.unique(rows.recording)
    whole = len(runs) >= _FEWEST_RUNS
    choices = _whole_runs(rows.recording, runs, share, seed) if whole else _ends(rows.recording, rows.order, share)
    n_classes, kept = int(codes.max()) + 1, None
    for number, held in enumerate(choices):
        if number == 0 and held.sum() < fewest:
            return np.arange(len(codes)), np.arange(0)
        validation, left = np.flatnonzero(held), np.flatnonzero(~held)
        if rows.timed:
            gap = 0.0 if whole else windows.n_times / windows.sfreq
            left = left[distance_to(rows, left, validation) >= gap - 1e-9]
        if len(np.unique(codes[left])) < n_classes:
            continue
        if len(np.unique(codes[validation])) == n_classes:
            return left, validation
        kept = kept or (left, validation)
    if kept is None:
        raise BraindecError(
            "rows for early stopping cannot be taken: no window of some class would be left to fit on",
            found=f"{len(windows)} training windows in {len(runs)} runs, {np.bincount(codes).min()} of the rarest class",
            fix="use patience=None (all epochs, no validation rows), a smaller validation_share, or more windows",
        )
    return kept


def _whole_runs(recording: np.ndarray, runs: np.ndarray, share: float, seed: int):
    """Masks of whole runs: the wanted number first, beginning at each run of a random order, then more of them."""
    order = np.random.default_rng([seed, 3]).permutation(runs)
    wanted = max(1, round(share * len(runs)))
    for n in range(wanted, max(wanted, int(_LARGEST * len(runs))) + 1):
        for first in range(len(runs)):
            yield np.isin(recording, np.roll(order, -first)[:n])


def _ends(recording: np.ndarray, order: np.ndarray, share: float):
    """Masks of the last windows of every run, a window more of each run at a time."""
    place = np.empty(len(order), dtype=int)  # 1 for the last window of its run
    size = np.bincount(recording)[recording]
    for run in np.unique(recording):
        mine = order[recording[order] == run]
        place[mine] = np.arange(len(mine), 0, -1)
    for more in range(int(_LARGEST * size.max()) + 1):
        wanted = np.maximum(1, np.round(share * size)) + more
        yield place <= np.maximum(np.minimum(wanted, _LARGEST * size), np.round(share * size))
