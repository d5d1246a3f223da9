"""Replay of what changes continuously (grip force, speed): ridge on live features, trained on the first part of a run.

Features come from live steps (band power, for example) at their own rate, each with some delays into the past. The first
part of the run trains, the rest is played chunk by chunk; every feature sample gives a prediction at once.

Source: Schalk et al. (2007, J Neural Eng 4:264) for continuous decoding from ECoG power; Hoerl & Kennard (1970).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from braindec.decoders._series_decoding import SeriesData, _at, series_data
from braindec.errors import BraindecError
from braindec.online.pipeline import Pipeline
from braindec.online.stream import Chunk, PlayerSource
from braindec.ridge.folds import contiguous_folds
from braindec.ridge.plain import fit_ridge
from braindec.types import Recording

__all__ = ["LiveRegressor", "SeriesReplay", "live_series", "replay_series"]


@dataclass(frozen=True, eq=False)
class SeriesReplay:
    """What was predicted live.

    Parameters
    ----------
    times : array of shape (n,)
        s since the run began; the time of the newest sample that each prediction used.
    true, predicted : array of shape (n, n_targets)
    compute : array of shape (n,)
        Measured time of the chunk that gave it, s.
    trained_until : float
        End of the training part, s.
    delay : float
        Group delay of the live steps, s.
    targets : list of str
    """

    times: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    compute: np.ndarray
    trained_until: float
    delay: float
    targets: list[str]

    def r(self, target: int = 0) -> float:
        """Pearson's r over the played part; 0 where one side does not vary."""
        a, b = self.true[:, target], self.predicted[:, target]
        return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0

    def r2(self, target: int = 0) -> float:
        """Share of variance over the played part, against its own mean."""
        a, b = self.true[:, target], self.predicted[:, target]
        return float(1 - np.sum((a - b) ** 2) / max(float(np.sum((a - a.mean()) ** 2)), 1e-300))


class LiveRegressor:
    """Chunks in, predictions out.

    Parameters
    ----------
    pipeline : Pipeline
        Live steps.
    mean, scale : array of shape (n_features,)
    coef : array of shape (n_features, n_targets)
    intercept : array of shape (n_targets,)
    delays : sequence of int
        Samples into the past, of the pipeline's output; features are ordered delay by delay.
    """

    def __init__(
        self, pipeline: Pipeline, *, mean: np.ndarray, scale: np.ndarray, coef: np.ndarray, intercept: np.ndarray,
        delays: Sequence[int],
    ) -> None:  # fmt: skip
        self.pipeline, self.mean, self.scale, self.coef, self.intercept = pipeline, mean, scale, coef, intercept
        self.delays = _past(delays)

    def open(self, sfreq: float, channels: pd.DataFrame) -> LiveRegressor:
        """Begin a new stream."""
        self.pipeline.open(sfreq, channels)
        self._recent: np.ndarray | None = None
        self._next, self._count = 0, 0
        return self

    def push(self, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        """Return times (n,) of the newest samples, s since the stream began, and predictions (n, n_targets)."""
        if chunk.first != self._next:
            raise BraindecError(
                "samples are missing or came twice", found=f"sample {chunk.first}, expected {self._next}"
            )
        self._next = chunk.stop
        new = self.pipeline.push(chunk.data)
        if not new.shape[1]:
            return np.empty(0), np.empty((0, len(self.intercept)))
        reach = max(self.delays)
        before = np.repeat(new[:, :1], reach, axis=1) if self._recent is None else self._recent
        line = np.concatenate([before, new], axis=1)  # (feature, reach + n)
        n = new.shape[1]
        rows = np.concatenate([line[:, reach - d : reach - d + n] for d in self.delays]).T
        self._recent = line[:, line.shape[1] - reach :]
        times = (self._count + np.arange(n)) / self.pipeline.sfreq
        self._count += n
        return times, ((rows - self.mean) / self.scale) @ self.coef + self.intercept


def live_series(recordings: Sequence[Recording], targets: Sequence[str], *, steps: Sequence[Any] | Pipeline, types: Sequence[str] | None = None,
                card: Any = None) -> tuple[SeriesData, Pipeline]:  # fmt: skip
    """Return the features that live steps make of the signals, the targets at the same rate, and the pipeline.

    The beginning of each run, until the steps have settled, is left out (a tenth of the run at most).

    Parameters
    ----------
    recordings : sequence of Recording
    targets : sequence of str
        Channels by name; they do not go through the steps.
    steps : sequence or Pipeline
        Live steps.
    types : sequence of str, optional
        Types of channels that are signals.
    card : Card, optional
        Cited on the page.
    """
    plain = series_data(recordings, targets, types=types, card=card)
    pipeline = steps if isinstance(steps, Pipeline) else Pipeline(steps)
    rows, values, runs, times = [], [], [], []
    for number, recording in enumerate(recordings):
        made = pipeline.run(_signals(recording, targets, types))
        wanted = _at(recording.select(list(targets)).signal.read(), recording.sfreq, made.sfreq, made.n_times)
        skip = min(int(np.ceil(pipeline.settle * made.sfreq)), made.n_times // 10)
        rows.append(np.asarray(made.signal.read(), dtype=np.float64).T[skip:])
        values.append(wanted[skip:])
        runs.append(np.repeat(str(number), made.n_times - skip))
        times.append(np.arange(skip, made.n_times) / made.sfreq)
    features = np.concatenate(rows)
    about = {**plain.overview, "signals": f"{plain.overview['signals']} channels, {features.shape[1]} features a moment", "samples": len(features),
             "sampling frequency (Hz)": round(pipeline.sfreq, 4), "left out while live steps settle (s)": round(float(times[0][0]), 2)}  # fmt: skip
    data = SeriesData(
        features,
        np.concatenate(values),
        pipeline.sfreq,
        np.concatenate(runs),
        np.concatenate(times),
        about,
        plain.warnings,
        plain.citations,
    )
    return data, pipeline


def replay_series(
    recording: Recording,
    targets: Sequence[str],
    *,
    steps: Sequence[Any],
    delays: Sequence[int] = (0,),
    types: Sequence[str] | None = None,
    train: float = 0.6,
    gap: float = 0.5,
    chunk: float = 0.05,
) -> SeriesReplay:
    """Train ridge on the first part of one run and play the rest.

    Parameters
    ----------
    recording : Recording
        One run with its targets among the channels.
    targets : sequence of str
    steps : sequence
        Live steps.
    delays : sequence of int
        0 or more: samples into the past.
    types : sequence of str, optional
        Types of channels that are signals.
    train : float
        Share of the run that trains.
    gap : float
        Left out between training and the played part, s.
    chunk : float
        Length of a chunk, s.

    Raises
    ------
    BraindecError
        If a delay looks ahead, a part is too short, or a target does not vary in training.
    """
    delays = _past(delays)
    if not 0.1 <= train <= 0.9:
        raise BraindecError("train is the share of the run that trains", found=repr(train), allowed="0.1 to 0.9")
    data, pipeline = live_series([recording], targets, steps=steps, types=types)
    from braindec.evaluate.series import delayed

    rows = delayed(data.signals, np.zeros(len(data.signals), dtype=int), delays)
    until = train * recording.duration
    fitted = data.times < until
    if fitted.sum() < 20 or (data.times >= until + gap).sum() < 20:
        raise BraindecError(
            "a part of the run is too short", found=f"{recording.duration:g} s at {data.sfreq:g} values a second"
        )
    for name, values in zip(targets, data.targets[fitted].T, strict=True):
        if np.ptp(values) == 0:
            raise BraindecError(f"the target {name} does not vary in the training part", fix="train on more of the run")
    X, Y = rows[fitted], data.targets[fitted]
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-12 * (np.abs(mean) + 1e-300), scale, np.inf)
    buffer = min(int(np.ceil(gap * data.sfreq)), len(X) // 20)
    fit = fit_ridge((X - mean) / scale, Y, folds=contiguous_folds(len(X), 5, buffer=buffer), dtype="float64")
    intercept = fit.predict(np.zeros((1, X.shape[1])))[0]
    coef = fit.predict(np.eye(X.shape[1])) - intercept
    live = LiveRegressor(pipeline, mean=mean, scale=scale, coef=coef, intercept=intercept, delays=delays)
    return _play(recording, live, data, targets, types=types, chunk=chunk, until=until, gap=gap)


def _play(
    recording: Recording, live: LiveRegressor, data: SeriesData, targets: Sequence[str], *, types: Sequence[str] | None, chunk: float,
    until: float, gap: float,
) -> SeriesReplay:  # fmt: skip
    source = PlayerSource(_signals(recording, targets, types), chunk=chunk)
    live.open(source.sfreq, source.channels)
    when, what, spent = [], [], []
    for piece in source:
        began = perf_counter()
        times, values = live.push(piece)
        when.append(times)
        what.append(values)
        spent.append(np.full(len(times), perf_counter() - began))
    times, values, compute = np.concatenate(when), np.concatenate(what), np.concatenate(spent)
    skip = len(times) - len(data.times)  # until the steps had settled
    kept = times[skip:] >= until + gap
    return SeriesReplay(times[skip:][kept], data.targets[kept], values[skip:][kept], compute[skip:][kept], until,
                        live.pipeline.delay, [str(t) for t in targets])  # fmt: skip


def _signals(recording: Recording, targets: Sequence[str], types: Sequence[str] | None) -> Recording:
    from braindec.decoders._series_decoding import _NO_SIGNAL

    kinds = recording.channels["type"]
    keep = (~kinds.isin(_NO_SIGNAL) if types is None else kinds.isin(list(types))) & ~recording.channels["name"].isin(
        list(targets)
    )
    return recording.select(keep.to_numpy())


def _past(delays: Sequence[int]) -> list[int]:
    found = [int(d) for d in delays]
    if not found or min(found) < 0 or any(d != int(d) for d in delays):
        raise BraindecError("delays are whole samples into the past; what comes later is not there yet", found=str(list(delays)),
                            allowed="0 or more")  # fmt: skip
    return found
