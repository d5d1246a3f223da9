"""Features of stimuli on the time of a recording: what was heard or seen at each moment, for encoding models and response functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.clock import Clock, sound_clocks
from braindec.stats.asked import number
from braindec.types import Recording

__all__ = ["on_recording"]

_METHODS = ("nearest", "linear")


def on_recording(
    series: Mapping[str, Recording], recording: Recording, *, sfreq: float | None = None, method: str = "nearest",
    fill: float | str = 0.0, clocks: Sequence[tuple[str, Clock]] | None = None,
) -> Recording:  # fmt: skip
    """Lay feature series of sounds or films over a recording.

    Parameters
    ----------
    series : mapping of str to Recording
        By the name in the column ``audio`` of the events; they share units.
    recording : Recording
        Events of ``trial_type`` sound say when each was played (``onset``, ``audio``, ``audio_onset``: where in it); without
        them, the words do (:func:`braindec.signal.clock.sound_clocks`, which refuses clocks that drift too far).
    sfreq : float, optional
        Samples a second, Hz; that of the recording without it.
    method : {"nearest", "linear"}
        How samples between those of the series are found.
    fill : float or "least"
        Where nothing is played: a number, or the least value of each unit (silence in log_mel).
    clocks : sequence of (str, Clock), optional
        Measured clocks of sounds, which then stand in place of the events.

    Returns
    -------
    Recording
        Units over the time of the recording, as long as it; events and subject are those of the recording.

    Raises
    ------
    BraindecError
        If a sound has no series, units differ, nothing is played, or two sounds overlap.
    """
    if method not in _METHODS:
        raise BraindecError(f"there is no method {method!r}{did_you_mean(str(method), _METHODS)}", allowed=", ".join(_METHODS))  # fmt: skip
    sfreq = number(recording.sfreq if sfreq is None else sfreq, "sfreq", least=0, ends=False, unit="Hz")
    played = _played(recording, clocks)
    units = _units(series, [name for name, _ in played], recording.label)
    n_times = int(np.ceil(recording.duration * sfreq - 1e-6))
    values, taken = np.zeros((len(units), n_times), dtype=np.float32), np.zeros(n_times, dtype=bool)
    loaded = {name: series[name].load() for name in dict.fromkeys(name for name, _ in played)}
    values[:] = _filled(fill, loaded)[:, None]
    times = np.arange(n_times) / sfreq
    for name, clock in played:
        one = series[name]
        at = clock.to_stimulus(times) * one.sfreq
        inside = np.flatnonzero((at >= -1e-6) & (at < one.n_times - 1e-6))
        if taken[inside].sum() > 1:
            raise BraindecError(f"{recording.label}: two sounds overlap", found=f"{name!r} from {times[inside[0]]:g} s", fix="leave one out")  # fmt: skip
        taken[inside] = True
        values[:, inside] = _between(loaded[name], np.maximum(at[inside], 0.0), method)
    if not taken.any():
        raise BraindecError(f"{recording.label}: nothing is played during the recording", found=f"{len(played)} sounds, the first from {played[0][1].offset:g} s",
                            allowed=f"0 to {recording.duration:g} s")  # fmt: skip
    first = series[played[0][0]]
    info = {**recording.info, "modality": "misc", "feature": first.info.get("feature"), "settings": dict(first.info.get("settings") or {}),
            "played": [{"stimulus": name, "offset": clock.offset, "drift_ppm": clock.drift_ppm} for name, clock in played]}  # fmt: skip
    return Recording(values, sfreq, first.channels, recording.events, info)


def _played(recording: Recording, clocks: Sequence[tuple[str, Clock]] | None) -> list[tuple[str, Clock]]:
    """Each sound that was played, and its clock."""
    if clocks is not None:
        found = [(str(name), clock) for name, clock in clocks]
        if not found:
            raise BraindecError(f"{recording.label}: there are no clocks of sounds", found="an empty list")
        return found
    events = recording.events
    sounds = events[events["trial_type"].astype(str) == "sound"] if "trial_type" in events else events[:0]
    if not len(sounds) or not {"audio", "audio_onset"} <= set(sounds):
        return sound_clocks(recording)
    begin = pd.to_numeric(sounds["onset"]) - pd.to_numeric(sounds["audio_onset"]).fillna(0.0)
    return [(str(name), _steady(float(start))) for name, start in zip(sounds["audio"], begin, strict=True)]


def _steady(offset: float) -> Clock:
    """A clock that does not drift."""
    return Clock(offset, 0.0, (offset, offset), (0.0, 0.0), 0.95, 0.0, 0.0, np.zeros((0, 2), dtype=int), 0, 0)


def _units(series: Mapping[str, Recording], names: Sequence[str], label: str) -> list[str]:
    missing = [n for n in dict.fromkeys(names) if n not in series]
    if missing:
        raise BraindecError(f"{label}: there is no series of features for {missing[0]!r}{did_you_mean(missing[0], list(series))}",
                            found=f"{len(missing)} of {len(set(names))} are missing", allowed=", ".join(list(series)[:8]))  # fmt: skip
    units = series[names[0]].ch_names
    for name in names:
        if series[name].ch_names != units:
            raise BraindecError("feature series differ in their units", found=f"{names[0]!r} has {len(units)}, {name!r} has {series[name].n_channels}")  # fmt: skip
    return units


def _filled(fill: float | str, loaded: Mapping[str, np.ndarray]) -> np.ndarray:
    if fill == "least":
        return np.min([v.min(axis=1) for v in loaded.values()], axis=0)
    return np.full(len(next(iter(loaded.values()))), number(fill, "fill"))


def _between(values: np.ndarray, at: np.ndarray, method: str) -> Any:
    last = values.shape[1] - 1
    if method == "nearest":
        return values[:, np.minimum(np.floor(at + 0.5).astype(int), last)]
    at = np.minimum(at, last)
    left = np.minimum(np.floor(at).astype(int), max(last - 1, 0))
    return values[:, left] + (at - left) * (values[:, np.minimum(left + 1, last)] - values[:, left])
