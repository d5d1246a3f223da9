"""What a live step is: opened for a stream, then fed chunks of (channel, time) in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import ArraySignal, Recording


class StreamStep:
    """Base of all live steps.

    A subclass sets ``delay`` (s by which what comes out lags behind what goes in) and ``settle`` (s until what comes out
    no longer depends on how the stream began), and defines :meth:`open` and :meth:`push`. A step that learns from training recordings defines
    ``fit(recordings, ids)``.
    """

    delay: float = 0.0
    settle: float = 0.0

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        """Begin a new stream: forget all state; return sampling frequency and channels of what will come out."""
        raise NotImplementedError

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take the next samples, (channel, time) float64; return what can be said by now, (channel, time)."""
        raise NotImplementedError

    def offline(self) -> dict[str, dict[str, Any]] | str | None:
        """Return the step of ``signal.steps`` for whole recordings that does the same without delay; None for none."""
        return None


def instantaneous(
    name: str, options: Mapping[str, Any], *, sfreq: float, channels: pd.DataFrame
) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the matrix (n_out, n_channels) that a step without memory applies to each sample, and its channels.

    The step of ``signal.steps`` is run on one sample of 1 for each channel in turn.
    """
    from braindec import registry

    names = list(channels["name"])
    unit = Recording(ArraySignal(np.eye(len(names))), sfreq, channels, info={"task": "stream"})
    found = registry.get("signal.steps", name)(unit, **options)
    table = found.channels
    if len(table) == len(names) and list(table["name"]) == names:
        table = table.assign(status=channels["status"].to_numpy())  # one sample of 1 is no judgement of a channel
    return np.asarray(found.signal.read(), dtype=np.float64), table


def number(value: Any, name: str, *, low: float = 0.0, high: float = np.inf, unit: str = "s") -> float:
    """Return ``value`` as a float between ``low`` and ``high`` (not included).

    Raises
    ------
    BraindecError
        If it is not.
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not low < found < high:
        to = f" and below {high:g}" if np.isfinite(high) else ""
        raise BraindecError(f"{name} must be a number above {low:g}{to} ({unit})", found=repr(value))
    return found


def held_before(taps: np.ndarray) -> np.ndarray:
    """Return the state of an FIR filter for which the first sample, 1, had lasted for ever, (n_taps - 1,)."""
    return np.cumsum(taps[::-1])[::-1][1:]


def median_delay(sos: np.ndarray, sfreq: float, low: float | None, high: float | None) -> float:
    """Return the median group delay of a filter within its band, s.

    The delay of a cascade is the sum of the delays of its sections.
    """
    from scipy.signal import group_delay

    nyquist = sfreq / 2
    grid = np.linspace(low or 0.02 * nyquist, high or 0.9 * nyquist, 256)
    total = np.zeros(len(grid))
    for section in sos:
        total += group_delay((section[:3], section[3:]), w=grid, fs=sfreq)[1]
    return float(np.median(total)) / sfreq


def settling(sos: np.ndarray, sfreq: float) -> float:
    """Return the time until the slowest part of the impulse response has fallen to a thousandth, s."""
    radius = max((np.abs(np.roots(s[3:])).max(initial=0.0) for s in sos), default=0.0)
    return float(np.log(1e-3) / np.log(radius)) / sfreq if 0 < radius < 1 else 0.0
