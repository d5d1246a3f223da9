"""Chunks of samples with what happened meanwhile, and a recording played as if it came live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Recording

__all__ = ["Chunk", "Marker", "PlayerSource"]


class Marker(NamedTuple):
    """Something that happened: ``onset`` in s since the stream began, and what is known of it at that moment."""

    onset: float
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Samples that arrived together.

    Parameters
    ----------
    data : array of shape (n_channels, n_samples)
    first : int
        Number of the first sample since the stream began; lost samples count.
    markers : tuple of Marker
        What was announced by the end of this chunk.
    times : array of shape (n_samples,), optional
        Clock of each sample, s.
    """

    data: np.ndarray
    first: int
    markers: tuple[Marker, ...] = ()
    times: np.ndarray | None = None

    @property
    def stop(self) -> int:
        """Number of the sample after the last."""
        return self.first + self.data.shape[1]


class PlayerSource:
    """A recording in chunks, in order, as an amplifier would send it.

    Parameters
    ----------
    recording : Recording
        One run; its events are announced with the chunk in which they fall.
    chunk : float
        Length of a chunk in s.
    lost : float
        Share of chunks that never arrive (simulated); their markers come with the next one.
    rng : Generator or int
        Which ones are lost.
    pieces : int, optional
        Samples of each chunk, instead of ``chunk``.

    Raises
    ------
    BraindecError
        If the chunk holds no sample, or the share is not from 0 to below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import ArraySignal, Recording
    >>> recording = Recording(ArraySignal(np.zeros((1, 25))), 10.0, pd.DataFrame({"name": ["C3"]}))
    >>> [c.data.shape[1] for c in PlayerSource(recording, chunk=1.0)]
    [10, 10, 5]
    """

    def __init__(
        self, recording: Recording, *, chunk: float = 0.1, lost: float = 0.0, rng: np.random.Generator | int = 0
    ) -> None:
        self.size = round(chunk * recording.sfreq) if np.isfinite(chunk) else 0
        if self.size < 1:
            raise BraindecError(
                f"a chunk of {chunk} s holds no sample", found=f"sampling frequency {recording.sfreq:g} Hz"
            )
        if not 0 <= lost < 1:
            raise BraindecError(
                "lost is the share of chunks that never arrive", found=repr(lost), allowed="0 to below 1"
            )
        self.recording, self.lost = recording, float(lost)
        n = -(-recording.n_times // self.size)
        self.arrives = np.random.default_rng(rng).random(n) >= self.lost
        self.arrives[0] = True  # the stream begins with the first chunk that comes

    @property
    def sfreq(self) -> float:
        """Samples a second, Hz."""
        return self.recording.sfreq

    @property
    def channels(self) -> pd.DataFrame:
        """Channel table."""
        return self.recording.channels

    def __iter__(self) -> Iterator[Chunk]:
        recording, size = self.recording, self.size
        events = recording.events.sort_values("onset", kind="stable")
        rows = events.to_dict("records")
        onset, told = events["onset"].to_numpy(dtype=float), 0
        for number, start in enumerate(range(0, recording.n_times, size)):
            if not self.arrives[number]:
                continue
            stop = min(start + size, recording.n_times)
            upto = int(np.searchsorted(onset, stop / recording.sfreq, side="left"))
            markers = tuple(Marker(float(onset[i]), rows[i]) for i in range(told, upto))
            told = upto
            yield Chunk(np.asarray(recording.signal.read(slice(None), start, stop)), start, markers)
