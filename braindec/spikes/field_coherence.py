"""Spike-field coherence: at which frequencies spikes follow a field, tested by exchanging trials.

Coherence is the size of the mean cross-spectrum over trials and tapers over the root of the product of both spectra, 0 to 1.
It has a bias (its square is about 1 / (trials x tapers) without any locking), taken away in ``corrected``, and it grows with the
rate of the unit; :func:`braindec.spikes.aligned.thinned` makes rates equal and
:func:`braindec.spikes.phase_consistency.phase_consistency` does not depend on them. Exchanging the trials of the field keeps what
is locked to the onset of the trial: what remains is locking trial by trial.

Source: Jarvis & Mitra 2001 (Neural Computation 13:717); Thomson & Chave 1991 (in Advances in Spectrum Analysis 1:58) for the
jackknife; Lepage et al. 2011 (Neural Computation 23:2209) for the dependence on the
rate; Maris et al. 2007 (J Neurosci Methods 163:161) for permutation of trials. For a rate l + g x(t) of a field x with spectrum S
the squared coherence is g^2 S / (l + g^2 S).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes._multitaper import checked_field, frequencies_of, tapers_of, transformed
from braindec.spikes.aligned import Aligned
from braindec.stats.asked import whole
from braindec.stats.permutation import permutation_p

_AT_ONCE = 4e6  # products of trials that are held together

__all__ = ["FieldCoherence", "exchanged_trials", "spike_field_coherence"]


@dataclass(frozen=True)
class FieldCoherence:
    """Coherence of units with a field.

    Parameters
    ----------
    frequencies : array of shape (n_frequencies,)
        Hz.
    values : array of shape (n_units, n_frequencies)
        Coherence (its size, not its square).
    corrected : array of the same shape
        Root of the squared coherence with the mean of exchanged trials taken away, 0 where less.
    phase : array of the same shape
        rad: phase of the field at spikes (0: spikes at its peaks).
    level : array of the same shape
        95 % of exchanged trials lie below, each frequency by itself.
    p : array of the same shape
        Of each frequency by itself.
    table : DataFrame
        One row a unit: unit, name, frequency (of the peak), value, low, high (jackknife over trials), corrected, phase, p (largest
        over frequencies), p_family (over frequencies and units), n (spikes), chance, chance_low, chance_high (mean and central
        95 % of the largest coherence of exchanged trials).
    half_bandwidth : float
        Hz.
    """

    frequencies: np.ndarray
    values: np.ndarray
    corrected: np.ndarray
    phase: np.ndarray
    level: np.ndarray
    p: np.ndarray
    table: pd.DataFrame
    half_bandwidth: float


def exchanged_trials(n_trials: int, n: int, *, seed: int) -> np.ndarray:
    """Return ``n`` orders of trials, shape (n, n_trials).

    Raises
    ------
    BraindecError
        If there are fewer than 5 trials: their orders are too few for a test.
    """
    if n_trials < 5:
        raise BraindecError("exchanging trials needs 5 trials or more", found=f"{n_trials}",
                            fix="cut a long recording into stretches: spectra.segments(spikes, length=...)")  # fmt: skip
    return np.argsort(np.random.default_rng(seed).random((whole(n, "n_permutations", least=19), n_trials)), axis=1)


def spike_field_coherence(
    found: Aligned, field: np.ndarray, *, sfreq: float, half_bandwidth: float | None = None, fmax: float | None = None,
    n_permutations: int = 499, seed: int = 0,
) -> FieldCoherence:  # fmt: skip
    """Return the coherence of each unit with a field.

    Parameters
    ----------
    found : Aligned
        Trials.
    field : array of shape (n_trials, n_times)
        The field in the same trials, its first sample at ``tmin``.
    sfreq : float
        Samples a second, Hz.
    half_bandwidth : float, optional
        Of the tapers, Hz; 2 / T by default.
    fmax : float, optional
        Highest frequency, Hz; a quarter of sfreq by default.
    n_permutations : int
        Exchanges of trials.
    seed : int
        Source of chance.
    """
    field = checked_field(found, field, sfreq)
    orders = exchanged_trials(found.n_trials, n_permutations, seed=seed)
    counts = found.counts(1 / sfreq).astype(float)
    tapers, width = tapers_of(field.shape[1], sfreq=sfreq, half_bandwidth=half_bandwidth)
    frequencies, kept = frequencies_of(field.shape[1], sfreq, sfreq / 4 if fmax is None else fmax)
    waves = transformed(field, tapers, kept)
    parts = [_one(transformed(counts[:, u], tapers, kept), waves, orders) for u in range(found.n_units)]
    cross, null = (
        np.stack([p[0] for p in parts]),
        np.stack([p[1] for p in parts], axis=1),
    )  # (unit, f), (order, unit, f)
    low, high = np.stack([p[2] for p in parts]), np.stack([p[3] for p in parts])
    values = np.abs(cross)
    bias = (null**2).mean(axis=0)
    corrected = np.sqrt(np.clip((values**2 - bias) / (1 - bias), 0.0, None))
    scale = np.sqrt((values**2 + (null**2).sum(axis=0)) / (1 + len(null)))  # data and exchanged trials alike
    scale[scale == 0] = np.inf
    level = np.quantile(null, 0.95, axis=0)
    table = _table(
        found,
        frequencies,
        values / scale,
        null / scale,
        {"value": values, "low": low, "high": high, "corrected": corrected, "phase": np.angle(cross)},
    )
    chance = null.max(axis=2)
    table["chance"] = chance.mean(axis=0)
    table["chance_low"], table["chance_high"] = np.quantile(chance, 0.025, axis=0), np.quantile(chance, 0.975, axis=0)
    return FieldCoherence(
        frequencies, values, corrected, np.angle(cross), level, np.asarray(permutation_p(values, null)), table, width
    )


def _one(
    spikes: np.ndarray, waves: np.ndarray, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Coherency of one unit, coherence with the trials of the field exchanged, and the ends of its interval."""
    power = [(np.abs(x) ** 2).sum(axis=1) for x in (spikes, waves)]  # (trial, f)
    loud = np.sqrt(power[1]).T  # (f, trial)
    unit = np.divide(1.0, loud, out=np.zeros_like(loud), where=loud > 0)
    size = np.sqrt(power[0].sum(axis=0) * power[1].sum(axis=0))
    size[size == 0] = np.inf
    n, n_frequencies = len(spikes), spikes.shape[2]
    rows, own, null = np.arange(n), np.empty((n, n_frequencies), complex), np.empty((len(orders), n_frequencies))
    step = max(1, int(_AT_ONCE // n**2))
    for first in range(0, n_frequencies, step):
        part = slice(first, first + step)
        a, b = (np.ascontiguousarray(np.moveaxis(x[:, :, part], 2, 0)) for x in (spikes, waves))
        pair = np.conj(a) @ b.transpose(0, 2, 1)  # each trial's spikes with each trial's field: (f, trial, trial)
        own[:, part] = pair[:, rows, rows].T
        pair *= loud[part, :, None] * unit[part, None, :]  # with the power of the field that belongs to the spikes
        for k, order in enumerate(orders):
            null[k, part] = np.abs(pair[:, rows, order].sum(axis=1))
    return own.sum(axis=0) / size, null / size, *_jackknife(own, *power)


def _jackknife(cross: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of coherence, trials left out one by one, on the scale of the inverse hyperbolic tangent."""
    n = len(cross)
    size = np.sqrt(np.maximum((first.sum(axis=0) - first) * (second.sum(axis=0) - second), 0.0))
    left = np.divide(np.abs(cross.sum(axis=0) - cross), size, out=np.zeros(cross.shape), where=size > 0)
    z = np.arctanh(np.minimum(left, 1 - 1e-9))
    half = stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((z - z.mean(axis=0)) ** 2).sum(axis=0))
    return np.tanh(np.maximum(z.mean(axis=0) - half, 0.0)), np.tanh(z.mean(axis=0) + half)


def _table(
    found: Aligned, frequencies: np.ndarray, observed: np.ndarray, null: np.ndarray, values: dict[str, np.ndarray]
) -> pd.DataFrame:
    peak, rows = values["value"].argmax(axis=1), np.arange(found.n_units)
    largest = null.max(axis=2)
    table = pd.DataFrame({"unit": rows, "name": found.units["name"].astype(str), "frequency": frequencies[peak]})
    for key, value in values.items():
        table[key] = value[rows, peak]
    table["p"] = permutation_p(observed.max(axis=1), largest)
    table["p_family"] = permutation_p(observed.max(axis=1), np.repeat(largest.max(axis=1)[:, None], len(rows), axis=1))
    table["n"] = np.bincount(found.unit, minlength=len(rows))
    return table
