"""How often units are active (above 0) over the tokens of each language, counted batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.extract import iterate_activations
from braindec.llm.score import Probe
from braindec.llm.sites import resolve, units_of

__all__ = ["active_counts", "kth_smallest", "languages_of", "rates"]


def active_counts(probe: Probe, languages: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Count tokens at which each unit is above 0.

    Returns
    -------
    units : DataFrame
        model, layer, site, index.
    over_zero : array of int, shape (n_units, n_languages)
    n_tokens : array of int, shape (n_languages,)
    """
    key = ("active", tuple(probe.sites), None if probe.layers is None else tuple(probe.layers), tuple((k, tuple(v)) for k, v in languages.items()))  # fmt: skip
    return probe.once(key, lambda: _count(probe, languages))


def _count(probe: Probe, languages: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    slots = resolve(probe.model, tuple(probe.sites), probe.layers)
    units = units_of(probe.model, slots)[["model", "layer", "site", "index"]]
    counts = np.zeros((len(units), len(languages)), dtype=np.int64)
    n_tokens = np.zeros(len(languages), dtype=np.int64)
    for k, texts in enumerate(languages.values()):
        for batch in iterate_activations(
            probe.model, list(texts), sites=tuple(probe.sites), layers=probe.layers, batch_size=probe.batch_size
        ):
            mask = batch.mask.unsqueeze(-1)
            counts[:, k] += np.concatenate(
                [((batch.values[s.key] > 0) & mask).sum(dim=(0, 1)).cpu().numpy() for s in slots]
            )
            n_tokens[k] += int(batch.mask.sum())
    return units, counts, n_tokens


def languages_of(stimuli: Any) -> dict[str, list[str]]:
    """Check texts by language.

    Raises
    ------
    BraindecError
        If there are fewer than 2 languages or one has no texts.
    """
    if (
        not isinstance(stimuli, Mapping)
        or len(stimuli) < 2
        or any(isinstance(v, str) or not len(v) for v in stimuli.values())
    ):
        raise BraindecError("languages are a mapping of at least 2 names to lists of texts",
                            found=f"{type(stimuli).__name__} of {len(stimuli) if hasattr(stimuli, '__len__') else 0}")  # fmt: skip
    return {str(k): list(v) for k, v in stimuli.items()}


def rates(over_zero: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """Share of tokens at which each unit is active, (n_units, n_languages).

    Raises
    ------
    BraindecError
        If shapes do not fit, a language has no tokens, or counts exceed them.
    """
    over_zero, n_tokens = np.asarray(over_zero), np.asarray(n_tokens)
    if over_zero.ndim != 2 or n_tokens.shape != over_zero.shape[1:] or over_zero.shape[1] < 2:
        raise BraindecError("counts are (unit, language) with one number of tokens a language, 2 languages or more",
                            found=f"{over_zero.shape} and {n_tokens.shape}")  # fmt: skip
    if (n_tokens < 1).any() or (over_zero < 0).any() or (over_zero > n_tokens).any():
        raise BraindecError("counts of active tokens lie between 0 and the tokens of the language",
                            found=f"{over_zero.min()} to {over_zero.max()}, tokens {n_tokens.tolist()}")  # fmt: skip
    return over_zero / n_tokens


def kth_smallest(values: np.ndarray, share: float) -> float:
    """The value at the place ``round(share * n)`` of all values in rising order, counted from 1."""
    flat = np.asarray(values).reshape(-1)
    k = min(max(round(share * flat.size), 1), flat.size) - 1
    return float(np.partition(flat, k)[k])


def entropy_of(p: np.ndarray) -> np.ndarray:
    """Entropy (nats) of each row of rates made to add up to 1; NaN where all are 0."""
    total = p.sum(axis=1)
    share = np.divide(p, total[:, None], out=np.zeros_like(p), where=total[:, None] > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.where(total > 0, -(share * logs).sum(axis=1), np.nan) + 0.0
