"""Bands: what may drive a response, as columns of numbers for every volume or trial, one named band a kind of thing.

A band is made from events (one column a label), from features of the stimuli (timed, or one row a stimulus), from a table
with one row a volume, from the confounds of fMRIPrep, from the motion seen in the images, or from time itself. Volumes
are described on their own grid: a sample of a feature belongs to the volume during which it was on; the lag of the
response is left to the delays (finite impulse response), which never cross a run.

Source: Nishimoto et al. 2011 (Current Biology 21) and Huth et al. 2016 (Nature 532) for delayed feature spaces; Lanczos
resampling as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from braindec.align._band_rows import event_columns, one_hot, sampled_features, stimulus_columns, stimulus_samples
from braindec.config import Section
from braindec.errors import BraindecError, did_you_mean
from braindec.signal.delays import delayed
from braindec.signal.events import label_text
from braindec.types import Features, Recording, Windows

__all__ = ["Band", "Design", "trial_design", "volume_design"]

_TOO_LONG = 100  # times longer than what it belongs to: given in ms


class Band(Section):
    """One band in the settings.

    ``kind``: "events" (one column for each value of ``column``; ``classes`` keeps some), "features" (``path`` to a file, or
    a name given to the builder; ``units`` keeps those whose column has a value, e.g. {band: language}), "table" (``path``
    of a text file with one row a volume), "confounds" (``columns``: a strategy or names), "motion" (rigid-body motion seen
    in the images), "images" (the pictures that were shown, by ``describe``: pixels, gist, hog, colour, on a ``grid``) or "time"
    (polynomials of the place in the run up to ``degree``).
    ``delays``: s; those of the recipe when left out.
    """

    kind: Literal["events", "features", "images", "table", "confounds", "motion", "time"] = "features"
    column: str = "trial_type"
    classes: list[str] | None = None
    path: str | None = None
    units: dict[str, str] = {}
    columns: str | list[str] = "motion6"
    resample: Literal["mean", "lanczos"] = "mean"
    describe: Literal["pixels", "gist", "hog", "colour", "all"] = "gist"
    grid: int = Field(4, ge=1)
    degree: int = Field(3, ge=1, le=10)
    delays: list[float] | None = None


@dataclass(frozen=True, eq=False)
class Design:
    """Bands and rows of one subject.

    Parameters
    ----------
    bands : dict of str to array of shape (n_rows, n_columns), float32
        Delays are columns already.
    rows : DataFrame
        One row a volume or trial: subject, session, run, onset (s), ``window_id``, ``stimulus_id`` (what was on, "" for
        nothing), ``content`` (the one stimulus of a run, or the run: what is held out together), ``condition`` (equal for rows
        that repeat one another, "" where nothing repeats) and, for volumes, ``recording`` and ``sample``.
    columns : dict of str to list of str
        Name of each column of each band.
    step : float
        s from row to row within a run; NaN for trials.
    delays : dict of str to list of float
        s, as they are: those that were asked for, rounded to whole volumes.
    """

    bands: Mapping[str, np.ndarray]
    rows: pd.DataFrame
    columns: Mapping[str, Sequence[str]]
    step: float
    delays: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def runs(self) -> np.ndarray:
        """A label of the run of each row (subject, session, task and run together), shape (n_rows,)."""
        parts = self.rows[[c for c in ("subject", "session", "task", "run") if c in self.rows]].astype(str)
        return parts.agg("/".join, axis=1).to_numpy(dtype=object)

    @property
    def kind(self) -> str:
        """ "time" for volumes, "trials" for single trials."""
        return "trials" if np.isnan(self.step) else "time"


def volume_design(
    recordings: Sequence[Recording],
    bands: Mapping[str, Band],
    *,
    delays: Sequence[float] = (0.0,),
    features: Mapping[str, Features] | None = None,
    tables: Callable[[Band, Recording], tuple[np.ndarray, list[str]]] | None = None,
    condition: str = "stimulus_id",
) -> Design:
    """Describe every volume of some runs.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs of one subject with one TR.
    bands : mapping of str to Band
        What to describe them by.
    delays : sequence of float
        s; 2, 4, 6 and 8 s are usual where the response follows the stimulus, 0 where the labels hold the delay.
    features : mapping of str to Features
        For bands of kind "features" and "images": by the band's ``path``, or its name.
    tables : callable, optional
        For bands of kind "table", "confounds" and "motion": (band, recording) -> (n_times, n_columns) and names.
    condition : str
        Event column by which volumes repeat one another: the same value at the same time since its onset.

    Raises
    ------
    BraindecError
        If repetition times differ, events or features are missing, or features do not cover the volumes.
    """
    if not recordings:
        raise BraindecError("there are no runs to describe")
    step = _same_step(recordings)
    longest = max(r.n_times for r in recordings)
    lags = _in_volumes(delays, step, longest)
    made: dict[str, np.ndarray] = {}
    told: dict[str, list[float]] = {}
    columns: dict[str, list[str]] = {}
    rows = pd.concat([_volume_rows(r, n, condition) for n, r in enumerate(recordings)], ignore_index=True)
    runs = rows["recording"].to_numpy()
    if rows["window_id"].duplicated().any():
        twice = rows["window_id"][rows["window_id"].duplicated()].iloc[0].rsplit("@", 1)[0]
        raise BraindecError(
            f"two runs are called {twice}", found=", ".join(r.label for r in recordings[:12]),
            fix="choose one of them, or name the images with a pattern that holds {run} (bold: ...)",
        )  # fmt: skip
    for name, band in _named(bands).items():
        values, names = _of_volumes(name, band, recordings, features or {}, tables, step)
        mine = lags if band.delays is None else _in_volumes(band.delays, step, longest)
        _check_finite(values, names, name)
        made[name] = delayed(values, mine, runs=runs).astype(np.float32)
        told[name] = [round(k * step, 4) for k in mine]
        columns[name] = [n if k == 0 else f"{n} +{k * step:g} s" for k in mine for n in names]
    return Design(made, rows, columns, step, told)


def trial_design(
    windows: Windows, bands: Mapping[str, Band], *, features: Mapping[str, Features] | None = None
) -> Design:
    """Describe single trials (betas): features joined on ``stimulus_id``, or one column a label of a trials column.

    Raises
    ------
    BraindecError
        If a stimulus has no features, a column is missing, or a band makes sense for volumes only.
    """
    made, columns = {}, {}
    for name, band in _named(bands).items():
        if band.kind in ("features", "images"):
            if "stimulus_id" not in windows.trials:
                raise BraindecError(f"band {name!r}: the trials do not say their stimulus (no column stimulus_id)",
                                    found=f"columns {', '.join(map(str, windows.trials.columns))}")  # fmt: skip
            found = _selected(_features_of(name, band, features or {}), band, name)
            made[name] = found.of(windows.trials["stimulus_id"])
            columns[name] = _unit_names(found)
        elif band.kind == "events":
            made[name], columns[name] = _trial_labels(windows.trials, band, name)
        elif band.kind == "time":
            place = (
                windows.trials["onset"].to_numpy(dtype=float) if "onset" in windows.trials else np.arange(len(windows))
            )
            run = windows.trials["run"].astype(str) if "run" in windows.trials else pd.Series(["1"] * len(windows))
            made[name], columns[name] = _polynomials(place, run.to_numpy(), band.degree)
        else:
            raise BraindecError(f"band {name!r}: {band.kind} describes volumes, these data are single trials",
                                allowed="features, images, events, time")  # fmt: skip
        _check_finite(made[name], columns[name], name)
    rows = windows.trials.copy()
    rows["stimulus_id"] = rows["stimulus_id"].astype(str) if "stimulus_id" in rows else ""
    rows["condition"] = rows["content"] = rows["stimulus_id"]
    return Design({k: v.astype(np.float32) for k, v in made.items()}, rows, columns, np.nan)


def _of_volumes(
    name: str, band: Band, recordings: Sequence[Recording], features: Mapping[str, Features], tables: Any, step: float
) -> tuple[np.ndarray, list[str]]:
    """(n_rows, n_columns) of all runs together, and names."""
    if band.kind in ("events", "features", "images"):
        for recording in recordings:
            _check_events(recording, name)
    if band.kind == "events":
        return event_columns(recordings, band.column, band.classes, name)
    if band.kind in ("features", "images"):
        found = _selected(_features_of(name, band, features), band, name)
        if "onset" in found.items:
            for recording in recordings:
                _check_times(recording, found, name)
        make = sampled_features if "onset" in found.items else stimulus_columns
        with np.errstate(invalid="ignore"):  # what is not finite is counted by the caller
            values = [make(r, found, name, resample=band.resample) for r in recordings]
        return np.concatenate(values), _unit_names(found)
    if band.kind == "time":
        run = np.repeat(np.arange(len(recordings)), [r.n_times for r in recordings])
        place = np.concatenate([np.arange(r.n_times) * step for r in recordings])
        return _polynomials(place, run, band.degree)
    if tables is None:
        raise BraindecError(f"band {name!r} of kind {band.kind} needs tables")
    parts = [tables(band, r) for r in recordings]
    for recording, (values, _) in zip(recordings, parts, strict=True):
        if len(values) != recording.n_times:
            raise BraindecError(
                f"band {name!r} does not cover the volumes of {recording.label}",
                found=f"{len(values)} rows for {recording.n_times} volumes",
                fix="one row a volume, in order",
            )
        if not np.isfinite(values).all():
            raise BraindecError(
                f"band {name!r} holds values that are not finite in {recording.label}",
                found=f"{int((~np.isfinite(values)).any(axis=1).sum())} of {len(values)} rows",
            )
    return np.concatenate([v for v, _ in parts]), list(parts[0][1])


def _volume_rows(recording: Recording, number: int, condition: str) -> pd.DataFrame:
    info, n, step = recording.info, recording.n_times, 1 / recording.sfreq
    stimulus, since = stimulus_samples(recording, "stimulus_id" if "stimulus_id" in recording.events else "trial_type")
    if condition in recording.events:
        labels, place = stimulus_samples(recording, condition)
    else:
        labels, place = np.full(n, "", dtype=object), since
    repeated = [f"{label}@{k}" if label else "" for label, k in zip(labels, place, strict=True)]
    table = {"subject": info.get("subject") or "n/a", "session": info.get("session") or "n/a",
             "run": info.get("run") or str(number + 1), "task": info.get("task") or "n/a", "onset": np.arange(n) * step, "duration": step,
             "recording": number, "sample": np.arange(n), "stimulus_id": stimulus, "condition": repeated}  # fmt: skip
    rows = pd.DataFrame(table)
    shown = sorted(set(stimulus) - {""})
    rows["content"] = shown[0] if len(shown) == 1 else f"run {recording.label}"
    rows["window_id"] = [f"{recording.label}@{k}" for k in range(n)]
    return rows


def _same_step(recordings: Sequence[Recording]) -> float:
    steps = {round(1 / r.sfreq, 6) for r in recordings}
    if len(steps) > 1:
        raise BraindecError("runs of one subject have different repetition times", found=f"{sorted(steps)} s",
                            fix="choose the runs of one protocol (task: ...), or resample them: signal: [{resample: ...}]")  # fmt: skip
    return 1 / recordings[0].sfreq


def _in_volumes(delays: Sequence[float], step: float, longest: int) -> list[int]:
    try:
        lags = [round(float(d) / step) for d in delays]
    except (TypeError, ValueError, OverflowError):
        raise BraindecError(
            "delays must be a list of s", found=repr(delays), allowed="[2, 4, 6, 8]; [0] for none"
        ) from None
    if not lags:
        raise BraindecError("delays must not be empty", allowed="s, e.g. [2, 4, 6, 8]; [0] for none")
    if max(lags) >= longest:
        raise BraindecError(f"a delay of {max(float(d) for d in delays):g} s leaves nothing of the longest run", found=f"{longest * step:g} s",
                            allowed="s, e.g. [2, 4, 6, 8]", fix="divide milliseconds by 1000")  # fmt: skip
    if len(set(lags)) < len(lags) or min(lags) < 0:
        raise BraindecError("delays must be 0 or more s and fall on different volumes", found=f"{list(delays)} s at a TR of {step:g} s: volumes {lags}",
                            fix=f"for instance {[round(step * k, 3) for k in range(1, len(lags) + 1)]}")  # fmt: skip
    return lags


def _named(bands: Mapping[str, Band]) -> Mapping[str, Band]:
    if not bands:
        raise BraindecError("no band is named", fix="bands: {category: {kind: events, column: trial_type}}")
    return bands


def _features_of(name: str, band: Band, features: Mapping[str, Features]) -> Features:
    key = band.path or name
    if key not in features:
        raise BraindecError(f"band {name!r}: there are no features {key!r}{did_you_mean(key, features)}",
                            allowed=", ".join(features) or "none given", fix=f"bands.{name}.path: FILE (HDF5, NPZ, CSV)")  # fmt: skip
    return features[key]


def _selected(features: Features, band: Band, name: str) -> Features:
    """The units whose columns have the values asked for."""
    units = features.units
    keep = np.ones(len(units), dtype=bool)  # type: ignore[arg-type]
    for column, value in band.units.items():
        if column not in units:  # type: ignore[operator]
            raise BraindecError(f"band {name!r}: the units have no column {column!r}{did_you_mean(column, units.columns)}",  # type: ignore[union-attr]
                                allowed=", ".join(map(str, units.columns)))  # type: ignore[union-attr]  # fmt: skip
        keep &= units[column].astype(str).to_numpy() == value  # type: ignore[index]
    if not keep.any():
        raise BraindecError(f"band {name!r}: no unit has {band.units}", found=f"{len(keep)} units")
    if keep.all():
        return features
    return Features(features.load()[:, keep], features.items, units[keep], features.info)  # type: ignore


def _unit_names(features: Features) -> list[str]:
    units = features.units
    return [str(n) for n in units["name"]] if "name" in units else [str(i) for i in range(features.shape[1])]  # type: ignore[operator, index]


def _trial_labels(trials: pd.DataFrame, band: Band, name: str) -> tuple[np.ndarray, list[str]]:
    """One column a label of a trials column; trials without a label (NaN, n/a) are 0 everywhere."""
    if band.column not in trials:
        return one_hot(trials, band.column, band.classes, name)  # which says what is there
    labels = ["" if (text := label_text(v)) is None else text for v in trials[band.column]]
    present = sorted(set(labels) - {""})
    unknown = [c for c in band.classes or [] if c not in present]
    if unknown or not present:
        raise BraindecError(f"band {name!r}: no trial has {band.column} = {unknown[0] if unknown else '(anything)'!r}"
                            + (did_you_mean(unknown[0], present) if unknown else ""), allowed=", ".join(present[:30]) or "none")  # fmt: skip
    return one_hot(trials.assign(**{band.column: labels}), band.column, band.classes or present, name)


def _check_finite(values: np.ndarray, names: Sequence[str], band: str) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        wrong = [n for n, b in zip(names, bad.any(axis=0), strict=True) if b]
        raise BraindecError(
            f"band {band!r} holds values that are not finite", found=f"{int(bad.any(axis=1).sum())} of {len(values)} rows, "
            f"columns {', '.join(wrong[:5])}", fix="extract the features again, or leave these units out (units: ...)",
        )  # fmt: skip


def _polynomials(place: np.ndarray, runs: np.ndarray, degree: int) -> tuple[np.ndarray, list[str]]:
    """Legendre polynomials of the place within each run, without the constant."""
    values = np.zeros((len(place), degree))
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        span = np.ptp(place[rows]) or 1.0
        x = 2 * (place[rows] - place[rows].min()) / span - 1
        values[rows] = np.polynomial.legendre.legvander(x, degree)[:, 1:]
    return values, [f"time^{k}" for k in range(1, degree + 1)]


def _check_events(recording: Recording, band: str) -> None:
    """Refuse events that cannot be those of the run: without onset, all outside it, or far longer than it."""
    events = recording.events
    if not len(events):
        return
    onset = pd.to_numeric(events["onset"], errors="coerce").to_numpy(dtype=float)
    length = pd.to_numeric(events["duration"], errors="coerce").fillna(0.0).to_numpy(dtype=float)
    said = f"onsets {np.nanmin(onset, initial=np.inf):g} to {np.nanmax(onset, initial=-np.inf):g} s, the run lasts {recording.duration:g} s"
    if np.isnan(onset).any():
        raise BraindecError(f"band {band!r}: {int(np.isnan(onset).sum())} of {len(events)} events of {recording.label} have no onset",
                            fix="fill in the column onset (s), or take these events out")  # fmt: skip
    if ((onset >= recording.duration) | (onset + length.clip(min=1e-9) <= 0)).all():
        raise BraindecError(f"band {band!r}: no event of {recording.label} lies within the run", found=said,
                            allowed="s from the start of the run", fix="divide milliseconds by 1000; count volumes as volume x TR")  # fmt: skip
    if length.max() > _TOO_LONG * recording.duration:
        raise BraindecError(f"band {band!r}: an event of {recording.label} lasts {length.max():g} s", found=said, allowed="durations in s",
                            fix="divide milliseconds by 1000")  # fmt: skip


def _check_times(recording: Recording, features: Features, band: str) -> None:
    """Refuse timed features whose times are none, not in s, or begin after their stimulus, and stimuli without features."""
    times = pd.to_numeric(features.items["onset"], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(times).all():
        raise BraindecError(f"band {band!r}: {int((~np.isfinite(times)).sum())} of {len(times)} rows of the features have no onset",
                            found=repr(features.items["onset"].iloc[int(np.argmin(np.isfinite(times)))]), allowed="s from the start of the stimulus")  # fmt: skip
    events, ids = recording.events, features.ids
    column = "stimulus_id" if "stimulus_id" in events else "trial_type"
    if column not in events:
        return
    labels = np.array([label_text(v) or "" for v in events[column]], dtype=object)
    lacking = sorted(set(labels) - {""} - set(ids))
    if column == "stimulus_id" and lacking and set(labels) & set(ids):
        raise BraindecError(f"band {band!r}: {len(lacking)} stimuli of {recording.label} have no features", found=", ".join(lacking[:5]),
                            fix="extract features for them, or give these events the stimulus_id n/a")  # fmt: skip
    for label in sorted(set(labels) & set(ids)):
        rows = events[labels == label]
        own, longest = times[ids == label], float(pd.to_numeric(rows["duration"], errors="coerce").fillna(0.0).max())
        if 0 < longest * _TOO_LONG < own.max():
            raise BraindecError(f"band {band!r}: the features of {label!r} are far longer than its events", found=f"features until {own.max():g} s, "
                                f"the longest event lasts {longest:g} s", allowed="onsets in s", fix="divide milliseconds by 1000")  # fmt: skip
        first = max(0.0, -float(rows["onset"].max())) + 1 / recording.sfreq
        if own.min() > first:
            raise BraindecError(f"band {band!r}: the features of {label!r} do not cover the volumes of {recording.label}",
                                found=f"features begin {own.min():g} s after the stimulus",
                                fix="extract features from the start of the stimulus (zeros for silence)")  # fmt: skip
