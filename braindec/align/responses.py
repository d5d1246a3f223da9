"""Responses: the channels of all runs as one matrix (row, channel) that is read by blocks of channels.

Channels that hold NaN or never change are kept as columns of NaN: their scores are NaN and counted, they are never
dropped silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.prepare import prepare
from braindec.types import Recording, Windows

if TYPE_CHECKING:
    from braindec.cache import Cache

__all__ = ["Responses", "load_responses", "trial_responses"]

_TYPES = ("voxel", "vertex", "grayordinate", "parcel", "eeg", "mag", "grad", "ecog", "seeg", "dbs")
_BLOCK = 32_000_000  # numbers that are looked through at once


@dataclass(frozen=True, eq=False)
class Responses:
    """(n_rows, n_channels) of several runs, read by slices: ``responses[:, a:b]`` or ``responses[rows, a:b]``.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs that hold the usable channels, in order.
    usable : array of bool, shape (n_channels,)
        Which columns those are; the others are NaN.
    channels : DataFrame
        One row a column.
    info : mapping
        Of the first run: space, grid, ...
    rows : array of int, optional
        Rows that are kept (single trials); all by default.
    standardise : {"run", "none"}
        "run": each channel has mean 0 and variance 1 in each run. Where runs are held out whole, nothing passes from one side
        to the other; where a split divides runs, means and scales do, and the evaluation says so.
    """

    recordings: Sequence[Recording]
    usable: np.ndarray
    channels: pd.DataFrame
    info: Any
    rows: np.ndarray | None = None
    standardise: Literal["run", "none"] = "run"
    notes: Sequence[str] = ()
    dtype: np.dtype = field(default=np.dtype(np.float32), init=False)
    ndim: int = field(default=2, init=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_channels)."""
        n = sum(r.n_times for r in self.recordings) if self.rows is None else len(self.rows)
        return n, len(self.usable)

    def __len__(self) -> int:
        return self.shape[0]

    def geometry(self) -> Recording:
        """All channels with their places and no signal: for parcellations, masks and maps."""
        return Recording(np.zeros((len(self.usable), 1), dtype=np.float32), 1.0, self.channels, info=self.info)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read rows and a block of columns, float32."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        wanted = np.atleast_1d(np.arange(self.shape[1])[columns])
        place = np.cumsum(self.usable) - 1
        there = self.usable[wanted]
        read = np.full((sum(r.n_times for r in self.recordings), len(wanted)), np.nan, dtype=np.float32)
        if there.any():
            inside, start = place[wanted[there]], 0
            for recording in self.recordings:
                block = np.asarray(recording.signal.read(_as_slice(inside)), dtype=np.float64).T  # (time, channel)
                if self.standardise == "run":
                    spread = block.std(axis=0)
                    block = (block - block.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
                read[start : start + len(block), there] = block
                start += len(block)
        kept = read if self.rows is None else read[self.rows]
        return kept if isinstance(rows, slice) and rows == slice(None) else kept[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)


def load_responses(
    recordings: Sequence[Recording], steps: Sequence[Any] = (), *, standardise: Literal["run", "none"] = "run", cache: Cache | None = None
) -> Responses:  # fmt: skip
    """Prepare the channels of some runs as responses.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs of one subject; voxels, vertices, parcels or sensors.
    steps : sequence
        Signal steps (:func:`braindec.signal.prepare.prepare`), for the usable channels.
    standardise : {"run", "none"}
        See :class:`Responses`.
    cache : Cache, optional
        Keeps prepared signals.

    Raises
    ------
    BraindecError
        If runs differ in channels, or no channel can be used.
    """
    if not recordings:
        raise BraindecError("there are no runs to take responses from")
    if standardise not in ("run", "none"):
        raise BraindecError(f"standardise {standardise!r} is unknown", allowed="run, none")
    first = recordings[0]
    for other in recordings[1:]:
        if other.ch_names != first.ch_names:
            raise BraindecError(
                f"{first.label} and {other.label} do not hold the same channels",
                found=f"{first.n_channels} and {other.n_channels} ({first.channels['type'].iloc[0]}, {other.channels['type'].iloc[0]})",
                fix="use one space, mask and parcellation for all runs",
            )
    kind = first.channels["type"].isin(_TYPES).to_numpy()
    if not kind.any():
        raise BraindecError(
            f"{first.label} has no channels that respond", found=", ".join(first.channels["type"].unique())
        )
    chosen = [r if kind.all() else r.select(np.flatnonzero(kind)) for r in recordings]
    finite, moving = _look(chosen)
    usable = finite & moving
    notes = []
    for mask, text in ((~finite, "with values that are not finite"), (finite & ~moving, "that do not change in a run")):
        if mask.any():
            notes.append(_left_out(mask, text))
    if not usable.any():
        raise BraindecError(f"{first.label}: no channel can be used", found="; ".join(notes))
    good = [r if usable.all() else r.select(np.flatnonzero(usable)) for r in chosen]
    prepared = prepare(good, steps, cache=cache)
    for before, after in zip(good, prepared, strict=True):
        if after.n_times != before.n_times or abs(after.sfreq - before.sfreq) > 1e-6 * before.sfreq:
            raise BraindecError(
                f"the signal steps change the volumes of {before.label}, which the bands describe one by one",
                found=f"{before.n_times} volumes at {before.sfreq:g} Hz become {after.n_times} at {after.sfreq:g} Hz",
                fix="leave crop and resample out (drop_volumes of the reader cuts the start, with the events)",
            )
    return Responses(prepared, usable, chosen[0].channels, first.info, None, standardise, tuple(notes))


def trial_responses(windows: Windows) -> Responses:
    """The betas of single trials as responses, (trial, channel); nothing is standardised.

    Raises
    ------
    BraindecError
        If the windows hold more than one sample.
    """
    if windows.n_times != 1:
        raise BraindecError("single-trial responses have one number a trial and channel", found=f"windows of {windows.n_times} samples",
                            fix="average them over time first, or use volumes")  # fmt: skip
    starts = np.cumsum([0, *(r.n_times for r in windows.recordings)])
    rows = starts[windows.index[:, 0]] + windows.index[:, 1]
    finite, moving = _look(windows.recordings)
    usable = finite & moving
    notes = [] if usable.all() else [_left_out(~usable, "with NaN or without any change")]
    if not usable.any():
        raise BraindecError("no channel of the trials can be used", found="; ".join(notes))
    good = [r if usable.all() else r.select(np.flatnonzero(usable)) for r in windows.recordings]
    return Responses(good, usable, windows.channels, windows.recordings[0].info, rows, "none", tuple(notes))


def _left_out(mask: np.ndarray, why: str) -> str:
    """Say how many channels get no score."""
    return f"Channels {why}: {int(mask.sum()):,} of {len(mask):,}. They get no score (NaN) and are counted."


def _look(recordings: Sequence[Recording]) -> tuple[np.ndarray, np.ndarray]:
    """Which channels are finite in all runs, and which change in every run."""
    n = recordings[0].n_channels
    finite, moving = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    for recording in recordings:
        size = max(1, _BLOCK // max(recording.n_times, 1))
        for start in range(0, n, size):
            block = np.asarray(recording.signal.read(slice(start, start + size)))
            finite[start : start + size] &= np.isfinite(block).all(axis=1)
            if recording.n_times > 1:
                moving[start : start + size] &= ~(block == block[:, :1]).all(axis=1)
    return finite, moving


def _as_slice(rows: np.ndarray) -> Any:
    """Contiguous rows as a slice: files are read in one piece."""
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) and rows[-1] - rows[0] == len(rows) - 1 else rows
