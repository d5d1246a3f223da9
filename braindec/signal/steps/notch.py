"""Notch: remove narrow bands (the mains and its harmonics) without shift in time.

A Butterworth band-stop of order 2 for each frequency, run forwards and backwards.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import below_nyquist, positive
from braindec.types import Recording

__all__ = ["notch"]
VERSION = 1


def notch(recording: Recording, *, freqs: float | list[float] | None = None, width: float = 2.0) -> Recording:
    """Remove ``freqs``.

    Parameters
    ----------
    recording : Recording
        Trigger channels are left as they are.
    freqs : float or list of float, optional
        Hz. By default the mains frequency that the recording names (``info["line_freq"]``) and its harmonics below half
        the sampling frequency.
    width : float
        Width of each band in Hz (-6 dB).

    Raises
    ------
    BraindecError
        If a frequency is not between 0 and half the sampling frequency, or none is known.
    """
    width = positive(width, "width", "Hz")
    if freqs is None:
        freqs = _mains(recording)
    listed = [freqs] if np.isscalar(freqs) else list(freqs)
    if not listed:
        raise BraindecError("notch needs a frequency", found="an empty list", fix="e.g. notch: {freqs: [50, 100]}")
    sections, tail = [], 0
    for freq in listed:
        freq = below_nyquist(freq, "the frequency of notch", recording)
        band = [freq - width / 2, freq + width / 2]
        if band[0] <= 0 or band[1] >= recording.sfreq / 2:
            raise BraindecError(
                f"notch: a band of {width:g} Hz around {freq:g} Hz does not fit",
                allowed=f"0 to {recording.sfreq / 2:g} Hz",
            )
        sections.append(butter(2, band, "bandstop", fs=recording.sfreq, output="sos"))
        tail = max(tail, round(3 * recording.sfreq / width))
    sos = np.concatenate(sections)
    if recording.n_times <= 3 * (2 * len(sos) + 1):
        raise BraindecError(f"{recording.label}: the run is too short to filter", found=f"{recording.n_times} samples")
    pad = min(max(tail, 3 * (2 * len(sos) + 1)), recording.n_times - 1)
    return by_channel(recording, lambda block: sosfiltfilt(sos, block, axis=1, padtype="odd", padlen=pad))


def _mains(recording: Recording) -> list[float]:
    mains = recording.info.get("line_freq")
    try:
        base = float(mains)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        base = np.nan
    if not (np.isfinite(base) and base > 0):
        raise BraindecError(
            f"{recording.label}: the frequency of the mains is not known", found=f"line_freq {mains!r}",
            fix="say it: notch: {freqs: 50} (Europe, Asia) or {freqs: 60} (the Americas)",
        )  # fmt: skip
    return [float(f) for f in np.arange(base, recording.sfreq / 2 - 1, base)]
