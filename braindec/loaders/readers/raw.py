"""Reader ``raw``: continuous recordings in any format that ``mne.io.read_raw`` reads, and EEGLAB v7.3 files through h5py.

FIF, EDF, BDF, GDF, BrainVision, EEGLAB, CTF, KIT, Persyst, Nihon Kohden, SNIRF, EGI, NIRX, CNT, Curry, MEF3, ...
Only headers are read; samples stay on disk in SI units. Damaged files are refused, everything that mne warned of stands in
``info["warnings"]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _formats, _options
from braindec.loaders._shape import shape
from braindec.loaders.eeglab_hdf5 import is_hdf5, read_recording
from braindec.types import Recording
from braindec.types.mne_bridge import recording_from_mne
from braindec.types.mne_signals import MneSignal, quiet_mne

__all__ = ["load", "files", "open_raw", "subjects"]

_DAMAGE = ("Invalid tag", "truncated", "could not read", "does not match the file size", "corrupt")
_OUTSIDE = ("outside data range", "outside the data range")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    pattern: str | None = None,
    events_from: Mapping[str, Any] | None = None,
    stim_values: Mapping[int, str] | None = None,
    rename: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    drop_channels: Sequence[str] = (),
    montage: str | None = None,
    positions: str | None = None,
    positions_unit: str | None = None,
    space: str | None = None,
    modality: str | None = None,
    reader_options: Mapping[str, Any] | None = None,
) -> list[Recording]:
    """Open continuous recordings.

    Parameters
    ----------
    root : str or Path
        One recording (a file, or a folder such as ``.ds``), or a folder of recordings.
    subject, session, task, run : str or list of str, optional
        Which files of a folder (labels in ``pattern``); for one file, its labels.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"S{subject}/S{subject}R{run}.edf"``; ``*`` stands for anything.
    events_from : dict, optional
        Make events from a channel: ``{channel, threshold, min_duration, name, below, every}`` or
        ``{stim_channel, values, mask, min_duration}``; annotations of the file are used when it is left out.
    stim_values : dict of int to str, optional
        Names of trigger values.
    rename : dict of str to str, optional
        New channel names, applied after ``events_from``, ``types`` and ``drop_channels``.
    types : dict of str to str, optional
        Channel types ("eeg", "eog", "ecog", "seeg", "misc", ...) where the file does not say them; a name may hold ``*``.
    drop_channels : list of str or int, optional
        Channels to leave out, by name (which may hold ``*``) or by row.
    montage : str, optional
        A template of mne, such as "standard_1020".
    positions, positions_unit : str, optional
        A table (name, x, y, z) inside ``root`` (or beside it), and its unit: m, mm or cm.
    space : str, optional
        Name of the coordinate system of ``positions``.
    modality : str, optional
        "eeg", "meg", "ieeg", ...; from the channel types when it is left out.
    reader_options : dict, optional
        Options of mne's reading function for this format, such as ``{"optode_frame": "head"}``.

    Returns
    -------
    list of Recording

    Raises
    ------
    UnreadableError
        If a file is damaged, empty, mis-named, or in a format that is not read.
    """
    found = _find(root, pattern)
    wanted = {"session": session, "task": task, "run": run}
    if subject is not None:
        wanted = {"subject": subject, **wanted}
    lists = {k: _options.as_list(v) for k, v in wanted.items()}
    recordings = []
    for file in _files.keep(found, **lists):
        said: list[str] = []
        recording = open_raw(file.path, said, reader_options)
        about = {k: _options.text_or_none(v) for k, v in wanted.items()} | file.entities
        about["space"] = space or recording.info.get("space")
        if modality is not None:
            about["modality"] = modality
        recording = replace(recording, info={**recording.info, **about})
        recordings.append(shape(
            recording, warnings=said, rename=rename, types=types, drop_channels=drop_channels, montage=montage,
            positions=_table(root, positions), positions_unit=positions_unit, events_from=events_from, stim_values=stim_values,
        ))  # fmt: skip
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_find(root, values["pattern"]), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads, headers and samples."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    paths = [p for f in _files.keep(_find(root, values["pattern"]), **wanted) for p in _formats.companions(f.path)]
    extra = _table(root, values["positions"])
    return list(dict.fromkeys([*paths, *([extra] if extra else [])]))


def open_raw(path: Path, warnings: list[str], options: Mapping[str, Any] | None = None) -> Recording:
    """Open one continuous recording; what it said is appended to ``warnings``.

    Raises
    ------
    UnreadableError
        If it cannot be read, or is damaged.
    """
    warnings += _formats.check(path)
    if _formats.suffix_of(path) == ".set" and is_hdf5(path):
        return read_recording(path, warnings)
    options = dict(options or {})
    try:
        with quiet_mne() as said:
            raw = mne.io.read_raw(path, preload=False, **options)
            if raw.n_times and not path.name.lower().endswith(".gz"):
                raw[:, raw.n_times - 1 : raw.n_times]  # a cut file fails here, not in the middle of a run
    except Exception as error:  # mne raises every kind of error on damaged files
        raise _refuse(error, path, said) from error
    unclosed = any("not closed" in w for w in warnings)
    damage = [s for s in said if any(word in s for word in _DAMAGE) and not (unclosed and "file size" in s)]
    if damage or not raw.n_times:
        raise _formats.explain(ValueError(damage[0] if damage else "it holds no samples"), path, "mne.io.read_raw")
    mixed = any(
        _formats.MIXED in w for w in warnings
    )  # in pieces, mne's interpolation would differ from piece to piece
    said = [s for s in said if "mixed sampling frequencies" not in s]
    renamed = _renamed(raw.ch_names, said)
    warnings += [_translate(s, path) for s in said]
    recording = recording_from_mne(raw, signal=MneSignal(raw, path=path, options=options, whole=mixed), path=str(path))
    if renamed:
        recording = replace(recording, info={**recording.info, "renamed": renamed})
    _say_triggers(recording, warnings)
    return recording


def _refuse(error: Exception, path: Path, said: Sequence[str]) -> BraindecError:
    text = str(error)
    if isinstance(error, TypeError) and "unexpected keyword" in text:
        return BraindecError(f"reader_options: {text}", fix="use options of mne's reading function for this format")
    if "epochs" in text or "number of trials" in text.lower():  # KIT markers (.mrk as .sqd) are called epochs too
        return UnreadableError(
            f"{path} holds epochs, not a continuous recording",
            found=" ".join(text.split())[:200],
            fix="use the reader 'epochs'",
        )
    if "Unsupported file type" in text or "unknown format" in text.lower():
        return UnreadableError(
            f"{path} cannot be read: no reader knows the ending {path.suffix!r}", found="tried mne.io.read_raw",
            allowed=", ".join(_formats.RAW_SUFFIXES), fix="convert it to FIF, EDF or BrainVision in the program that wrote it",
        )  # fmt: skip
    damage = [s for s in said if any(word in s for word in _DAMAGE)]
    return _formats.explain(ValueError(f"{damage[0]}; {text}") if damage else error, path, "mne.io.read_raw")


def _renamed(names: Sequence[str], said: list[str]) -> dict[str, str]:
    """What mne did to names that stood twice: it adds a running number and warns."""
    notes = [s for s in said if "not unique" in s]
    for note in notes:
        said.remove(note)
    if not notes:
        return {}
    twice = notes[0].split("{", 1)[-1].split("}", 1)[0]
    base = {part.strip().strip("'\"") for part in twice.split(",")}
    return {n: n.rsplit("-", 1)[0] for n in names if "-" in n and n.rsplit("-", 1)[0] in base}


def _translate(text: str, path: Path) -> str:
    if any(word in text for word in _OUTSIDE):
        return f"{path.name}: {text} Is the file cut short, or are these the markers of another recording?"
    return f"{path.name}: {text}"


def _say_triggers(recording: Recording, warnings: list[str]) -> None:
    stims = recording.channels.loc[recording.channels["type"] == "stim", "name"].tolist()
    if not len(recording.events) and stims:
        warnings.append(
            f"{Path(recording.info['path']).name} has no annotations but a trigger channel: "
            f"events_from={{stim_channel: {stims[-1] if len(stims) == 1 else '...'}}} makes events of it ({', '.join(stims[:8])})"
        )


def _find(root: str | Path, pattern: str | None) -> list[_files.Found]:
    return _files.find(root, pattern, _formats.RAW_SUFFIXES)


def _table(root: str | Path, name: str | None) -> Path | None:
    if name is None:
        return None
    _files.check_inside(name)
    folder = Path(root) if Path(root).is_dir() and (Path(root) / name).exists() else Path(root).parent
    return _files.existing(folder / name)
