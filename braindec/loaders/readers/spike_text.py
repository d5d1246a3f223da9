"""Reader ``spike_text``: text files of spike times, one unit a file and one time a line -> Spikes.

The names of the files say which unit is which: ``pattern: "day1_{run}_tetB_u{unit}.txt"``; files that differ in ``{unit}``
only are one recording. Files may hold trials one after another (``every``), as many experiments save them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options
from braindec.loaders._spike_trials import checked, joined, scale_of
from braindec.stats.asked import number
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "subjects"]


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str,
    time_unit: str | None = None,
    sfreq: float | None = None,
    start: float = 0.0,
    stop: float | None = None,
    every: float | None = None,
    length: float | None = None,
    onset: float = 0.0,
    duration: float = 0.0,
    trial_type: str | None = None,
    names: Mapping[str, str] | None = None,
    join: float | None = None,
    duplicates: str = "keep",
    bin_width: float | None = None,
    dataset: str | None = None,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
) -> list[Spikes] | list[Recording]:
    """Open text files of spike times.

    Parameters
    ----------
    root : str or Path
        The folder.
    subject, session, task, run : str, optional
        Which of those that ``pattern`` finds; or the labels of all.
    pattern : str
        Path of the files inside ``root`` with ``{unit}``, and ``{subject}``, ``{session}``, ``{task}``, ``{run}`` and ``*``.
    time_unit : {"s", "ms", "us", "samples"}
        Unit of the times; never guessed.
    sfreq : float, optional
        Sampling frequency in Hz, for times in samples.
    start, stop : float, optional
        The stretch that was observed, s; without ``stop`` until the last spike of any unit (said in the warnings), or the
        end of the last trial.
    every : float, optional
        Trials begin every so many s, from ``start``.
    length : float, optional
        How much of each trial was observed, s; ``every`` by default.
    onset, duration : float
        The event of each trial: so many s after its beginning, and how long.
    trial_type : {"subject", "session", "task", "run"}, optional
        The label of the file's name that is the class of its trials.
    names : dict of str to str, optional
        Label -> class: several labels may be one class; labels that are left out make no events.
    join : float, optional
        Put all recordings on one line of time, so many s apart (nobody observed the time between): one recording, whose
        events have a column ``part``.
    duplicates : {"keep", "drop", "refuse"}
        What to do with spikes that a unit has twice at one time.
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
        If the unit of time is not said, units differ between recordings, or spikes lie between trials.
    UnreadableError
        If a file is not a list of numbers.
    """
    scale = scale_of(time_unit, sfreq, Path(root).name)
    for value, what in (
        (start, "start"),
        (stop, "stop"),
        (every, "every"),
        (length, "length"),
        (onset, "onset"),
        (duration, "duration"),
        (join, "join"),
    ):
        if value is not None:
            number(value, what, unit="s")
    if (length is not None and every is None) or (every is not None and not 0 < (length or every) <= every):
        raise BraindecError("trials need 0 < length <= every", found=f"every {every}, length {length} s")
    if trial_type is not None and trial_type not in _files.ENTITIES:
        raise BraindecError(f"trial_type names no part of a name: {trial_type!r}", allowed=", ".join(_files.ENTITIES))
    given = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found, wanted = [], {k: _options.as_list(v) for k, v in given.items()}
    for labels, paths in _recordings(root, pattern, wanted):
        said: list[str] = []
        about = {**{k: _options.text_or_none(v) for k, v in given.items()}, **labels}
        about |= {"dataset": dataset, "modality": "spikes", "path": str(paths[0][1].parent), "warnings": said}
        name = "_".join(labels.values()) or Path(root).name
        trains = [np.sort(_times(path) * scale) for _, path in paths]
        end = _end(trains, start, stop, every, length, name, said)
        support, events = _trials(start, end, every, length, onset, duration)
        _check_inside(trains, support, name)
        if trial_type is not None and len(events):
            label = labels.get(trial_type, str(about.get(trial_type)))
            kind = label if names is None else names.get(label)
            events = events.assign(trial_type=kind) if kind is not None else events.iloc[:0]
        units = pd.DataFrame({"name": [f"unit{u}" for u, _ in paths]})
        found.append(checked(
            lambda trains=trains, end=end, units=units, events=events, about=about, support=support: Spikes.from_trains(trains, start=start, stop=end, units=units, events=events, info=about, support=support),
            duplicates, name, said,
        ))  # fmt: skip
    _same_units(found)
    if join is not None and len(found) > 1:
        found = [joined(found, float(join), [])]
    return found if bin_width is None else [s.counts(bin_width) for s in found]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; ``subject``, or the name of the folder, where it names none."""
    values = _options.bind(load, options)
    named = sorted({labels["subject"] for labels, _ in _recordings(root, values["pattern"], {}) if "subject" in labels})
    return [str(values["subject"])] if values["subject"] is not None else named or [Path(root).resolve().name]


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in _files.ENTITIES}
    return [path for _, paths in _recordings(root, values["pattern"], wanted) for _, path in paths]


def _recordings(
    root: str | Path, pattern: str, wanted: Mapping[str, list[str] | None]
) -> list[tuple[dict[str, str], list[tuple[str, Path]]]]:
    """Labels of each recording, and its files by unit, in order of the units' numbers."""
    folder = _files.existing(root)
    _files.check_inside(pattern)
    placed = set(re.findall(r"\{(\w+)\}", pattern))
    if "unit" not in placed or placed - {*_files.ENTITIES, "unit"} or not folder.is_dir():
        raise BraindecError(
            f"the pattern {pattern!r} does not name units in a folder", found=str(folder),
            allowed="{unit}, {subject}, {session}, {task}, {run} and *", fix="for example 'day1_{run}_u{unit}.txt'",
        )  # fmt: skip
    expression, groups, every = _files.regex(pattern), {}, []
    for path in sorted(folder.glob(re.sub(r"\{\w+\}", "*", pattern))):
        match = expression.fullmatch(path.relative_to(folder).as_posix())
        if match:
            labels = match.groupdict()
            unit = labels.pop("unit")
            every.append(_files.Found(path, labels))
            groups.setdefault(tuple(sorted(labels.items())), []).append((unit, path))
    if not every:
        raise BraindecError(
            f"no file of {folder} matches {pattern!r}", found=", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "an empty folder",
        )  # fmt: skip
    kept = {f.path for f in _files.keep(every, **wanted)}
    out = [(dict(k), sorted(v, key=lambda u: (_number(u[0]), u[0]))) for k, v in groups.items() if v[0][1] in kept]
    order = list(wanted.get("run") or [])
    return sorted(out, key=lambda g: order.index(g[0]["run"]) if g[0].get("run") in order else -1) if order else out


def _number(text: str) -> float:
    return float(text) if text.isdigit() else np.inf


def _times(path: Path) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8").split()
        times = np.array(text, dtype=np.float64)
    except (UnicodeDecodeError, ValueError) as error:
        raise UnreadableError(
            f"{path} is not a list of spike times", found=str(error)[:120], fix="one number a line, nothing else"
        ) from error
    if not np.isfinite(times).all():
        raise BraindecError(
            f"{path.name}: {int((~np.isfinite(times)).sum())} spike times are not finite", fix="leave them out"
        )
    return times


def _end(
    trains: Sequence[np.ndarray], start: float, stop: float | None, every: float | None, length: float | None, name: str,
    said: list[str],
) -> float:  # fmt: skip
    if stop is not None:
        return float(stop)
    last = max((float(t[-1]) for t in trains if len(t)), default=None)
    if last is None:
        raise BraindecError(f"{name} holds no spike and does not say its stop", fix="stop: ... (s)")
    if every is None:
        said.append(
            f"{name} does not say the stop of the recording: the last spike, {last:.6g} s, is used (option stop)"
        )
        return last
    n = int(np.floor((last - start) / every)) + 1
    said.append(f"{name} does not say how many trials it holds: {n} trials of {every:g} s, up to the last spike")
    return start + (n - 1) * every + (length or every)


def _trials(
    start: float, stop: float, every: float | None, length: float | None, onset: float, duration: float
) -> tuple[np.ndarray | None, pd.DataFrame]:  # fmt: skip
    if every is None:
        return None, pd.DataFrame({"onset": np.zeros(0), "duration": np.zeros(0)})
    n = int(np.floor((stop - start - (length or every)) / every + 1e-9)) + 1
    if n < 1:
        raise BraindecError(
            "no trial fits into the recording", found=f"{stop - start:g} s", allowed=f"{length or every:g} s or more"
        )
    starts = start + every * np.arange(n)
    events = pd.DataFrame({"onset": starts + onset, "duration": float(duration), "trial": np.arange(n)})
    support = None if length is None or length == every else np.stack([starts, starts + length], axis=1)
    return support, events


def _check_inside(trains: Sequence[np.ndarray], support: np.ndarray | None, name: str) -> None:
    if support is None:
        return
    times = np.concatenate(trains)
    which = np.searchsorted(support[:, 0], times, side="right") - 1
    outside = times[(which < 0) | (times > support[np.maximum(which, 0), 1])]
    if len(outside):
        raise BraindecError(
            f"{name}: {len(outside)} of {len(times)} spikes lie between the trials", found=f"the first at {outside.min():.6g} s",
            fix="correct every, length or time_unit",
        )  # fmt: skip


def _same_units(found: Sequence[Spikes]) -> None:
    first = found[0].units["name"].tolist()
    for spikes in found[1:]:
        other = spikes.units["name"].tolist()
        if other != first:
            apart = sorted(set(first) ^ set(other))
            raise BraindecError("recordings have different units", found=f"not in all of them: {', '.join(apart[:8])}",
                                fix="add empty files for units that were silent, or choose recordings (run: [...])")  # fmt: skip
