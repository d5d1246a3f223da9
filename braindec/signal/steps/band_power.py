"""Band power: how strong the oscillations of a band are at each moment, as high gamma (70 to 150 Hz) of depth electrodes.

The band is cut into narrow ones, the power of each is averaged over a short span of time, and the mean of their logarithms is
taken: power falls with frequency, so that a plain mean would be the power of the lowest band.

Source: Ray & Maunsell 2011 (PLoS Biol 9:e1000610) and Crone et al. 2006 (Prog Brain Res 159) on high gamma and its bands;
Hilbert (1912) for the envelope.
Differs from the references in: the causal form squares the output of a filter that runs forwards and averages over the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.fft import fft, ifft, next_fast_len
from scipy.signal import butter, sosfilt, sosfilt_zi, sosfreqz

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import below_nyquist, positive
from braindec.types import Recording

__all__ = ["band_power", "floored_log", "log_power", "narrow_powers"]
VERSION = 2

_SETTLED = 2.0  # periods of the width of a band until its filter has settled
_FLOOR = 1e-40  # squared units (V, T) added to power: a silent moment is no -inf, and no signal is as small


def band_power(
    recording: Recording, *, low: float = 70.0, high: float = 150.0, width: float = 20.0, smooth: float = 0.05, order: int = 4,
    log: bool = True, causal: bool = False,
) -> Recording:  # fmt: skip
    """Replace each channel by its power between ``low`` and ``high`` Hz.

    Parameters
    ----------
    recording : Recording
        Trigger channels are left as they are. Take the mains' harmonics out first (step notch).
    low, high : float
        Edges of the band in Hz.
    width : float
        Hz of the narrow bands that it is cut into, about.
    smooth : float
        s over which power is averaged.
    order : int
        Of the Butterworth filter of each narrow band.
    log : bool
        The logarithm of power (unit "a.u."); without it, power in squared units of the channel.
    causal : bool
        Use no later sample, but at the beginning: until the filters have settled (two periods of ``width``, and ``smooth``) the
        value of that moment stands.

    Raises
    ------
    BraindecError
        If the band is not below half the sampling frequency, its edges cross, or the run is too short.
    """
    low, high = below_nyquist(low, "low", recording), below_nyquist(high, "high", recording)
    options = {"low": low, "high": high, "width": width, "smooth": smooth, "order": order, "causal": causal}

    def power(block: np.ndarray) -> np.ndarray:
        found = log_power(block, recording.sfreq, **options)
        if causal:
            settled = min(round((_SETTLED / width + smooth) * recording.sfreq), found.shape[1] - 1)
            found[:, :settled] = found[:, settled : settled + 1]
        return found if log else np.exp(found)

    found = by_channel(recording, power, band=[low, high])
    trigger = found.channels["type"] == "stim"
    unit = "a.u." if log else found.channels["unit"].astype(str) + "²"
    return replace(found, channels=found.channels.assign(unit=found.channels["unit"].where(trigger, unit)))


def log_power(
    x: np.ndarray, sfreq: float, *, low: float, high: float, width: float = 20.0, smooth: float = 0.05, order: int = 4,
    causal: bool = False,
) -> np.ndarray:  # fmt: skip
    """Return the mean over narrow bands of the logarithm of power, of the shape of ``x`` (..., time), float64.

    Raises
    ------
    BraindecError
        If there are too few samples for the filter, or an option is wrong.
    """
    n = max(1, round(positive(smooth, "smooth", "s") * sfreq))
    total, count = np.zeros(np.shape(x)), 0
    for power in narrow_powers(x, sfreq, low=low, high=high, width=width, order=order, causal=causal):
        total += floored_log(_averaged(power, n, causal))
        count += 1
    return total / count


def narrow_powers(
    x: np.ndarray, sfreq: float, *, low: float, high: float, width: float = 20.0, order: int = 4, causal: bool = False
) -> Iterator[np.ndarray]:
    """Give the squared envelope of each narrow band, of the shape of ``x`` (..., time), float64, not averaged over time.

    Raises
    ------
    BraindecError
        As :func:`log_power`.
    """
    positive(width, "width", "Hz")
    if not 0 < low < high < sfreq / 2 or not 1 <= order <= 12:
        raise BraindecError(
            "a band lies between 0 and half the sampling frequency, its filter has an order from 1 to 12",
            found=f"{low:g} to {high:g} Hz at {sfreq:g} Hz, order {order}",
        )
    least = 3 * (2 * order + 1)
    if np.shape(x)[-1] <= least:
        raise BraindecError(
            "too short for the filter of a band", found=f"{np.shape(x)[-1]} samples", allowed=f"more than {least}"
        )
    edges = np.linspace(low, high, max(1, round((high - low) / width)) + 1)
    bands = [butter(order, pair, btype="bandpass", fs=sfreq, output="sos") for pair in pairwise(edges)]
    x = np.asarray(x, dtype=np.float64)
    yield from (_past_power(x, sos) for sos in bands) if causal else _powers(x, bands, sfreq)


def floored_log(power: np.ndarray) -> np.ndarray:
    """Logarithm of power; silent moments are no -inf."""
    return np.log(power + _FLOOR)


def _past_power(x: np.ndarray, sos: np.ndarray) -> np.ndarray:
    """Twice the squared output of a filter that runs forwards."""
    start = sosfilt_zi(sos).reshape(len(sos), *([1] * (x.ndim - 1)), 2) * x[None, ..., :1]
    return 2 * sosfilt(sos, x, axis=-1, zi=start)[0] ** 2


def _powers(x: np.ndarray, bands: list[np.ndarray], sfreq: float) -> Iterator[np.ndarray]:
    """Squared envelopes after filters that run both ways; one transform to frequencies serves all bands."""
    n = x.shape[-1]
    pad = min(n - 1, round(sfreq))
    left, right = 2 * x[..., :1] - x[..., pad:0:-1], 2 * x[..., -1:] - x[..., -2 : -pad - 2 : -1]
    size = next_fast_len(n + 2 * pad)
    spectrum = fft(np.concatenate([left, x, right], axis=-1), n=size, axis=-1)[..., : size // 2 + 1]
    frequencies = np.arange(size // 2 + 1) * sfreq / size
    for sos in bands:
        gain = (
            2 * np.abs(sosfreqz(sos, frequencies, fs=sfreq)[1]) ** 2
        )  # positive frequencies only: the analytic signal
        made = ifft(spectrum * gain, n=size, axis=-1)[..., pad : pad + n]
        yield made.real**2 + made.imag**2


def _averaged(power: np.ndarray, n: int, causal: bool) -> np.ndarray:
    """Mean over ``n`` samples around each one, or over the last ``n``; over those that there are at the ends."""
    sums = np.concatenate([np.zeros((*power.shape[:-1], 1)), np.cumsum(power, axis=-1)], axis=-1)
    place = np.arange(power.shape[-1])
    last = place + 1 if causal else np.minimum(place + (n - n // 2), power.shape[-1])
    first = np.maximum(place + 1 - n, 0) if causal else np.maximum(place - n // 2, 0)
    return np.maximum(sums[..., last] - sums[..., first], 0.0) / (last - first)
