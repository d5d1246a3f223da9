"""log_mel: how much energy a sound has in bands of the mel scale, as logarithm.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), Methods, "Mel spectrogram": 120 bands, frames of 512 samples at 16 kHz,
normalised transform, log(1e-5 + mel); HTK's formula of mel, 2595 log10(1 + f / 700) (Young et al., The HTK Book, section 5.4);
Slaney's, linear below 1 kHz and logarithmic above (Slaney 1998, Auditory Toolbox, mfcc).
Differs from the reference in: frames are padded with zeros until no band lies between two frequencies of the transform (a plain
transform of 512 samples leaves the lowest of 120 bands empty), and are centred on the samples of the series.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.audio import as_sound
from braindec.loaders.stimulus_series import Stretch, in_stretches, make_series, stretches
from braindec.stats.asked import number, whole
from braindec.types import Recording

__all__ = ["log_mel", "mel_filters"]

_CHUNK = 4096  # frames that are transformed at once
_LINEAR = 200.0 / 3.0  # Hz a mel below 1 kHz (Slaney)
_STEP = np.log(6.4) / 27.0  # of log frequency a mel above


def log_mel(
    sound: Any, *, sfreq: float = 100.0, n_mels: int = 80, n_fft: int = 512, fmin: float = 0.0, fmax: float | None = None,
    scale: str = "htk", norm: str | None = None, eps: float = 1e-5, audio_sfreq: float = 16000.0, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Compute a mel spectrogram: natural logarithm of ``eps`` + power in each band.

    Parameters
    ----------
    sound : path, Sound, or (samples, sfreq)
    sfreq : float
        Samples of the series a second, Hz.
    n_mels : int
        Bands: 80 is usual, 120 is that of Défossez et al.
    n_fft : int
        Length of a frame in samples, under a Hann window; the power is divided by that of the window.
    fmin, fmax : float
        Edges of the lowest and highest band, Hz; half of ``audio_sfreq`` without ``fmax``.
    scale : {"htk", "slaney"}
        Formula of mel.
    norm : {None, "slaney"}
        None: triangles of height 1; "slaney": of area 1 (Hz).
    eps : float
        Added before the logarithm.
    audio_sfreq : float
        The sound is brought to it first, Hz.
    blocks : DataFrame or sequence of (start, stop), optional
        The sound is cut there first (s), so that no frame reaches across.

    Returns
    -------
    Recording
        Units "mel 0" (lowest) to "mel n"; ``channels.frequency`` is their centre in Hz.

    Raises
    ------
    BraindecError
        If the sound cannot be used, or an option makes no sense.
    """
    sfreq, eps = number(sfreq, "sfreq", least=0, ends=False, unit="Hz"), number(eps, "eps", least=0, ends=False)
    n_fft = whole(n_fft, "n_fft", least=8)
    sound = as_sound(sound, sfreq=audio_sfreq)
    filters, centres = mel_filters(n_mels, n_fft=n_fft, sfreq=sound.sfreq, fmin=fmin, fmax=fmax, scale=scale, norm=norm)
    window = np.hanning(n_fft + 1)[:-1]  # periodic
    n_padded = 2 * (filters.shape[1] - 1)
    weights = filters.T * (n_fft / n_padded / np.square(window).sum())  # more frequencies, the same power
    repeat = int(np.ceil(sound.sfreq / (n_fft * sfreq)))  # frames a sample, so that no sound falls between two

    def make(part: Stretch, times: np.ndarray) -> np.ndarray:
        own = sound.samples[round(part.start * sound.sfreq) : round(part.stop * sound.sfreq)]
        own = np.pad(own.astype(np.float64), n_fft)
        shifts = (np.arange(repeat) - (repeat - 1) / 2) / (repeat * sfreq)
        power = np.zeros((len(times), len(centres)))
        for shift in shifts:
            at = np.round((times + shift) * sound.sfreq).astype(int) + n_fft - n_fft // 2
            at = np.clip(at, 0, len(own) - n_fft)
            for first in range(0, len(at), _CHUNK):
                rows = slice(first, first + _CHUNK)
                frames = np.lib.stride_tricks.sliding_window_view(own, n_fft)[at[rows]] * window
                power[rows] += np.square(np.abs(np.fft.rfft(frames, n_padded, axis=1))) @ weights
        return np.log(eps + power / repeat).T

    parts = stretches(blocks, sound.duration, sfreq=sfreq, name=sound.name)
    values = in_stretches(parts, len(centres), sfreq, make)
    settings = {"n_mels": n_mels, "n_fft": n_fft, "fmin": fmin, "fmax": fmax, "scale": scale, "norm": norm, "eps": eps,
                "audio_sfreq": sound.sfreq, "n_blocks": len(parts)}  # fmt: skip
    series = make_series(values, sfreq, [f"mel {k}" for k in range(len(centres))], feature="log_mel", stimulus=sound.name,
                         settings=settings, path=sound.path, content=sound.content)  # fmt: skip
    return Recording(series.signal, sfreq, series.channels.assign(frequency=centres), info=series.info)


def mel_filters(
    n_mels: int, *, n_fft: int, sfreq: float, fmin: float = 0.0, fmax: float | None = None, scale: str = "htk",
    norm: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return triangles that overlap by half on the mel scale, and their centres.

    Returns
    -------
    filters : array of shape (n_mels, n_frequencies)
        At ``n_frequencies = n_padded / 2 + 1`` frequencies from 0 to half of ``sfreq``; ``n_padded`` is ``n_fft``, doubled
        until no triangle is empty.
    centres : array of shape (n_mels,)
        Hz.

    Raises
    ------
    BraindecError
        If an option makes no sense.
    """
    n_mels = whole(n_mels, "n_mels", least=1)
    fmax = sfreq / 2 if fmax is None else fmax
    if not 0 <= number(fmin, "fmin") < number(fmax, "fmax") <= sfreq / 2:
        raise BraindecError("the bands have no room", found=f"fmin={fmin:g}, fmax={fmax:g} Hz", allowed=f"0 <= fmin < fmax <= {sfreq / 2:g} Hz")  # fmt: skip
    for name, value, allowed in (("scale", scale, ("htk", "slaney")), ("norm", norm, (None, "slaney"))):
        if value not in allowed:
            raise BraindecError(f"{name}={value!r} is unknown{did_you_mean(str(value), map(str, allowed))}", allowed=", ".join(map(str, allowed)))  # fmt: skip
    edges = _to_hz(np.linspace(*_to_mel(np.array([fmin, fmax]), scale), n_mels + 2), scale)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    n_padded = n_fft + n_fft % 2
    for _ in range(12):
        frequencies = np.linspace(0.0, sfreq / 2, n_padded // 2 + 1)
        filters = np.clip(np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre)), 0.0, None)  # fmt: skip
        if filters.any(axis=1).all():
            break
        n_padded *= 2
    else:
        raise BraindecError("the bands are too narrow", found=f"{n_mels} bands from {fmin:g} to {fmax:g} Hz", fix="use fewer bands")  # fmt: skip
    if norm == "slaney":
        filters = filters * (2.0 / (high - low))
    return filters, centre[:, 0]


def _to_mel(hz: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    return np.where(hz < 1000.0, hz / _LINEAR, 15.0 + np.log(np.maximum(hz, 1000.0) / 1000.0) / _STEP)


def _to_hz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return np.where(mel < 15.0, mel * _LINEAR, 1000.0 * np.exp(_STEP * (mel - 15.0)))
