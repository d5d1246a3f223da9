"""Positional units: how much of a unit's variance is the position within the context?

Reads "texts", cut into windows of equal length. ``positional`` is the share of variance over tokens that the mean of each
position explains, ``positional_chance`` the mean of that share when every window is turned around by a random number of
tokens, ``positional_p`` the test against those turns, ``positional_q`` its correction over all units,
``positional_peak`` the position whose mean lies farthest from the unit's own. A unit with one value throughout has NaN.
A turn keeps what neighbouring tokens share, so slow units are not called positional.
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

_BLOCK = 512  # units at a time


def position_share(
    values: np.ndarray, *, n_permutations: int = 199, rng: np.random.Generator | int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the share of variance that position explains, and its null from turned windows.

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

    Notes
    -----
    Turning a window multiplies its spectrum by a phase, so the null is one matrix product a frequency.
    """
    n, length, n_units = values.shape
    turns = np.random.default_rng(rng).integers(length, size=(n_permutations, n))
    share, null, peak = np.empty(n_units), np.empty((n_permutations, n_units)), np.empty(n_units, dtype=int)
    frequencies = np.arange(1, length // 2 + 1)
    weight = np.where(2 * frequencies == length, 1.0, 2.0) / length  # both halves of a spectrum, one Nyquist
    for start in range(0, n_units, _BLOCK):
        x = values[:, :, start : start + _BLOCK].astype(float)
        x -= x.mean(axis=(0, 1))
        total = np.square(x).sum(axis=(0, 1))
        constant = np.ptp(values[:, :, start : start + _BLOCK], axis=(0, 1)) == 0
        total[constant] = np.nan
        mean = x.mean(axis=0)  # (position, unit)
        here = slice(start, start + x.shape[2])
        share[here] = n * np.square(mean).sum(axis=0) / total
        peak[here] = np.abs(mean).argmax(axis=0)
        spectrum = np.fft.rfft(x, axis=1)
        between = np.zeros((n_permutations, x.shape[2]))
        for f, w in zip(frequencies, weight, strict=True):
            phase = np.exp(-2j * np.pi * f * turns / length)  # (permutation, window)
            turned = phase @ spectrum[:, f]  # summed over windows
            between += w * (turned.real**2 + turned.imag**2)
        null[:, here] = between / (n * total)
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
