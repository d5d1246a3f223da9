"""Pairwise phase consistency: do spikes fall on one phase of a field, whatever their number?

The mean over pairs of spikes of the cosine of the difference of their phases; its expectation is the squared length of the
resultant, without the bias that few spikes give a resultant. Spikes of one trial share slow states, so by default only pairs
from different trials count. For a rate proportional to 1 + m cos(phase) it is m^2 / 4.

Source: Vinck et al. 2010 (NeuroImage 51:112) for all pairs; Vinck et al. 2012 (J Comput Neurosci 33:53) for pairs from different
trials. Phases are those of Morlet wavelets; spikes nearer to an end of the trial than two of their standard deviations are left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes._multitaper import checked_field
from braindec.spikes.aligned import Aligned
from braindec.spikes.field_coherence import exchanged_trials
from braindec.stats.asked import number
from braindec.stats.permutation import permutation_p

__all__ = ["PhaseConsistency", "phase_consistency"]


@dataclass(frozen=True)
class PhaseConsistency:
    """Locking of units to phases of a field.

    Parameters
    ----------
    frequencies : array of shape (n_frequencies,)
        Hz.
    values : array of shape (n_units, n_frequencies)
        Mean cosine over pairs; about 0 without locking, 1 for one phase. NaN with fewer than 2 spikes (or trials with
        spikes).
    phase : array of the same shape
        Mean phase at spikes, rad; 0 is the peak of the field.
    n : array of int, the same shape
        Spikes that count.
    p : array of the same shape
        Of each frequency by itself, trials exchanged.
    table : DataFrame
        One row a unit: unit, name, frequency (of the largest), value, low, high (jackknife over trials), phase, p (largest
        over frequencies), p_family (over frequencies and units), n.
    """

    frequencies: np.ndarray
    values: np.ndarray
    phase: np.ndarray
    n: np.ndarray
    p: np.ndarray
    table: pd.DataFrame


def phase_consistency(
    found: Aligned, field: np.ndarray, *, sfreq: float, frequencies: Sequence[float], cycles: float = 5.0, across_trials: bool = True,
    n_permutations: int = 499, seed: int = 0,
) -> PhaseConsistency:  # fmt: skip
    """Return the pairwise phase consistency of each unit with a field.

    Parameters
    ----------
    found : Aligned
        Trials.
    field : array of shape (n_trials, n_times)
        The field in the same trials.
    sfreq : float
        Samples a second, Hz.
    frequencies : sequence of float
        Hz, below half of ``sfreq``.
    cycles : float
        Of the wavelets: their standard deviation is cycles / (2 pi f).
    across_trials : bool
        Only pairs from different trials.
    n_permutations : int
        Exchanges of trials.
    seed : int
        Source of chance.

    Raises
    ------
    BraindecError
        If the field does not fit, or a wavelet is longer than the trials.
    """
    field = checked_field(found, field, sfreq)
    wanted = np.asarray(frequencies, dtype=float).ravel()
    number(cycles, "cycles", least=1)
    if not len(wanted) or wanted.min() <= 0 or wanted.max() >= sfreq / 2:
        raise BraindecError("frequencies lie above 0 and below half the sampling frequency", found=str(wanted.tolist())[:80],
                            allowed=f"0 to {sfreq / 2:g} Hz")  # fmt: skip
    margin = np.ceil(2 * cycles / (2 * np.pi * wanted) * sfreq).astype(int)
    if 2 * margin.max() >= field.shape[1]:
        least = 2 * cycles / np.pi / (field.shape[1] / sfreq)
        raise BraindecError(
            "wavelets are longer than the trials",
            found=f"{wanted.min():g} Hz, {cycles:g} cycles",
            allowed=f"above {least * 1.01:.3g} Hz",
        )
    orders = exchanged_trials(found.n_trials, n_permutations, seed=seed)
    counts = found.counts(1 / sfreq).astype(np.float64)
    shape = (found.n_units, len(wanted))
    values, phase, n = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=int)
    low, high, null = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros((len(orders), *shape))
    for k, f in enumerate(wanted):
        waves = _phases(field, f, sfreq, cycles)[:, margin[k] : field.shape[1] - margin[k]]
        for u in range(found.n_units):
            mine = counts[:, u, margin[k] : field.shape[1] - margin[k]]
            own = mine.sum(axis=1)
            pair = mine @ waves.T  # spikes of each trial on the phases of each trial
            n[u, k] = int(own.sum())
            values[u, k], null[:, u, k], phase[u, k] = _consistency(pair, own, orders, across_trials)
            low[u, k], high[u, k] = _jackknife(np.diagonal(pair), own, across_trials)
    return _judged(found, wanted, {"value": values, "low": low, "high": high, "phase": phase}, n, null)


def _phases(field: np.ndarray, frequency: float, sfreq: float, cycles: float) -> np.ndarray:
    """Unit complex numbers with the phase of the field at one frequency."""
    from scipy.signal import fftconvolve

    sigma = cycles / (2 * np.pi * frequency)
    t = np.arange(-int(4 * sigma * sfreq), int(4 * sigma * sfreq) + 1) / sfreq
    wavelet = np.exp(2j * np.pi * frequency * t - 0.5 * (t / sigma) ** 2)
    wavelet -= np.exp(-0.5 * (t / sigma) ** 2) * (wavelet.sum() / np.exp(-0.5 * (t / sigma) ** 2).sum())  # no mean
    wave = fftconvolve(field - field.mean(axis=1, keepdims=True), wavelet[None], mode="full", axes=1)
    wave = wave[:, len(t) // 2 : len(t) // 2 + field.shape[1]]
    size = np.abs(wave)
    return np.divide(wave, size, out=np.zeros_like(wave), where=size > 0)


def _consistency(
    pair: np.ndarray, own: np.ndarray, orders: np.ndarray, across: bool
) -> tuple[float, np.ndarray, float]:
    """The measure, its values for exchanged trials, and the mean phase; NaN, zeros and NaN without pairs."""
    n, rows = own.sum(), np.arange(len(own))
    pairs = n**2 - (own**2).sum() if across else n * (n - 1)
    if pairs <= 0:
        return np.nan, np.zeros(len(orders)), np.nan

    def measure(sums: np.ndarray) -> np.ndarray:
        alone = (np.abs(sums) ** 2).sum(axis=-1) if across else n
        return (np.abs(sums.sum(axis=-1)) ** 2 - alone) / pairs

    observed = pair[rows, rows]
    return float(measure(observed)), measure(pair[rows, orders]), float(np.angle(observed.sum()))


def _jackknife(sums: np.ndarray, own: np.ndarray, across: bool) -> tuple[float, float]:
    """Ends of the 95 % interval, trials with spikes left out one by one."""
    sums, own = sums[own > 0], own[own > 0]
    n, total, every = len(own), sums.sum(), own.sum()
    if n < 5:
        return np.nan, np.nan
    alone, pairs = (np.abs(sums) ** 2, own**2) if across else (own, own)
    left = (np.abs(total - sums) ** 2 - (alone.sum() - alone)) / ((every - own) ** 2 - (pairs.sum() - pairs))
    half = stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    return float(left.mean() - half), float(left.mean() + half)


def _judged(
    found: Aligned, frequencies: np.ndarray, parts: dict[str, np.ndarray], n: np.ndarray, null: np.ndarray
) -> PhaseConsistency:
    values = parts["value"]
    known = np.where(np.isfinite(values), values, 0.0)
    scale = np.sqrt(
        (known**2 + (null**2).sum(axis=0)) / (1 + len(null))
    )  # frequencies have different numbers of spikes
    scale[scale == 0] = np.inf
    peak, rows = known.argmax(axis=1), np.arange(found.n_units)
    top, largest = (known / scale).max(axis=1), (null / scale).max(axis=2)
    table = pd.DataFrame({"unit": rows, "name": found.units["name"].astype(str), "frequency": frequencies[peak]})
    for key, part in parts.items():
        table[key] = part[rows, peak]
    table["p"] = permutation_p(top, largest)
    table["p_family"] = permutation_p(top, np.repeat(largest.max(axis=1)[:, None], len(rows), axis=1))
    table["n"] = n[rows, peak]
    return PhaseConsistency(frequencies, values, parts["phase"], n, np.asarray(permutation_p(known, null)), table)
