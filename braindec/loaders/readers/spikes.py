"""Reader ``spikes``: spike times in NPZ, HDF5 or MATLAB files -> Spikes, or their counts in bins as a Recording.

Either two arrays of one length, ``times`` and ``unit``, or one array of times a unit under ``times/<name of the
unit>``. The unit of time must be said, in the file (``time_unit``) or by option: seconds and milliseconds cannot be
told apart by looking.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.files import written_whole
from braindec.loaders import _arrays, _events, _files, _options
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "save_spikes", "subjects"]

_SUFFIXES = (".npz", ".h5", ".hdf5", ".mat")
_SCALE = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    times: str = "times",
    unit: str | None = "unit",
    time_unit: str | None = None,
    start: float | None = None,
    stop: float | None = None,
    events: str | None = None,
    bin_width: float | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> list[Spikes] | list[Recording]:
    """Open spike times.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"sub-{subject}_spikes.npz"``.
    times, unit : str
        Names of the arrays; ``unit: null`` when all spikes are of one unit. Units are numbers (rows of the file's
        table of units, if it has ``unit_names``) or names.
    time_unit : {"s", "ms", "us"}, optional
        Unit of ``times``, ``start`` and ``stop``; needed when the file does not say it.
    start, stop : float, optional
        The stretch that was observed; from the file, else from 0 to the last spike, and then said in the warnings.
    events : str, optional
        A table with onset and duration in s, beside the file.
    bin_width : float, optional
        Count spikes in bins of so many s, as a Recording of (unit, bin).
    dataset : str, optional
        Label.

    Returns
    -------
    list of Spikes, or of Recording with ``bin_width``

    Raises
    ------
    BraindecError
        If the unit of time is not said, or the arrays do not fit.
    """
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found = []
    for file in _files.keep(
        _files.find(root, pattern, _SUFFIXES), **{k: _options.as_list(v) for k, v in wanted.items()}
    ):
        about = {**{k: _options.text_or_none(v) for k, v in wanted.items()}, **file.entities}
        about |= {"dataset": dataset, "modality": "spikes", "path": str(file.path)}
        spikes = _open(file.path, times, unit, time_unit, (start, stop), events, about)
        found.append(spikes)
    return found if bin_width is None else [s.counts(float(bin_width)) for s in found]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_files.find(root, values["pattern"], _SUFFIXES), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    paths = [f.path for f in _files.keep(_files.find(root, values["pattern"], _SUFFIXES), **wanted)]
    extra = [p.parent / values["events"] for p in paths] if values["events"] else []
    return list(dict.fromkeys([*paths, *extra]))


def save_spikes(spikes: Spikes, path: str | Path) -> None:
    """Write spikes as an .npz file that :func:`load` reads without options."""
    columns = {f"units/{c}": spikes.units[c].astype(str).to_numpy(dtype=str) for c in spikes.units if c != "name"}
    names = spikes.units["name"].astype(str).to_numpy(dtype=str)
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            times=spikes.times,
            unit=spikes.unit,
            unit_names=names,
            time_unit=np.array("s"),
            start=np.array(spikes.start),
            stop=np.array(spikes.stop),
            **columns,
        )


def _open(
    path: Path,
    times: str,
    unit: str | None,
    time_unit: str | None,
    span: tuple[float | None, float | None],
    events: str | None,
    about: dict[str, Any],
) -> Spikes:
    if path.suffix.lower() not in _SUFFIXES:
        raise UnreadableError(
            f"{path} cannot be read as spikes", found=f"ending {path.suffix}", allowed=", ".join(_SUFFIXES)
        )
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    names = _arrays.variables(path)
    said: list[str] = []
    scale = _SCALE[_time_unit(path, names, time_unit)]
    when, who, table = _separate(path, names, times) if times not in names else _joined(path, names, times, unit)
    when = when * scale
    if not np.isfinite(when).all():
        raise BraindecError(
            f"{path.name}: {int((~np.isfinite(when)).sum())} spike times are not finite",
            fix="leave them out of the file",
        )
    if len(when) and (np.diff(when) < 0).any():
        order = np.argsort(when, kind="stable")
        when, who = when[order], who[order]
    first = _bound(path, names, "start", span[0], scale, 0.0, said)
    last = _bound(path, names, "stop", span[1], scale, float(when[-1]) if len(when) else None, said)
    table_of_events = pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    if events is not None:
        _files.check_inside(events)
        table_of_events = _events.events_table(_events.read_tsv(path.parent / events), path.parent / events, said)
    return Spikes(when, who, table, first, last, table_of_events, {**about, "warnings": said})


def _time_unit(path: Path, names: dict[str, tuple[int, ...]], given: str | None) -> str:
    stored = None
    if "time_unit" in names:
        stored = str(np.asarray(_small(path, "time_unit")).reshape(-1)[0])
        stored = {"seconds": "s", "sec": "s", "milliseconds": "ms", "msec": "ms"}.get(stored, stored)
    if given is not None and stored is not None and given != stored:
        raise BraindecError(
            f"{path.name} says that its times are in {stored}, the option time_unit says {given}",
            fix="correct one of them",
        )
    unit = given or stored
    if unit is None:
        raise BraindecError(
            f"{path.name} does not say the unit of its times",
            allowed=", ".join(_SCALE),
            fix="say it: time_unit: s (or ms); it is never guessed",
        )
    if unit not in _SCALE:
        raise BraindecError(f"unknown time_unit {unit!r}{did_you_mean(unit, _SCALE)}", allowed=", ".join(_SCALE))
    return unit


def _joined(
    path: Path, names: dict[str, tuple[int, ...]], times: str, unit: str | None
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    when = np.asarray(_arrays.read(f"{path.name}:{times}", path.parent), dtype=np.float64).reshape(-1)
    if unit is None:
        return when, np.zeros(len(when), np.int32), _units(path, names, ["unit000"])
    if unit not in names:
        raise BraindecError(
            f"{path.name} has no array {unit!r}{did_you_mean(unit, names)}",
            found=", ".join(names),
            fix="name it (unit: ...), or unit: null for one unit",
        )
    codes = np.asarray(_small(path, unit)).reshape(-1)
    if len(codes) != len(when):
        raise BraindecError(f"{path.name}: times and unit differ in number", found=f"{len(when)} and {len(codes)}")
    if codes.dtype.kind in "iu" and "unit_names" in names:
        table = _units(path, names, [str(n) for n in np.asarray(_small(path, "unit_names")).reshape(-1)])
        return when, codes.astype(np.int32), table
    if codes.dtype.kind == "f" and not np.array_equal(codes, np.round(codes)):
        raise BraindecError(f"{path.name}: the array {unit} must hold whole numbers or names", found=f"{codes[0]!r}")
    codes = codes.astype(np.int64) if codes.dtype.kind == "f" else codes
    labels, who = np.unique(codes, return_inverse=True)
    return when, who.astype(np.int32).reshape(-1), _units(path, names, [str(v) for v in labels])


def _separate(path: Path, names: dict[str, tuple[int, ...]], times: str) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """One array of times a unit, ``times/<name>``."""
    found = [n for n in names if n.startswith(f"{times}/")]
    if not found:
        raise BraindecError(
            f"{path.name} has no array {times!r}{did_you_mean(times, names)}",
            found=", ".join(f"{n} {s}" for n, s in list(names.items())[:8]) or "nothing",
            fix="name the array of spike times: times: ...; or save one array a unit as times/<name>",
        )
    parts = [np.asarray(_arrays.read(f"{path.name}:{n}", path.parent), dtype=np.float64).reshape(-1) for n in found]
    who = np.repeat(np.arange(len(parts), dtype=np.int32), [len(p) for p in parts])
    return np.concatenate(parts), who, pd.DataFrame({"name": [n.removeprefix(f"{times}/") for n in found]})


def _units(path: Path, names: dict[str, tuple[int, ...]], called: list[str]) -> pd.DataFrame:
    """The table of units: names, and every array ``units/<column>`` of the right length."""
    table = pd.DataFrame({"name": called})
    for name, shape in names.items():
        if name.startswith("units/") and shape == (len(called),):
            table[name.removeprefix("units/")] = _events.numbers(
                pd.Series(np.asarray(_small(path, name)).astype(str), dtype=object)
            )
    return table


def _bound(
    path: Path,
    names: dict[str, tuple[int, ...]],
    which: str,
    given: float | None,
    scale: float,
    fallback: float | None,
    said: list[str],
) -> float:
    if given is not None:
        return float(given) * scale
    if which in names:
        return float(np.asarray(_small(path, which)).reshape(-1)[0]) * scale
    if fallback is None:
        raise BraindecError(f"{path.name} holds no spike and does not say its {which}", fix=f"say it: {which}: ...")
    what = "0 s" if which == "start" else f"the last spike, {fallback:.6g} s"
    said.append(f"{path.name} does not say the {which} of the recording: {what} is used (option {which})")
    return fallback


def _small(path: Path, name: str) -> np.ndarray:
    """Read an array of numbers or text; text of HDF5 is decoded."""
    if path.suffix.lower() in (".h5", ".hdf5"):
        from braindec.types.storage import hdf5

        with hdf5(path, "r") as file:
            dataset = file[name]
            return np.asarray(dataset.asstr()[...]) if dataset.dtype.kind in "OS" else np.asarray(dataset[...])
    return _arrays.read(f"{path.name}:{name}", path.parent)
