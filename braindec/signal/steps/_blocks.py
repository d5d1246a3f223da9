"""Blocks: a step reads a recording by some channels (or some time) at once, so that memory stays flat.

Every step that computes refuses values that are not finite, naming the channels, and marks flat channels bad.
Trigger channels (type "stim") are carried along unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import ArraySignal, Recording

_BUDGET = 2**26  # bytes of float64 that are computed on at once
_SLOW_BUDGET = 2**29  # bytes that are read at once from sources that decode a whole file each time

Function = Callable[[np.ndarray], np.ndarray]


def by_channel(
    recording: Recording,
    function: Function,
    *,
    n_times: int | None = None,
    stim: Function | None = None,
    sfreq: float | None = None,
    events: pd.DataFrame | None = None,
    **info: Any,
) -> Recording:
    """Apply ``function`` to blocks of whole channels.

    Parameters
    ----------
    recording : Recording
        Its signal is read once.
    function : callable
        (channel, time) float64 -> (channel, n_times).
    n_times : int, optional
        Samples of the result, when they differ.
    stim : callable, optional
        What happens to trigger channels; nothing by default.
    sfreq, events, **info
        What else changes in the result.

    Returns
    -------
    Recording
        In memory, float32.

    Raises
    ------
    BraindecError
        If a channel holds NaN or infinite values.
    """
    trigger = (recording.channels["type"] == "stim").to_numpy()
    out = np.empty((recording.n_channels, n_times or recording.n_times), dtype=np.float32)
    flat = np.zeros(recording.n_channels, dtype=bool)
    for rows, block in _channel_blocks(recording):
        flat[rows] = np.ptp(block, axis=1) == 0
        kept = ~trigger[rows]
        if kept.all():
            out[rows] = function(block)
            continue
        if kept.any():
            out[rows][kept] = function(block[kept])
        out[rows][~kept] = stim(block[~kept]) if stim is not None else block[~kept]
    return finish(recording, out, flat & ~trigger, sfreq=sfreq, events=events, **info)


def _channel_blocks(recording: Recording) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, (channel, time) float64); refuses values that are not finite."""
    signal, each = recording.signal, 8 * max(1, recording.n_times)
    read, computed = (max(1, budget // each) for budget in (_SLOW_BUDGET if signal.slow else _BUDGET, _BUDGET))
    for first in range(0, recording.n_channels, read):
        piece = signal.read(slice(first, min(first + read, recording.n_channels)))
        for start in range(0, len(piece), computed):
            block = np.array(piece[start : start + computed], dtype=np.float64)
            if not np.isfinite(block).all():
                _refuse(recording, first + start, computed)
            yield slice(first + start, first + start + len(block)), block


def by_time(recording: Recording, function: Function, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Apply ``function`` to blocks of time; return the result (float32) and which channels of the input are flat.

    Parameters
    ----------
    recording : Recording
        Its signal is read once.
    function : callable
        (channel, time) float64 -> (n_channels, time).
    n_channels : int
        Channels of the result.
    """
    low, high = np.full(recording.n_channels, np.inf), np.full(recording.n_channels, -np.inf)
    out = np.empty((n_channels, recording.n_times), dtype=np.float32)
    for start, block in time_blocks(recording):
        low, high = np.minimum(low, block.min(axis=1)), np.maximum(high, block.max(axis=1))
        out[:, start : start + block.shape[1]] = function(block)
    return out, high <= low


def time_blocks(recording: Recording, *, multiple: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first sample, (channel, time) float64) over the recording, in blocks of a multiple of samples.

    Raises
    ------
    BraindecError
        If a channel holds NaN or infinite values.
    """
    step = max(1, _BUDGET // (8 * recording.n_channels * multiple)) * multiple
    for start in range(0, recording.n_times, step):
        block = np.array(
            recording.signal.read(slice(None), start, min(start + step, recording.n_times)), dtype=np.float64
        )
        if not np.isfinite(block).all():
            _refuse(recording, 0, max(1, _BUDGET // (8 * recording.n_times)))
        yield start, block


def finish(
    recording: Recording, data: np.ndarray, flat: np.ndarray, *, sfreq: float | None = None,
    events: pd.DataFrame | None = None, **info: Any,
) -> Recording:  # fmt: skip
    """Return the recording with new data; channels in ``flat`` are marked bad, with a warning."""
    channels, about = recording.channels, {**recording.info, **info}
    fresh = flat & (channels["status"] != "bad").to_numpy()
    if fresh.any():
        channels = channels.assign(status=channels["status"].mask(fresh, "bad"))
        names = list(channels["name"][fresh])
        about["warnings"] = [*(about.get("warnings") or []), f"{len(names)} flat channels marked bad: {_some(names)}"]
    return replace(
        recording, signal=ArraySignal(data), channels=channels, info=about, sfreq=sfreq or recording.sfreq,
        events=recording.events if events is None else events,
    )  # fmt: skip


def add_warning(recording: Recording, text: str) -> Recording:
    """Return the recording with one more line in ``info["warnings"]``."""
    return replace(recording, info={**recording.info, "warnings": [*(recording.info.get("warnings") or []), text]})


def _refuse(recording: Recording, first: int, step: int) -> None:
    names, places = recording.ch_names, []
    for start in range(first, recording.n_channels, step):
        block = np.asarray(recording.signal.read(slice(start, min(start + step, recording.n_channels))))
        finite = np.isfinite(block)
        places += [(names[start + i], int(np.argmin(finite[i]))) for i in np.flatnonzero(~finite.all(axis=1))]
    name, sample = places[0]
    raise BraindecError(
        f"{recording.label}: {len(places)} of {recording.n_channels} channels hold values that are not finite (NaN or infinite)",
        found=f"{_some([p[0] for p in places])}; the first in {name} at {sample / recording.sfreq:.3f} s",
        fix="mark these channels bad (channels.tsv: status = bad) and drop them first, or cut that span away with crop",
    )


def _some(names: list[str], n: int = 12) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
