"""Band power: the logarithm of the power in a band, averaged in bins of time (high-gamma by default).

Source: Crone et al. 1998 (Brain 121:2301) for high-gamma as a sign of local activity; a Butterworth band-pass, squared and
averaged, is the power that the squared envelope gives after the same averaging.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi, sosfiltfilt

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import below_nyquist, positive
from braindec.types import Recording

__all__ = ["band_power"]
VERSION = 1

_FLOOR = 1e-12  # of a channel's mean power: the logarithm of a silent bin stays finite


def band_power(
    recording: Recording, *, low: float = 70.0, high: float = 150.0, width: float = 0.05, order: int = 4, log: bool = True,
    causal: bool = False,
) -> Recording:  # fmt: skip
    """Replace each channel by its power from ``low`` to ``high`` Hz in bins of ``width`` s.

    Parameters
    ----------
    recording : Recording
        Trigger channels take the value at the beginning of the bin.
    low, high : float
        Edges of the band, Hz.
    width : float
        Length of a bin, s, rounded to samples; the new sampling frequency is 1 / width.
    order : int
        Of the Butterworth filter, run twice unless ``causal``.
    log : bool
        Natural logarithm of the power; else the power.
    causal : bool
        Sample k uses nothing later than its own time: the filter runs forwards and a bin ends at its time. Otherwise a bin
        begins at its time.

    Returns
    -------
    Recording
        Events keep their onsets in s; their column ``sample`` is dropped.

    Raises
    ------
    BraindecError
        If the band is not below half the sampling frequency, its edges cross, or the run has less than two bins.
    """
    low, high = below_nyquist(low, "low", recording), below_nyquist(high, "high", recording)
    size = round(positive(width, "width", "s") * recording.sfreq)
    n_bins = recording.n_times // size if size else 0
    if low >= high or not (isinstance(order, (int, np.integer)) and 1 <= order <= 12):
        raise BraindecError(
            "band_power needs a band and an order", found=f"{low:g} to {high:g} Hz, order {order!r}", allowed="low < high, order 1 to 12"
        )  # fmt: skip
    if n_bins < 2:
        raise BraindecError(
            f"{recording.label}: bins of {width:g} s leave less than two", found=f"{recording.n_times} samples at {recording.sfreq:g} Hz",
            fix="use shorter bins" if size else "a bin must hold a sample: use a longer width",
        )  # fmt: skip
    sos = butter(order, [low, high], btype="bandpass", fs=recording.sfreq, output="sos")
    if recording.n_times <= 3 * (2 * len(sos) + 1):
        raise BraindecError(f"{recording.label}: the run is too short to filter", found=f"{recording.n_times} samples")

    def power(block: np.ndarray) -> np.ndarray:
        if causal:
            zi = sosfilt_zi(sos)[:, None, :]
            square = sosfilt(sos, block, axis=1, zi=zi * block[:, :1])[0] ** 2
            padded = np.concatenate([np.repeat(square[:, :1], size - 1, axis=1), square], axis=1)
            bins = (
                padded[:, : n_bins * size].reshape(len(block), n_bins, size).mean(axis=2)
            )  # the last sample of bin k is k * size
        else:
            square = sosfiltfilt(sos, block, axis=1) ** 2
            bins = square[:, : n_bins * size].reshape(len(block), n_bins, size).mean(axis=2)
        if not log:
            return bins
        least = np.finfo(np.float64).tiny if causal else _FLOOR * np.maximum(bins.mean(axis=1, keepdims=True), 1e-300)
        return np.log(np.maximum(bins, least))

    found = by_channel(
        recording, power, n_times=n_bins, stim=lambda block: block[:, : n_bins * size : size], sfreq=recording.sfreq / size,
        events=recording.events.drop(columns="sample", errors="ignore"), highpass=None, lowpass=None,
    )  # fmt: skip
    trigger = found.channels["type"] == "stim"
    unit = "a.u." if log else found.channels["unit"].astype(str) + "²"
    channels = found.channels.assign(unit=found.channels["unit"].where(trigger, unit))
    return replace(found, channels=channels)
