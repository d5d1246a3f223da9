"""Responses to sentences in tables and assemblies: features of words that belong to sentences, and channels that follow them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindec.loaders._twin_bold import BandOf, Planted, band_rows, independent_features, plant, units_of
from braindec.types import Features

__all__ = ["BANDS", "grouped_features", "respond", "sentence_features"]

BANDS = (BandOf("surface", 4, 0.0), BandOf("semantic", 8, 0.0), BandOf("order", 2, 0.0, follows="surface"))
_SHARED = 0.6  # of the variance of features: what the items of a group (sentence, story) share
_GROUP_NOISE = 1 / 3


def grouped_features(groups: np.ndarray, rng: np.random.Generator, bands: Sequence[BandOf] = BANDS) -> np.ndarray:
    """Return standardised features whose rows of one group resemble each other, shape (n_items, n_columns)."""
    shared = independent_features(int(groups.max()) + 1, bands, rng)[groups]
    values = np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * independent_features(len(groups), bands, rng)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def sentence_features(values: np.ndarray, stimulus_ids: Sequence[str], bands: Sequence[BandOf] = BANDS) -> Features:
    """Return the features as a file of them is kept beside a twin."""
    return Features(values.astype(np.float32), pd.DataFrame({"stimulus_id": list(stimulus_ids)}), units_of(bands), {})


def respond(
    values: np.ndarray, groups: np.ndarray, shares: Mapping[str, np.ndarray], rng: np.random.Generator, bands: Sequence[BandOf] = BANDS
) -> tuple[np.ndarray, Planted]:  # fmt: skip
    """Return responses of unit variance (n_items, n_channels), a third of whose noise a group shares, and what was planted."""
    planted = plant(values, band_rows(bands), shares, rng)
    n_channels = len(planted.noise)
    shared = rng.standard_normal((int(groups.max()) + 1, n_channels))[groups]
    own = rng.standard_normal((len(groups), n_channels))
    noise = np.sqrt(_GROUP_NOISE) * shared + np.sqrt(1 - _GROUP_NOISE) * own
    return (values @ planted.weights + planted.noise * noise).astype(np.float32), planted
