"""N-gram units: how much of a unit's variance is the current token, or the current and the last one?

Reads "texts". Means of each token are learned on one half of the texts and predict the other half, and the other way round;
``ngram`` is the share of variance predicted (R^2, averaged over the halves; chance is 0 or below, so nothing needs to be
corrected), ``ngram_bigram`` what pairs of tokens predict beyond single tokens. ``ngram_types`` is the number of
different tokens that make up 95 % of the unit's activations (values above 0; of units behind a non-linearity only, NaN for products of a gated MLP):
a small number is a detector of a set of tokens. ``ngram_top`` are the tokens with the highest mean. A unit that is
constant in a half has NaN.
Options: ``shrink`` (1: means are those of a token seen n times and the parent mean seen once), ``n_top`` (5).
Source: Voita, Ferrando & Nalmpantis 2023 (Neurons in large language models: dead, n-gram, positional); Gurnee et al. 2024
(Universal neurons in GPT2 language models, reduction in variance).
Differs from the reference in: explained variance is of held-out text; in-sample it rises with the number of token types.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import sparse

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._active import rectified
from braindec.llm.scores._labelled import option
from braindec.llm.scores._tokens import TokenSample, per_unit
from braindec.llm.scores._unembed import token_names

__all__ = ["ngram", "held_out_share"]

_SEEN = 3  # times, for a token to be named


def held_out_share(values: np.ndarray, tokens: np.ndarray, *, shrink: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the held-out variance that tokens explain, and what pairs of tokens add.

    Parameters
    ----------
    values : array of shape (window, position, unit)
    tokens : array of int, shape (window, position)
    shrink : float
        How often the parent mean counts.

    Returns
    -------
    single, pair : array of shape (unit,)
    """
    half = len(tokens) // 2
    current = np.unique(tokens, return_inverse=True)[1].reshape(tokens.shape)
    before = np.concatenate([np.full((len(tokens), 1), -1), current[:, :-1]], axis=1)
    both = np.unique(before * (current.max() + 2) + current, return_inverse=True)[1].reshape(tokens.shape)
    sides = (slice(None, half), slice(half, None))
    found = [_one_way(values, current, both, train, test, shrink) for train, test in (sides, sides[::-1])]
    single, pair = np.mean(found, axis=0)
    return single, pair


def _one_way(
    values: np.ndarray, current: np.ndarray, both: np.ndarray, train: slice, test: slice, shrink: float
) -> tuple[np.ndarray, np.ndarray]:
    n_units = values.shape[2]
    x, y = (values[s].reshape(-1, n_units).astype(float) for s in (train, test))
    base = x.mean(axis=0)
    of_token = _means(
        x,
        current[train].ravel(),
        int(current.max()) + 1,
        np.broadcast_to(base, (int(current.max()) + 1, n_units)),
        shrink,
    )
    parent = np.empty(int(both.max()) + 1, dtype=int)
    parent[both.ravel()] = current.ravel()
    of_pair = _means(x, both[train].ravel(), len(parent), of_token[parent], shrink)
    constant = (np.ptp(x, axis=0) == 0) | (np.ptp(y, axis=0) == 0)
    total = np.where(constant, np.nan, np.square(y - y.mean(axis=0)).sum(axis=0))
    single = 1 - np.square(y - of_token[current[test].ravel()]).sum(axis=0) / total
    pair = 1 - np.square(y - of_pair[both[test].ravel()]).sum(axis=0) / total
    return single, pair - single


def _means(x: np.ndarray, labels: np.ndarray, n: int, parent: np.ndarray, shrink: float) -> np.ndarray:
    """Return means of the rows of each label (n, unit), pulled towards ``parent`` (n, unit)."""
    count = np.bincount(labels, minlength=n)[:, None]
    return (_sums(x, labels, n) + shrink * parent) / np.maximum(count + shrink, 1e-12)


def _sums(x: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    return sparse.csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(n, len(labels))) @ x


def _types(values: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """Return how many labels make up 95 % of the active values of each unit; NaN for a unit that is never active."""
    counts = -np.sort(-_sums((values > 0).astype(float), labels, n), axis=0)
    total = counts.sum(axis=0)
    needed = (np.cumsum(counts, axis=0) < 0.95 * total - 1e-9).sum(axis=0) + 1
    return np.where(total > 0, needed, np.nan)


def _table(probe: Probe) -> pd.DataFrame:
    options = option(probe, "ngram", {"shrink": 1.0, "n_top": 5})
    lm = probe.model

    def measure(sample: TokenSample, layer: int, site: str, values: np.ndarray) -> Mapping[str, object]:
        single, pair = held_out_share(values.reshape(*sample.tokens.shape, -1), sample.tokens, shrink=options["shrink"])
        kinds, labels = np.unique(sample.tokens, return_inverse=True)
        labels = labels.ravel()
        count = np.bincount(labels)
        mean = _sums(values.astype(float), labels, len(kinds)) / count[:, None]
        mean[count < min(_SEEN, count.max())] = -np.inf
        order = np.argsort(-mean, axis=0, kind="stable")[: options["n_top"]]  # (top, unit)
        names = dict(zip(kinds.tolist(), token_names(lm, kinds.tolist()), strict=True))
        top = [" | ".join(names[int(kinds[k])] for k in column) for column in order.T]
        types = (
            _types(values, labels, len(kinds))
            if rectified(probe.model, layer, site)
            else np.full(values.shape[1], np.nan)
        )
        return {"ngram": single, "ngram_bigram": pair, "ngram_types": types, "ngram_top": top}

    return per_unit(probe, measure)


ngram = UnitScore(
    name="ngram", version="1", level="unit", needs=("texts",), function=_table,
    describe="held-out variance explained by the current token", source="Voita et al. 2023; Gurnee et al. 2024",
)  # fmt: skip
