"""Reader ``spike_bins``: spikes as numbers in bins, one row a trial -> Spikes with one event a trial.

Two codings: ``counts`` (0 or 1, or how many spikes a bin holds) and ``unit_number`` (which unit fired in the bin, 0 for
none; one spike a bin at most). Files: .npy, .npz, HDF5, MATLAB, and .csv whose columns of bins are named by whole
numbers. A spike lies in the middle of its bin; several in one bin are spread over it. Trials are laid one after another
with a pause that nobody observed (``support``), unless the file holds one long trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _arrays, _files, _options
from braindec.loaders._spike_trials import checked, labelled, laid_out_note, lay_out, scale_of, trial_events
from braindec.stats.asked import number
from braindec.types import Recording, Spikes

__all__ = ["load", "files", "subjects"]

_SUFFIXES = (*_arrays.SUFFIXES, ".csv", ".tsv")
_CODINGS = ("counts", "unit_number")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    bins: str | None = None,
    width: float | None = None,
    times: str | None = None,
    time_unit: str | None = None,
    coding: str = "counts",
    axes: str | None = None,
    labels: str | None = None,
    names: Mapping[Any, str] | None = None,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    onset: float | None = None,
    unit_names: Sequence[str] | None = None,
    pause: float = 1.0,
    bin_width: float | None = None,
    pattern: str | None = None,
    dataset: str | None = None,
    session: str | None = None,
    task: str | None = None,
    run: str | None = None,
) -> list[Spikes] | list[Recording]:
    """Open spikes in bins.

    Parameters
    ----------
    root : str or Path
        One file, or a folder.
    subject, session, task, run : str, optional
        Labels in ``pattern``, or the labels of one file.
    bins : str, optional
        Name of the array; not needed when the file holds one, or for a table.
    width : float, optional
        Width of a bin in s; this or ``times`` is needed.
    times : str, optional
        Name of an array of the bins' times, in ``time_unit`` ("s", "ms", "us"), evenly spaced; events are then at its 0
        (where it has one), else at the beginning of the trial.
    coding : {"counts", "unit_number"}
        What a number means.
    axes : str, optional
        Order of the axes: "trial_bin" (two axes), "trial_unit_bin" (three), "unit_bin" for one long stretch, or any order.
    labels : str, optional
        Array (or column) of one label a trial: trial_type of the events.
    names : dict, optional
        Label -> name.
    columns : dict or list of str, optional
        More columns of the events: name -> array (or columns of the table).
    onset : float, optional
        Time of the event after the beginning of its trial, s.
    unit_names : list of str, optional
        Names of the units, in order (for "unit_number": of 1, 2, ...).
    pause : float
        Time between trials that nobody observed, s.
    bin_width : float, optional
        Count spikes in bins of so many s, as a Recording of (unit, bin).
    pattern, dataset
        Path of the files inside ``root`` with ``{subject}``; a label.

    Returns
    -------
    list of Spikes, or of Recording with ``bin_width``

    Raises
    ------
    BraindecError
        If the width of a bin is not said, numbers are not whole or negative, or labels do not fit the trials.
    UnreadableError
        If a file is damaged.
    """
    if coding not in _CODINGS:
        raise BraindecError(
            f"coding: {coding!r} is unknown{did_you_mean(str(coding), _CODINGS)}", allowed=", ".join(_CODINGS)
        )
    wanted = {"session": session, "task": task, "run": run, **({"subject": subject} if subject is not None else {})}
    found = []
    for file in _files.keep(
        _files.find(root, pattern, _SUFFIXES), **{k: _options.as_list(v) for k, v in wanted.items()}
    ):
        said: list[str] = []
        about = {**{k: _options.text_or_none(v) for k, v in wanted.items()}, **file.entities}
        about |= {"dataset": dataset, "modality": "spikes", "path": str(file.path), "warnings": said}
        source = _Table(file.path) if file.path.suffix.lower() in (".csv", ".tsv") else _Arrays(file.path)
        values = _values(source, bins, axes, coding)
        step, zero = _step(source, width, times, time_unit, values.shape[2])
        if onset is not None:
            zero = number(
                onset, "onset", least=0, most=values.shape[2] * step, unit="s from the beginning of the trial"
            )
        make = partial(_spikes, values, coding, step, pause, unit_names, source.path.name, about, said)
        spikes = checked(make, "keep", source.path.name, said)
        trials = _columns(source, len(values), labels, names, columns)
        length = values.shape[2] * step
        if trials or len(values) > 1:
            events = trial_events(spikes.support[:, 0], onset=zero, duration=max(length - zero, 0.0), columns=trials)
            spikes = spikes.with_events(events)
        found.append(spikes)
    return found if bin_width is None else [s.counts(bin_width) for s in found]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that ``pattern`` finds; for one file, its ``subject`` or its name."""
    values = _options.bind(load, options)
    return _files.labels(_files.find(root, values["pattern"], _SUFFIXES), values)


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    wanted = {k: _options.as_list(values[k]) for k in ("subject", "session", "task", "run")}
    return [f.path for f in _files.keep(_files.find(root, values["pattern"], _SUFFIXES), **wanted)]


class _Arrays:
    """Named arrays of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes = {n: s for n, s in _arrays.variables(path).items() if len(s)}

    def bins(self, name: str | None) -> np.ndarray:
        if name is None:
            large = [n for n, s in self.shapes.items() if np.prod(s) > max(s)]
            if len(large) != 1:
                raise BraindecError(
                    f"{self.path.name}: which array holds the bins?",
                    found=", ".join(f"{n} {s}" for n, s in list(self.shapes.items())[:8]) or "nothing",
                    fix="name it: bins: ...",
                )
            name = large[0]
        return self.read(name)

    def read(self, name: str) -> np.ndarray:
        if name not in self.shapes:
            raise BraindecError(
                f"{self.path.name} has no array {name!r}{did_you_mean(name, self.shapes)}",
                allowed=", ".join(self.shapes),
            )
        return np.asarray(_arrays.read(f"{self.path.name}:{name}" if name else self.path.name, self.path.parent))


class _Table:
    """Columns of a table with a first row of names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size == 0:
            raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
        try:
            self.frame = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", low_memory=False)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise UnreadableError(f"{path} cannot be read as a table", found=str(error).splitlines()[0]) from error

    def bins(self, name: str | None) -> np.ndarray:
        if name is not None:
            raise BraindecError(
                f"{self.path.name} is a table: its bins are the columns named by whole numbers", fix="leave bins out"
            )
        kept = sorted((c for c in self.frame if str(c).isdigit()), key=int)
        if not kept:
            raise BraindecError(
                f"{self.path.name} has no columns of bins (named 0, 1, 2, ...)",
                found=", ".join(map(str, self.frame.columns[:8])),
            )
        values = self.frame[kept]
        wrong = [c for c in kept if not pd.api.types.is_numeric_dtype(values[c])]
        if wrong:
            raise BraindecError(
                f"{self.path.name}: the bins {wrong[0]} do not hold numbers", found=repr(values[wrong[0]].iloc[0])
            )
        return values.to_numpy()

    def read(self, name: str) -> np.ndarray:
        if name not in self.frame:
            raise BraindecError(
                f"{self.path.name} has no column {name!r}{did_you_mean(name, self.frame.columns)}",
                allowed=", ".join(str(c) for c in self.frame.columns if not str(c).isdigit()),
            )
        return self.frame[name].to_numpy()


def _values(source: Any, bins: str | None, axes: str | None, coding: str) -> np.ndarray:
    """Numbers in bins as (trial, unit, bin), checked; for "unit_number" the second axis has length 1."""
    values, name = source.bins(bins), source.path.name
    default = {2: "trial_bin", 3: "trial_unit_bin"}
    order = (axes or default.get(values.ndim, "")).split("_")
    if (
        len(set(order)) != len(order)
        or "bin" not in order
        or set(order) - {"trial", "unit", "bin"}
        or len(order) != values.ndim
    ):
        raise BraindecError(
            f"{name}: axes {axes!r} do not fit", found=f"an array of shape {values.shape}",
            allowed="trial_bin, unit_bin, trial_unit_bin in any order",
        )  # fmt: skip
    if coding == "unit_number" and "unit" in order:
        raise BraindecError(f"{name}: with coding unit_number the bins hold the unit, there is no axis of units",
                            fix="axes: trial_bin")  # fmt: skip
    for axis in ("trial", "unit"):
        if axis not in order:
            values, order = np.expand_dims(values, 0), [axis, *order]
    values = values.transpose([order.index(a) for a in ("trial", "unit", "bin")])
    if values.dtype.kind not in "biuf":
        raise BraindecError(f"{name}: bins must hold numbers", found=f"dtype {values.dtype}")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise BraindecError(f"{name}: {int((~np.isfinite(values)).sum())} bins are not finite (NaN)",
                                fix="write 0 where there was no spike; trials of different lengths need spike times")  # fmt: skip
        if not np.array_equal(values, np.round(values)):
            at = values[values != np.round(values)].flat[0]
            raise BraindecError(f"{name}: bins must hold whole numbers of spikes", found=f"{at:g}",
                                fix="rates are no spikes: read them with reader: arrays")  # fmt: skip
    values = values.astype(np.int64)
    if values.min(initial=0) < 0:
        raise BraindecError(f"{name}: bins hold negative numbers", found=str(values.min()))
    return values


def _step(source: Any, width: float | None, times: str | None, time_unit: str | None, n: int) -> tuple[float, float]:
    """Width of a bin, and the time of the event after the beginning of the trial; both in s."""
    name = source.path.name
    if times is None:
        if width is None:
            raise BraindecError(
                f"{name} does not say how wide a bin is", fix="width: 0.001 (s), or times: name of the bins' times"
            )
        return number(width, f"{name}: width", least=0, ends=False, unit="s"), 0.0
    axis = np.asarray(source.read(times), dtype=float).reshape(-1) * scale_of(time_unit, None, f"{name}: {times}")
    if len(axis) != n:
        raise BraindecError(f"{name}: {times} does not fit the bins", found=f"{len(axis)} times for {n} bins")
    steps = np.diff(axis)
    step = float(np.median(steps)) if len(steps) else float(width or 0)
    if not step > 0 or np.abs(steps - step).max(initial=0) > 0.01 * step:
        raise BraindecError(
            f"{name}: the times {times} are not evenly spaced and rising",
            found=f"steps of {steps.min():g} to {steps.max():g} s",
        )
    if width is not None and abs(step - width) > 0.01 * step:
        raise BraindecError(
            f"{name}: width and the times {times} contradict each other", found=f"{width:g} s, and steps of {step:g} s",
            fix="is time_unit right? leave width out",
        )  # fmt: skip
    return step, float(-axis[0]) if axis[0] <= 0 <= axis[-1] else 0.0


def _spikes(
    values: np.ndarray, coding: str, step: float, pause: float, unit_names: Sequence[str] | None, name: str,
    about: dict[str, Any], said: list[str],
) -> Spikes:  # fmt: skip
    n_trials, _, n_bins = values.shape
    starts, support = lay_out(n_trials, n_bins * step, pause)
    if coding == "unit_number":
        trial, _, place = np.nonzero(values)
        who = values[trial, 0, place] - 1
        n_units, offset = int(values.max(initial=1)), np.full(len(trial), 0.5)
    else:
        trial, who, place = np.nonzero(values)
        times = values[trial, who, place]
        n_units = values.shape[1]
        first = np.repeat(np.cumsum(times) - times, times)
        trial, who, place = (np.repeat(a, times) for a in (trial, who, place))
        offset = (np.arange(len(trial)) - first + 0.5) / np.repeat(times, times)
        if values.max(initial=0) > 1:
            said.append(f"{name}: some bins hold up to {values.max()} spikes; they are spread evenly over their bin")
    if unit_names is not None and len(unit_names) != n_units:
        raise BraindecError(f"{name}: unit_names do not fit", found=f"{len(unit_names)} names for {n_units} units")
    labels = (
        [str(u) for u in unit_names]
        if unit_names is not None
        else [f"unit{i + (coding != 'counts'):03d}" for i in range(n_units)]
    )
    when = starts[trial] + (place + offset) * step
    order = np.argsort(when, kind="stable")
    if n_trials > 1:
        said.append(laid_out_note(name, n_trials, pause))
    spikes = Spikes(when[order], who[order], pd.DataFrame({"name": labels}), 0.0, float(support[-1, 1]), info=about,
                    support=support)  # fmt: skip
    return spikes


def _columns(
    source: Any, n: int, labels: str | None, names: Mapping[Any, str] | None, columns: Mapping[str, str] | Sequence[str] | None
) -> dict[str, Any]:  # fmt: skip
    """Columns of the events, one value a trial."""
    out: dict[str, Any] = {}
    if labels is not None:
        out["trial_type"] = labelled(_arrays.column(source.read(labels), n, labels), names, labels)
    elif names is not None:
        raise BraindecError("names need labels", fix="labels: name of the array of labels")
    more = dict(columns) if isinstance(columns, Mapping) else {str(c): str(c) for c in columns or ()}
    for name, spec in more.items():
        out[name] = _arrays.column(source.read(spec), n, spec)
    if n > 1:
        out["trial"] = np.arange(n)
    return out
