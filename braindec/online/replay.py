"""Replay: recorded runs played as if they came live, decided chunk by chunk by a decoder trained on what came before.

Training sees the first runs or sessions only; later ones are played in order through live steps. Each decision is made
when the last sample of its window has come. A decoder may stay as it is, be trained again before each run or session on
all that came before, or learn from feedback after each decision.

Source: Vidaurre, Kawanabe, von Buenau, Blankertz & Mueller (2011, IEEE Trans Biomed Eng 58:587) on decoders that adapt
over sessions; the pseudo-online protocol of Carrara & Papadopoulo (2024, J Neural Eng 21:016003).
Differs from the reference in: decisions at events by default, and latency is accounted for part by part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.online.live import LEARN, Decision, LiveDecoder
from braindec.online.pipeline import Pipeline
from braindec.online.stream import PlayerSource
from braindec.signal.windows import make_windows
from braindec.types import FitRecord, Recording, Split, Windows

__all__ = ["Replay", "replay", "replay_windows", "split_in_time", "with_ticks"]

_LEARN = ("never", "session", "run", *LEARN)


@dataclass(frozen=True, eq=False)
class Replay:
    """What was decided.

    Parameters
    ----------
    decisions : DataFrame
        One row a test window, in order of time: window_id, subject, session, run, block (the run or session, from 0 for
        the first one tested), onset, true, predicted, ``score_<class>``, correct; ``last_s`` (time of the last sample that
        was used), ``arrived_s`` (end of its chunk), ``wait_s`` (from onset to there), ``compute_s`` (measured), ``lost``
        (samples held because they never came). Windows never decided have no prediction.
    windows : Windows
        All windows, training and test, cut from the same causal signals; trials hold ``decided`` (s in the recording).
    splits : list of Split
        One for each played run: which rows its decoder was trained on beforehand.
    records : list of (Split, list of FitRecord)
    classes : array of shape (n_classes,)
    delay : float
        Group delay of the live steps, s: how old what the decoder sees is.
    learn : str
    wide : Windows
        The same windows with what lies before them, for the audit.
    """

    decisions: pd.DataFrame
    windows: Windows
    splits: list[Split]
    records: list[tuple[Split, list[FitRecord]]]
    classes: np.ndarray
    delay: float
    learn: str = "never"
    wide: Windows | None = None

    @property
    def scores(self) -> np.ndarray:
        """Scores of the decided windows, shape (n_decided, n_classes)."""
        table = self.decided
        return table[[f"score_{c}" for c in self.classes]].to_numpy(dtype=float)

    @property
    def decided(self) -> pd.DataFrame:
        """The decisions that were made."""
        return self.decisions[self.decisions["predicted"].notna()].reset_index(drop=True)

    def __repr__(self) -> str:
        share = self.decided["correct"].mean() if len(self.decided) else np.nan
        return f"<Replay {len(self.decided)} of {len(self.decisions)} windows decided, {share:.3f} right, learn={self.learn}>"


def replay_windows(
    recordings: Sequence[Recording],
    *,
    steps: Sequence[Any] | Pipeline = (),
    tmin: float,
    tmax: float,
    every: float | None = None,
    column: str = "trial_type",
    select: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    idle: str = "rest",
    n_fit: int | None = None,
    before: float = 0.0,
) -> Windows:
    """Return all windows of recordings after live steps, as a replay would see them, with the time of their decision.

    Parameters
    ----------
    recordings : sequence of Recording
        In order of time.
    steps : sequence or Pipeline
        Live steps.
    tmin, tmax : float
        Window around the event (or the moment), s.
    every : float, optional
        One window every so many s, labelled by the event that lasts at that moment, or ``idle``.
    column, select, rename
        See :func:`braindec.signal.windows.make_windows`.
    idle : str
        Label of moments without an event.
    n_fit : int, optional
        How many recordings the steps that learn may see; all by default.
    before : float
        Begin so much before the event, s, when ``tmin`` begins later.
    """
    pipeline = steps if isinstance(steps, Pipeline) else Pipeline(steps)
    listed = [with_ticks(r, every, column=column, idle=idle) for r in recordings] if every else list(recordings)
    learned = any(hasattr(s, "fit") for s in pipeline.steps)
    if learned:
        chosen = listed[: n_fit or len(listed)]
        pipeline.fit(chosen, [f"{r.label} (all of it)" for r in chosen])
    live = [pipeline.run(r) for r in listed]
    windows = make_windows(live, tmin=min(tmin, -before), tmax=tmax, column=column, select=select, rename=rename)
    last = (windows.index[:, 1] + windows.n_times - 1) / windows.sfreq
    return windows.with_trials(decided=last)


def split_in_time(windows: Windows, recordings: Sequence[Recording], *, by: str = "run", n_train: int = 1) -> Split:
    """Return the split of a replay: the first runs or sessions train, all later ones are played."""
    blocks = _blocks(list(recordings), by, n_train)[windows.index[:, 0]]
    return Split(
        np.flatnonzero(blocks < 0), [], np.flatnonzero(blocks >= 0), by=by, ids=windows.ids, name=_after(by, n_train)
    )


def _after(by: str, n_train: int) -> str:
    return f"after the first {n_train} {by}s" if n_train > 1 else f"after the first {by}"


def with_ticks(recording: Recording, every: float, *, column: str = "trial_type", idle: str = "rest") -> Recording:
    """Return a recording whose events are moments ``every`` s apart, labelled by the event that lasts then, or ``idle``."""
    times = np.arange(0.0, recording.duration, every)
    labels = np.full(len(times), idle, dtype=object)
    events = recording.events
    if column not in events:
        raise BraindecError(
            f"{recording.label}: the events have no column {column!r}", allowed=", ".join(events.columns)
        )
    for onset, duration, label in zip(events["onset"], events["duration"], events[column], strict=True):
        labels[(times >= onset) & (times < onset + duration)] = label
    if len(events) and (labels == idle).all():
        raise BraindecError(f"{recording.label}: no event lasts at any of {len(times)} moments, {every:g} s apart",
                            found=f"durations {events['duration'].min():g} to {events['duration'].max():g} s",
                            fix="decide at events instead (every: null), or say how long they last")  # fmt: skip
    return recording.with_events(pd.DataFrame({"onset": times, "duration": every, column: labels}))


def replay(
    recordings: Sequence[Recording],
    decoder: Any,
    *,
    steps: Sequence[Any] = (),
    tmin: float,
    tmax: float,
    every: float | None = None,
    column: str = "trial_type",
    select: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    idle: str = "rest",
    by: str = "run",
    n_train: int = 1,
    learn: str = "never",
    feedback: float = 0.0,
    chunk: float = 0.1,
    lost: float = 0.0,
    on_gap: str = "hold",
    before: float = 0.0,
    seed: int = 0,
) -> Replay:
    """Train on the first runs or sessions and play the others as if they came live.

    Parameters
    ----------
    recordings : sequence of Recording
        Runs of one subject in order of time; they share channels and sampling frequency.
    decoder : estimator
        Not fitted; cloned. ``fit(windows, y)``, ``decision(windows)``, ``classes_``, ``fit_records_``.
    steps : sequence
        Live steps (files of ``online/steps``).
    tmin, tmax : float
        Window around the event, s.
    every : float, optional
        Decide every so many s instead (see :func:`replay_windows`).
    column, select, rename, idle
        Which events, under which labels.
    by : {"run", "session"}
        What a block of time is.
    n_train : int
        Blocks that only train.
    learn : {"never", "run", "session", "reward", "labels"}
        "never": the decoder stays as it is. "run", "session": trained again before each, on all that came before.
        "reward", "labels": told after each decision whether it was right, or what was right.
    feedback : float
        How long after a decision that is told, s.
    chunk : float
        Length of a chunk, s.
    lost : float
        Share of chunks that never arrive (simulated).
    on_gap : {"hold", "skip"}
        See :class:`braindec.online.live.LiveDecoder`.
    before : float
        What the audit sees before events, s; windows without it are left out.
    seed : int
        Which chunks are lost.

    Returns
    -------
    Replay

    Raises
    ------
    BraindecError
        If the steps look ahead, there are too few blocks, training lacks a class, or an option is unknown.
    """
    from sklearn.base import clone

    if learn not in _LEARN:
        raise BraindecError(f"learn={learn!r} is unknown{did_you_mean(learn, _LEARN)}", allowed=", ".join(_LEARN))
    recordings, pipeline = list(recordings), Pipeline(steps)
    blocks = _blocks(recordings, by, n_train)
    trained = np.flatnonzero(blocks < 0)
    wide = replay_windows(recordings, steps=pipeline, tmin=tmin, tmax=tmax, every=every, column=column, select=select,
                          rename=rename, idle=idle, n_fit=len(trained), before=before)  # fmt: skip
    windows = _exactly(wide, tmin, tmax)
    y, home = windows.trials[column].to_numpy(), windows.index[:, 0]
    block_of = blocks[home]
    _both_parts(y, block_of, n_train, by)
    rng = np.random.default_rng([seed, 5])
    rows, splits, records, classes = [], [], [], np.unique(y)
    for runs in _stages(recordings, blocks, learn):
        train = np.flatnonzero(home < runs[0])
        fitted = clone(decoder).fit(windows[train], y[train])
        live = LiveDecoder(fitted, pipeline, tmin=tmin, tmax=tmax, every=every, on_gap=on_gap, told=learn in LEARN)
        classes = fitted.classes_
        for number in runs:
            own = np.flatnonzero(home == number)
            if not len(own):
                continue
            splits.append(Split(train, [], own, by="run", ids=windows.ids, name=recordings[number].label))
            records.append((splits[-1], list(getattr(fitted, "fit_records_", []))))
            found = _play(recordings[number], live, windows[own], y[own], learn=learn, feedback=feedback, chunk=chunk, lost=lost, rng=rng)  # fmt: skip
            rows.append(found.assign(block=int(blocks[number])))
    decisions = pd.concat([r for r in rows if len(r)], ignore_index=True)
    return Replay(decisions, windows, splits, records, classes, pipeline.delay, learn, wide)


def _stages(recordings: Sequence[Recording], blocks: np.ndarray, learn: str) -> list[list[int]]:
    """Return the runs that each fitted decoder plays; it is trained on all runs before the first of them."""
    played = np.flatnonzero(blocks >= 0)
    if learn == "run":
        return [[int(n)] for n in played]
    if learn == "session":
        number = _numbered([_session(r) for r in recordings])[played]
        return [played[number == k].tolist() for k in np.unique(number)]
    return [played.tolist()]


def _exactly(wide: Windows, tmin: float, tmax: float) -> Windows:
    """The span of the windows that is decided on, by samples as a live decoder counts them."""
    first, n_times = round(tmin * wide.sfreq), round((tmax - tmin) * wide.sfreq)
    skip = first - round(wide.tmin * wide.sfreq)
    return replace(wide, index=wide.index + np.array([0, skip]), n_times=n_times, tmin=first / wide.sfreq)


def _play(
    recording: Recording, live: LiveDecoder, windows: Windows, y: np.ndarray, *, learn: str, feedback: float, chunk: float,
    lost: float, rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Play one run; return a row for each of its windows, decided or not."""
    expected: dict[int, list[int]] = {}
    for row, start in enumerate(windows.index[:, 1].tolist()):
        expected.setdefault(start, []).append(row)
    hidden = recording.events[["onset", "duration"]]  # labels do not travel with the stream
    if live.every is None:
        onset = windows.trials["onset"].to_numpy(dtype=float)
        hidden = pd.DataFrame({"onset": onset, "duration": 0.0})
    else:
        hidden = hidden.iloc[:0]
    source = PlayerSource(recording.with_events(hidden), chunk=chunk, lost=lost, rng=rng)
    live.open(source.sfreq, source.channels, modality=recording.info.get("modality"))
    made: dict[int, Decision] = {}
    for piece in source:
        for decision in live.push(piece):
            waiting = expected.get(decision.start)
            if not waiting:
                continue
            row = waiting.pop(0)
            made[row] = replace(decision, window=None)
            if learn in LEARN and decision.predicted is not None:
                live.learn(decision, y[row], at=decision.arrived + feedback, how=learn)
    live.flush()
    return _table(windows, y, made, live.decoder.classes_)


def _table(windows: Windows, y: np.ndarray, made: Mapping[int, Decision], classes: np.ndarray) -> pd.DataFrame:
    trials = windows.trials
    kept = [
        c for c in ("window_id", "subject", "session", "run", "onset", "item", "selection", "repetition") if c in trials
    ]
    table = trials[kept].reset_index(drop=True).assign(true=y)
    found = [made.get(i) for i in range(len(table))]
    table["predicted"] = np.array([None if d is None else d.predicted for d in found], dtype=object)
    nothing = np.full(len(classes), np.nan)
    scores = np.array([nothing if d is None else d.scores for d in found]).reshape(len(found), len(classes))
    table = table.assign(**{f"score_{c}": scores[:, k] for k, c in enumerate(classes)})
    for name, of in (("last_s", "last"), ("arrived_s", "arrived"), ("compute_s", "compute"), ("lost", "lost")):
        table[name] = [np.nan if d is None else float(getattr(d, of)) for d in found]
    table["wait_s"] = table["arrived_s"] - table["onset"].astype(float)
    right = (table["predicted"] == table["true"]).astype(object)
    table["correct"] = right.where(table["predicted"].notna(), None).astype("boolean")
    return table


def _blocks(recordings: Sequence[Recording], by: str, n_train: int) -> np.ndarray:
    """Number the blocks of time that are tested from 0; -1 for training."""
    if by not in ("run", "session"):
        raise BraindecError(f"by={by!r} is unknown{did_you_mean(by, ['run', 'session'])}", allowed="run, session")
    number = np.arange(len(recordings)) if by == "run" else _numbered([_session(r) for r in recordings])
    if not 1 <= n_train < number.max() + 1:
        raise BraindecError(
            f"a replay needs {n_train} {by}s to train on and at least one to play", found=f"{number.max() + 1} {by}s",
            fix="choose fewer training blocks, or by: run",
        )  # fmt: skip
    return np.where(number < n_train, -1, number - n_train)


def _session(recording: Recording) -> Any:
    return recording.info.get("session")


def _numbered(values: Sequence[Any]) -> np.ndarray:
    """Number values in order; a value that comes back after another is refused: time goes one way."""
    order = [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]
    if len(set(order)) < len(order):
        raise BraindecError("the recordings are not in order of time", found=", ".join(map(str, values)),
                            fix="sort them by session and run")  # fmt: skip
    return np.array([order.index(v) for v in values])


def _both_parts(y: np.ndarray, block_of: np.ndarray, n_train: int, by: str) -> None:
    classes = set(y)
    lacking = classes - set(y[block_of < 0])
    if lacking or not (block_of >= 0).any():
        raise BraindecError(
            f"the first {n_train} {by}{'s' * (n_train > 1)} do not train a decoder",
            found=f"no window of class {', '.join(map(str, sorted(lacking)))}"
            if lacking
            else "nothing is left to play",
            fix="train on more of them (n_train)",
        )
