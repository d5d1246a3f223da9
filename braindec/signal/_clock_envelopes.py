"""Where pieces of a sound are in a channel that recorded it: cross-correlation of envelopes, first roughly, then piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import correlate, firwin, oaconvolve

__all__ = ["Delays", "local_delays"]

_RATE = 200.0  # Hz of the envelopes, at most
_THRESHOLD = 0.5  # correlation of a piece that is found
_LONG = 30.0  # s of a stretch that is searched in the whole recording
_TRIES = 30  # stretches, at most
_SURE = 0.8  # correlation of a stretch that ends the search
_REACH = 0.25  # s around where a piece is expected


@dataclass(frozen=True)
class Delays:
    """Middle of each piece that was found (s of the sound), its delay (s), its row among all pieces."""

    at: np.ndarray
    delay: np.ndarray
    rows: np.ndarray
    n_windows: int
    best: float
    threshold: float


def local_delays(
    channel: np.ndarray, sound: np.ndarray, *, sfreq: float, sound_sfreq: float, window: float, max_drift: float
) -> Delays:
    """Find the pieces of a sound; the search of each starts from its neighbour that was found."""
    rate = min(_RATE, sfreq / 2, sound_sfreq / 2)
    loud, played = _envelope(channel, sfreq, rate), _envelope(sound, sound_sfreq, rate)
    n = round(window * rate)
    firsts = np.arange(0, len(played) - n + 1, n)
    if not len(firsts) or len(loud) < n:
        return Delays(*(np.zeros(0),) * 2, np.zeros(0, dtype=int), len(firsts), 0.0, _THRESHOLD)
    found: dict[int, tuple[float, float]] = {}
    anchor, shift = _anchor(loud, played, rate, firsts, n)
    lag, reach = shift, round((_REACH + max_drift * _LONG) * rate)
    for k in range(anchor, len(firsts)):
        lag = _piece(loud, played, int(firsts[k]), n, lag, reach, found, k)
    lag = found[anchor][0] if anchor in found else shift
    for k in range(anchor - 1, -1, -1):
        lag = _piece(loud, played, int(firsts[k]), n, lag, reach, found, k)
    best = max((r for _, r in found.values()), default=0.0)
    rows = np.array(sorted(k for k, (_, r) in found.items() if r >= _THRESHOLD), dtype=int)
    delay = np.array([found[k][0] for k in rows]) / rate
    return Delays((firsts[rows] + n / 2) / rate, delay, rows, len(firsts), best, _THRESHOLD)


def _envelope(values: np.ndarray, sfreq: float, rate: float) -> np.ndarray:
    """How loud, at ``rate`` Hz: rectified, low-passed without delay, read off between samples."""
    values = np.abs(values - values.mean())
    taps = firwin(2 * round(1.5 * sfreq / rate) + 1, min(0.35 * rate, 0.49 * sfreq), fs=sfreq)
    smooth = oaconvolve(values, taps, mode="same")
    at = np.arange(int(len(values) / sfreq * rate)) * sfreq / rate
    return np.interp(at, np.arange(len(smooth)), smooth)


def _anchor(loud: np.ndarray, played: np.ndarray, rate: float, firsts: np.ndarray, n: int) -> tuple[int, float]:
    """The piece from which the search starts, and its lag in samples: the place that fits best of some long stretches.

    They are short enough that one lies in a recording that holds a part of the sound.
    """
    length = max(n, min(len(played), len(loud) // 2, round(_LONG * rate)))
    most = min(_TRIES, 1 + 2 * (len(played) - length) // length)
    best = (-np.inf, 0, 0.0)
    for first in np.unique(np.linspace(0, len(played) - length, max(1, most)).astype(int)):
        fit = _correlations(loud, played[first : first + length])
        at = int(np.argmax(fit))
        if fit[at] > best[0]:
            best = (float(fit[at]), first + length // 2, float(at - first))
        if best[0] > _SURE:
            break
    row = int(np.clip(np.searchsorted(firsts, best[1] - n // 2), 0, len(firsts) - 1))
    return row, best[2]


def _piece(
    loud: np.ndarray, played: np.ndarray, first: int, n: int, lag: float, reach: int, found: dict[int, tuple[float, float]], row: int,
) -> float:  # fmt: skip
    """Find one piece near an expected lag; keep its lag and correlation, and return the lag to expect of the next one."""
    low = round(first + lag) - reach
    begin, end = max(low, 0), min(low + 2 * reach + n, len(loud))
    template = played[first : first + n]
    if end - begin < n or template.std() == 0:
        return lag
    fit = _correlations(loud[begin:end], template)
    at = int(np.argmax(fit))
    if not 0 < at < len(fit) - 1:
        return lag
    left, middle, right = fit[at - 1 : at + 2]
    curve = left - 2 * middle + right
    exact = begin + at - first + (0.5 * (left - right) / curve if curve < 0 else 0.0)
    found[row] = (exact, float(middle))
    return exact if middle >= _THRESHOLD else lag


def _correlations(values: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Pearson correlation of a template with each stretch of ``values`` that is as long."""
    n = len(template)
    centred = template - template.mean()
    values = values - values.mean()
    product = correlate(values, centred, mode="valid", method="fft")
    total = np.r_[0.0, np.cumsum(values)]
    squares = np.r_[0.0, np.cumsum(values**2)]
    variance = (squares[n:] - squares[:-n]) - (total[n:] - total[:-n]) ** 2 / n
    scale = np.sqrt(np.maximum(variance, 1e-12 * max(squares[-1], 1e-300)) * np.square(centred).sum())
    return np.where(scale > 0, product / np.where(scale > 0, scale, 1.0), 0.0)
