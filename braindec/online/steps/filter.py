"""Causal band-pass, high-pass or low-pass with carried state: the live twin of the step filter with ``causal: true``.

Butterworth in second-order sections run forwards, or the minimum-phase FIR of mne. The stream is taken to have lasted for
ever with its first sample before it began, so that there is no jump.

Source: Oppenheim & Schafer, Discrete-Time Signal Processing, section 6.3 (state of a filter between blocks).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfilt, sosfilt_zi

from braindec.errors import BraindecError, did_you_mean
from braindec.online.steps._base import StreamStep, held_before, median_delay, number, settling

__all__ = ["Filter"]


class Filter(StreamStep):
    """Keep the frequencies from ``low`` to ``high``.

    Parameters
    ----------
    low, high : float, optional
        Edges in Hz (-3 dB); one alone makes a high-pass or a low-pass.
    order : int
        Of the Butterworth filter.
    method : {"iir", "fir"}
    causal : bool
        Must be said: a filter without phase shift needs samples that have not come yet.

    Raises
    ------
    BraindecError
        If ``causal`` is false, or the edges do not fit.
    """

    def __init__(
        self,
        *,
        low: float | None = None,
        high: float | None = None,
        order: int = 4,
        method: str = "iir",
        causal: bool = False,
    ) -> None:
        if not causal:
            raise BraindecError(
                "a filter without phase shift uses samples that have not come yet: not possible live",
                found=f"filter low={low} high={high} causal={causal}",
                fix="filter: {..., causal: true}; it delays the signal instead, and the replay says by how much",
            )
        if method not in ("iir", "fir"):
            raise BraindecError(
                f"there is no filter method {method!r}{did_you_mean(str(method), ['iir', 'fir'])}", allowed="iir, fir"
            )
        if not (isinstance(order, int) and 1 <= order <= 12):
            raise BraindecError("the order of a filter is a whole number from 1 to 12", found=repr(order))
        self.low, self.high = (None if v in (None, 0) else number(v, "an edge", unit="Hz") for v in (low, high))
        if self.low is None and self.high is None:
            raise BraindecError("filter needs an edge", allowed="low, high or both, in Hz")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise BraindecError("the edges of a filter must rise", found=f"low {low:g} Hz, high {high:g} Hz")
        self.order, self.method = order, method

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        top = self.high or self.low
        if top >= sfreq / 2:
            raise BraindecError(f"filter: {top:g} Hz is not below half the sampling frequency", found=f"{sfreq:g} Hz")
        if self.method == "iir":
            self._sos = butter(self.order, *design(self.low, self.high), fs=sfreq, output="sos")
            self.delay, self.settle = median_delay(self._sos, sfreq, self.low, self.high), settling(self._sos, sfreq)
        else:
            self._taps = fir(sfreq, self.low, self.high)
            peak = float(np.argmax(np.abs(self._taps)))
            self.delay, self.settle = peak / sfreq, len(self._taps) / sfreq
        self._state: np.ndarray | None = None
        return sfreq, channels

    def push(self, block: np.ndarray) -> np.ndarray:
        if not block.shape[1]:
            return block
        if self.method == "iir":
            if self._state is None:
                self._state = sosfilt_zi(self._sos)[:, None, :] * block[:, :1]
            out, self._state = sosfilt(self._sos, block, axis=1, zi=self._state)
            return out
        if self._state is None:
            self._state = held_before(self._taps) * block[:, :1]
        out, self._state = lfilter(self._taps, [1.0], block, axis=1, zi=self._state)
        return out

    def offline(self) -> dict:
        return {"filter": {"low": self.low, "high": self.high, "order": self.order, "method": self.method}}


def design(low: float | None, high: float | None) -> tuple:
    """Return edges and kind as ``scipy.signal.butter`` takes them."""
    if low and high:
        return [low, high], "bandpass"
    return (low, "highpass") if low else (high, "lowpass")


def fir(sfreq: float, low: float | None, high: float | None) -> np.ndarray:
    """Return the taps of the minimum-phase FIR filter that mne designs."""
    import mne

    return mne.filter.create_filter(None, sfreq, low, high, phase="minimum", verbose="ERROR")
