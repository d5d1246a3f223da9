"""Two clocks: offset and drift between a stimulus and a recording, from triggers or from the sound that was recorded along.

``time in the recording = offset + (1 + drift) x time in the stimulus``. Triggers are matched without knowing which is which: some may
be missing, others superfluous. Nothing is corrected silently: a drift or jitter beyond a limit is refused.

Source: Theil 1950 and Sen 1968 (J Am Stat Assoc 63:1379) for the slope that outliers do not move; Knapp & Carter 1976 (IEEE TASSP
24:320) for delays by cross-correlation; Kendall 1954 (Biometrika 41:403) for the bias of a serial correlation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from braindec.errors import BraindecError
from braindec.signal._clock_envelopes import local_delays
from braindec.signal._clock_match import Matched, match_times
from braindec.types import Recording

__all__ = ["Clock", "align_audio", "align_clock", "sound_clocks"]

_FEW = 4  # matches that are needed
_OUTLIER = 5.0  # median absolute deviations (as standard deviations)
_ROUNDED = 1.5e-3  # s: times of whole ms jump by one, and without these jumps no drift is left
_PAIRS = 400_000  # slopes that are looked at
_WIDER = 10.0  # drifts of up to so many times the limit are found, and then refused


@dataclass(frozen=True, eq=False)
class Clock:
    """How the clock of a recording runs against that of a stimulus.

    Attributes
    ----------
    offset : float
        Time in the recording at time 0 of the stimulus, s.
    drift_ppm : float
        How much longer the recording says that time lasts, millionths; 0 are clocks that agree.
    offset_interval, drift_interval : (float, float)
        Confidence intervals of ``level``, s and ppm.
    level : float
    jitter : float
        Standard deviation of the residuals, s.
    largest : float
        Largest residual among the matches used, s.
    matches : array of shape (n, 2)
        Rows of the stimulus' and of the recording's times that belong together and were used.
    n_stimulus, n_recording : int
        Times that there were.
    notes : tuple of str
    spread : float
        Sum of squares of the stimulus' times around their mean, s^2: the drift is known to the jitter over its root.
    """

    offset: float
    drift_ppm: float
    offset_interval: tuple[float, float]
    drift_interval: tuple[float, float]
    level: float
    jitter: float
    largest: float
    matches: np.ndarray
    n_stimulus: int
    n_recording: int
    notes: tuple[str, ...] = field(default=())
    spread: float = np.nan

    @property
    def missing(self) -> np.ndarray:
        """Rows of the stimulus' times without a match."""
        return np.setdiff1d(np.arange(self.n_stimulus), self.matches[:, 0])

    @property
    def extra(self) -> np.ndarray:
        """Rows of the recording's times without a match."""
        return np.setdiff1d(np.arange(self.n_recording), self.matches[:, 1])

    def to_recording(self, times: Any) -> Any:
        """Return times of the recording (s) for times of the stimulus (s)."""
        return self.offset + (1 + self.drift_ppm * 1e-6) * np.asarray(times, dtype=float)

    def to_stimulus(self, times: Any) -> Any:
        """Return times of the stimulus (s) for times of the recording (s)."""
        return (np.asarray(times, dtype=float) - self.offset) / (1 + self.drift_ppm * 1e-6)

    def describe(self) -> str:
        """Return one sentence for a report."""
        low, high = self.drift_interval
        return (
            f"The clocks of recording and stimulus differ by an offset of {self.offset:.4f} s and a drift of {self.drift_ppm:.1f} ppm "
            f"({100 * self.level:g} % interval {low:.1f} to {high:.1f}), found from {len(self.matches)} matches that scatter by {1000 * self.jitter:.2f} ms; "
            f"{len(self.missing)} of {self.n_stimulus} times of the stimulus have no match, {len(self.extra)} of {self.n_recording} in the recording are superfluous."
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON."""
        return {"offset": self.offset, "offset_interval": list(self.offset_interval), "drift_ppm": self.drift_ppm,
                "drift_interval": list(self.drift_interval), "level": self.level, "jitter": self.jitter, "largest": self.largest,
                "n_matches": len(self.matches), "n_missing": len(self.missing), "n_extra": len(self.extra), "notes": list(self.notes)}  # fmt: skip


def align_clock(
    times_stimulus: Any, times_recording: Any, *, limit_ppm: float = 200.0, limit_jitter: float = 0.005, tolerance: float = 0.05,
    least: float = 0.5, paired: bool = False, level: float = 0.95, label: str = "the recording",
) -> Clock:  # fmt: skip
    """Find offset and drift from the times of triggers in the stimulus and in the recording.

    Parameters
    ----------
    times_stimulus, times_recording : array-like of float
        s, each on its own clock, in any order; not every time needs a partner.
    limit_ppm : float
        Largest drift that is accepted, millionths.
    limit_jitter : float
        Largest standard deviation of the residuals that is accepted, s.
    tolerance : float
        Times that are nearer than that (s) once offset and drift are right may belong together.
    least : float
        Share of the shorter sequence that must have a match.
    paired : bool
        The first time belongs to the first, the second to the second, ...: nothing is matched, and steps may be even.
    level : float
        Of the confidence intervals.
    label : str
        Of the recording, for messages.

    Returns
    -------
    Clock

    Raises
    ------
    BraindecError
        If there are too few times or matches, the steps between times are so even that the offset is open, or drift or
        jitter are beyond their limits: what was found, what is allowed, what to do.
    """
    limits = _limits(limit_ppm, limit_jitter, level)
    tolerance, least = _number(tolerance, "tolerance", 0, np.inf, "s"), _number(least, "least", 0, 1)
    a, order_a = _times(times_stimulus, f"{label}: times of the stimulus")
    b, order_b = _times(times_recording, f"{label}: times of the recording")
    if paired:
        if len(a) != len(b):
            raise BraindecError(f"{label}: times that are paired are as many", found=f"{len(a)} of the stimulus, {len(b)} in the recording",
                                fix="say paired=False: they are then matched")  # fmt: skip
        found = Matched(np.stack([np.arange(len(a))] * 2, axis=1), None)
    else:
        found = match_times(a, b, tolerance=tolerance, max_drift=min(_WIDER * limit_ppm * 1e-6, 0.02))
    shorter = min(len(a), len(b))
    if len(found.pairs) < max(_FEW, least * shorter):
        raise BraindecError(
            f"{label}: the triggers do not match the stimulus", found=f"{len(found.pairs)} of {len(a)} times of the stimulus find one of {len(b)} in the recording within {1000 * tolerance:g} ms",
            allowed=f"at least {max(_FEW, int(np.ceil(least * shorter)))}", fix="check that both are in s, and of the same run; a larger tolerance allows more jitter",
        )  # fmt: skip
    if found.rival:
        raise BraindecError(
            f"{label}: which trigger belongs to which time of the stimulus is open", found=f"{len(found.pairs)} times match, and {found.rival[1]} match when shifted by {found.rival[0]:.3f} s",
            fix="the steps between triggers are too even: cut both lists to those that belong together and say paired=True, or use triggers with uneven steps",
        )  # fmt: skip
    clock = _fit(a, b, found.pairs, level)
    matches = np.stack([order_a[clock.matches[:, 0]], order_b[clock.matches[:, 1]]], axis=1)
    clock = replace(clock, matches=matches)
    return _within(clock, label, *limits[:2])


def align_audio(
    recorded: Any, sound: Any, *, sfreq: float, sound_sfreq: float, limit_ppm: float = 200.0, limit_jitter: float = 0.005,
    window: float = 5.0, level: float = 0.95, label: str = "the recording",
) -> Clock:  # fmt: skip
    """Find offset and drift from a channel that recorded the sound, by cross-correlation of envelopes.

    Parameters
    ----------
    recorded : array of shape (n_times,)
        The channel, at ``sfreq`` Hz; it may hold more than the sound, or a part of it.
    sound : array of shape (n_samples,)
        As it was played, at ``sound_sfreq`` Hz.
    sfreq, sound_sfreq : float
        Hz.
    limit_ppm, limit_jitter, level, label
        See :func:`align_clock`.
    window : float
        Pieces of the sound that are found one by one, s.

    Returns
    -------
    Clock
        ``matches`` has one row a piece of the sound that was found.

    Raises
    ------
    BraindecError
        If the sound is not in the channel, or drift or jitter are beyond their limits.
    """
    limits = _limits(limit_ppm, limit_jitter, level)
    window = _number(window, "window", 0.5, np.inf, "s")
    channel, played = _course(recorded, f"{label}: the channel"), _course(sound, f"{label}: the sound")
    _number(sfreq, "sfreq", 50, np.inf, "Hz"), _number(sound_sfreq, "sound_sfreq", 50, np.inf, "Hz")
    found = local_delays(channel, played, sfreq=float(sfreq), sound_sfreq=float(sound_sfreq), window=window,
                         max_drift=min(_WIDER * limit_ppm * 1e-6, 0.02))  # fmt: skip
    if len(found.at) < _FEW:
        raise BraindecError(
            f"{label}: the sound is not found in the recorded channel", found=f"{len(found.at)} of {found.n_windows} pieces of {window:g} s fit; the best correlation of envelopes is {found.best:.2f}",
            allowed=f"{_FEW} pieces or more with a correlation above {found.threshold:g}", fix="check that it is the channel of the microphone or sound card, and this sound",
        )  # fmt: skip
    pairs = np.stack([np.arange(len(found.at))] * 2, axis=1)
    clock = _fit(found.at, found.at + found.delay, pairs, level)
    matches = np.stack([found.rows[clock.matches[:, 0]], clock.matches[:, 1]], axis=1)
    clock = replace(clock, n_stimulus=found.n_windows, n_recording=len(found.at), matches=matches)
    return _within(clock, label, *limits[:2])


def sound_clocks(
    recording: Recording, *, limit_ppm: float = 200.0, limit_jitter: float = 0.005, level: float = 0.95
) -> list[tuple[str, Clock]]:
    """Find offset and drift of each sound of a recording from its events, which say both times of each word.

    Parameters
    ----------
    recording : Recording
        Events have ``onset`` (s in the recording), ``audio`` and ``audio_onset`` (s in that sound); rows of ``trial_type``
        word are used, and all rows where there are none.
    limit_ppm, limit_jitter, level
        See :func:`align_clock`.

    Returns
    -------
    list of (str, Clock)
        In order of time; a sound that was played twice stands twice, one with fewer than four words not at all.

    Raises
    ------
    BraindecError
        If columns are missing, no sound has four words, or drift or jitter are beyond their limits.
    """
    events, label = recording.events, recording.label
    missing = [c for c in ("onset", "audio", "audio_onset") if c not in events]
    if missing:
        raise BraindecError(f"{label}: the clock of a sound needs the column {missing[0]}", found=f"columns {', '.join(map(str, events.columns))}")  # fmt: skip
    words = events[events["trial_type"].astype(str) == "word"] if "trial_type" in events else events[:0]
    table = (words if len(words) else events).sort_values("onset", kind="stable")
    table = table.assign(
        **{c: pd.to_numeric(table[c], errors="coerce").astype(float) for c in ("onset", "audio_onset")}
    )
    table = table[table["audio_onset"].notna()]
    name, at = table["audio"].astype(str), table["audio_onset"]
    played = ((name != name.shift()) | (at.diff() < 0)).cumsum()  # the sound begins again
    found = []
    for _, own in table.groupby(played, sort=True):
        if len(own) >= _FEW:
            sound = str(own["audio"].iloc[0])
            clock = align_clock(own["audio_onset"], own["onset"], limit_ppm=limit_ppm, limit_jitter=limit_jitter, paired=True,
                                level=level, label=f"{label}, {sound}")  # fmt: skip
            found.append((sound, clock))
    if not found:
        raise BraindecError(f"{label}: no sound has words enough to tell its clock", found=f"{len(table)} events", allowed=f"{_FEW} words of a sound or more")  # fmt: skip
    return found


def _fit(a: np.ndarray, b: np.ndarray, pairs: np.ndarray, level: float) -> Clock:
    """A line through matched times: Theil-Sen, then least squares without outliers.

    Residuals that resemble the one before (a buffer that fills, a clock that wanders) tell less than as many independent ones:
    the variances are multiplied by (1 + r) / (1 - r), with r their correlation freed of the bias of small samples.
    """
    x, y = a[pairs[:, 0]], b[pairs[:, 1]]
    difference = y - x  # small numbers: a drift of 1 ppm is not lost
    slope = _theil_sen(x, difference)
    rest = difference - slope * x
    rest = rest - np.median(rest)
    scale = 1.4826 * np.median(np.abs(rest))
    keep = np.abs(rest) <= max(_OUTLIER * (1 + 8 / len(x)) * scale, _ROUNDED)  # the scale of few times is uncertain
    if keep.sum() < 3:
        keep[:] = True
    x, difference, n = x[keep], difference[keep], int(keep.sum())
    centre = x.mean()
    spread = float(np.square(x - centre).sum())
    if spread <= 0:
        raise BraindecError("the matched times are all one", found=f"{n} matches at {centre:g} s")
    slope = float(((x - centre) * difference).sum() / spread)
    offset = float(difference.mean() - slope * centre)
    residual = difference - offset - slope * x
    jitter = float(np.sqrt(np.square(residual).sum() / max(n - 2, 1)))
    wide = float(student.ppf((1 + level) / 2, max(n - 2, 1))) * _alike(residual)
    of_slope = wide * jitter / np.sqrt(spread)
    of_offset = wide * jitter * np.sqrt(1 / n + centre**2 / spread)
    return Clock(offset, 1e6 * slope, (offset - of_offset, offset + of_offset), (1e6 * (slope - of_slope), 1e6 * (slope + of_slope)),
                 level, jitter, float(np.abs(residual).max()), pairs[keep], len(a), len(b),
                 (f"{int((~keep).sum())} matches lie far from the line and were not used",) if not keep.all() else (), spread)  # fmt: skip


def _alike(residual: np.ndarray) -> float:
    """By how much residuals in order of time that go together widen an interval."""
    n, power = len(residual), float(np.square(residual).sum())
    if n < 6 or power <= 0:
        return 1.0
    found = float((residual[1:] * residual[:-1]).sum()) / power
    r = float(np.clip(found + (2 + 4 * found) / n, 0.0, 0.95))  # Kendall 1954, and the line that was taken out
    return float(np.sqrt((1 + r) / (1 - r)))


def _theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    """Median of the slopes between pairs; of many times, pairs at the same regular steps apart."""
    n = len(x)
    steps = np.arange(1, n) if n * (n - 1) // 2 <= _PAIRS else np.unique(np.linspace(n // 4, n - 1, max(1, _PAIRS // n)).astype(int))  # fmt: skip
    slopes = []
    for step in steps:
        gap = x[step:] - x[:-step]
        slopes.append(((y[step:] - y[:-step])[gap > 0]) / gap[gap > 0])
    slopes = np.concatenate(slopes)
    return float(np.median(slopes)) if len(slopes) else 0.0


def _within(clock: Clock, label: str, limit_ppm: float, limit_jitter: float) -> Clock:
    low, high = clock.drift_interval
    if abs(clock.drift_ppm) > limit_ppm:
        raise BraindecError(
            f"{label}: the clocks of recording and stimulus drift apart", found=f"{clock.drift_ppm:.1f} ppm ({100 * clock.level:g} % interval {low:.1f} to {high:.1f}), "
            f"which is {abs(clock.drift_ppm) * 3.6e-3:.3f} s an hour", allowed=f"up to {limit_ppm:g} ppm",
            fix="check the sampling frequencies of recording and sound; if the drift is real, allow it (limit_ppm=...) and take times from Clock.to_recording",
        )  # fmt: skip
    if clock.jitter > limit_jitter:
        raise BraindecError(
            f"{label}: the triggers scatter around the clock of the stimulus", found=f"a standard deviation of {1000 * clock.jitter:.2f} ms over {len(clock.matches)} matches, {1000 * clock.largest:.1f} ms at most",
            allowed=f"up to {1000 * limit_jitter:g} ms", fix="use triggers that the sound card sends, or the recorded sound (align_audio); or allow it (limit_jitter=...)",
        )  # fmt: skip
    if max(abs(low), abs(high)) > limit_ppm:
        said = f"the interval of the drift, {low:.1f} to {high:.1f} ppm, reaches beyond {limit_ppm:g} ppm: there are few times"
        clock = replace(clock, notes=(*clock.notes, said))
    return clock


def _limits(limit_ppm: float, limit_jitter: float, level: float) -> tuple[float, float, float]:
    return (
        _number(limit_ppm, "limit_ppm", 0, 1e5),
        _number(limit_jitter, "limit_jitter", 0, np.inf, "s"),
        _number(level, "level", 0.5, 0.9999),
    )


def _number(value: Any, name: str, least: float, most: float, unit: str = "") -> float:
    """A number above 0, from ``least`` to ``most``."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if real and np.isfinite(value) and value > 0 and least <= value <= most:
        return float(value)
    raise BraindecError(
        f"{name}={value!r} does not work",
        allowed=f"a number above 0, {least:g} to {most:g}{' ' + unit if unit else ''}",
    )


def _times(values: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Times in order, and which each one was."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < _FEW or not np.isfinite(values).all():
        raise BraindecError(f"{what} cannot be used", found=f"shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite",
                            allowed=f"{_FEW} finite times or more, s")  # fmt: skip
    order = np.argsort(values, kind="stable")
    return values[order], order


def _course(values: Any, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise BraindecError(f"{what} cannot be used", found=f"shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite", allowed="one row of finite numbers")  # fmt: skip
    if np.ptp(values) == 0:
        raise BraindecError(f"{what} is flat", found=f"every sample is {values[0]:g}", fix="take the channel that recorded the sound")  # fmt: skip
    return values
