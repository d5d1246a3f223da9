"""Causal notch with carried state: takes narrow bands (the mains and its harmonics) out of a live stream.

A Butterworth band-stop of order 2 for each frequency, run forwards.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import butter, sosfilt, sosfilt_zi

from braindec.errors import BraindecError
from braindec.online.steps._base import StreamStep, number, settling

__all__ = ["Notch"]


class Notch(StreamStep):
    """Remove ``freqs``.

    Parameters
    ----------
    freqs : float or list of float
        Hz.
    width : float
        Width of each band in Hz (-3 dB).

    Raises
    ------
    BraindecError
        If there is no frequency, or a band does not lie between 0 and half the sampling frequency.
    """

    def __init__(self, *, freqs: float | list[float], width: float = 2.0) -> None:
        listed = [freqs] if np.isscalar(freqs) else list(freqs)
        self.freqs = [number(f, "a frequency of notch", unit="Hz") for f in listed]
        self.width = number(width, "width", unit="Hz")
        if not self.freqs:
            raise BraindecError("notch needs a frequency", found="an empty list", fix="e.g. notch: {freqs: [50, 100]}")

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        sections = []
        for freq in self.freqs:
            band = [freq - self.width / 2, freq + self.width / 2]
            if band[0] <= 0 or band[1] >= sfreq / 2:
                raise BraindecError(
                    f"notch: a band of {self.width:g} Hz around {freq:g} Hz does not fit",
                    allowed=f"0 to {sfreq / 2:g} Hz",
                )
            sections.append(butter(2, band, "bandstop", fs=sfreq, output="sos"))
        self._sos, self._state = np.concatenate(sections), None
        self.settle = settling(self._sos, sfreq)
        return sfreq, channels

    def push(self, block: np.ndarray) -> np.ndarray:
        if not block.shape[1]:
            return block
        if self._state is None:
            self._state = sosfilt_zi(self._sos)[:, None, :] * block[:, :1]
        out, self._state = sosfilt(self._sos, block, axis=1, zi=self._state)
        return out

    def offline(self) -> dict:
        return {"notch": {"freqs": self.freqs, "width": self.width}}
