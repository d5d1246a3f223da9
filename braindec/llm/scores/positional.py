"""Positional units: how much of a unit's variance is the position within the context?

Reads "texts", cut into windows of equal length. ``positional`` is the share of variance over tokens that the mean of each
position explains, ``positional_chance`` the mean of that share when every window, as deviations from the unit's mean, has a
random sign, ``positional_p`` the test against those flips, ``positional_q`` its correction over all units,
``positional_peak`` the position whose mean lies farthest from the unit's own. A unit with one value throughout has NaN.
A flip keeps what neighbouring tokens share and how far a unit varies at each position: slow units, and units that vary most
where there is little context, are not called positional. It takes windows as independent and about as often above as
below the mean (a unit that fires a few times in all has a p that is too small); 6 windows are the fewest that reach p = 0.05.
Options: ``n_permutations`` (199).
Source: Voita, Ferrando & Nalmpantis 2023 (Neurons in large language models: dead, n-gram, positional).
Differs from the reference in: variance explained with a test instead of a threshold on mutual information.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._tokens import TokenSample, per_unit
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p

__all__ = ["positional", "position_share"]

_NUMBERS = 4_000_000  # at a time


def position_share(
    values: np.ndarray, *, n_permutations: int = 199, rng: np.random.Generator | int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of variance that position explains, and its null from windows of random sign.

    Parameters
    ----------
    values : array of shape (window, position, unit)
    n_permutations : int
    rng : Generator or int
        Source of chance.

    Returns
    -------
    share : array of shape (unit,)
        NaN where a unit is constant.
    null : array of shape (n_permutations, unit)
    peak : array of int, shape (unit,)
    """
    n, length, n_units = values.shape
    signs = np.random.default_rng(rng).choice((-1.0, 1.0), size=(n_permutations, n))
    share, null, peak = np.empty(n_units), np.empty((n_permutations, n_units)), np.empty(n_units, dtype=int)
    size = max(1, _NUMBERS // (max(n_permutations, n) * length))
    for start in range(0, n_units, size):
        here = slice(start, start + size)
        x = values[:, :, here].astype(float)
        x -= x.mean(axis=(0, 1))
        total = np.square(x).sum(axis=(0, 1))
        total[np.ptp(values[:, :, here], axis=(0, 1)) == 0] = np.nan
        mean = x.mean(axis=0)  # (position, unit)
        share[here] = n * np.square(mean).sum(axis=0) / total
        peak[here] = np.abs(mean).argmax(axis=0)
        flipped = (signs @ x.reshape(n, -1) / n).reshape(n_permutations, length, -1)
        flipped -= flipped.mean(axis=1, keepdims=True)  # windows that are high or low as wholes say nothing of position
        null[:, here] = n * np.square(flipped).sum(axis=1) / total
    return share, null, peak


def _table(probe: Probe) -> pd.DataFrame:
    n_permutations = int(option(probe, "positional", {"n_permutations": 199})["n_permutations"])
    rng = np.random.default_rng([probe.seed, 13])

    def measure(sample: TokenSample, layer: int, site: str, values: np.ndarray) -> Mapping[str, np.ndarray]:
        windows = values.reshape(*sample.tokens.shape, -1)
        share, null, peak = position_share(windows, n_permutations=n_permutations, rng=rng)
        known, p = np.isfinite(share), np.full(len(share), np.nan)
        if known.any():
            p[known] = permutation_p(share[known], null[:, known])
        return {"positional": share, "positional_chance": null.mean(axis=0), "positional_p": p, "positional_peak": peak}

    table = per_unit(probe, measure)
    return table.assign(positional_q=fdr_bh(table["positional_p"].to_numpy()))


positional = UnitScore(
    name="positional", version="1", level="unit", needs=("texts",), function=_table,
    describe="share of variance explained by position in the context", source="Voita et al. 2023",
)  # fmt: skip
