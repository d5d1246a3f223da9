"""Rows: what splits and the audit need to know of windows or trials: names, recording, place in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Signal, Windows

WITHIN = {"run": ("subject", "session", "task", "run"), "session": ("subject", "session")}
_SHORT = {"subject": "sub", "session": "ses", "run": "run"}
_EPSILON = 1e-9  # s


@dataclass(frozen=True, eq=False)
class Rows:
    """One row a window or trial.

    Parameters
    ----------
    trials : DataFrame
        The trial table.
    ids : array of str, shape (n_rows,)
        Stable names.
    recording : array of int, shape (n_rows,)
        Which continuous recording the row is from.
    start, stop : array of float, shape (n_rows,)
        Span in s within that recording; NaN where unknown.
    windows : Windows or None
        The windows, when there are any.
    """

    trials: pd.DataFrame
    ids: np.ndarray
    recording: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    windows: Windows | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def timed(self) -> bool:
        """True when every row has a place in time."""
        return bool(len(self)) and bool(np.isfinite(self.start).all())

    @property
    def order(self) -> np.ndarray:
        """Row numbers sorted by recording and time (row order where times are unknown)."""
        start = self.start if self.timed else np.arange(len(self))
        return np.lexsort((start, self.recording))

    def column(self, name: str) -> np.ndarray | None:
        """Values of a trial column as text, or None when it is missing or holds nothing."""
        if name not in self.trials or self.trials[name].isna().all():
            return None
        return np.array([content_text(v) for v in self.trials[name]], dtype=object)


def rows_of(windows: Windows | pd.DataFrame) -> Rows:
    """Describe the rows of windows, or of a trials table.

    Raises
    ------
    BraindecError
        If it is neither, is empty, or names a row twice.
    """
    if isinstance(windows, Windows):
        rows = _of_windows(windows)
    elif isinstance(windows, pd.DataFrame):
        trials = windows.reset_index(drop=True)
        ids = trials["window_id"].astype(str) if "window_id" in trials else np.arange(len(trials)).astype(str)
        start = _numbers(trials, "onset")
        duration = np.nan_to_num(_numbers(trials, "duration"))
        rows = Rows(trials, np.asarray(ids, dtype=object), _groups(trials), start, start + duration)
    else:
        raise BraindecError(
            f"a {type(windows).__name__} has no rows to split or audit", allowed="Windows, or a DataFrame of trials"
        )
    if not len(rows):
        raise BraindecError("there are no rows to split or audit", found="0 windows")
    twice = pd.Index(rows.ids).duplicated()
    if twice.any():
        raise BraindecError(
            f"{int(twice.sum())} rows have a name that another row has", found=f"window_id {rows.ids[twice][0]!r}",
            fix="give each window its own window_id (drop the column to have them made)",
        )  # fmt: skip
    return rows


def _of_windows(windows: Windows) -> Rows:
    trials, sfreq = windows.trials, windows.sfreq
    stacked = np.array([_stacked(r.signal) for r in windows.recordings])[windows.index[:, 0]]
    start = windows.index[:, 1] / sfreq
    # windows cut from an array lie end to end in it: their place in the array is not their place in time
    onset = _numbers(trials, "onset") + windows.tmin
    start = np.where(stacked, onset, start)
    groups = np.where(stacked, _groups(trials), 0)
    recording = pd.factorize(pd.MultiIndex.from_arrays([windows.index[:, 0], groups]))[0] if len(windows) else groups
    return Rows(trials, windows.ids.astype(object), recording, start, start + windows.n_times / sfreq, windows)


def _stacked(signal: Signal) -> bool:
    """True for signals that are windows laid end to end; these, and only these, know their window's ``n_times``."""
    while hasattr(signal, "source"):  # a selection or a scaling of another signal
        signal = signal.source
    return hasattr(signal, "n_times")


def _numbers(trials: pd.DataFrame, column: str) -> np.ndarray:
    if column not in trials:
        return np.full(len(trials), np.nan)
    return pd.to_numeric(trials[column], errors="coerce").to_numpy(dtype=float)


def _groups(trials: pd.DataFrame) -> np.ndarray:
    """Number the recordings of a trials table: one for each subject, session and run that it names."""
    known = [c for c in WITHIN["run"] if c in trials and not trials[c].isna().all()]
    if not known or not len(trials):
        return np.zeros(len(trials), dtype=np.int64)
    return trials.groupby(known, sort=False, dropna=False).ngroup().to_numpy()


def content_text(value: Any) -> str:
    """One text for a value, however a table stored it: 3, 3.0 and "3" are the same content."""
    if isinstance(value, (float, np.floating)) and np.isfinite(value) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def group_names(rows: Rows, by: str) -> np.ndarray:
    """Readable group of each row: runs are understood within subject and session, sessions within subject."""
    columns = [c for c in WITHIN.get(by, (by,)) if rows.column(c) is not None]
    kept = [c for c in columns if c == by or len(set(rows.column(c))) > 1]
    parts = [[f"{_SHORT.get(c, c)}-{v}" for v in rows.column(c)] for c in kept]
    return np.array(["_".join(p) for p in zip(*parts, strict=True)], dtype=object)


def distance_to(rows: Rows, asked: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Time in s from each ``asked`` row to the nearest of ``others`` in its recording.

    Parameters
    ----------
    rows : Rows
        All rows.
    asked, others : array of int
        Row numbers.

    Returns
    -------
    array of shape (len(asked),)
        0 when they touch, negative when windows share samples (by that much, a window's length at most), infinite
        when no other row is in the same recording.
    """
    result = np.full(len(asked), np.inf)
    for recording in np.unique(rows.recording[asked]):
        mine = np.flatnonzero(rows.recording[asked] == recording)
        theirs = others[rows.recording[others] == recording]
        if not len(theirs):
            continue
        starts, stops = _merge(rows.start[theirs], rows.stop[theirs])
        begin, end = rows.start[asked[mine]], rows.stop[asked[mine]]
        after = np.searchsorted(starts, np.maximum(end, begin + _EPSILON) - _EPSILON)
        before = np.where(after > 0, begin - stops[after - 1], np.inf)
        behind = np.where(after < len(starts), starts[np.minimum(after, len(starts) - 1)] - end, np.inf)
        nearest = np.maximum(np.minimum(before, behind), begin - end)
        result[mine] = np.where(np.abs(nearest) < _EPSILON, 0.0, nearest)
    return result


def _merge(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join spans that touch or overlap; both results rise."""
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(stop[order])
    first = np.r_[True, start[1:] > reach[:-1] + _EPSILON]
    last = np.r_[np.flatnonzero(first)[1:] - 1, len(start) - 1]
    return start[first], reach[last]
