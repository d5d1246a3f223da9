"""Reader ``bids``: EEG, MEG, iEEG and NIRS recordings of a BIDS folder.

Signals are read by mne (or h5py for EEGLAB v7.3); names, types and bad channels come from channels.tsv, positions from
electrodes.tsv in the unit that coordsystem.json names, events with every column from events.tsv.

Differs from mne-bids in: all columns of events.tsv are kept, positions keep the space of the file, what is missing or
does not fit stands in ``info["warnings"]``, and a sampling frequency that contradicts the sidecar is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import UnreadableError
from braindec.loaders import _bids_tree, _events, _formats, _options, _positions
from braindec.loaders._bids_tree import BidsFile
from braindec.loaders._shape import shape
from braindec.loaders.readers.raw import open_raw
from braindec.types import Recording

__all__ = ["load", "files", "subjects"]

# Channel types of BIDS that mne cannot know from the file; MEG types are left as the file says.
_TYPES = {
    "EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "EYEGAZE": "eyegaze", "ECG": "ecg", "EMG": "emg", "ECOG": "ecog",
    "SEEG": "seeg", "DBS": "dbs", "MISC": "misc", "TRIG": "stim", "RESP": "resp", "GSR": "gsr", "TEMP": "temperature", "REF": "misc",
    "AUDIO": "misc", "PUPIL": "pupil", "SYSCLOCK": "syst", "ADC": "misc", "DAC": "misc", "PD": "misc", "OTHER": "misc",
}  # fmt: skip
_MODALITY = {"eeg": "eeg", "meg": "meg", "ieeg": "ieeg", "nirs": "fnirs"}
_UNIT_KEYS = {"eeg": "EEG", "meg": "MEG", "ieeg": "iEEG", "nirs": "NIRS"}


def load(
    root: str | Path,
    subject: str | Sequence[str] | None = None,
    *,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    acquisition: str | Sequence[str] | None = None,
    processing: str | Sequence[str] | None = None,
    datatype: str | None = None,
    extension: str | None = None,
    space: str | None = None,
    events_from: Mapping[str, Any] | None = None,
    stim_values: Mapping[int, str] | None = None,
    rename: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    drop_channels: Sequence[str] = (),
    montage: str | None = None,
) -> list[Recording]:
    """Open recordings of a BIDS folder; only headers and sidecars are read.

    Parameters
    ----------
    root : str or Path
        The folder that holds ``sub-*``.
    subject, session, task, run, acquisition, processing : str or list of str, optional
        Labels to keep; all of them when left out.
    datatype : {"eeg", "meg", "ieeg", "nirs"}, optional
        Needed when a subject has more than one.
    extension : str, optional
        Such as ".fif", when one recording is stored in several formats.
    space : str, optional
        Which electrodes.tsv, when there are several.
    events_from, stim_values, rename, types, drop_channels, montage
        See the reader ``raw``; ``events_from`` replaces events.tsv.

    Returns
    -------
    list of Recording

    Raises
    ------
    BraindecError
        If a label is not there (the message names those that are).
    UnreadableError
        If a file is damaged, or contradicts its sidecar.
    """
    found = _bids_tree.recordings(
        root, subject=subject, session=session, task=task, run=run, acquisition=acquisition, processing=processing,
        datatype=datatype, extension=extension,
    )  # fmt: skip
    recordings = []
    for file in tqdm(found, desc="opening recordings", disable=None, leave=False):
        said: list[str] = []
        recording = open_recording(file, said, space=space, with_events=events_from is None)
        recordings.append(shape(
            recording, warnings=said, rename=rename, types=types, drop_channels=drop_channels, montage=montage,
            events_from=events_from, stim_values=stim_values,
        ))  # fmt: skip
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels of the subjects that have a recording with the options asked for."""
    found = _find(root, _options.bind(load, options))
    return sorted(
        {str(f.get("subject")) for f in found if f.get("subject") != "emptyroom"} or {str(found[0].get("subject"))}
    )


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the recordings and the sidecars that :func:`load` with the same options reads."""
    paths: list[Path] = []
    for file in _find(root, _options.bind(load, {**options, "subject": subject})):
        paths += _formats.companions(file.path)
        for suffix, extension in (("events", ".tsv"), ("channels", ".tsv"), ("electrodes", ".tsv"), ("coordsystem", ".json"),
                                  (file.datatype, ".json")):  # fmt: skip
            paths += file.sidecars(suffix, extension)
    return list(dict.fromkeys(paths))


def open_recording(
    file: BidsFile, warnings: list[str], *, space: str | None = None, with_events: bool = True
) -> Recording:
    """Open one recording with its sidecars; what does not fit is appended to ``warnings``."""
    sidecar = file.json(file.datatype)
    recording = _open(file, warnings)
    warnings[:] = [w for w in warnings if "has no annotations but" not in w]  # events.tsv decides
    description = file.root / "dataset_description.json"
    name = _bids_tree.read_json(description).get("Name") if description.is_file() else None
    about = {
        "dataset": str(name).strip() if name and str(name).strip() not in ("n/a", "") else file.root.resolve().name,
        **{key: file.get(key) for key in ("subject", "session", "task", "run", "acquisition")},
        "modality": _MODALITY[file.datatype],
    }
    if _number(sidecar.get("PowerLineFrequency")) is not None:
        about["line_freq"] = _number(sidecar["PowerLineFrequency"])
    recording = replace(recording, info={**recording.info, **about})
    _check_sidecar(recording, sidecar, file, warnings)
    recording = _with_channels(recording, file, warnings)
    recording = _with_positions(recording, file, space, warnings)
    events = _read_events(file, warnings, recording) if with_events else recording.events.iloc[:0]
    length, late = _number(sidecar.get("RecordingDuration")), int((events["onset"] >= recording.duration).sum())
    if late and _is_shorter(recording, length):
        raise UnreadableError(
            f"{file.path} was cut short",
            found=f"{recording.duration:.3f} s; its sidecar says {length:.3f} s, and {late} of {len(events)} events come later",
            fix="copy the file again from where it was recorded; if it is whole, correct RecordingDuration in the sidecar",
        )
    return recording.with_events(events)


def _find(root: str | Path, options: Mapping[str, Any]) -> list[BidsFile]:
    keys = ("subject", "session", "task", "run", "acquisition", "processing", "datatype", "extension")
    return _bids_tree.recordings(root, **{k: options[k] for k in keys})


def _check_sidecar(recording: Recording, sidecar: Mapping[str, Any], file: BidsFile, warnings: list[str]) -> None:
    said = _number(sidecar.get("SamplingFrequency"))
    if said is not None and abs(said - recording.sfreq) > 1e-3 * recording.sfreq:
        raise UnreadableError(
            f"{file.path.name}: the file and its sidecar differ in sampling frequency",
            found=f"{recording.sfreq:g} Hz in the file, {said:g} Hz in the _{file.datatype}.json",
            fix="find out which one is right and correct the other: every onset depends on it",
        )
    length = _number(sidecar.get("RecordingDuration"))
    if _is_shorter(recording, length):
        warnings.append(
            f"{file.path.name} holds {recording.duration:.3f} s but its sidecar says {length:.3f} s: was the file cut short?"
        )


def _is_shorter(recording: Recording, length: float | None) -> bool:
    return length is not None and recording.duration < length - max(1.0, 0.01 * length)


def _with_channels(recording: Recording, file: BidsFile, warnings: list[str]) -> Recording:
    path = file.sidecar("channels", ".tsv")
    if path is None:
        warnings.append(f"{file.path.name} has no channels.tsv: types and bad channels are as the file says")
        return recording
    table = _events.read_tsv(path)
    if "name" not in table:
        raise UnreadableError(f"{path} has no column name", found=f"columns {list(table.columns)}")
    rows = _match_rows(recording, table, path, warnings)
    channels = recording.channels.copy()
    for place, row in enumerate(rows):
        if row is None:
            continue
        kind = str(table["type"].iloc[row]).upper() if "type" in table else ""
        if kind in _TYPES and channels.loc[place, "type"] not in ("mag", "grad", "ref_meg"):
            channels.loc[place, "type"] = _TYPES[kind]
        status = str(table["status"].iloc[row]).strip().lower() if "status" in table else "good"
        if status == "bad":
            channels.loc[place, "status"] = "bad"
        elif status not in ("good", "nan", "n/a"):
            warnings.append(
                f"{path.name}: the status {status!r} of {channels.loc[place, 'name']} is neither good nor bad: taken as good"
            )
    for column in [c for c in table if c not in ("name", "type", "status", "x", "y", "z", "unit", "loc", "region")]:
        name = "file_unit" if column == "units" else column
        values = pd.Series([table[column].iloc[r] if r is not None else np.nan for r in rows], dtype=object)
        channels[name] = _events.numbers(values)
    return replace(recording, channels=channels)


def _match_rows(recording: Recording, table: pd.DataFrame, path: Path, warnings: list[str]) -> list[int | None]:
    """Row of channels.tsv for each channel: by name, or by order for names that the file holds twice."""
    names = [str(n) for n in table["name"]]
    renamed: Mapping[str, str] = recording.info.get("renamed") or {}
    base = [renamed.get(n, n) for n in recording.ch_names]
    if len(names) == len(base) and names == base:
        return list(range(len(names)))
    place: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in place:
            warnings.append(f"{path.name}: the channel {name} stands twice; the first row is used")
        place.setdefault(name, row)
    missing = [n for n in recording.ch_names if n not in place]
    extra = [n for n in names if n not in set(recording.ch_names)]
    if missing or extra:
        warnings.append(
            f"{path.name} and the file differ: {len(missing)} channels are only in the file ({', '.join(missing[:5]) or 'none'}), "
            f"{len(extra)} only in the table ({', '.join(extra[:5]) or 'none'})"
        )
    return [place.get(n) for n in recording.ch_names]


def _with_positions(recording: Recording, file: BidsFile, space: str | None, warnings: list[str]) -> Recording:
    found = file.sidecars("electrodes", ".tsv")
    by_space = {_bids_tree.entities_of(p.name).get("space"): p for p in found}
    if space is not None and by_space:
        if space not in by_space:
            warnings.append(
                f"no electrodes.tsv in space {space}; there is {', '.join(map(str, by_space))}: no positions"
            )
            return recording
        by_space = {space: by_space[space]}
    if not by_space:
        if file.datatype in ("eeg", "ieeg") and not np.isfinite(recording.positions).any():
            warnings.append(f"{file.path.name} has no electrodes.tsv: channels have no positions")
        return recording
    if len(by_space) > 1:
        warnings.append(
            f"electrodes are given in several spaces ({', '.join(sorted(map(str, by_space)))}): say which with space: ..."
        )
        return recording
    ((label, path),) = by_space.items()
    systems = [
        p for p in file.sidecars("coordsystem", ".json") if _bids_tree.entities_of(p.name).get("space") in (label, None)
    ]
    system = _bids_tree.read_json(systems[-1]) if systems else {}
    prefix = _UNIT_KEYS[file.datatype]
    unit = next(
        (system[f"{p}CoordinateUnits"] for p in (prefix, "EEG", "iEEG", "MEG") if f"{p}CoordinateUnits" in system), None
    )
    named = next(
        (system[f"{p}CoordinateSystem"] for p in (prefix, "EEG", "iEEG", "MEG") if f"{p}CoordinateSystem" in system),
        None,
    )
    table = _positions.read_electrodes(path, warnings)
    if unit not in _positions.UNITS:
        warnings.append(
            f"{path.name}: positions are left out because "
            + (f"their unit is {unit!r}" if unit else "no coordsystem.json names their unit (m, cm or mm)")
        )
        return recording
    system_name = named if named and named not in ("Other", "n/a") else label or named
    recording = replace(recording, channels=recording.channels.assign(x=np.nan, y=np.nan, z=np.nan))
    return _positions.place(recording, table, unit=unit, source=path.name, space=system_name, warnings=warnings)


def _read_events(file: BidsFile, warnings: list[str], recording: Recording) -> pd.DataFrame:
    path = file.sidecar("events", ".tsv")
    if path is None:
        warnings.append(f"{file.path.name} has no events.tsv: the recording has no events")
        return pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    events = _events.events_table(_events.read_tsv(path), path, warnings)
    if not len(events):
        warnings.append(f"{path.name} is empty: the recording has no events")
    _events.say_outside(events, recording.duration, path.name, warnings)
    return events


def _open(file: BidsFile, warnings: list[str]) -> Recording:
    helmet = _kit_options(file)
    if helmet:
        try:
            return open_raw(file.path, warnings, helmet)
        except UnreadableError as error:
            warnings.append(f"{file.path.name}: the place of the head in the helmet is not known ({error.found})")
    return open_raw(file.path, warnings)


def _kit_options(file: BidsFile) -> dict[str, Any]:
    """Marker and digitizer files of a KIT recording, which give the place of the head in the helmet."""
    if file.path.suffix.lower() not in (".con", ".sqd"):
        return {}
    markers = [p for e in (".sqd", ".mrk") for p in file.sidecars("markers", e)]
    shapes = {
        _bids_tree.entities_of(p.name).get("acq", ""): p
        for e in (".pos", ".elp", ".hsp")
        for p in file.sidecars("headshape", e)
    }
    if not markers or not {"ELP", "HSP"} <= set(shapes):
        return {}
    return {"mrk": str(markers[-1]), "elp": str(shapes["ELP"]), "hsp": str(shapes["HSP"])}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and number > 0 else None
