"""Filter: band-pass, high-pass or low-pass, without shift in time or causal.

Butterworth in second-order sections, run forwards and backwards (no phase shift; the attenuation doubles, so the edges lie
at -6 dB) or forwards only (causal: no sample depends on a later one; edges at -3 dB), or a linear-phase FIR designed by mne.

Source: Butterworth (1930); Gustafsson (1996) on running a filter both ways; Widmann, Schroeger & Maess (2015, J Neurosci
Methods) on the choice of filters for event-related data.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, oaconvolve, sosfilt, sosfilt_zi, sosfiltfilt

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.steps._blocks import add_warning, by_channel
from braindec.signal.steps._check import below_nyquist
from braindec.types import Recording

__all__ = ["filter", "reach"]
VERSION = 2

_TAIL = 1e-3  # the impulse response is over when it has fallen to this


def filter(
    recording: Recording,
    *,
    low: float | None = None,
    high: float | None = None,
    order: int = 4,
    method: str = "iir",
    causal: bool = False,
) -> Recording:
    """Keep the frequencies from ``low`` to ``high``.

    Parameters
    ----------
    recording : Recording
        Trigger channels are left as they are.
    low, high : float, optional
        Edges in Hz; one alone makes a high-pass (``low``) or a low-pass (``high``).
    order : int
        Of the Butterworth filter, run twice unless ``causal``.
    method : {"iir", "fir"}
        Butterworth, or the FIR of ``mne.filter.create_filter`` (minimum phase when ``causal``).
    causal : bool
        Use no later sample: for online decoding, and for onsets that must not be smeared backwards.

    Returns
    -------
    Recording
        ``info["highpass"]`` and ``info["lowpass"]`` say the edges.

    Raises
    ------
    BraindecError
        If an edge is not below half the sampling frequency, the edges cross, or the run is too short for the filter.
    """
    edges = _edges(recording, low, high)
    if method not in ("iir", "fir"):
        raise BraindecError(
            f"there is no filter method {method!r}{did_you_mean(method, ['iir', 'fir'])}", allowed="iir, fir"
        )
    if not (isinstance(order, (int, np.integer)) and 1 <= order <= 12):
        raise BraindecError("the order of a filter is a whole number from 1 to 12", found=repr(order))
    about = dict(recording.info)
    if edges[0]:
        about["highpass"] = max(edges[0], float(about.get("highpass") or 0.0))
    if edges[1]:
        about["lowpass"] = min(edges[1], float(about.get("lowpass") or np.inf))
    function = _butterworth(recording, edges, order, causal) if method == "iir" else _fir(recording, edges, causal)
    found = by_channel(recording, function, highpass=about.get("highpass"), lowpass=about.get("lowpass"))
    if edges[0] and recording.duration < 3 / edges[0]:
        return add_warning(
            found, f"the run lasts {recording.duration:.3g} s, less than three periods of {edges[0]:g} Hz"
        )
    return found


def reach(sfreq: float, *, low: float | None = None, high: float | None = None, order: int = 4) -> float:
    """Return for how many s the Butterworth filter smears a sample (to 0.1 %): the least gap between training and test."""
    sos = butter(order, *_design(low, high), fs=sfreq, output="sos")
    return _tail(sos) / sfreq


def _edges(recording: Recording, low: float | None, high: float | None) -> tuple[float | None, float | None]:
    low, high = (None if not v else v for v in (low, high))
    if low is None and high is None:
        raise BraindecError(
            "filter needs an edge", allowed="low, high or both, in Hz", fix="e.g. filter: {low: 1.0, high: 20.0}"
        )
    low = None if low is None else below_nyquist(low, "low", recording)
    high = None if high is None else below_nyquist(high, "high", recording)
    if low is not None and high is not None and low >= high:
        raise BraindecError(
            "the edges of a filter must rise: low is where it begins, high where it ends", found=f"low {low:g} Hz, high {high:g} Hz",
            fix="to remove a band (the mains) use the step notch",
        )  # fmt: skip
    return low, high


def _design(low: float | None, high: float | None) -> tuple:
    if low and high:
        return [low, high], "bandpass"
    return (low, "highpass") if low else (high, "lowpass")


def _tail(sos: np.ndarray) -> int:
    """Samples until the slowest part of the impulse response has fallen to ``_TAIL``."""
    poles = np.concatenate([np.roots(section[3:]) for section in sos])
    radius = np.abs(poles).max()
    return int(np.ceil(np.log(_TAIL) / np.log(radius))) if 0 < radius < 1 else 0


def _butterworth(recording: Recording, edges: tuple, order: int, causal: bool):
    sos = butter(order, *_design(*edges), fs=recording.sfreq, output="sos")
    shortest = 3 * (2 * len(sos) + 1)
    if recording.n_times <= shortest:
        raise BraindecError(f"{recording.label}: the run is too short to filter", found=f"{recording.n_times} samples",
                            allowed=f"more than {shortest}")  # fmt: skip
    if causal:
        zi = sosfilt_zi(sos)[:, None, :]  # as if the first sample had lasted for ever: no jump at the beginning
        return lambda block: sosfilt(sos, block, axis=1, zi=zi * block[:, :1])[0]
    pad = min(max(shortest, _tail(sos)), recording.n_times - 1)
    return lambda block: sosfiltfilt(sos, block, axis=1, padtype="odd", padlen=pad)


def _fir(recording: Recording, edges: tuple, causal: bool):
    import mne

    phase = "minimum" if causal else "zero"
    taps = mne.filter.create_filter(None, recording.sfreq, *edges, phase=phase, verbose="ERROR")
    if len(taps) > recording.n_times:
        raise BraindecError(
            f"{recording.label}: the FIR filter is longer than the run", found=f"{len(taps)} taps, {recording.n_times} samples",
            fix="use method: iir, or a higher low edge",
        )  # fmt: skip

    if (
        causal
    ):  # what mne pads in front is a mirror image of what comes later: here the first sample has lasted for ever
        total = taps.sum()
        return lambda block: (
            oaconvolve(block - block[:, :1], taps[None], axes=1)[:, : block.shape[1]] + total * block[:, :1]
        )

    def run(block: np.ndarray) -> np.ndarray:
        return mne.filter.filter_data(block, recording.sfreq, *edges, phase=phase, copy=False, verbose="ERROR")

    return run
