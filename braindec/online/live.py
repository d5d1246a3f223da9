"""LiveDecoder: chunks in, decisions out. The same object runs on a replay and on a live stream.

A window is decided when its last sample has come; nothing later can reach the decision. What a decoder may learn from is
what was fed back before. Samples that were lost on the way are held at their last value, and the decision says how many
of its samples were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.online.pipeline import Pipeline
from braindec.online.stream import Chunk, Marker
from braindec.types import Windows

__all__ = ["Decision", "LiveDecoder"]

_SLACK = 2.0  # s of the past that markers may come late by
_LONGEST_GAP = 60.0  # s

LEARN = ("reward", "labels")  # what feedback says: right or wrong, or the class


@dataclass(frozen=True, eq=False)
class Decision:
    """One decision and what it rests on; times are s since the stream began.

    Parameters
    ----------
    onset : float
        The event, or the moment asked about.
    start : int
        First sample of the window, in samples of the pipeline.
    last : float
        Time of the last sample that was used.
    arrived : float
        When that sample had arrived: the end of its chunk.
    compute : float
        Measured time for the chunk's steps and the decision, s.
    predicted : object
        The class; None when the window was skipped because samples were lost.
    scores : array of shape (n_classes,)
        NaN when skipped.
    lost : int
        Samples of the window that were lost on the way and held at their last value.
    about : mapping
        What the marker said.
    window : Windows
        The one window, for feedback.
    """

    onset: float
    start: int
    last: float
    arrived: float
    compute: float
    predicted: Any
    scores: np.ndarray
    lost: int
    about: Mapping[str, Any] = field(default_factory=dict)
    window: Windows | None = None


class LiveDecoder:
    """A fitted decoder behind a pipeline.

    Parameters
    ----------
    decoder : estimator
        Fitted: ``decision(windows)`` and ``classes_``. For feedback also ``observe(window, reward)`` or ``act(window)`` and
        ``partial_fit(window, reward)``, which learn from right or wrong, or ``partial_fit(windows, y)``.
    pipeline : Pipeline
        Live steps.
    tmin, tmax : float
        Window around the event, s.
    every : float, optional
        Decide every so many s instead of at events; ``tmax`` must then be 0 or less: what has come by then.
    on_gap : {"hold", "skip"}
        Windows with lost samples: decided on held values, or not decided.
    told : bool
        Feedback will come (:meth:`learn`).

    Raises
    ------
    BraindecError
        If the window is empty, or reaches beyond the moment of decision.
    """

    def __init__(
        self,
        decoder: Any,
        pipeline: Pipeline,
        *,
        tmin: float,
        tmax: float,
        every: float | None = None,
        on_gap: str = "hold",
        told: bool = False,
    ) -> None:
        if not tmax > tmin:
            raise BraindecError("a window needs tmax after tmin", found=f"tmin {tmin}, tmax {tmax}")
        if on_gap not in ("hold", "skip"):
            raise BraindecError(f"on_gap={on_gap!r} is unknown", allowed="hold, skip")
        if every is not None and (every <= 0 or tmax > 0):
            raise BraindecError(
                "a decision at a fixed rate can only use what has come by then", found=f"every {every} s, tmax {tmax} s",
                fix="tmax: 0, and tmin: minus the length of the window",
            )  # fmt: skip
        self.decoder, self.pipeline, self.every, self.on_gap = decoder, pipeline, every, on_gap
        self.tmin, self.tmax, self.told = float(tmin), float(tmax), told
        self._feedback: list[tuple[float, Decision, Any, str]] = []
        self.too_late = 0  # feedback that came after the next decision, of decoders that remember one

    def open(self, sfreq: float, channels: pd.DataFrame, *, modality: str | None = None) -> LiveDecoder:
        """Begin a new stream; what the decoder has learned stays."""
        self.flush()
        self.pipeline.open(sfreq, channels)
        rate = self.pipeline.sfreq
        self._sfreq_in, self._modality = float(sfreq), modality
        self._length, self._shift = round((self.tmax - self.tmin) * rate), round(self.tmin * rate)
        if self._length < 1:
            raise BraindecError(f"a window from {self.tmin} to {self.tmax} s has no sample", found=f"{rate:g} Hz")
        self._buffer = np.empty((len(self.pipeline.channels), 0))
        self._begin, self._next, self._tick, self._last = 0, 0, 0, -1
        self._held = np.empty(0)  # last sample before a gap
        self._gaps: list[tuple[int, int]] = []
        self._pending: list[Marker] = []
        self.missed: list[Marker] = []  # windows that begin before the stream, or before what is remembered
        return self

    def push(self, chunk: Chunk) -> list[Decision]:
        """Take a chunk; return the decisions whose windows are complete with it, in order of time.

        Raises
        ------
        BraindecError
            If chunks come twice or out of order, or the stream was silent for more than a minute.
        """
        began, arrived = perf_counter(), chunk.stop / self._sfreq_in
        self._fill(chunk)
        self._take(self.pipeline.push(chunk.data))
        self._held, self._next = np.asarray(chunk.data, dtype=np.float64)[:, -1:], chunk.stop
        self._pending += chunk.markers
        self._ticks()
        spent = perf_counter() - began
        decisions, waiting = [], []
        for marker in sorted(self._pending, key=lambda m: m.onset):
            start = round(marker.onset * self.pipeline.sfreq) + self._shift
            if start < self._begin:
                self.missed.append(marker)
            elif start + self._length <= self._end:
                decisions.append(self._decide(marker, start, arrived, spent))
            else:
                waiting.append(marker)
        self._pending = waiting
        self._forget()
        return decisions

    def learn(self, decision: Decision, truth: Any, *, at: float, how: str) -> None:
        """Feed back what was true; it is learned from before the first decision after ``at`` (s since the stream began).

        Parameters
        ----------
        decision : Decision
        truth : object
            The true class.
        at : float
            When the feedback is there.
        how : {"reward", "labels"}
            Tell only whether the decision was right (1 or -1), or the class itself.

        Raises
        ------
        BraindecError
            If the decoder cannot learn from that, or feedback comes before its decision.
        """
        if at < decision.arrived:
            raise BraindecError(
                "feedback cannot come before its decision", found=f"{at:.3f} s, {decision.arrived:.3f} s"
            )
        _teach(self.decoder, how)
        self._feedback.append((at, decision, truth, how))
        self._feedback.sort(key=lambda f: f[0])

    def flush(self) -> None:
        """Learn from all feedback that is still waiting."""
        self._apply(np.inf)

    @property
    def _end(self) -> int:
        return self._begin + self._buffer.shape[1]

    def _fill(self, chunk: Chunk) -> None:
        """Hold the last value where samples are missing before this chunk."""
        missing = chunk.first - self._next
        if missing < 0:
            raise BraindecError(
                "chunks came twice or out of order", found=f"sample {chunk.first} after sample {self._next - 1}"
            )
        if missing > _LONGEST_GAP * self._sfreq_in:
            raise BraindecError(f"the stream was silent for {missing / self._sfreq_in:.0f} s", allowed=f"{_LONGEST_GAP:.0f} s",
                                fix="open() the decoder again: filters have to settle anew")  # fmt: skip
        if missing:
            value = self._held if self._held.size else np.asarray(chunk.data, dtype=np.float64)[:, :1]
            self._gaps.append((self._next, chunk.first))
            self._take(self.pipeline.push(np.repeat(value, missing, axis=1)))

    def _take(self, out: np.ndarray) -> None:
        self._buffer = np.concatenate([self._buffer, out], axis=1) if out.shape[1] else self._buffer

    def _ticks(self) -> None:
        while self.every is not None and self._tick * self.every <= (self._end - 1) / self.pipeline.sfreq - self.tmax:
            self._pending.append(Marker(self._tick * self.every, {}))
            self._tick += 1

    def _forget(self) -> None:
        """Keep what the next windows may need."""
        first = self._end - self._length + min(0, self._shift) - round(_SLACK * self.pipeline.sfreq)
        for marker in self._pending:
            first = min(first, round(marker.onset * self.pipeline.sfreq) + self._shift)
        if first > self._begin:
            self._buffer, self._begin = self._buffer[:, first - self._begin :], first
            oldest = first / self.pipeline.sfreq * self._sfreq_in
            self._gaps = [g for g in self._gaps if g[1] >= oldest]

    def _decide(self, marker: Marker, start: int, arrived: float, spent: float) -> Decision:
        began, rate = perf_counter(), self.pipeline.sfreq
        self._apply(arrived)
        block = self._buffer[:, start - self._begin : start - self._begin + self._length]
        last = (start + self._length - 1) / rate
        window = Windows.from_arrays(block[None].astype(np.float32), {"onset": [marker.onset]}, sfreq=rate,
                                     channels=self.pipeline.channels, tmin=self._shift / rate, modality=self._modality)  # fmt: skip
        lost = self._lost(start / rate, last)
        skipped = bool(lost) and self.on_gap == "skip"
        scores = np.full(len(self.decoder.classes_), np.nan)
        if not skipped:
            scores = np.asarray(self.decoder.decision(window), dtype=float)[0]
            if self.told and hasattr(self.decoder, "act"):
                self.decoder.act(window)  # what feedback will be about
                self._last = start
        predicted = None if skipped else self.decoder.classes_[int(scores.argmax())]
        compute = spent + perf_counter() - began
        return Decision(marker.onset, start, last, arrived, compute, predicted, scores, lost, marker.about, window)

    def _lost(self, start: float, last: float) -> int:
        first, end = round(start * self._sfreq_in), round(last * self._sfreq_in) + 1
        return sum(max(0, min(end, b) - max(first, a)) for a, b in self._gaps)

    def _apply(self, now: float) -> None:
        while self._feedback and self._feedback[0][0] <= now:
            _, decision, truth, how = self._feedback.pop(0)
            teach = _teach(self.decoder, how)
            if how == "labels":
                teach(decision.window, np.asarray([truth]))
            elif decision.start == self._last or not hasattr(self.decoder, "act"):
                teach(decision.window, 1.0 if decision.predicted == truth else -1.0)
            else:
                self.too_late += 1  # the decoder has decided since, and knows of its last decision only


def _teach(decoder: Any, how: str) -> Any:
    """Return the method by which a decoder learns from rewards or labels."""
    if how == "reward" and hasattr(decoder, "observe"):
        return decoder.observe
    known = signature(decoder.partial_fit).parameters if hasattr(decoder, "partial_fit") else {}
    if how not in LEARN or ("reward" in known) != (how == "reward") or not known:
        able = "; ".join(f"it learns from {k}" for k in LEARN if known and ("reward" in known) == (k == "reward"))
        raise BraindecError(
            f"{type(decoder).__name__} cannot learn from {how}",
            found=able or "it has no partial_fit() and no observe()",
            allowed="reward: observe(window, reward) or partial_fit(window, reward); labels: partial_fit(windows, y)",
        )
    return decoder.partial_fit
