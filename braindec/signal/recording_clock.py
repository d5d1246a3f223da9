"""One clock for a whole recording of speech: the drift of all its sounds together, reported, and refused beyond a limit.

A single short sound cannot tell a drift (a rounding of 1 ms over 3 s is 300 ppm), many together can: they share one slope and
each has its own offset. Beyond the limit is only what lies there with its interval.

Source: Cochran 1957 (Biometrics 13:261) for a common slope within groups; the drift of each sound is that of :func:`braindec.signal.clock.sound_clocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from braindec.errors import BraindecError
from braindec.signal.clock import Clock, sound_clocks
from braindec.types import Recording

__all__ = ["RecordingClock", "check_clocks", "clock_fact", "recording_clock"]

_WORDS = 4  # of a sound, for a clock
_EXACT = 1e-2  # ppm: no drift is known better than that
_LARGEST = 1e5  # ppm: whatever drift there is, is found first
_SEVERAL = 5  # sounds from which on their differences tell how sure the drift is
_SOUND = 0.9999  # level of the interval of one sound among many


@dataclass(frozen=True)
class RecordingClock:
    """How the clock of a recording runs against those of its sounds.

    Parameters
    ----------
    label : str
        Of the recording.
    drift_ppm : float
        Millionths; NaN when no sound has four words.
    interval : (float, float)
        Of 95 %, ppm.
    jitter : float
        Largest standard deviation of the residuals of a sound, s.
    n_sounds : int
        Sounds with four words or more.
    """

    label: str
    drift_ppm: float
    interval: tuple[float, float]
    jitter: float
    n_sounds: int


def recording_clock(recording: Recording, *, limit_ppm: float = 200.0, limit_jitter: float = 0.005) -> RecordingClock:
    """Find the drift of a recording of speech from the words of its sounds.

    Parameters
    ----------
    recording : Recording
        Events have ``onset`` (s in the recording), ``audio`` and ``audio_onset`` (s in that sound).
    limit_ppm : float
        Largest drift that is accepted, millionths.
    limit_jitter : float
        Largest standard deviation of the onsets around the line of their sound, s.

    Returns
    -------
    RecordingClock

    Raises
    ------
    BraindecError
        If columns are missing, onsets scatter too much, or the drift of the recording or of one of its sounds lies beyond the limit
        with its interval.
    """
    if not _can_tell(recording):
        return RecordingClock(recording.label, np.nan, (np.nan, np.nan), np.nan, 0)
    clocks = sound_clocks(recording, limit_ppm=_LARGEST, limit_jitter=limit_jitter, level=_SOUND)
    for name, clock in clocks:
        _refuse(f"{recording.label}, {name}", clock.drift_ppm, clock.drift_interval, limit_ppm)
    drift, half = _together([c for _, c in clocks])
    found = RecordingClock(
        recording.label, drift, (drift - half, drift + half), max(c.jitter for _, c in clocks), len(clocks)
    )
    _refuse(recording.label, found.drift_ppm, found.interval, limit_ppm)
    return found


def check_clocks(
    recordings: Sequence[Recording], *, limit_ppm: float = 200.0, limit_jitter: float = 0.005
) -> list[RecordingClock]:
    """Find the clock of each recording; see :func:`recording_clock`."""
    return [recording_clock(r, limit_ppm=limit_ppm, limit_jitter=limit_jitter) for r in recordings]


def clock_fact(clocks: Sequence[RecordingClock], *, limit_ppm: float) -> str:
    """Return what a page says of the drift of all recordings."""
    known = [c for c in clocks if c.n_sounds]
    if not known:
        return "not known: no sound has four words"
    worst = max(known, key=lambda c: abs(c.drift_ppm))
    drift, low, high = (f"{round(v, 1) + 0.0:.1f}" for v in (worst.drift_ppm, *worst.interval))  # no "-0.0"
    said = f"{drift} ppm at most ({worst.label}; 95 % {low} to {high}; allowed {limit_ppm:g}), "
    said += f"jitter {1000 * max(c.jitter for c in known):.1f} ms at most, {len(known)} recordings"
    return said + (f"; not known in {len(clocks) - len(known)}" if len(known) < len(clocks) else "")


def _can_tell(recording: Recording) -> bool:
    """Whether a sound has words enough; missing columns are left to the clocks, which say so."""
    events = recording.events
    if not {"onset", "audio", "audio_onset"} <= set(events):
        return True
    words = events[events["trial_type"].astype(str) == "word"] if "trial_type" in events else events[:0]
    table = words if len(words) else events
    placed = table[pd.to_numeric(table["audio_onset"], errors="coerce").notna()]
    return bool(len(placed)) and int(placed["audio"].astype(str).value_counts().max()) >= _WORDS


def _together(clocks: Sequence[Clock]) -> tuple[float, float]:
    """Common slope of all sounds and half the length of its 95 % interval, ppm.

    Sounds weigh by how far their words are apart, not by how little these happen to scatter: four rounded times that lie on a
    line by luck would outweigh all others. The jitter is that of all sounds; where sounds differ by more, their differences count.
    """
    drifts, weights = np.array([c.drift_ppm for c in clocks]), np.array([c.spread for c in clocks])
    freedom = np.array([max(len(c.matches) - 2, 1) for c in clocks])
    jitter = 1e6 * np.sqrt((freedom * np.array([c.jitter for c in clocks]) ** 2).sum() / freedom.sum())
    drift = float((weights * drifts).sum() / weights.sum())
    half = float(student.ppf(0.975, freedom.sum())) * jitter / np.sqrt(weights.sum())
    n = len(clocks)
    if n >= _SEVERAL:
        apart = np.sqrt(n / (n - 1) * ((weights * (drifts - drift)) ** 2).sum()) / weights.sum()
        half = max(half, float(student.ppf(0.975, n - 1)) * apart)
    return drift, max(float(half), _EXACT)


def _refuse(label: str, drift: float, interval: tuple[float, float], limit: float) -> None:
    if interval[0] <= limit and interval[1] >= -limit:
        return
    raise BraindecError(
        f"{label}: the clocks of recording and sound drift apart",
        found=f"{drift:.1f} ppm (interval {interval[0]:.1f} to {interval[1]:.1f}), which is {abs(drift) * 3.6e-3:.3g} s an hour",
        allowed=f"up to {limit:g} ppm",
        fix="check the sampling frequencies of recording and sound, and that onsets are times of this recording; if the drift is real, allow it (limit_ppm)",
    )
