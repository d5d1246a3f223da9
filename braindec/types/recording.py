"""Recording: one continuous recording of any modality, read lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types.signals import SelectedSignal, Signal, as_signal

if TYPE_CHECKING:
    import mne

CHANNEL_COLUMNS: dict[str, Any] = {"name": "", "type": "misc", "unit": "n/a", "x": np.nan, "y": np.nan, "z": np.nan,
                   "region": "n/a", "status": "good"}  # fmt: skip
INFO_KEYS = ("dataset", "subject", "session", "task", "run", "modality", "space", "path")


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous recording: EEG, MEG, iEEG, fMRI, or anything sampled regularly.

    Parameters
    ----------
    signal : Signal or array of shape (n_channels, n_times)
        Read lazily. SI units (V, T, ...), or the unit named in ``channels``.
    sfreq : float
        Sampling frequency in Hz; 1 / TR for fMRI.
    channels : DataFrame
        One row a channel: name, type ("eeg", "mag", "voxel", "parcel", ...), unit, x, y, z in m, region,
        status ("good" or "bad"). Missing columns are filled in; for fMRI a channel is a voxel, vertex or parcel.
    events : DataFrame
        One row an event: onset and duration in s from the first sample, and any BIDS column.
    info : dict
        dataset, subject, session, task, run, modality, space, path, and anything else that is plain JSON.

    Raises
    ------
    BraindecError
        If the parts do not fit together.

    Notes
    -----
    A recording pickles as its path and selection, never as data.
    """

    signal: Signal
    sfreq: float
    channels: pd.DataFrame
    events: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"onset": [], "duration": []}))
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal", as_signal(self.signal))
        if not (np.isfinite(self.sfreq) and self.sfreq > 0):
            raise BraindecError(f"{self.label}: sfreq must be a positive number of Hz", found=repr(self.sfreq))
        object.__setattr__(self, "sfreq", float(self.sfreq))
        object.__setattr__(self, "channels", _complete_channels(self.channels, self.signal.shape[0], self.label))
        events = self.events.reset_index(drop=True)
        missing = {"onset", "duration"} - set(events.columns)
        if missing:
            raise BraindecError(
                f"{self.label}: events need the columns onset and duration (s)",
                found=f"columns {list(events.columns)}",
                fix=f"add {sorted(missing)}",
            )
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "info", {**dict.fromkeys(INFO_KEYS), **dict(self.info)})

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.signal.shape[0]

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return self.signal.shape[1]

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_times / self.sfreq

    @property
    def ch_names(self) -> list[str]:
        """Names of the channels in order."""
        return [str(n) for n in self.channels["name"]]

    @property
    def positions(self) -> np.ndarray:
        """Channel positions in m, shape (n_channels, 3); NaN where unknown."""
        return self.channels[["x", "y", "z"]].to_numpy(dtype=float)

    @property
    def label(self) -> str:
        """A short readable name such as ``sub-01_ses-02_run-03``."""
        info = self.info
        parts = [f"{short}-{info[key]}" for short, key in (("sub", "subject"), ("ses", "session"), ("task", "task"),
                 ("run", "run")) if info.get(key) is not None]  # fmt: skip
        return "_".join(parts) or Path(str(info.get("path") or "recording")).name

    def select(
        self,
        channels: Sequence[str] | np.ndarray | None = None,
        *,
        types: str | Sequence[str] | None = None,
        good: bool = False,
        tmin: float | None = None,
        tmax: float | None = None,
    ) -> Recording:
        """Return a lazy selection of channels and of a span of time.

        Parameters
        ----------
        channels : list of str, or array of int or bool, optional
            Names (in the order wanted) or rows.
        types : str or list of str, optional
            Keep only channels of these types.
        good : bool
            Drop the channels whose status is "bad".
        tmin, tmax : float, optional
            Span in s; event onsets are shifted and events outside it dropped.

        Raises
        ------
        BraindecError
            If a name is unknown or nothing is left.
        """
        rows = self._rows(channels)
        if types is not None:
            wanted = {types} if isinstance(types, str) else set(types)
            rows = rows[self.channels["type"].isin(wanted).to_numpy()[rows]]
        if good:
            rows = rows[(self.channels["status"] != "bad").to_numpy()[rows]]
        if not len(rows):
            counts = self.channels["type"].value_counts().to_dict()
            raise BraindecError(
                f"{self.label}: no channel is left (channels={channels!r}, types={types!r}, good={good})",
                found=f"channel types {counts}, {int((self.channels['status'] == 'bad').sum())} marked bad",
            )
        start = 0 if tmin is None else round(float(tmin) * self.sfreq)
        stop = self.n_times if tmax is None else round(float(tmax) * self.sfreq)
        if not 0 <= start < stop <= self.n_times:
            raise BraindecError(f"{self.label}: no span from {tmin} s to {tmax} s", found=f"0 to {self.duration:.3f} s")
        events = self.events
        if start or stop != self.n_times:
            onset = events["onset"] - start / self.sfreq
            keep = (onset >= 0) & (onset < (stop - start) / self.sfreq)
            events = events.assign(onset=onset)[keep].reset_index(drop=True)
        signal = SelectedSignal(self.signal, rows, start, stop)
        return replace(self, signal=signal, channels=self.channels.iloc[rows].reset_index(drop=True), events=events)

    def _rows(self, channels: Sequence[str] | np.ndarray | None) -> np.ndarray:
        if channels is None:
            return np.arange(self.n_channels)
        asked = np.asarray(channels)
        if asked.dtype.kind not in "UOS":
            return np.arange(self.n_channels)[asked]
        place = {name: i for i, name in enumerate(self.ch_names)}
        unknown = [str(c) for c in asked if str(c) not in place]
        if unknown:
            raise BraindecError(
                f"{self.label} has no channel {unknown[0]!r}{did_you_mean(unknown[0], place)}",
                found=f"{len(unknown)} unknown of {len(asked)} asked: {unknown[:8]}",
                allowed=", ".join(list(place)[:40]) + (" ..." if len(place) > 40 else ""),
            )
        return np.array([place[str(c)] for c in asked], dtype=np.int64)

    def load(self) -> np.ndarray:
        """Read the whole signal into memory, shape (n_channels, n_times)."""
        return np.ascontiguousarray(self.signal.read())

    def with_signal(self, signal: Any, *, sfreq: float | None = None, **info: Any) -> Recording:
        """Return a copy with another signal (same channels), sampling frequency or info."""
        return replace(self, signal=as_signal(signal), sfreq=sfreq or self.sfreq, info={**self.info, **info})

    def with_events(self, events: pd.DataFrame) -> Recording:
        """Return a copy with other events."""
        return replace(self, events=events)

    def save(self, path: str | Path) -> Recording:
        """Write an HDF5 file (contiguous float32, so that it can be memory-mapped) and return it opened.

        Raises
        ------
        BraindecError
            If the disk is full or the folder cannot be written.
        """
        from braindec.types.storage import save_recording

        return save_recording(self, path)

    @staticmethod
    def open(path: str | Path) -> Recording:
        """Open an HDF5 file that :meth:`save` wrote; only the tables are read."""
        from braindec.types.storage import open_recording

        return open_recording(path)

    @staticmethod
    def from_mne(raw: mne.io.BaseRaw, **info: Any) -> Recording:
        """Make a recording of an ``mne.io.Raw``: positions, bad channels and annotations are kept.

        A raw that is not preloaded stays on disk. Annotations become events (``trial_type`` = description, other
        columns from the annotations' extras).
        """
        from braindec.types.mne_bridge import recording_from_mne

        return recording_from_mne(raw, **info)

    def to_mne(self) -> mne.io.RawArray:
        """Return an ``mne.io.RawArray`` with positions, bad channels and events as annotations."""
        from braindec.types.mne_bridge import recording_to_mne

        return recording_to_mne(self)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {k}" for k, n in self.channels["type"].value_counts().items())
        return (
            f"<Recording {self.label}: {kinds}, {self.duration:.1f} s at {self.sfreq:g} Hz, {len(self.events)} events>"
        )


def _complete_channels(channels: pd.DataFrame, n_channels: int, label: str) -> pd.DataFrame:
    channels = channels.reset_index(drop=True).copy()
    if len(channels) != n_channels or "name" not in channels:
        raise BraindecError(
            f"{label}: the channel table needs one row (with a name) a channel",
            found=f"{len(channels)} rows with columns {list(channels.columns)}, a signal of {n_channels} channels",
        )
    for column, default in CHANNEL_COLUMNS.items():
        if column not in channels:
            channels[column] = default
    channels["name"] = channels["name"].astype(str)
    twice = channels["name"][channels["name"].duplicated()].unique()
    if len(twice):
        raise BraindecError(
            f"{label}: channel names must be unique", found=f"more than once: {', '.join(twice[:8])}",
            fix="rename them in the file, or let the loader do it (it says so in info['renamed'])",
        )  # fmt: skip
    return channels[[*CHANNEL_COLUMNS, *(c for c in channels.columns if c not in CHANNEL_COLUMNS)]]
