"""Lab Streaming Layer: samples and markers of a live amplifier in, decisions out (extra ``online``, mne-lsl).

Time stamps are brought to the local clock. Samples that are missing between two time stamps count: the chunk after them
has a later ``first``, and the live decoder holds what it had. Markers come on a stream of their own; each is placed among the
samples by the time stamps around it, so that an amplifier that is a little faster or slower than it says does no harm.

Source: Kothe et al. (2025, Imaging Neuroscience 3:IMAG.a.136) for the protocol and its clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from time import monotonic, sleep
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, MissingExtraError
from braindec.online.live import Decision
from braindec.online.stream import Chunk, Marker

__all__ = ["LSLSink", "LSLSource"]

_ANCHORS = 40  # chunks whose time stamps tie markers to samples


class LSLSource:
    """Samples and markers of a live stream, as chunks.

    Parameters
    ----------
    name, stype, source_id : str, optional
        Which stream: its name, type ("EEG") or source.
    markers : str, optional
        Name of the stream of markers; each becomes an event with ``trial_type``.
    timeout : float
        How long to look for streams, s.
    jitter : float
        By how much time stamps may lie off, s: a longer jump between two samples means that some are missing.
    idle : float
        The stream has ended when nothing came for so long, s.

    Attributes
    ----------
    sfreq : float
    channels : DataFrame
    n_lost : int
        Samples that were missing so far.
    correction : float
        What was added to the sender's clock, s.

    Raises
    ------
    BraindecError
        If no such stream is found, or it has no regular rate.
    MissingExtraError
        If mne-lsl is not installed.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        stype: str | None = None,
        source_id: str | None = None,
        markers: str | None = None,
        timeout: float = 5.0,
        jitter: float = 0.01,
        idle: float = 2.0,
    ) -> None:
        lsl = _lsl()
        found = _find(lsl, timeout, name=name, stype=stype, source_id=source_id)
        self._inlet = lsl.StreamInlet(found)
        self._inlet.open_stream(timeout=timeout)
        info = self._inlet.get_sinfo(timeout=timeout)
        self.sfreq = float(info.sfreq)
        if not self.sfreq > 0:
            raise BraindecError(f"the stream {info.name!r} has no regular rate", found=f"{info.sfreq} Hz",
                                fix="name the stream of samples; markers are given with markers=...")  # fmt: skip
        self.channels = _channel_table(info)
        self._marker_inlet = None
        if markers is not None:
            there = _find(lsl, timeout, name=markers)
            self._marker_inlet = lsl.StreamInlet(there)
            self._marker_inlet.open_stream(timeout=timeout)
            self._same_clock = there.hostname == found.hostname
        self.correction = float(self._inlet.time_correction(timeout=timeout))
        self.jitter, self.idle, self.n_lost = float(jitter), float(idle), 0
        self._last: float | None = None  # time stamp of the newest sample
        self._next = 0
        self._offsets: deque[float] = deque(maxlen=_ANCHORS)  # sample number minus time stamp in samples

    def __iter__(self) -> Iterator[Chunk]:
        """Yield chunks as they come, until nothing came for ``idle`` s."""
        since = monotonic()
        while monotonic() - since < self.idle:
            chunks = self.pull()
            if chunks:
                since = monotonic()
                yield from chunks
            else:
                sleep(0.005)

    def pull(self) -> list[Chunk]:
        """Return what has come by now; several chunks where samples are missing between them."""
        data, times = self._inlet.pull_chunk(timeout=0.0)
        if not len(times):
            return []
        data = np.array(data, dtype=np.float64).T  # a copy: the inlet uses its buffer again
        times = np.array(times, dtype=np.float64) + self.correction
        pieces = self._cut(times)
        markers = self._markers()
        chunks = []
        for place, (a, b, first) in enumerate(pieces):
            mine = markers if place == len(pieces) - 1 else ()
            chunks.append(Chunk(data[:, a:b], first, mine, times[a:b]))
        return chunks

    def close(self) -> None:
        """Close the inlets."""
        self._inlet.close_stream()
        if self._marker_inlet is not None:
            self._marker_inlet.close_stream()

    def _cut(self, times: np.ndarray) -> list[tuple[int, int, int]]:
        """Cut where time stamps jump: (start, stop, number of the first sample) of each piece."""
        before = times[0] - 1 / self.sfreq if self._last is None else self._last
        jumps = np.diff(times, prepend=before)
        starts = np.flatnonzero(jumps > 1 / self.sfreq + self.jitter)
        edges = [0, *[int(i) for i in starts if i], len(times)]
        pieces = []
        for a, b in pairwise(edges):
            if a in starts:
                lost = max(0, round(jumps[a] * self.sfreq) - 1)
                self._next, self.n_lost = self._next + lost, self.n_lost + lost
            pieces.append((a, b, self._next))
            self._offsets.append(float(np.median(self._next + np.arange(b - a) - times[a:b] * self.sfreq)))
            self._next += b - a
        self._last = float(times[-1])
        return pieces

    def _markers(self) -> tuple[Marker, ...]:
        if self._marker_inlet is None or not self._offsets:
            return ()
        words, times = self._marker_inlet.pull_chunk(timeout=0.0)
        if not len(times):
            return ()
        shift = self.correction if self._same_clock else float(self._marker_inlet.time_correction(timeout=1.0))
        offset = float(np.median(self._offsets))
        return tuple(
            Marker(float(t + shift) + offset / self.sfreq, {"trial_type": str(w[0])})
            for w, t in zip(words, times, strict=True)
        )


class LSLSink:
    """A stream of decisions: one sample of (predicted class, score of each class) a decision.

    Parameters
    ----------
    classes : sequence
        Order of the classes; the first channel is the place of the decided one among them (-1: not decided).
    name : str
        Name of the stream.

    Raises
    ------
    MissingExtraError
        If mne-lsl is not installed.
    """

    def __init__(self, classes: Any, *, name: str = "decisions") -> None:
        lsl = _lsl()
        self.classes = [str(c) for c in classes]
        info = lsl.StreamInfo(name, "decisions", 1 + len(self.classes), 0.0, "float64", f"braindec-{name}")
        info.set_channel_names(["decided", *(f"score {c}" for c in self.classes)])
        self._outlet = lsl.StreamOutlet(info)

    def send(self, decision: Decision) -> None:
        """Send one decision."""
        place = -1 if decision.predicted is None else self.classes.index(str(decision.predicted))
        self._outlet.push_sample(np.array([place, *np.nan_to_num(decision.scores)], dtype=np.float64))


def _lsl() -> Any:
    try:
        from mne_lsl import lsl
    except ImportError as error:
        raise MissingExtraError.of("mne-lsl", "online", "live streams") from error
    return lsl


def _find(lsl: Any, timeout: float, **asked: str | None) -> Any:
    wanted = {k: v for k, v in asked.items() if v is not None}
    found = lsl.resolve_streams(timeout=timeout, minimum=1, **wanted)
    if not found:
        everything = [s.name for s in lsl.resolve_streams(timeout=min(timeout, 1.0))]
        raise BraindecError(
            f"no live stream is {', '.join(f'{k} {v!r}' for k, v in wanted.items()) or 'there'}",
            found=", ".join(everything) or f"no stream within {timeout:g} s",
            fix="start the amplifier's stream, and check that this machine is on its network",
        )
    return found[0]


def _channel_table(info: Any) -> pd.DataFrame:
    names = info.get_channel_names() or [f"ch{i:03d}" for i in range(info.n_channels)]
    kinds = info.get_channel_types() or [None] * len(names)
    return pd.DataFrame({"name": [str(n) for n in names], "type": [str(k) if k else "eeg" for k in kinds]})
