"""From a source of recordings to the prepared windows of one subject: the part that every recipe begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import model_validator

from braindec.config import Data, Section, checked
from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.source import Source, open_source
from braindec.signal.prepare import check_steps, prepare
from braindec.signal.windows import make_windows, volume_windows
from braindec.types import Recording, Windows

if TYPE_CHECKING:
    from braindec.cache import Cache

DATA_TYPES = {
    "eeg": ("eeg",),
    "meg": ("mag", "grad"),
    "ieeg": ("ecog", "seeg", "dbs"),
    "fnirs": ("hbo", "hbr", "fnirs_cw_amplitude", "fnirs_od"),
    "fmri": ("voxel", "parcel", "vertex", "grayordinate"),
}
_BEFORE = 0.2  # s before onset that the audit looks at

Steps = Annotated[
    list, checked(check_steps)
]  # signal steps in settings: names and options are known before any unit runs
Channels = Literal["same", "common"]  # all runs must have the same channels, or those that they share are kept


class Events(Section):
    """Which events make windows: a column of the event table, the values to keep, and new names for them.

    ``blocks`` is for cut data whose rows stand class by class and have no time: it numbers the rows of each class in so
    many contiguous blocks, the column ``block``, to split by.
    """

    column: str = "trial_type"
    classes: list[str] | None = None
    rename: dict[str, str] = {}
    blocks: int | None = None


class Epochs(Section):
    """Window of time around each event, s; only ``tmax`` is left out for windows that are already cut."""

    tmin: float = 0.0
    tmax: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Epochs:
        if self.tmax is not None and self.tmax <= self.tmin:
            raise ValueError(f"tmax={self.tmax:g} s is not after tmin={self.tmin:g} s")
        return self


class Volumes(Section):
    """fMRI: volumes whose label is that of ``delay`` s before; or their average in each block."""

    delay: float = 0.0
    average: bool = False


def source_of(data: Data) -> Source:
    """Open the source that the settings name."""
    return open_source(data.dataset, root=data.root, reader=data.reader, options=data.options)


def subject_units(data: Data, subjects: Sequence[str] | None) -> list[dict[str, str]]:
    """Return one unit of work a subject; unknown subjects are refused."""
    return units_of(source_of(data).subjects(), subjects)


def units_of(known: Sequence[str], subjects: Sequence[str] | None) -> list[dict[str, str]]:
    """Return one unit of work for each of the subjects that are wanted, all by default.

    Raises
    ------
    BraindecError
        If a subject is not among the known ones.
    """
    wanted = list(subjects) if subjects is not None else list(known)
    unknown = [s for s in wanted if s not in known]
    if unknown:
        raise BraindecError(
            f"there is no subject {unknown[0]!r}{did_you_mean(unknown[0], known)}", allowed=", ".join(known) or "none"
        )
    return [{"subject": s} for s in known if s in wanted]


def load_recordings(
    source: Source, subject: str, steps: Sequence[Any], *, cache: Cache | None = None, channels: str = "same"
) -> list[Recording]:
    """Load the recordings of a subject, keep good data channels, and apply the signal steps.

    Parameters
    ----------
    source : Source
        Where they are.
    subject : str
        Whose.
    steps : sequence
        See :func:`braindec.signal.prepare.prepare`.
    cache : Cache, optional
        Keeps prepared signals.
    channels : str
        "same": all runs must have the same channels; "common": keep those that all runs share.
    """
    recordings = [_data_channels(r) for r in source.recordings(subject)]
    bad = {n for r in recordings for n, s in zip(r.channels["name"], r.channels["status"], strict=True) if s == "bad"}
    if channels == "common":
        shared = set.intersection(*(set(r.ch_names) for r in recordings))
    elif channels == "same":
        shared = set().union(*(r.ch_names for r in recordings))
    else:
        raise BraindecError(
            f"channels: {channels!r} is unknown{did_you_mean(channels, ['same', 'common'])}", allowed="same, common"
        )
    kept = []
    for recording in recordings:
        names = [n for n in recording.ch_names if n in shared and n not in bad]
        if not names:
            raise BraindecError(
                f"{recording.label}: no good channel is left", found=f"marked bad in one run or more: {sorted(bad)[:10]}",
                fix="correct the status in channels.tsv, or leave out the run that has them bad",
            )  # fmt: skip
        kept.append(recording.select(names) if len(names) < recording.n_channels else recording)
    prepared = prepare(kept, steps, cache=cache)
    flat = {n for r in prepared for n, s in zip(r.channels["name"], r.channels["status"], strict=True) if s == "bad"}
    if flat:
        if all(n in flat for n in prepared[0].ch_names):
            raise BraindecError(
                f"{prepared[0].label}: no good channel is left", found=f"flat in one run or more: {sorted(flat)[:10]}",
                fix="check the files: a signal that never changes is no recording; leave out the runs that are flat",
            )  # fmt: skip
        prepared = [r.select([n for n in r.ch_names if n not in flat]) for r in prepared]
    dropped = sorted(bad | flat)
    return [replace(r, info={**r.info, "dropped_channels": dropped}) for r in prepared]


def event_windows(
    source: Source,
    subject: str,
    *,
    events: Events,
    epochs: Epochs,
    steps: Sequence[Any] = (),
    channels: str = "same",
    cache: Cache | None = None,
) -> tuple[Windows, Windows]:
    """Return the windows of a subject's events, and the same with what came before them, for the audit.

    Parameters
    ----------
    source, subject
        Whose recordings; continuous, or already cut into windows.
    events, epochs
        Which events, and which span around them.
    steps, channels, cache
        See :func:`load_recordings`.

    Returns
    -------
    windows : Windows
        ``epochs.tmin`` to ``epochs.tmax``.
    wide : Windows
        The same windows from 0.2 s before the event (or from where cut data begin) to ``epochs.tmax``.

    Raises
    ------
    BraindecError
        If a class is not there, a window does not fit, or steps are asked of data that are already cut.
    """
    cut = source.windows(subject)
    if cut is not None:
        if steps:
            raise BraindecError(
                f"{source.name}: these data are already cut into windows of {cut.n_times / cut.sfreq:.3g} s, signal steps "
                "cannot be applied", found=f"signal: {list(steps)}", fix="set signal: [] for this cohort",
            )  # fmt: skip
        wide = _select_classes(cut, events)
        return wide.crop(epochs.tmin, epochs.tmax), wide
    if epochs.tmax is None:
        raise BraindecError("epochs.tmax is missing", fix="say how long the windows are, e.g. epochs.tmax=0.8 (s)")
    recordings = load_recordings(source, subject, steps, cache=cache, channels=channels)
    wide = make_windows(
        recordings,
        tmin=min(epochs.tmin, -_BEFORE),
        tmax=epochs.tmax,
        column=events.column,
        select=events.classes,
        rename=events.rename or None,
    )
    return wide.crop(epochs.tmin, epochs.tmax), wide


def label_windows(
    source: Source,
    subject: str,
    *,
    events: Events,
    volumes: Volumes,
    steps: Sequence[Any] = (),
    cache: Cache | None = None,
) -> Windows:
    """Return the labelled volumes (or block averages) of a subject's fMRI runs as windows."""
    recordings = load_recordings(source, subject, steps, cache=cache)
    return volume_windows(
        recordings, column=events.column, select=events.classes, delay=volumes.delay, average=volumes.average
    )


def overview(windows: Windows, column: str, source: Source | None = None) -> dict[str, Any]:
    """Return what a reader of the report wants to know of the data: counts, channels, spans, warnings, what to cite."""
    card = source.card if source is not None else None
    cited = (
        [{"key": card.name, "text": card.citation, "doi": card.doi or ""}] if card is not None and card.citation else []
    )
    first = windows.recordings[0]
    trials = windows.trials
    notes = dict.fromkeys([text for r in windows.recordings for text in r.info.get("warnings") or []])
    runs = trials[[c for c in ("session", "run") if c in trials]].astype(str).drop_duplicates()
    lines = {
        "modality": first.info.get("modality") or "not said",
        "windows": len(windows),
        "classes": {str(k): int(v) for k, v in trials[column].value_counts().sort_index().items()}
        if column in trials
        else {},
        "runs": max(len(runs), 1) if len(runs.columns) else "not said",
        "channels": ", ".join(f"{n:,} {k}" for k, n in first.channels["type"].value_counts().items()),
        "sampling frequency (Hz)": round(windows.sfreq, 4),
        "window (s)": f"{windows.tmin:.3g} to {windows.tmin + windows.n_times / windows.sfreq:.3g}",
        "space of positions": first.info.get("space") or "not said",
        "channels left out": ", ".join(first.info.get("dropped_channels") or []) or "none",
        "events left out": "; ".join(windows.info.get("dropped") or []) or "none",
    }
    return {**lines, "warnings": list(notes), "citations": cited}


def _data_channels(recording: Recording) -> Recording:
    modality = recording.info.get("modality")
    wanted = DATA_TYPES.get(str(modality))
    if wanted is None or not recording.channels["type"].isin(wanted).any():
        return recording
    keep = recording.channels["type"].isin(wanted).to_numpy()
    return recording if keep.all() else recording.select(np.flatnonzero(keep))


def _select_classes(windows: Windows, events: Events) -> Windows:
    trials = windows.trials
    if events.column not in trials:
        raise BraindecError(f"the trials have no column {events.column!r}{did_you_mean(events.column, trials.columns)}",
                            allowed=", ".join(map(str, trials.columns)))  # fmt: skip
    labels = trials[events.column].map(lambda v: events.rename.get(str(v), str(v)) if pd.notna(v) else v)
    windows = windows.with_trials(**{events.column: labels})
    if events.blocks is not None:
        place = labels.groupby(labels).cumcount() * events.blocks // labels.map(labels.value_counts())
        windows = windows.with_trials(block=place)
    if events.classes is None:
        return windows[labels.notna().to_numpy()]
    present = sorted(labels.dropna().unique())
    unknown = [c for c in events.classes if c not in present]
    if unknown:
        raise BraindecError(f"no window has {events.column} = {unknown[0]!r}{did_you_mean(unknown[0], present)}",
                            allowed=", ".join(present[:30]))  # fmt: skip
    return windows[labels.isin(events.classes).to_numpy()]
