"""Correlations of spike counts between units: over bins of a recording, or over trials with conditions taken away.

Over trials of one condition they are noise correlations; means and standard deviations are then taken within conditions.
The p-value permutes the trials of each unit within conditions ("exchange"), or turns the sequence of its trials around
("turn"), which keeps slow drifts: two neurons that drift, each by itself, correlate by accident, and exchanged trials take
a fifth to a third of such pairs for correlated.

Source: Cohen & Kohn 2011 (Nature Neuroscience 14:811); Harris 2021 (bioRxiv 2020.11.29.402719) for turning.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError, did_you_mean
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
    found: Aligned, *, by: Labels | None = None, null: str = "exchange", n_permutations: int = 999, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:  # fmt: skip
    """Return correlations of the counts of pairs of units over trials, conditions taken away.

    Parameters
    ----------
    found : Aligned
        Trials; counts in their whole window are taken.
    by : str or sequence, optional
        Condition of each trial.
    null : {"exchange", "turn"}
        Trials permuted within conditions, or the sequence of trials (in order of onset) turned around by another number of
        trials for each unit; turning needs two trials a unit or more, and some fifty to say much.
    n_permutations : int
        How often.
    level : float
        Coverage wanted, for trials that do not depend on one another.
    seed : int
        Source of chance.

    Returns
    -------
    DataFrame
        first, second (names), value, low, high (Fisher's z), p (two-sided), p_family (largest over pairs), q, n (trials). Units whose counts do not
        vary are left out.
    """
    if null not in ("exchange", "turn"):
        raise BraindecError(
            f"unknown null {null!r}{did_you_mean(str(null), ('exchange', 'turn'))}", allowed="exchange, turn"
        )
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
    if null == "turn" and found.n_trials < 2 * len(units):
        raise BraindecError("turning needs two trials for each unit or more", found=f"{found.n_trials} trials, {len(units)} units",
                            fix="fewer units, or null='exchange'")  # fmt: skip
    if len(units) < 2:
        raise BraindecError("noise correlations need 2 units whose counts vary", found=f"{len(units)}")
    z = counts[:, units] / np.sqrt((counts[:, units] ** 2).sum(axis=0))
    pairs = np.array(list(combinations(range(len(units)), 2)))
    rng = np.random.default_rng(seed)
    drawn = np.empty((whole(n_permutations, "n_permutations", least=19), len(pairs)))
    in_time = np.argsort(found.trials["onset"].to_numpy(), kind="stable")
    for r in range(n_permutations):
        if null == "turn":
            by_how_much = rng.permutation(len(z))[: len(units)]  # each another one
            moved = np.stack([np.roll(z[in_time, u], k) for u, k in enumerate(by_how_much)], axis=1)
        else:
            moved = np.stack([permute_within(z[:, u], code, rng) for u in range(len(units))], axis=1)
        drawn[r] = (moved.T @ moved)[pairs[:, 0], pairs[:, 1]]
    value = np.clip((z.T @ z)[pairs[:, 0], pairs[:, 1]], -1.0, 1.0)
    p = np.asarray(permutation_p(np.abs(value), np.abs(drawn)))
    free = found.n_trials - len(np.unique(code)) - 2
    half = stats.norm.ppf((1 + level) / 2) / np.sqrt(free) if free > 0 else np.inf
    middle = np.arctanh(np.clip(value, -1 + 1e-12, 1 - 1e-12))
    names = found.units["name"].astype(str).to_numpy()[units]
    return pd.DataFrame({"first": names[pairs[:, 0]], "second": names[pairs[:, 1]], "value": value, "low": np.tanh(middle - half), "high": np.tanh(middle + half), "p": p,
                         "p_family": max_statistic(value, drawn, two_sided=True).p, "q": fdr_bh(p), "n": found.n_trials})  # fmt: skip
