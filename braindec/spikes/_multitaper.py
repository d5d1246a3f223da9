"""Multitaper transforms of trials: DPSS tapers of unit energy, and which options make sense."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.spikes.aligned import Aligned
from braindec.stats.asked import number

__all__ = ["checked_field", "frequencies_of", "tapers_of", "transformed"]


def tapers_of(n: int, *, sfreq: float, half_bandwidth: float | None) -> tuple[np.ndarray, float]:
    """Return DPSS tapers, shape (n_tapers, n), each with sum of squares 1, and their half bandwidth in Hz.

    By default the half bandwidth is 2 / T (three tapers); 2 T W - 1 tapers are taken.

    Raises
    ------
    BraindecError
        If the half bandwidth is below 1 / T or not below half the sampling frequency.
    """
    from scipy.signal.windows import dpss

    span = n / number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    width = (
        2 / span if half_bandwidth is None else number(half_bandwidth, "half_bandwidth", least=0, ends=False, unit="Hz")
    )
    if width * span < 1 - 1e-9 or width >= sfreq / 2:
        raise BraindecError("a half bandwidth lies between 1 / T and half the sampling frequency", found=f"{width:g} Hz for T = {span:g} s",
                            allowed=f"{1 / span:g} to {sfreq / 2:g} Hz")  # fmt: skip
    count = max(1, int(np.floor(2 * width * span + 1e-9)) - 1)
    return np.atleast_2d(dpss(n, width * span, Kmax=count)), width


def frequencies_of(n: int, sfreq: float, fmax: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies of a transform of ``n`` samples that are kept, above 0 up to ``fmax`` Hz, and their places."""
    every = np.fft.rfftfreq(n, 1 / sfreq)
    top = sfreq / 2 if fmax is None else number(fmax, "fmax", least=0, most=sfreq / 2, unit="Hz")
    kept = np.flatnonzero((every > 0) & (every <= top + 1e-9))
    if not len(kept):
        raise BraindecError("no frequency is left", found=f"fmax {top:g} Hz, the lowest is {every[1]:g} Hz")
    return every[kept], kept


def transformed(values: np.ndarray, tapers: np.ndarray, kept: np.ndarray, *, mean: float | None = None) -> np.ndarray:
    """Return tapered transforms of (..., time), ``mean`` or each row's own mean taken away: (..., taper, frequency), complex."""
    centred = values - (values.mean(axis=-1, keepdims=True) if mean is None else mean)
    return np.fft.rfft(centred[..., None, :] * tapers, axis=-1)[..., kept]


def checked_field(found: Aligned, field: np.ndarray, sfreq: float) -> np.ndarray:
    """Return a field of (trial, time) that fits the trials.

    Raises
    ------
    BraindecError
        If its shape does not fit the trials and their window at ``sfreq``, or it is not finite or flat.
    """
    field = np.asarray(field, dtype=float)
    n = len(found.edges(1 / number(sfreq, "sfreq", least=0, ends=False, unit="Hz"))) - 1
    if field.shape != (found.n_trials, n):
        raise BraindecError("the field must be (trial, time) and fit the trials", found=f"{field.shape}",
                            allowed=f"({found.n_trials}, {n}) for {found.tmax - found.tmin:g} s at {sfreq:g} Hz",
                            fix="trials that aligned() dropped have no field: see .dropped")  # fmt: skip
    if not np.isfinite(field).all():
        raise BraindecError(
            "the field holds values that are not finite", found=f"{int((~np.isfinite(field)).sum())} of {field.size}"
        )
    if (np.ptp(field, axis=1) == 0).all():
        raise BraindecError("the field is flat in all trials")
    return field
