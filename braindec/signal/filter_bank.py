"""A bank of band-pass filters for windows: each window is filtered alone, so that nothing of its neighbours comes in.

Butterworth in second-order sections, forwards and backwards. At its ends a window is continued by its own samples turned
about the last one (odd extension), never by what lies outside it. The first and last cycles of a band are distorted by
that all the same: cut windows wider than what is used, and take the middle after filtering.

Source: Ang, Chin, Zhang & Guan 2008 (IEEE IJCNN, p. 2390), section II.A, for a bank of 4 Hz bands from 4 to 40 Hz;
Gustafsson 1996 (IEEE Trans Signal Processing 44:988) on the ends of a filter that runs both ways.
Differs from the reference in: Butterworth instead of Chebyshev II.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import butter, sosfiltfilt

from braindec.errors import BraindecError
from braindec.types import Windows

__all__ = ["BANDS", "band_pass", "band_windows", "check_bands"]

BANDS = (
    (4.0, 8.0),
    (8.0, 12.0),
    (12.0, 16.0),
    (16.0, 20.0),
    (20.0, 24.0),
    (24.0, 28.0),
    (28.0, 32.0),
    (32.0, 36.0),
    (36.0, 40.0),
)
_CYCLES = 2  # of the lowest frequency that a window must hold


def check_bands(
    bands: Sequence[Sequence[float]], *, sfreq: float | None = None, seconds: float | None = None
) -> list[tuple[float, float]]:
    """Return the bands as pairs of float.

    Parameters
    ----------
    bands : sequence of (low, high)
        Hz.
    sfreq, seconds : float, optional
        Sampling frequency, and length of a window: bands must fit both.

    Raises
    ------
    BraindecError
        If there is none, one is no rising pair of positive numbers, or one does not fit.
    """
    found = []
    for band in bands:
        try:
            low, high = (float(v) for v in band)
        except (TypeError, ValueError):
            raise BraindecError(
                "a band is a pair of frequencies", found=repr(band), allowed="(low, high) in Hz"
            ) from None
        if not (0 < low < high and np.isfinite(high)):
            raise BraindecError("a band is a rising pair of frequencies above 0", found=f"{low:g} to {high:g} Hz")
        if sfreq is not None and high >= sfreq / 2:
            raise BraindecError(
                f"the sampling frequency is too low for the band {low:g} to {high:g} Hz",
                found=f"{sfreq:g} Hz, which holds frequencies below {sfreq / 2:g} Hz",
                fix="leave that band out, or use data sampled (or resampled) faster",
            )
        if seconds is not None and seconds * low < _CYCLES:
            raise BraindecError(
                f"the windows are too short for the band {low:g} to {high:g} Hz", found=f"{seconds:.3g} s",
                allowed=f"{_CYCLES} cycles of {low:g} Hz: {_CYCLES / low:.3g} s or more",
            )  # fmt: skip
        found.append((low, high))
    if not found:
        raise BraindecError("there is no band", allowed="one or more (low, high) in Hz")
    return found


def band_pass(X: np.ndarray, sfreq: float, band: tuple[float, float], *, order: int = 4) -> np.ndarray:
    """Return windows (window, channel, time) filtered to one band, each by itself, without shift in time, float64.

    Raises
    ------
    BraindecError
        If the band does not fit the sampling frequency or the length of the windows.
    """
    (edges,) = check_bands([band], sfreq=sfreq, seconds=X.shape[-1] / sfreq)
    sos = butter(order, edges, btype="bandpass", fs=sfreq, output="sos")
    pad = int(min(X.shape[-1] - 1, round(2 * order * sfreq / (edges[1] - edges[0]))))
    return sosfiltfilt(sos, X, axis=-1, padtype="odd", padlen=pad)


def band_windows(windows: Windows, band: tuple[float, float], *, order: int = 4) -> Windows:
    """Return windows filtered to one band, each by itself; for data that come cut, without the recording around them.

    Raises
    ------
    BraindecError
        If the band does not fit the sampling frequency or the length of the windows.
    """
    X = band_pass(windows.load(), windows.sfreq, band, order=order).astype(np.float32)
    info = windows.recordings[0].info
    return Windows.from_arrays(
        X, windows.trials, sfreq=windows.sfreq, channels=windows.channels, tmin=windows.tmin, modality=info.get("modality"),
        **{k: info.get(k) for k in ("dataset", "subject", "session", "space")},
    )  # fmt: skip
