"""envelope: how loud a sound is over time.

Source: Biesmans et al. 2017 (IEEE TNSRE 25:402), sections II.C and II.D: envelopes of gammatone bands, raised to the power 0.6 and
summed, follow the brain best; Glasberg & Moore 1990 (Hear Res 47:103), eq. 3 for the widths of auditory filters and eq. 4 for their
spacing; Patterson et al. 1987 for the fourth-order gammatone.
Differs from the reference in: bands are averaged, and each is shifted earlier by the delay of its filter, so that a click peaks
in all bands when it sounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import firwin, hilbert, kaiser_beta, lfilter, oaconvolve

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.audio import Sound, as_sound
from braindec.loaders.stimulus_series import Stretch, in_stretches, make_series, stretches
from braindec.stats.asked import number, whole
from braindec.types import Recording

__all__ = ["envelope"]

_KINDS = ("hilbert", "gammatone")
_ATTENUATION = 60.0  # dB of the low-pass
_LATE = 3.0  # order of the gammatone less 1: when its impulse response peaks, in units of 1 / (2 pi bandwidth)


def envelope(
    sound: Any, *, sfreq: float = 100.0, kind: str = "hilbert", power: float = 1.0, lowpass: float | None = None,
    n_bands: int = 28, fmin: float = 50.0, fmax: float = 5000.0, audio_sfreq: float = 16000.0, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Compute the envelope of a sound: one unit.

    Parameters
    ----------
    sound : path, Sound, or (samples, sfreq)
    sfreq : float
        Samples of the series a second, Hz.
    kind : {"hilbert", "gammatone"}
        Modulus of the analytic signal of the whole sound, or the average over bands of an auditory filter bank.
    power : float
        The modulus (of each band) is raised to it; 0.6 is usual for hearing.
    lowpass : float, optional
        Where the low-pass has half of the amplitude, Hz; 0.45 of ``sfreq`` without it. Its delay is zero.
    n_bands, fmin, fmax
        Of the filter bank: how many bands, lowest and highest centre in Hz.
    audio_sfreq : float
        The sound is brought to it first, Hz.
    blocks : DataFrame or sequence of (start, stop), optional
        The sound is cut there first (s), so that no filter reaches across.

    Raises
    ------
    BraindecError
        If the sound cannot be used, or an option makes no sense.
    """
    sfreq = number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    power = number(power, "power", least=0, ends=False)
    cutoff = number(0.45 * sfreq if lowpass is None else lowpass, "lowpass", least=0, most=sfreq / 2, ends=False, unit="Hz")  # fmt: skip
    if kind not in _KINDS:
        raise BraindecError(f"there is no envelope {kind!r}{did_you_mean(str(kind), _KINDS)}", allowed=", ".join(_KINDS))  # fmt: skip
    sound = as_sound(sound, sfreq=audio_sfreq)
    if cutoff >= sound.sfreq / 2:
        raise BraindecError("an envelope is slower than its sound", found=f"{sfreq:g} Hz of a sound at {sound.sfreq:g} Hz")  # fmt: skip
    taps = _lowpass(cutoff, 0.2 * cutoff, sound.sfreq)
    centres = _spaced(whole(n_bands, "n_bands", least=1), fmin, fmax, sound.sfreq) if kind == "gammatone" else None

    def make(part: Stretch, times: np.ndarray) -> np.ndarray:
        own = sound.samples[round(part.start * sound.sfreq) : round(part.stop * sound.sfreq)]
        raised = _modulus(own, power) if centres is None else _bands(own, centres, sound.sfreq, power)
        smooth = np.maximum(_smoothed(raised, taps), 0.0)  # the low-pass rings by a thousandth
        return smooth[np.minimum(np.round(times * sound.sfreq).astype(int), len(smooth) - 1)][None]

    parts = stretches(blocks, sound.duration, sfreq=sfreq, name=sound.name)
    values = in_stretches(parts, 1, sfreq, make)
    return _series(values, sfreq, sound, {"kind": kind, "power": power, "lowpass": cutoff, "n_bands": None if centres is None else n_bands,
                                          "fmin": fmin, "fmax": fmax, "audio_sfreq": sound.sfreq, "n_blocks": len(parts)})  # fmt: skip


def _series(values: np.ndarray, sfreq: float, sound: Sound, settings: dict[str, Any]) -> Recording:
    return make_series(values, sfreq, ["envelope"], feature="envelope", stimulus=sound.name, settings=settings,
                       path=sound.path, content=sound.content)  # fmt: skip


def _modulus(samples: np.ndarray, power: float) -> np.ndarray:
    from scipy.fft import next_fast_len

    n = len(samples)
    return np.abs(hilbert(samples.astype(np.float32), next_fast_len(n))[:n]) ** power


def _bands(samples: np.ndarray, centres: np.ndarray, sfreq: float, power: float) -> np.ndarray:
    """Average of the envelopes of gammatone bands, each raised to ``power``: four complex one-pole filters a band."""
    total = np.zeros(len(samples))
    for centre in centres:
        width = 1.019 * _erb(centre)
        decay = np.exp(-2 * np.pi * width / sfreq)
        pole = decay * np.exp(2j * np.pi * centre / sfreq)
        late = round(_LATE / (2 * np.pi * width) * sfreq)
        course = np.concatenate([samples, np.zeros(late)]).astype(np.complex128)
        for _ in range(4):
            course = lfilter([1 - decay], [1, -pole], course)
        total += np.abs(2 * course[late:]) ** power
    return total / len(centres)


def _erb(centre: np.ndarray | float) -> np.ndarray | float:
    """Equivalent rectangular bandwidth of the ear at a frequency, Hz."""
    return 24.7 * (4.37e-3 * centre + 1)


def _spaced(n: int, fmin: float, fmax: float, sfreq: float) -> np.ndarray:
    """Centres at even steps of the number of auditory filters, Hz."""
    if not 0 < number(fmin, "fmin") <= number(fmax, "fmax") < sfreq / 2:
        raise BraindecError("the bands have no room", found=f"fmin={fmin:g}, fmax={fmax:g} Hz", allowed=f"0 < fmin <= fmax < {sfreq / 2:g} Hz")  # fmt: skip
    low, high = (np.log10(4.37e-3 * f + 1) for f in (fmin, fmax))
    return (10 ** np.linspace(low, high, n) - 1) / 4.37e-3


def _lowpass(cutoff: float, width: float, sfreq: float) -> np.ndarray:
    """A Kaiser-windowed sinc with an odd number of taps; half of the amplitude is left at ``cutoff``."""
    half = int(np.ceil((_ATTENUATION - 7.95) / (2.285 * 2 * np.pi * width / sfreq) / 2))
    return firwin(2 * half + 1, cutoff, fs=sfreq, window=("kaiser", kaiser_beta(_ATTENUATION)))


def _smoothed(values: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Filter without delay; the ends are mirrored."""
    half = len(taps) // 2
    padded = np.pad(values, half, mode="symmetric")
    return oaconvolve(padded, taps, mode="valid")
