"""Resample: another sampling frequency, with a low-pass before it so that nothing folds back.

A polyphase Kaiser-windowed sinc: flat (0.1 %) up to 0.9 of the lower of the two Nyquist frequencies, 80 dB down from that
Nyquist frequency on. Sample 0 stays at time 0, so onsets of events do not move.

Source: Kaiser (1974); Oppenheim & Schafer, Discrete-Time Signal Processing, section 7.5 (length of the window) and 4.6
(polyphase resampling).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import firwin, kaiser_beta, resample_poly

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import positive
from braindec.types import Recording

__all__ = ["resample"]
VERSION = 1

_ATTENUATION = 80.0  # dB
_EDGE = 0.9  # of the lower Nyquist frequency


def resample(recording: Recording, *, sfreq: float) -> Recording:
    """Change the sampling frequency to ``sfreq`` Hz.

    Parameters
    ----------
    recording : Recording
        Trigger channels take the nearest sample.
    sfreq : float
        The new sampling frequency in Hz, lower or higher.

    Returns
    -------
    Recording
        Events keep their onsets in s; their column ``sample`` is dropped, since it counted the old samples.

    Raises
    ------
    BraindecError
        If ``sfreq`` is not a positive number, or the run would have less than two samples.
    """
    sfreq = positive(sfreq, "sfreq", "Hz")
    if abs(sfreq - recording.sfreq) <= 1e-9 * sfreq:
        return recording
    ratio = Fraction(sfreq / recording.sfreq).limit_denominator(10_000)
    up, down = ratio.numerator, ratio.denominator
    drift = abs(up / down - sfreq / recording.sfreq) * recording.n_times  # samples at the end of the run
    n_times = -(-recording.n_times * up // down) if up else 0
    if n_times < 2 or drift > 0.1:
        raise BraindecError(
            f"{recording.label}: cannot be resampled from {recording.sfreq:g} to {sfreq:g} Hz",
            found=f"{n_times} samples, {drift:.2g} samples out of step at the end", fix="choose a rounder frequency",
        )  # fmt: skip
    taps = _taps(up, down)
    times = np.minimum(np.round(np.arange(n_times) * down / up).astype(np.int64), recording.n_times - 1)
    return by_channel(
        recording,
        lambda block: resample_poly(block, up, down, axis=1, window=taps, padtype="line"),
        n_times=n_times,
        stim=lambda block: block[:, times],
        sfreq=sfreq,
        events=recording.events.drop(columns="sample", errors="ignore"),
        lowpass=min(float(recording.info.get("lowpass") or np.inf), min(sfreq, recording.sfreq) / 2),
    )


def _taps(up: int, down: int) -> np.ndarray:
    """The low-pass at the common frequency, an odd number of taps."""
    most = max(up, down)
    half = int(np.ceil((_ATTENUATION - 7.95) / (2.285 * np.pi * (1 - _EDGE)) * most / 2))
    return firwin(2 * half + 1, (1 + _EDGE) / 2 / most, window=("kaiser", kaiser_beta(_ATTENUATION)))
