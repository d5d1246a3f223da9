"""Reader ``table``: a CSV or TSV file, one row a sample and one numeric column a channel -> Recording.

For features that another program computed (band power, spike rates) and for signals exported as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _arrays, _events, _files, _options
from braindec.loaders._shape import shape, unique_names
from braindec.types import ArraySignal, Recording, Signal

__all__ = ["load", "files", "subjects"]

_SUFFIXES = (".csv", ".tsv", ".txt")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    sfreq: float,
    pattern: str | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    separator: str | None = None,
    time: str | None = None,
    time_unit: str = "s",
    unit: str | None = None,
    modality: str | None = None,
    ch_type: str | None = None,
    types: Mapping[str, str] | None = None,
    label: str | None = None,
    events: str | None = None,
    events_from: Mapping[str, Any] | None = None,
    montage: str | None = None,
    positions: str | None = None,
    positions_unit: str | None = None,
    space: str | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | Sequence[str] | None = None,
) -> list[Recording]:
    """Open tables of samples.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    sfreq : float
        Rows a second, in Hz.
    pattern : str, optional
        Path of the files inside ``root``, such as ``"derivatives/*/sub-{subject}_*_FEATURES.csv"``.
    columns, drop : list of str, optional
        Columns that are channels (names, or patterns with ``*``), and columns to leave out; by default every numeric column
        with a name is a channel.
    separator : str, optional
        Between columns; by default a comma, for .tsv a tab.
    time, time_unit : str, optional
        The column of times and its unit (s or ms): checked against ``sfreq``, and not a channel.
    unit : str, optional
        Unit of the numbers; electric and magnetic units are converted to SI.
    modality, ch_type : str, optional
        "eeg", "ieeg", ..., and the type of all channels.
    types : dict of str to str, optional
        Types of single channels.
    label : str, optional
        A column of labels, one a row: each stretch of one label becomes an event of that trial_type; empty cells are none.
    events : str, optional
        A table of events inside the folder, with onset and duration in s.
    events_from, montage, positions, positions_unit, space
        See the reader ``raw``. A channel takes the place of the electrode that its name starts with.
    dataset : str, optional
        Label.

    Returns
    -------
    list of Recording

    Raises
    ------
    UnreadableError
        If a file is not a table.
    BraindecError
        If a column is not there, or times contradict ``sfreq``.
    """
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found = _files.keep(_find(root, pattern), **{k: _options.as_list(v) for k, v in wanted.items()})
    folder = Path(root) if Path(root).is_dir() else Path(root).parent
    recordings = []
    for file in found:
        said: list[str] = []
        frame = _read(file.path, separator)
        if time is not None:
            _check_time(frame, time, time_unit, sfreq, file.path)
        kept = _columns(
            frame, columns, [*drop, *([time] if time else []), *([label] if label else [])], file.path, said
        )
        names, renamed = unique_names([str(frame.columns[i]) for i in kept])
        si, factor = _arrays.si(unit)
        kind = ch_type or ("eeg" if modality == "eeg" else "misc")
        about = {k: _options.text_or_none(v) for k, v in wanted.items()} | file.entities
        info = {"dataset": dataset, "path": str(file.path), "modality": modality, "space": space, **about}
        recording = Recording(
            TableSignal(file.path, kept, separator, factor, frame), sfreq,
            pd.DataFrame({"name": names, "type": kind, "unit": si}), info={**info, **({"renamed": renamed} if renamed else {})},
        )  # fmt: skip
        if label is not None:
            recording = recording.with_events(_labelled(frame, label, sfreq, file.path))
        elif events is not None:
            path = _arrays.locate(events, folder)[0]
            table = _events.events_table(
                _events.read_tsv(path, separator="," if path.suffix == ".csv" else "\t"), path, said
            )
            _events.say_outside(table, recording.duration, path.name, said)
            recording = recording.with_events(table)
        extra = None if positions is None else _arrays.locate(positions, folder)[0]
        recordings.append(shape(
            recording, warnings=said, types=types, montage=montage, positions=extra, positions_unit=positions_unit,
            events_from=events_from,
        ))  # fmt: skip
    return recordings


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_find(root, values["pattern"]), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    folder = Path(root) if Path(root).is_dir() else Path(root).parent
    extra = [_arrays.locate(values[k], folder)[0] for k in ("events", "positions") if values[k] is not None]
    return [*(f.path for f in _files.keep(_find(root, values["pattern"]), **wanted)), *extra]


class TableSignal(Signal):
    """Numeric columns of a text table as (channel, time), float32; parsed once in each process."""

    def __init__(
        self, path: Path, columns: Sequence[int], separator: str | None, factor: float, frame: pd.DataFrame
    ) -> None:
        self.path, self.columns, self.separator, self.factor = str(path), list(columns), separator, factor
        self._open_array = self._of(frame)
        self.shape = self._open_array.shape

    def _of(self, frame: pd.DataFrame) -> np.ndarray:
        return np.ascontiguousarray(
            frame.iloc[:, self.columns].to_numpy(dtype=np.float64).T * self.factor, dtype=np.float32
        )

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        if self.__dict__.get("_open_array") is None:
            self._open_array = self._of(_read(Path(str(self.path)), self.separator))
        return ArraySignal(self._open_array).read(channels, start, stop)


def _read(path: Path, separator: str | None) -> pd.DataFrame:
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    between = separator or ("\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        names = pd.read_csv(path, sep=between, header=None, nrows=1, dtype=str, encoding="utf-8-sig").iloc[0]
        frame = pd.read_csv(path, sep=between, header=0, encoding="utf-8-sig", na_values=["n/a"])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UnreadableError(
            f"{path} cannot be read as a table (tried pandas, separator {between!r})", found=str(error).splitlines()[0],
            fix="one row a sample, a first row of names; name another separator with separator: ';'",
        ) from error  # fmt: skip
    if len(names) == frame.shape[1]:
        frame.columns = [
            "" if pd.isna(n) else str(n).strip() for n in names
        ]  # pandas would change names that stand twice
    if not len(frame):
        raise UnreadableError(f"{path} has a row of names and no samples", found=f"columns {list(frame.columns)[:8]}")
    return frame


def _columns(
    frame: pd.DataFrame, columns: Sequence[str] | None, drop: Sequence[str], path: Path, said: list[str]
) -> list[int]:
    """Places of the columns that are channels."""
    names = [str(c) for c in frame.columns]
    for asked in [*(columns or []), *drop]:
        if not any(fnmatchcase(n, asked) or n == asked for n in names):
            raise BraindecError(
                f"{path.name} has no column {asked!r}{did_you_mean(asked, names)}", allowed=", ".join(names[:40])
            )
    numeric = [pd.api.types.is_numeric_dtype(frame.iloc[:, i]) for i in range(len(names))]
    left = lambda n: any(fnmatchcase(n, d) or n == d for d in drop)  # noqa: E731
    if columns is not None:
        kept = [i for i, n in enumerate(names) if any(fnmatchcase(n, c) or n == c for c in columns) and not left(n)]
        wrong = [names[i] for i in kept if not numeric[i]]
        if wrong:
            raise BraindecError(
                f"{path.name}: the column {wrong[0]!r} does not hold numbers", found=str(frame[wrong[0]].iloc[0])[:60]
            )
    else:
        kept = [i for i, n in enumerate(names) if numeric[i] and n and not n.startswith("Unnamed:") and not left(n)]
        text = [n for i, n in enumerate(names) if not numeric[i] and n and not left(n)]
        if text:
            said.append(f"{path.name}: columns without numbers are not channels: {', '.join(text[:8])}")
    if not kept:
        raise UnreadableError(f"{path} has no numeric column", found=f"columns {names[:8]}", fix="check the separator")
    return kept


def _check_time(frame: pd.DataFrame, time: str, unit: str, sfreq: float, path: Path) -> None:
    scale = {"s": 1.0, "ms": 1e-3}.get(unit)
    if scale is None or time not in frame:
        asked = f"time_unit {unit!r}" if scale is None else f"column {time!r}{did_you_mean(time, frame.columns)}"
        raise BraindecError(
            f"{path.name}: there is no {asked}", allowed="s, ms" if scale is None else ", ".join(frame.columns[:20])
        )
    step = np.diff(frame[time].to_numpy(dtype=float)) * scale
    if not len(step):
        return
    if abs(np.median(step) * sfreq - 1) > 0.01 or np.any(np.abs(step * sfreq - 1) > 0.5):
        raise BraindecError(
            f"{path.name}: the times of {time!r} contradict sfreq {sfreq:g} Hz",
            found=f"steps of {step.min():.6g} to {step.max():.6g} s, median {1 / np.median(step):.6g} Hz",
            fix="correct sfreq or time_unit; rows that are missing must be filled in",
        )


def _labelled(frame: pd.DataFrame, label: str, sfreq: float, path: Path) -> pd.DataFrame:
    if label not in frame:
        raise BraindecError(f"{path.name} has no column {label!r}{did_you_mean(label, frame.columns)}")
    values = ["" if pd.isna(v) else str(v) for v in frame[label]]
    edges = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    rows = [
        (i / sfreq, (j - i) / sfreq, values[i])
        for i, j in zip(edges, [*edges[1:], len(values)], strict=True)
        if values[i]
    ]
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type"])


def _find(root: str | Path, pattern: str | None) -> list[_files.Found]:
    path = Path(root)
    if pattern is None and path.is_file():
        return [_files.Found(path)]
    return _files.find(root, pattern, _SUFFIXES)
