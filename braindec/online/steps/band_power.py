"""Power of a live stream in frequency bands: causal band-pass, square, causal moving average, logarithm.

Each channel becomes one channel a band ("C3 high_gamma"). The average runs over the last ``width`` s, and every n-th value
is given when ``sfreq`` asks for fewer.

Source: Crone, Miglioretti, Gordon & Lesser (1998, Brain 121:2301) for high-gamma power as a measure of cortical activity;
the moving average before decimation is its anti-alias filter (first zero at 1 / width).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfilt, sosfilt_zi

from braindec.errors import BraindecError, did_you_mean
from braindec.online.steps._base import StreamStep, median_delay, number, settling
from braindec.online.steps.decimate import whole_fraction

__all__ = ["BandPower"]

_FLOOR = 1e-12  # of the mean square of the signal so far: where a band holds nothing yet


class BandPower(StreamStep):
    """Power of each channel in each band.

    Parameters
    ----------
    bands : mapping of str to (low, high)
        Hz.
    width : float
        Length of the moving average, s.
    order : int
        Of the Butterworth band-pass.
    sfreq : float, optional
        Values a second; those of the stream by default.
    scale : {"log", "rms"}
        log10 of the mean square, or its root.

    Raises
    ------
    BraindecError
        If a band does not lie between 0 and half the sampling frequency.
    """

    def __init__(
        self,
        *,
        bands: Mapping[str, tuple[float, float]],
        width: float = 0.1,
        order: int = 4,
        sfreq: float | None = None,
        scale: str = "log",
    ) -> None:
        if not bands:
            raise BraindecError("band_power needs a band", fix="bands: {high_gamma: [60, 200]}")
        self.bands: dict[str, tuple[float, float]] = {}
        for name, edges in bands.items():
            low, high = (number(e, f"an edge of {name}", unit="Hz") for e in edges)
            if low >= high:
                raise BraindecError(f"the edges of the band {name} must rise", found=f"{low:g} to {high:g} Hz")
            self.bands[str(name)] = (low, high)
        if scale not in ("log", "rms"):
            raise BraindecError(
                f"there is no scale {scale!r}{did_you_mean(str(scale), ['log', 'rms'])}", allowed="log, rms"
            )
        self.width, self.order, self.scale = number(width, "width"), order, scale
        self.sfreq = None if sfreq is None else number(sfreq, "sfreq", unit="Hz")

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        for name, (_, high) in self.bands.items():
            if high >= sfreq / 2:
                raise BraindecError(
                    f"the band {name} ends at {high:g} Hz, not below half the sampling frequency", found=f"{sfreq:g} Hz"
                )
        self._sos = [butter(self.order, b, "bandpass", fs=sfreq, output="sos") for b in self.bands.values()]
        self._every = 1 if self.sfreq is None else whole_fraction(sfreq, self.sfreq)
        self._n = max(1, round(self.width * sfreq))
        self._seen, self._energy, self._states = 0, 0.0, None
        filters = [median_delay(s, sfreq, *b) for s, b in zip(self._sos, self.bands.values(), strict=True)]
        self.delay = max(filters) + (self._n - 1) / 2 / sfreq
        self.settle = max(settling(s, sfreq) for s in self._sos) + self.width
        parts = [channels.assign(name=channels["name"] + f" {name}", band=name) for name in self.bands]
        return sfreq / self._every, pd.concat(parts, ignore_index=True).assign(unit="a.u.")

    def push(self, block: np.ndarray) -> np.ndarray:
        if not block.shape[1]:
            return np.repeat(block, len(self.bands), axis=0)
        if self._states is None:
            quiet = np.zeros((len(block), self._n - 1))  # nothing passed the band before the stream began
            self._states = [[sosfilt_zi(s)[:, None, :] * block[:, :1], quiet.copy()] for s in self._sos]
        age = self._seen + 1 + np.arange(block.shape[1])
        raw = np.cumsum(block**2, axis=1) + self._energy
        self._energy = raw[:, -1:]
        first = -self._seen % self._every
        self._seen += block.shape[1]
        ones, parts = np.ones(self._n), []
        for sos, state in zip(self._sos, self._states, strict=True):
            passed, state[0] = sosfilt(sos, block, axis=1, zi=state[0])
            total, state[1] = lfilter(ones, [1.0], passed**2, axis=1, zi=state[1])
            parts.append(np.maximum(total / np.minimum(age, self._n), 0.0)[:, first :: self._every])
        power = np.concatenate(parts)
        if self.scale == "rms":
            return np.sqrt(power)
        floor = np.tile(_FLOOR * (raw / age)[:, first :: self._every], (len(self.bands), 1)) + 1e-300
        return np.log10(np.maximum(power, floor))
