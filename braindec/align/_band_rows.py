"""Columns of one run: labels that are on during each volume, and features sampled at the volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.events import label_text
from braindec.types import Features, Recording

_LANCZOS = 3  # lobes


def event_columns(
    recordings: Sequence[Recording], column: str, classes: Sequence[str] | None, band: str
) -> tuple[np.ndarray, list[str]]:
    """Share of each volume during which each label was on, (n_rows of all runs, n_labels), and the labels."""
    tables = [_labelled(r, column, band) for r in recordings]
    present = sorted({str(v) for t in tables for v in t[column] if v is not None})
    wanted = list(classes) if classes is not None else present
    unknown = [c for c in wanted if c not in present]
    if unknown or not wanted:
        raise BraindecError(
            f"band {band!r}: no event has {column} = {unknown[0] if unknown else '(anything)'!r}"
            + (did_you_mean(unknown[0], present) if unknown else ""),
            allowed=", ".join(present[:30]) or "none",
        )
    parts = []
    for recording, table in zip(recordings, tables, strict=True):
        on = np.zeros((recording.n_times, len(wanted)))
        for k, label in enumerate(wanted):
            for row in table[table[column] == label].itertuples():
                on[:, k] += _share(recording, row.onset, row.duration)
        parts.append(np.clip(on, 0.0, 1.0))
    return np.concatenate(parts), wanted


def stimulus_columns(recording: Recording, features: Features, band: str, **_: object) -> np.ndarray:
    """Features with one row a stimulus, weighted by the share of each volume that it was on, (n_times, n_units)."""
    table = _labelled(recording, _id_column(recording), band)
    column = _id_column(recording)
    known = set(features.ids)
    shown = table[table[column].notna()]
    kept = shown[shown[column].isin(known)]
    if not len(kept):
        raise _no_stimulus(recording, features, band, shown[column])
    if len(kept) < len(shown):
        missing = sorted({str(s) for s in shown[column]} - known)
        raise BraindecError(
            f"band {band!r}: {len(missing)} stimuli of {recording.label} have no features", found=", ".join(missing[:5]),
            fix="extract features for them, or give these events the value n/a",
        )  # fmt: skip
    values = features.of(kept[column])
    out = np.zeros((recording.n_times, values.shape[1]))
    for row, value in zip(kept.itertuples(), values, strict=True):
        out += np.outer(_share(recording, row.onset, row.duration), value)
    return out


def sampled_features(recording: Recording, features: Features, band: str, *, resample: str = "mean") -> np.ndarray:
    """Timed features (items: stimulus_id, onset in s of the stimulus) at the volumes of a run, (n_times, n_units).

    Volumes during which no stimulus ran are 0.
    """
    column = _id_column(recording)
    table = _labelled(recording, column, band)
    shown = table[table[column].isin(set(features.ids))]
    if not len(shown):
        raise _no_stimulus(recording, features, band, table[column].dropna())
    step = 1 / recording.sfreq
    out = np.zeros((recording.n_times, features.shape[1]))
    for row in shown.itertuples():
        rows = np.flatnonzero(features.ids == getattr(row, column))
        times = pd.to_numeric(features.items["onset"].iloc[rows]).to_numpy(dtype=float)
        order = np.argsort(times, kind="stable")
        rows, times = rows[order], times[order]
        fine = _step_of(times, band, getattr(row, column))
        first = int(np.ceil(row.onset / step - 0.5 - 1e-6))  # volumes whose middle lies in [onset, end)
        length = row.duration if row.duration > 0 else times[-1] + fine
        volumes = np.arange(
            max(first, 0), min(int(np.ceil((row.onset + length) / step - 0.5 - 1e-6)), recording.n_times)
        )
        if not len(volumes):
            continue
        needed, covered = volumes[-1] * step - row.onset, times[-1] + fine
        if covered < needed:
            raise BraindecError(
                f"band {band!r}: the features of {getattr(row, column)!r} do not cover the volumes of {recording.label}",
                found=f"features from {times[0]:g} to {covered:g} s, the stimulus runs until {needed + step:g} s "
                f"({len(volumes)} volumes of {step:g} s)",
                fix="extract features for the whole stimulus, or correct the duration in events.tsv",
            )
        out[volumes] = _resampled(features.load(rows), times, fine, volumes * step - row.onset, step, resample)
    return out


def stimulus_samples(recording: Recording, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Which event is on in the middle of each volume ("" for none), and how many volumes ago it began."""
    n, step = recording.n_times, 1 / recording.sfreq
    labels, since = np.full(n, "", dtype=object), np.zeros(n, dtype=int)
    if column not in recording.events:
        return labels, since
    middle = (np.arange(n) + 0.5) * step
    last, end = "", -np.inf
    begin = 0.0
    for row in recording.events.sort_values("onset").itertuples():
        label = label_text(getattr(row, column))
        if label is None:
            continue
        begin = begin if label == last and row.onset <= end + 1e-6 else row.onset  # one row a volume: a block goes on
        last, end = label, row.onset + max(row.duration, step)
        on = np.flatnonzero((middle >= row.onset - 1e-9) & (middle < end - 1e-9))
        labels[on], since[on] = label, np.floor((middle[on] - begin) / step + 1e-6).astype(int)
    return labels, since


def one_hot(
    trials: pd.DataFrame, column: str, classes: Sequence[str] | None, band: str
) -> tuple[np.ndarray, list[str]]:
    """One column for each value of a trials column, (n_trials, n_labels), and the values."""
    if column not in trials:
        raise BraindecError(
            f"band {band!r}: the trials have no column {column!r}{did_you_mean(column, trials.columns)}",
            allowed=", ".join(map(str, trials.columns)),
        )
    labels = trials[column].astype(str).to_numpy()
    wanted = list(classes) if classes is not None else sorted(set(labels))
    return (labels[:, None] == np.array(wanted, dtype=object)).astype(float), wanted


def _labelled(recording: Recording, column: str, band: str) -> pd.DataFrame:
    events = recording.events
    if not len(events) or column not in events:
        raise BraindecError(
            f"band {band!r}: {recording.label} has no events with the column {column!r}"
            + did_you_mean(column, events.columns),
            found=f"{len(events)} events with columns {', '.join(map(str, events.columns))}",
        )
    table = events.assign(duration=pd.to_numeric(events["duration"], errors="coerce").fillna(0.0))
    return table.assign(**{column: [label_text(v) for v in table[column]]})


def _id_column(recording: Recording) -> str:
    return "stimulus_id" if "stimulus_id" in recording.events else "trial_type"


def _share(recording: Recording, onset: float, duration: float) -> np.ndarray:
    """Share of each volume's time that an event takes; an event without a length counts for one volume."""
    step = 1 / recording.sfreq
    begin = np.arange(recording.n_times) * step
    length = duration if duration > 0 else step
    return np.clip(np.minimum(begin + step, onset + length) - np.maximum(begin, onset), 0.0, step) / step


def _step_of(times: np.ndarray, band: str, stimulus: str) -> float:
    steps = np.diff(times)
    if not len(steps) or steps.min() <= 0 or np.ptp(steps) > 1e-3 * steps.mean() + 1e-6:
        raise BraindecError(
            f"band {band!r}: the features of {stimulus!r} are not sampled at a constant step",
            found=f"{len(times)} rows, steps {steps.min() if len(steps) else 0:g} to {steps.max() if len(steps) else 0:g} s",
        )
    return float(steps.mean())


def _resampled(
    values: np.ndarray, times: np.ndarray, fine: float, begin: np.ndarray, step: float, how: str
) -> np.ndarray:
    """Values at volumes that begin at ``begin`` s: means over each volume, or Lanczos at its middle."""
    if how == "lanczos":
        cut = min(1 / step, 1 / fine) / 2  # Hz
        x = 2 * cut * ((begin + step / 2)[:, None] - (times + fine / 2)[None, :])
        weights = np.where(np.abs(x) < _LANCZOS, np.sinc(x) * np.sinc(x / _LANCZOS), 0.0)
        return weights @ values * min(1.0, fine / step)
    overlap = np.minimum(begin[:, None] + step, times[None] + fine) - np.maximum(begin[:, None], times[None])
    weights = np.clip(overlap, 0.0, None)
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0) @ values


def _no_stimulus(recording: Recording, features: Features, band: str, shown: pd.Series) -> BraindecError:
    seen = [str(s) for s in pd.unique(shown)]
    return BraindecError(
        f"band {band!r}: no event of {recording.label} names a stimulus that has features",
        found=f"events name {', '.join(seen[:5]) or 'nothing'}; features hold {', '.join(map(str, pd.unique(features.ids)[:5]))}",
        fix="the column stimulus_id (or trial_type) of the events and of the features must hold the same ids",
    )
