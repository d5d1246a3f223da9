"""Spike-triggered average of a field, with a band from exchanged trials that holds at all lags at once.

A trial's field takes the size (standard deviation) of the field whose place it takes, so that rates and fields that grow together
over trials do not make a band that is too narrow.

Source: de Boer & Kuyper 1968 (IEEE Trans Biomed Eng 15:169); Kramer & Eden 2016 (Case Studies in Neural Data Analysis, chapter
11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes._multitaper import checked_field
from braindec.spikes.aligned import Aligned
from braindec.spikes.field_coherence import exchanged_trials
from braindec.stats.asked import number
from braindec.stats.permutation import permutation_p

__all__ = ["TriggeredAverage", "spike_triggered_average"]


@dataclass(frozen=True)
class TriggeredAverage:
    """Mean field around spikes.

    Parameters
    ----------
    lags : array of shape (n_lags,)
        s from the spike; below 0 the field before it.
    values, low, high : array of shape (n_units, n_lags)
        Unit of the field; the band that 95 % of exchanged trials stay in at all lags at once.
    table : DataFrame
        One row a unit: unit, name, lag (of the largest deviation), value, p (largest over lags), p_family (over lags and units), n
        (spikes).
    """

    lags: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    table: pd.DataFrame


def spike_triggered_average(
    found: Aligned, field: np.ndarray, *, sfreq: float, reach: float = 0.1, n_permutations: int = 499, seed: int = 0
) -> TriggeredAverage:
    """Return the mean field around the spikes of each unit; spikes nearer than ``reach`` s to an end of a trial are left out.

    Parameters
    ----------
    found : Aligned
        Trials.
    field : array of shape (n_trials, n_times)
        The field in the same trials; the mean of each is taken away.
    sfreq : float
        Hz.
    reach : float
        Lags to either side, s.
    n_permutations : int
        Exchanges of trials.
    seed : int
        Source of chance.

    Raises
    ------
    BraindecError
        If the field does not fit, or the reach is longer than half of the trials.
    """
    field = checked_field(found, field, sfreq)
    field = field - field.mean(axis=1, keepdims=True)
    half, n = round(number(reach, "reach", least=0, ends=False, unit="s") * sfreq), field.shape[1]
    if 2 * half >= n or half < 1:
        raise BraindecError("the reach must be a sample or more and shorter than half of the trials", found=f"{reach:g} s",
                            allowed=f"{1 / sfreq:g} to {n / sfreq / 2:g} s")  # fmt: skip
    orders = exchanged_trials(found.n_trials, n_permutations, seed=seed)
    counts = found.counts(1 / sfreq).astype(float)
    counts[..., :half], counts[..., n - half :] = 0, 0
    size = 2 ** int(np.ceil(np.log2(n + half)))
    waves = np.fft.rfft(field, size)
    loud = field.std(axis=1)
    share = np.divide(1.0, loud, out=np.zeros_like(loud), where=loud > 0)
    rows = []
    for u in range(found.n_units):
        total = counts[:, u].sum()
        spikes = np.conj(np.fft.rfft(counts[:, u], size)) / max(total, 1.0)
        every = np.stack(
            [
                (spikes * waves).sum(axis=0),
                *[(spikes * waves[o] * (loud * share[o])[:, None]).sum(axis=0) for o in orders],
            ]
        )
        lagged = np.fft.irfft(every, size)
        rows.append(np.concatenate([lagged[:, -half:], lagged[:, : half + 1]], axis=1))
    every = np.stack(rows, axis=1)  # (data and orders, unit, lag)
    return _judged(found, every, np.arange(-half, half + 1) / sfreq, counts.sum(axis=(0, 2)).astype(int))


def _judged(found: Aligned, every: np.ndarray, lags: np.ndarray, n: np.ndarray) -> TriggeredAverage:
    centre, spread = every.mean(axis=0), every.std(axis=0)
    z = np.abs(every - centre) / np.where(spread > 0, spread, np.inf)
    rows, peak = np.arange(found.n_units), z[0].argmax(axis=1)
    largest = z[1:].max(axis=2)
    reach = np.quantile(largest, 0.95, axis=0)[:, None] * spread
    top = z[0].max(axis=1)
    table = pd.DataFrame({"unit": rows, "name": found.units["name"].astype(str), "lag": lags[peak], "value": every[0][rows, peak],
                          "p": permutation_p(top, largest),
                          "p_family": permutation_p(top, np.repeat(largest.max(axis=1)[:, None], len(rows), axis=1)), "n": n})  # fmt: skip
    return TriggeredAverage(lags, every[0], centre - reach, centre + reach, table)
