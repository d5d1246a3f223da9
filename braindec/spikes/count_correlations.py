"""Correlations of spike counts between units: over bins of a recording, or over trials with conditions taken away.

Over trials of one condition they are noise correlations; means and standard deviations are then taken within conditions,
and the p-value permutes the trials of one unit within conditions.

Source: Cohen & Kohn 2011 (Nature Neuroscience 14:811).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes._observed import TIE, checked_spikes
from braindec.spikes.aligned import Aligned, Labels
from braindec.spikes.variability import _in_windows, windows_of
from braindec.stats.asked import whole
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import max_statistic, permutation_p, permute_within
from braindec.types import Spikes

__all__ = ["count_correlations", "noise_correlations"]


def count_correlations(spikes: Spikes, *, width: float) -> np.ndarray:
    """Return Pearson correlations of counts in bins of ``width`` s that fit the support, shape (n_units, n_units).

    A unit whose counts do not vary has NaN. There is no p-value: neighbouring bins are not independent; synchrony has one
    (:func:`braindec.spikes.correlograms.correlogram_significance`), and so have trials (:func:`noise_correlations`).
    """
    checked_spikes(spikes, "count_correlations")
    counts = _in_windows(spikes, windows_of(spikes, window=width)).astype(float)
    if counts.shape[1] < 2:
        raise BraindecError("correlations need 2 bins or more", found=f"{counts.shape[1]}")
    centred = counts - counts.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=1))
    size[size <= TIE] = np.nan
    return np.clip((centred @ centred.T) / np.outer(size, size), -1, 1)


def noise_correlations(
    found: Aligned, *, by: Labels | None = None, n_permutations: int = 999, seed: int = 0
) -> pd.DataFrame:
    """Return correlations of the counts of pairs of units over trials, conditions taken away.

    Parameters
    ----------
    found : Aligned
        Trials; counts in their whole window are taken.
    by : str or sequence, optional
        Condition of each trial.
    n_permutations : int
        Permutations of trials within conditions, for each unit by itself.
    seed : int
        Source of chance.

    Returns
    -------
    DataFrame
        first, second (names), value, p (two-sided), p_family (largest over pairs), q, n (trials). Units whose counts do not
        vary are left out.
    """
    if found.n_trials < 5:
        raise BraindecError("noise correlations need 5 trials or more", found=f"{found.n_trials}")
    counts = found.counts()[:, :, 0].astype(float)
    code = (
        np.zeros(found.n_trials, int) if by is None else np.unique(found.column(by).astype(str), return_inverse=True)[1]
    )
    for k in range(code.max() + 1):
        mine = counts[code == k]
        spread = mine.std(axis=0)
        counts[code == k] = np.divide(mine - mine.mean(axis=0), spread, out=np.zeros_like(mine), where=spread > 0)
    units = np.flatnonzero(counts.std(axis=0) > 0)
    if len(units) < 2:
        raise BraindecError("noise correlations need 2 units whose counts vary", found=f"{len(units)}")
    z = counts[:, units] / np.sqrt((counts[:, units] ** 2).sum(axis=0))
    pairs = np.array(list(combinations(range(len(units)), 2)))
    rng = np.random.default_rng(seed)
    null = np.empty((whole(n_permutations, "n_permutations", least=19), len(pairs)))
    for r in range(n_permutations):
        moved = np.stack([permute_within(z[:, u], code, rng) for u in range(len(units))], axis=1)
        null[r] = (moved.T @ moved)[pairs[:, 0], pairs[:, 1]]
    value = (z.T @ z)[pairs[:, 0], pairs[:, 1]]
    p = np.asarray(permutation_p(np.abs(value), np.abs(null)))
    names = found.units["name"].astype(str).to_numpy()[units]
    return pd.DataFrame({"first": names[pairs[:, 0]], "second": names[pairs[:, 1]], "value": value, "p": p,
                         "p_family": max_statistic(value, null, two_sided=True).p, "q": fdr_bh(p), "n": found.n_trials})  # fmt: skip
