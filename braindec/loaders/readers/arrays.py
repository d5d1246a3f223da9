"""Reader ``arrays``: your own arrays in .npy, .npz, HDF5 or MATLAB files, described by options; nothing is guessed.

Windows: ``X`` (one array of trials) and ``y`` -> Windows. Continuous: ``signal`` and ``stim`` -> a Recording with events.
A file is named relative to ``root``, a variable inside it after a colon: ``"subject_01.npz:data"``; ``{subject}`` in a
name stands for the subject's label. A .npy file is memory-mapped, others are read when they are first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _arrays, _events, _files, _options
from braindec.loaders._shape import shape, unique_names
from braindec.types import Recording, Windows
from braindec.types.signals import as_signal

__all__ = ["load", "files", "subjects"]

_WINDOW_AXES = ("window", "channel", "time")
_KINDS = {"eeg": "eeg"}


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    sfreq: float | Mapping[str, float],
    X: str | None = None,
    y: str | None = None,
    signal: str | None = None,
    stim: str | None = None,
    extra: Mapping[str, str] | None = None,
    events: str | None = None,
    column: str = "trial_type",
    columns: Mapping[str, str] | None = None,
    names: Mapping[Any, str] | None = None,
    stim_names: Mapping[Any, str] | None = None,
    orientation: str | None = None,
    tmin: float = 0.0,
    unit: str | None = None,
    modality: str | None = None,
    ch_names: Sequence[str] | None = None,
    ch_type: str | None = None,
    drop: Sequence[str | int] = (),
    montage: str | None = None,
    positions: str | None = None,
    positions_unit: str | None = None,
    events_from: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> Windows | list[Recording]:
    """Open arrays.

    Parameters
    ----------
    root : str or Path
        The folder of the files, or one file.
    subject : str, optional
        Label of the subject; replaces ``{subject}`` in the names of files.
    sfreq : float or dict of str to float
        Sampling frequency in Hz; of each subject, where they differ.
    X, y : str, optional
        Windows and their labels, ``"file"`` or ``"file:variable"``.
    signal, stim : str, optional
        A continuous signal, and its trigger trace of the same length: one event each time the trace changes to another
        value that is not 0.
    extra : dict of str to str, optional
        More channels of the recording, of type "misc" and unit "n/a": name -> array of the same length as ``signal`` (what
        an animal did, a stimulus): ``{"velocity": "file.h5:behavior/velocity"}``.
    events : str, optional
        A table (.tsv or .csv) with onset and duration in s, instead of ``stim``.
    column : str
        Name of the labels' column in ``trials``.
    columns : dict of str to str, optional
        More columns of ``trials``: name -> array, e.g. ``{"run": "run.npy", "onset": "onset.npy"}``.
    names, stim_names : dict, optional
        Label -> name, for ``y`` and for ``stim``; every label of ``y`` must then have one.
    orientation : str, optional
        Order of the axes: "channel_time" or "time_channel" (needed for ``signal``), for ``X`` "window_channel_time" (default),
        "window_time_channel", ..., or "window_time" for one channel.
    tmin : float
        Time of the first sample of ``X`` relative to the event, s.
    unit : str, optional
        Unit of the numbers ("uV", "V", "fT", ...): electric and magnetic units are converted to SI; without it nothing is scaled
        and the unit is "n/a".
    modality, ch_type : str, optional
        "eeg", "meg", "ieeg", ..., and the type of all channels ("eeg", "mag", "grad", "ecog", "seeg", "misc").
    ch_names : list of str, optional
        Names of the channels in order.
    drop : list of str or int, optional
        Channels to leave out, by name or by row.
    montage, positions, positions_unit, events_from
        See the reader ``raw``.
    dataset, session, task, run : str, optional
        Labels.

    Returns
    -------
    Windows, or a list with one Recording

    Raises
    ------
    BraindecError
        If a description does not fit the array.
    UnreadableError
        If a file is damaged or holds Python objects.
    """
    if (X is None) == (signal is None):
        raise BraindecError(
            "the reader arrays needs X (windows) or signal (continuous)", found="both" if X else _contents(root)
        )
    if extra and signal is None:
        raise BraindecError("extra channels need signal (continuous)", found=", ".join(extra))
    folder = _folder(root)
    sfreq = _rate(sfreq, subject)
    say = {"dataset": dataset, "subject": subject, "session": session, "task": task, "run": run, "modality": modality}
    about = {k: None if v is None else str(v) for k, v in say.items()}
    made = _Layout(folder, subject, sfreq, unit, modality, ch_names, ch_type)
    said: list[str] = []
    places = None if positions is None else _arrays.locate(positions, folder)[0]
    finish = {
        "warnings": said,
        "drop_channels": drop,
        "montage": montage,
        "positions": places,
        "positions_unit": positions_unit,
    }
    if signal is not None:
        recording, _ = made.recording(signal, _axes(orientation, ("channel", "time"), "signal"), about)
        recording = made.with_extra(recording, extra or {})
        table = made.events(stim, events, stim_names, recording, said)
        return [shape(recording.with_events(table), **finish, events_from=events_from)]
    flat = orientation is not None and "channel" not in orientation
    axes = _axes(orientation or "window_channel_time", ("window", "time") if flat else _WINDOW_AXES, "X")
    recording, n_times = made.recording(str(X), axes, about, one_channel=flat)
    n_windows = recording.n_times // n_times
    trials = made.trials(n_windows, column, y, names, columns)
    for key in ("subject", "session", "run"):
        if about[key] is not None and key not in trials:
            trials[key] = about[key]
    index = np.stack([np.zeros(n_windows, np.int64), np.arange(n_windows) * n_times], axis=1)
    return Windows((shape(recording, **finish),), index, n_times, trials, tmin)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels that ``{subject}`` takes in the names of files; else ``subject`` or the name of the file."""
    values = _options.bind(load, options)
    main = str(values["X"] or values["signal"])
    if values["subject"] is None and "{subject}" in main:
        return _files.labels(_files.find(_folder(root), main.split(":")[0], ()), values)
    return [str(values["subject"] or Path(main.split(":")[0]).stem)]


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    specs = [values[k] for k in ("X", "y", "signal", "stim", "events", "positions")] + list(
        {**(values["columns"] or {}), **(values["extra"] or {})}.values()
    )
    return list(dict.fromkeys(_arrays.locate(fill(s, subject), _folder(root))[0] for s in specs if s is not None))


def fill(spec: str, subject: str | None) -> str:
    """Put the subject's label into the name of a file."""
    if "{subject}" in str(spec) and subject is None:
        raise BraindecError(f"{spec!r} needs a subject", fix="say subject: ...")
    return str(spec).replace("{subject}", str(subject))


class _Layout:
    """What is the same for both forms: where the files are and what the channels are called."""

    def __init__(
        self, folder: Path, subject: str | None, sfreq: float, unit: str | None, modality: str | None,
        ch_names: Sequence[str] | None, ch_type: str | None,
    ) -> None:  # fmt: skip
        self.folder, self.subject, self.sfreq, self.modality, self.ch_names = folder, subject, sfreq, modality, ch_names
        self.unit, self.factor = _arrays.si(unit)
        self.kind = ch_type or _KINDS.get(str(modality), "misc")

    def recording(
        self, spec: str, axes: tuple[int, ...], about: Mapping[str, Any], *, one_channel: bool = False
    ) -> tuple[Recording, int]:
        """The recording, and the samples a window."""
        source = _arrays.ArrayFileSignal(fill(spec, self.subject), self.folder, axes, one_channel=one_channel)
        if source._view().dtype.kind not in "biuf":
            raise BraindecError(f"{spec} must hold real numbers", found=f"dtype {source._view().dtype}")
        n_channels = source.shape[0]
        given = [f"ch{i:03d}" for i in range(n_channels)] if self.ch_names is None else [str(n) for n in self.ch_names]
        if len(given) != n_channels:
            raise BraindecError(
                f"{spec}: {len(given)} channel names for {n_channels} channels", found=f"shape {source._view().shape} (axes as asked)",
                fix="name every channel (drop the ones you do not want with drop), or correct orientation",
            )  # fmt: skip
        given, renamed = unique_names(given)
        channels = pd.DataFrame({"name": given, "type": self.kind, "unit": self.unit})
        info = {"path": source.path, **about, **({"renamed": renamed} if renamed else {})}
        signal = source if self.factor == 1.0 else _arrays.ScaledSignal(source, self.factor)
        return Recording(signal, self.sfreq, channels, info=info), source.n_times

    def with_extra(self, recording: Recording, extra: Mapping[str, str]) -> Recording:
        """The recording with more channels below, of one value a sample each."""
        if not extra:
            return recording
        rows = [recording.signal.read()]
        for spec in extra.values():
            values = _arrays.column(_arrays.read(fill(spec, self.subject), self.folder), recording.n_times, spec)
            if values.dtype.kind not in "biuf":
                raise BraindecError(f"{spec} must hold real numbers", found=f"dtype {values.dtype}")
            rows.append(values.reshape(1, -1))
        both = {**dict.fromkeys(recording.ch_names, ""), **extra}
        if len(both) < recording.n_channels + len(extra):
            twice = next(n for n in extra if n in recording.ch_names)
            raise BraindecError(f"the name {twice!r} stands for a channel of the signal and for an extra one")
        more = pd.DataFrame({"name": list(extra), "type": "misc", "unit": "n/a"})
        channels = pd.concat([recording.channels[["name", "type", "unit"]], more], ignore_index=True)
        joined = as_signal(np.concatenate(rows).astype(np.float32))
        return Recording(joined, recording.sfreq, channels, recording.events, recording.info)

    def events(
        self,
        stim: str | None,
        table: str | None,
        names: Mapping[Any, str] | None,
        recording: Recording,
        said: list[str],
    ) -> pd.DataFrame:
        if table is not None:
            path = _arrays.locate(fill(table, self.subject), self.folder)[0]
            separator = "," if path.suffix.lower() == ".csv" else "\t"
            events = _events.events_table(_events.read_tsv(path, separator=separator), path, said)
            _events.say_outside(events, recording.duration, path.name, said)
            return events
        if stim is None:
            return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
        trace = _arrays.column(_arrays.read(fill(stim, self.subject), self.folder), recording.n_times, stim)
        if trace.dtype.kind == "O":
            raise BraindecError(f"{stim} must hold trigger numbers", found="text")
        return _events.from_triggers(trace, recording.sfreq, values=names)

    def trials(
        self, n: int, column: str, y: str | None, names: Mapping[Any, str] | None, columns: Mapping[str, str] | None
    ) -> pd.DataFrame:
        trials = pd.DataFrame(index=range(n))
        for name, spec in {**({column: y} if y is not None else {}), **(columns or {})}.items():
            values = _arrays.column(_arrays.read(fill(str(spec), self.subject), self.folder), n, str(spec))
            text = name in (column, "run", "session", "subject", "stimulus_id", "concept_id")
            trials[name] = np.array([_plain_text(v) for v in values], dtype=object) if text else values
        if names is not None and y is not None:
            table = {str(k): str(v) for k, v in names.items()}
            unknown = sorted(set(trials[column]) - set(table))
            if unknown:
                raise BraindecError(
                    f"the label {unknown[0]!r} of {y} has no name{did_you_mean(unknown[0], table)}", found=", ".join(unknown[:8]),
                    allowed=", ".join(table), fix="name every label in names, or leave names out",
                )  # fmt: skip
            trials[column] = trials[column].map(table).astype(object)
        return trials


def _rate(sfreq: Any, subject: str | None) -> float:
    """The sampling frequency of a subject."""
    if not isinstance(sfreq, Mapping):
        return sfreq
    rates = {str(k): v for k, v in sfreq.items()}
    if str(subject) not in rates:
        raise BraindecError(
            f"sfreq names no subject {str(subject)!r}{did_you_mean(str(subject), rates)}", allowed=", ".join(rates)
        )
    return float(rates[str(subject)])


def _plain_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, (float, np.floating)) and float(value).is_integer() else str(value)


def _axes(orientation: str | None, wanted: tuple[str, ...], option: str) -> tuple[int, ...]:
    if orientation is None:
        raise BraindecError(
            f"orientation is needed for {option}", allowed="time_channel or channel_time", fix="orientation: ..."
        )
    given = orientation.replace("trial", "window").split("_")
    if sorted(given) != sorted(wanted):
        raise BraindecError(
            f"orientation {orientation!r} does not fit {option}", allowed="_".join(wanted) + " in any order"
        )
    return tuple(given.index(w) for w in wanted)


def _folder(root: str | Path) -> Path:
    path = _files.existing(root)
    return path if path.is_dir() else path.parent


def _contents(root: str | Path) -> str:
    path = _files.existing(root)
    paths = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in _arrays.SUFFIXES)[:8]
    parts = [f"{p.name}{':' if n else ''}{n} {s}" for p in paths for n, s in list(_arrays.variables(p).items())[:8]]
    return "neither; there is " + (", ".join(parts) or "no file of arrays")
