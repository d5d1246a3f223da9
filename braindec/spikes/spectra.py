"""Multitaper spectra of spike trains and of fields.

The spectrum of a spike train is that of its rate fluctuations, in spikes^2 / s (Hz), two-sided: a Poisson process is flat at
its rate, a renewal process with intervals of characteristic function phi has ``rate (1 - |phi|^2) / |1 - phi|^2``. That of a
field is the one-sided density, unit^2 / Hz: it sums to the variance.

Source: Thomson 1982 (Proc IEEE 70:1055); Jarvis & Mitra 2001 (Neural Computation 13:717) for point processes; Bartlett 1963
(JRSS B 25:264) for the spectrum of renewal processes; Percival & Walden 1993 section 7.4 for chi-squared intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes._multitaper import frequencies_of, tapers_of, transformed
from braindec.spikes.aligned import Aligned, aligned
from braindec.spikes.variability import windows_of
from braindec.types import Spikes

__all__ = ["Spectrum", "field_spectrum", "segments", "spike_spectrum"]


@dataclass(frozen=True)
class Spectrum:
    """Power over frequency.

    Parameters
    ----------
    frequencies : array of shape (n_frequencies,)
        Hz, above 0.
    values, low, high : array of shape (n_series, n_frequencies)
        Power, and the ends of its interval (chi-squared; NaN for a unit without spikes).
    half_bandwidth : float
        Hz: neighbours closer than that are smoothed together.
    n_tapers, n_trials : int
        Their product is half the degrees of freedom.
    """

    frequencies: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    half_bandwidth: float
    n_tapers: int
    n_trials: int


def segments(spikes: Spikes, *, length: float) -> Aligned:
    """Cut a recording into stretches of ``length`` s, one after the other, none across a gap."""
    return aligned(spikes, windows_of(spikes, window=length)[:, 0], tmin=0.0, tmax=length)


def spike_spectrum(
    found: Aligned, *, sfreq: float = 1000.0, half_bandwidth: float | None = None, fmax: float | None = None, level: float = 0.95
) -> Spectrum:  # fmt: skip
    """Return the spectrum of each unit's spike train, Hz, averaged over trials and tapers.

    The mean rate over all trials is taken away; that of each trial would take power below the half bandwidth with it.

    Parameters
    ----------
    found : Aligned
        Trials; of a recording without trials, :func:`segments`.
    sfreq : float
        Spikes are counted in bins of 1 / sfreq s; frequencies up to a quarter of it are good.
    half_bandwidth : float, optional
        Hz; 2 / T by default.
    fmax : float, optional
        Highest frequency, Hz; sfreq / 4 by default.
    level : float
        Coverage wanted.
    """
    counts = found.counts(1 / sfreq).astype(float)
    tapers, width = tapers_of(counts.shape[-1], sfreq=sfreq, half_bandwidth=half_bandwidth)
    frequencies, kept = frequencies_of(counts.shape[-1], sfreq, sfreq / 4 if fmax is None else fmax)
    values = np.stack([
        _power(counts[:, u], tapers, kept, mean=float(counts[:, u].mean())) * sfreq for u in range(found.n_units)
    ])  # fmt: skip
    return _with_interval(frequencies, values, width, len(tapers), found.n_trials, level)


def field_spectrum(
    field: np.ndarray, *, sfreq: float, half_bandwidth: float | None = None, fmax: float | None = None, level: float = 0.95
) -> Spectrum:  # fmt: skip
    """Return the spectrum of a field of (trial, time) or (trial, channel, time), unit^2 / Hz, one-sided.

    The mean of each trial is taken away, and with it some of the power below the half bandwidth.

    Raises
    ------
    BraindecError
        If it has another shape or is not finite.
    """
    field = np.asarray(field, dtype=float)
    if field.ndim not in (2, 3) or not field.size or not np.isfinite(field).all():
        raise BraindecError(
            "a field is finite and of (trial, time) or (trial, channel, time)", found=f"shape {field.shape}"
        )
    field = field[:, None] if field.ndim == 2 else field
    n = field.shape[-1]
    tapers, width = tapers_of(n, sfreq=sfreq, half_bandwidth=half_bandwidth)
    frequencies, kept = frequencies_of(n, sfreq, fmax)
    sides = np.where(frequencies >= sfreq / 2 - 1e-9, 1.0, 2.0)
    values = np.stack([_power(field[:, c], tapers, kept) for c in range(field.shape[1])]) * sides / sfreq
    return _with_interval(frequencies, values, width, len(tapers), len(field), level)


def _power(trials: np.ndarray, tapers: np.ndarray, kept: np.ndarray, *, mean: float | None = None) -> np.ndarray:
    return (np.abs(transformed(trials, tapers, kept, mean=mean)) ** 2).mean(axis=(0, 1))


def _with_interval(
    frequencies: np.ndarray, values: np.ndarray, width: float, n_tapers: int, n_trials: int, level: float
) -> Spectrum:
    free = 2 * n_tapers * n_trials
    low, high = (free * values / stats.chi2.ppf(q, free) for q in ((1 + level) / 2, (1 - level) / 2))
    silent = values.max(axis=1) == 0
    low[silent], high[silent] = np.nan, np.nan
    return Spectrum(frequencies, values, low, high, float(width), n_tapers, n_trials)
