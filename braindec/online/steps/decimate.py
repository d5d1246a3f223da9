"""Lower the sampling frequency of a live stream: a causal low-pass, then every n-th sample.

Sample k of the result is there when sample ``n * k`` of the stream has come; nothing folds back (Chebyshev type I of order
8, flat to 0.05 dB up to 0.8 of the new half frequency).

Source: Crochiere & Rabiner (1983, Multirate Digital Signal Processing, chapter 2); the filter is the usual choice.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import cheby1, sosfilt, sosfilt_zi

from braindec.errors import BraindecError
from braindec.online.steps._base import StreamStep, median_delay, number, settling

__all__ = ["Decimate"]


class Decimate(StreamStep):
    """Keep every n-th sample after a low-pass.

    Parameters
    ----------
    sfreq : float
        The new sampling frequency in Hz, a whole fraction of the old one.

    Raises
    ------
    BraindecError
        If the old frequency is no whole multiple of ``sfreq``.
    """

    def __init__(self, *, sfreq: float) -> None:
        self.sfreq = number(sfreq, "sfreq", unit="Hz")

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        self._every = every = whole_fraction(sfreq, self.sfreq)
        self._seen, self._state, self._sos = 0, None, None
        if every > 1:
            self._sos = cheby1(8, 0.05, 0.8 * self.sfreq / 2, fs=sfreq, output="sos")
            self.delay = median_delay(self._sos, sfreq, None, 0.6 * self.sfreq / 2)
            self.settle = settling(self._sos, sfreq)
        return sfreq / every, channels

    def push(self, block: np.ndarray) -> np.ndarray:
        if self._sos is None or not block.shape[1]:
            return block
        if self._state is None:
            gain = np.prod(self._sos[:, :3].sum(axis=1) / self._sos[:, 3:].sum(axis=1))
            self._state = sosfilt_zi(self._sos)[:, None, :] * block[:, :1]
            self._gain = 1 / gain  # an even order has its ripple at 0 Hz: a constant stays what it is
        out, self._state = sosfilt(self._sos, block, axis=1, zi=self._state)
        first = -self._seen % self._every
        self._seen += block.shape[1]
        return out[:, first :: self._every] * self._gain

    def offline(self) -> dict:
        return {"resample": {"sfreq": self.sfreq}}


def whole_fraction(old: float, new: float) -> int:
    """Return ``old / new`` when it is a whole number.

    Raises
    ------
    BraindecError
        If it is not; names the nearest frequencies that are.
    """
    every = round(old / new)
    if every < 1 or abs(old / new - every) > 1e-6 * every:
        near = sorted({old / max(1, int(old // new)), old / (int(old // new) + 1)})
        raise BraindecError(
            f"a live stream of {old:g} Hz cannot be brought to {new:g} Hz", found=f"a ratio of {old / new:.4g}",
            allowed="a whole fraction: " + " or ".join(f"{f:.6g} Hz" for f in near),
        )  # fmt: skip
    return every
