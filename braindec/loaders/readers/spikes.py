"""Reader ``spikes``: spike times in NPZ, HDF5 or MATLAB files -> Spikes, or their counts in bins as a Recording.

Four layouts: two arrays of one length, ``times`` and ``unit``; one array of times a unit under ``times/<name of the
unit>``; a MATLAB cell array of times, one cell a unit; one array of times a condition (``segments``), each with its own
zero, laid one after another with a pause. The unit of time must be said, in the file (``time_unit``) or by option:
seconds and milliseconds cannot be told apart by looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.files import written_whole
from braindec.loaders import _arrays, _events, _files, _matlab, _options
from braindec.loaders._spike_trials import checked, laid_out_note, lay_out, scale_of
from braindec.stats.asked import number
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "save_spikes", "subjects"]

_SUFFIXES = (".npz", ".h5", ".hdf5", ".mat")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str | None = None,
    times: str = "times",
    unit: str | None = "unit",
    time_unit: str | None = None,
    sfreq: float | None = None,
    start: float | None = None,
    stop: float | None = None,
    support: str | None = None,
    segments: Mapping[str, str] | None = None,
    pause: float = 1.0,
    duplicates: str = "keep",
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
    time_unit : {"s", "ms", "us", "samples"}, optional
        Unit of ``times``, ``start``, ``stop`` and ``support``; needed when the file does not say it.
    sfreq : float, optional
        Sampling frequency in Hz, for times in samples.
    start, stop : float, optional
        The stretch that was observed; from the file, else from 0 to the last spike, and then said in the warnings.
        With ``segments`` the stretch of each.
    support : str, optional
        Name of an array (n, 2) of the intervals that were observed; the file's array ``support`` when it has one. Spikes
        between them are refused.
    segments : dict of str to str, optional
        Condition -> name of its array of times (of one unit): one event a segment, trial_type is the condition.
    pause : float
        Time between segments that nobody observed, s.
    duplicates : {"keep", "drop", "refuse"}
        What to do with spikes that a unit has twice at one time.
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
        about |= {"dataset": dataset, "modality": "spikes", "path": str(file.path), "warnings": []}
        _readable(file.path)
        scale = scale_of(_time_unit(file.path, time_unit), sfreq, file.path.name)
        if segments:
            make = partial(_segments, file.path, segments, scale, (start, stop), pause, about)
        else:
            make = partial(_open, file.path, (times, unit, support), scale, (start, stop), events, about)
        found.append(checked(make, duplicates, file.path.name, about["warnings"]))
    return found if bin_width is None else [s.counts(bin_width) for s in found]


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
            support=spikes.support,
            **columns,
        )


def _readable(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise UnreadableError(
            f"{path} cannot be read as spikes", found=f"ending {path.suffix}", allowed=", ".join(_SUFFIXES)
        )
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")


def _open(
    path: Path,
    arrays: tuple[str, str | None, str | None],
    scale: float,
    span: tuple[float | None, float | None],
    events: str | None,
    about: dict[str, Any],
) -> Spikes:
    times, unit, support = arrays
    names = _arrays.variables(path)
    said: list[str] = about["warnings"]
    cells = _cells(path, times) if times in names and path.suffix.lower() == ".mat" else None
    if cells is not None:
        when, who = np.concatenate(cells), np.repeat(np.arange(len(cells), dtype=np.int32), [len(c) for c in cells])
        called = [f"unit{i:03d}" for i in range(len(cells))]
        if "unit_names" in names:
            called = _matlab.texts(_matlab.read_variables(path, ["unit_names"])["unit_names"])
        table = _units(path, names, called)
    elif times in names:
        when, who, table = _joined(path, names, times, unit)
    else:
        when, who, table = _separate(path, names, times)
    when, who = _in_order(path, when * scale, who)
    first = _bound(path, names, "start", span[0], scale, 0.0, said)
    last = _bound(path, names, "stop", span[1], scale, float(when[-1]) if len(when) else None, said)
    intervals = None
    if support is not None or "support" in names:
        intervals = np.asarray(_small(path, _known(path, names, support or "support")), dtype=float) * scale
    table_of_events = pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    if events is not None:
        _files.check_inside(events)
        table_of_events = _events.events_table(_events.read_tsv(path.parent / events), path.parent / events, said)
    return Spikes(when, who, table, first, last, table_of_events, about, intervals)


def _segments(
    path: Path,
    segments: Mapping[str, str],
    scale: float,
    span: tuple[float | None, float | None],
    pause: float,
    about: dict[str, Any],
) -> Spikes:
    """One unit in several conditions, each with its own zero, one after another."""
    if not isinstance(segments, Mapping):
        raise BraindecError(f"{path.name}: segments name the array of each condition", found=repr(segments)[:80],
                            fix="segments: {condition: array}")  # fmt: skip
    names, said = _arrays.variables(path), about["warnings"]
    trains = [_times(path, _known(path, names, n)) * scale for n in segments.values()]
    if not all(np.isfinite(t).all() for t in trains):
        raise BraindecError(f"{path.name}: spike times are not finite", fix="leave them out of the file")
    first = number(span[0] or 0.0, "start") * scale
    stops = [number(span[1], "stop") * scale if span[1] is not None else float(t.max(initial=0.0)) for t in trains]
    if span[1] is None:
        said.append(f"{path.name} does not say how long its segments are: each ends with its last spike (option stop)")
    for condition, train, stop in zip(segments, trains, stops, strict=True):
        if len(train) and (train.min() < first or train.max() > stop):
            raise BraindecError(
                f"{path.name}: spikes of {condition} lie outside its stretch",
                found=f"{train.min():.6g} to {train.max():.6g} s against {first:g} to {stop:g} s",
                fix="correct start, stop or time_unit",
            )
    lengths = [stop - first for stop in stops]
    starts, support = lay_out(len(trains), lengths, pause)
    events = pd.DataFrame({"onset": starts, "duration": lengths, "trial_type": [str(c) for c in segments]})
    said.append(laid_out_note(path.name, len(trains), pause).replace("trials", "segments"))
    when = np.concatenate([t - first + a for t, a in zip(trains, starts, strict=True)])
    return Spikes.from_trains([when], start=0.0, stop=float(support[-1, 1]), units=pd.DataFrame({"name": ["unit000"]}),
                              events=events, info=about, support=support)  # fmt: skip


def _times(path: Path, name: str) -> np.ndarray:
    """An array of times, flat."""
    found = np.asarray(_arrays.read(f"{path.name}:{name}", path.parent))
    if found.dtype.kind not in "biuf":
        raise BraindecError(
            f"{path.name}: the array {name} of spike times must hold numbers", found=f"dtype {found.dtype}"
        )
    return found.astype(np.float64).reshape(-1)


def _in_order(path: Path, when: np.ndarray, who: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check that times are finite and sort them."""
    if not np.isfinite(when).all():
        raise BraindecError(
            f"{path.name}: {int((~np.isfinite(when)).sum())} spike times are not finite",
            fix="leave them out of the file",
        )
    order = np.argsort(when, kind="stable")
    return when[order], who[order]


def _cells(path: Path, name: str) -> list[np.ndarray] | None:
    """Times of each cell of a MATLAB cell array; None when the variable is a plain array."""
    with path.open("rb") as file:
        new = b"\x89HDF" in file.read(520)
    if new:
        from braindec.types.storage import hdf5

        with hdf5(path, "r") as file:
            dataset = file[name]
            if dataset.dtype.kind != "O":
                return None
            parts = [np.asarray(file[ref][()]) for ref in np.asarray(dataset[()]).T.reshape(-1)]
            parts = [np.zeros(0) if "MATLAB_empty" in file[ref].attrs else part
                     for part, ref in zip(parts, np.asarray(dataset[()]).T.reshape(-1), strict=True)]  # fmt: skip
    else:
        found = _matlab.read_variables(path, [name])[name]
        if found.dtype.kind != "O":
            return None
        parts = [np.asarray(cell) for cell in found.reshape(-1)]
    wrong = [i for i, p in enumerate(parts) if p.dtype.kind not in "biuf"]
    if wrong:
        raise BraindecError(
            f"{path.name}: cell {wrong[0] + 1} of {name} does not hold numbers", found=f"{parts[wrong[0]].dtype}"
        )
    return [p.reshape(-1).astype(np.float64) for p in parts]


def _known(path: Path, names: Mapping[str, Any], asked: str) -> str:
    if asked not in names:
        raise BraindecError(
            f"{path.name} has no array {asked!r}{did_you_mean(asked, names)}", allowed=", ".join(list(names)[:20])
        )
    return asked


def _time_unit(path: Path, given: str | None) -> str | None:
    names, stored = _arrays.variables(path), None
    if "time_unit" in names:
        stored = str(np.asarray(_small(path, "time_unit")).reshape(-1)[0])
        stored = {"seconds": "s", "sec": "s", "milliseconds": "ms", "msec": "ms"}.get(stored, stored)
    if given is not None and stored is not None and given != stored:
        raise BraindecError(
            f"{path.name} says that its times are in {stored}, the option time_unit says {given}",
            fix="correct one of them",
        )
    return given or stored


def _joined(
    path: Path, names: dict[str, tuple[int, ...]], times: str, unit: str | None
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    when = _times(path, times)
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
        return when, codes, table
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
    parts = [_times(path, n) for n in found]
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
        return number(given, f"{path.name}: {which}") * scale
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
