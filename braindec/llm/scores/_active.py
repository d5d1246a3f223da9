"""How often units are active (above 0) over the tokens of each language, counted batch by batch.

In a gated MLP the activation of a unit is its gate, after the non-linearity, times another number of either sign: the sign
of the product says nothing. There, a unit of "mlp_act" is active where its gate is above 0, as where LAPE was introduced
(Tang et al. 2024); the non-linearities in use (SiLU, GELU, ReLU) keep the sign, so that "mlp_pre" is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.extract import iterate_activations
from braindec.llm.score import Probe
from braindec.llm.sites import resolve, tap_of, units_of

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["active_counts", "gated", "kth_smallest", "languages_of", "rates", "rectified"]


def active_counts(probe: Probe, languages: Mapping[str, Sequence[str]]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Count tokens at which each unit (its gate, in a gated MLP) is above 0.

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
    read = [(s.layer, "mlp_pre" if s.site == "mlp_act" and gated(probe.model, s.layer) else s.site) for s in slots]
    for layer in {layer for (layer, site), slot in zip(read, slots, strict=True) if site != slot.site}:
        tap_of(probe.model, "mlp_pre", layer)  # explains why it is not there
    sites = tuple(dict.fromkeys(site for _, site in read))
    units = units_of(probe.model, slots)[["model", "layer", "site", "index"]]
    counts = np.zeros((len(units), len(languages)), dtype=np.int64)
    n_tokens = np.zeros(len(languages), dtype=np.int64)
    for k, texts in enumerate(languages.values()):
        for batch in iterate_activations(
            probe.model, list(texts), sites=sites, layers=probe.layers, batch_size=probe.batch_size
        ):
            mask = batch.mask.unsqueeze(-1)
            counts[:, k] += np.concatenate(
                [((batch.values[key] > 0) & mask).sum(dim=(0, 1)).cpu().numpy() for key in read]
            )
            n_tokens[k] += int(batch.mask.sum())
    return units, counts, n_tokens


def gated(lm: LanguageModel, layer: int) -> bool:
    """Whether the MLP of a layer multiplies its activations by another linear map of its input."""
    from braindec.llm.architecture import weight_of

    block = lm.architecture.blocks[layer]
    if block.mlp_gate is not None or block.mlp_up is None or block.mlp_down is None:
        return block.mlp_gate is not None
    return weight_of(block.mlp_up).shape[0] == 2 * weight_of(block.mlp_down).shape[1]  # both maps in one


def rectified(lm: LanguageModel, layer: int, site: str) -> bool:
    """Whether a unit of this site is active where its value is above 0: the product of a gated MLP has no such sign."""
    return site == "mlp_pre" or (site == "mlp_act" and not gated(lm, layer))


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
