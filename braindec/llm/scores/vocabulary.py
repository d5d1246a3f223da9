"""Neurons read through the unembedding: which tokens a neuron writes for, and how its logits are distributed.

Reads no stimuli, only weights: the logits that one unit of activation adds, ``W_U . w_out``, with the final norm folded
in. ``vocabulary`` is the kurtosis of these logits over the vocabulary (3 for a normal distribution),
``vocabulary_variance`` and ``vocabulary_skew`` the other moments, ``vocabulary_norm`` the length of ``w_out``,
``vocabulary_cosine`` the cosine between it and the input weights, ``vocabulary_top`` and ``vocabulary_bottom`` the
tokens that gain and lose most, with ``vocabulary_token`` the number of the first.
``vocabulary_kind``: "prediction" (kurtosis > 10, skew > 0: it speaks for a few tokens), "suppression" (kurtosis > 10,
skew < 0), "partition" (not heavy-tailed, but variance far above the layer's: it parts the vocabulary), "entropy"
(weights among the longest of the layer with a variance of logits among the smallest: it acts on the norm), "other".
Options: ``top`` (5 tokens), ``max_bytes`` of one chunk of logits.
Source: Gurnee et al. 2024 (Universal neurons in GPT2 language models, sections 4 and 5); Geva et al. 2022
(EMNLP, Transformer feed-forward layers build predictions); Stolfo et al. 2024 (NeurIPS, Confidence regulation neurons).
Differs from the reference in: "far above" and "among the smallest" are robust z-scores within a layer (3 median absolute
deviations of log variance; 2 for entropy neurons, on both sides), because the papers choose by eye.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._unembed import token_names, unembedding_of

__all__ = ["vocabulary", "logit_moments", "neuron_kinds", "same_top_token"]

HEAVY = 10.0
_MAX_BYTES = 64_000_000


def logit_moments(
    directions: torch.Tensor, unembedding: torch.Tensor, *, top: int = 5, max_bytes: int = _MAX_BYTES
) -> dict[str, np.ndarray]:
    """Return moments and extremes of the logits of directions, in chunks that hold at most ``max_bytes``.

    Parameters
    ----------
    directions : tensor of shape (n, unit)
        Output weights of neurons.
    unembedding : tensor of shape (token, unit)
    top : int
        Tokens kept at either end.
    max_bytes : int
        Of the logits of one chunk.

    Returns
    -------
    dict
        variance, skew, kurtosis (n,): population moments, NaN where the logits are constant; top, bottom (n, top):
        token numbers, strongest first.
    """
    n, n_tokens = len(directions), len(unembedding)
    top = min(top, n_tokens)
    size = max(1, max_bytes // (8 * n_tokens))
    out: dict[str, list[np.ndarray]] = {k: [] for k in ("variance", "skew", "kurtosis", "top", "bottom")}
    for start in range(0, n, size):
        logits = (directions[start : start + size].to(unembedding) @ unembedding.T).double()  # (chunk, token)
        logits -= logits.mean(dim=1, keepdim=True)
        square = logits.square()
        variance = square.mean(dim=1)
        flat = variance <= 1e-24 * unembedding.double().square().sum(dim=1).mean()
        spread = torch.where(flat, torch.nan, variance)
        out["variance"].append(variance.numpy(force=True))
        out["skew"].append(((square * logits).mean(dim=1) / spread**1.5).numpy(force=True))
        out["kurtosis"].append((square.square_().mean(dim=1) / spread**2).numpy(force=True))
        out["top"].append(logits.topk(top, dim=1).indices.numpy(force=True))
        out["bottom"].append(logits.topk(top, dim=1, largest=False).indices.numpy(force=True))
    return {k: np.concatenate(v) for k, v in out.items()}


def neuron_kinds(kurtosis: np.ndarray, skew: np.ndarray, variance: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """Return "prediction", "suppression", "partition", "entropy" or "other" for each neuron of one layer."""
    kinds = np.full(len(kurtosis), "other", dtype=object)
    spread, length = _robust_z(variance), _robust_z(norm)
    with np.errstate(invalid="ignore"):
        heavy = kurtosis > HEAVY
        kinds[~heavy & (spread > 3.0)] = "partition"
        kinds[(length > 2.0) & (spread < -2.0)] = "entropy"
        kinds[heavy & (skew > 0)] = "prediction"
        kinds[heavy & (skew < 0)] = "suppression"
    return kinds


def same_top_token(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return for each layer the share of neurons whose first token is the same in two models.

    Parameters
    ----------
    a, b : DataFrame
        Tables of the score, of models with the same neurons and tokenizer (a base model and its tuned version).

    Returns
    -------
    DataFrame
        layer, site, share, chance (what neurons paired at random within the layer would share), n.
    """
    keys = ["layer", "site", "index"]
    both = a[[*keys, "vocabulary_token"]].merge(b[[*keys, "vocabulary_token"]], on=keys, suffixes=("_a", "_b"))
    if both.empty:
        raise BraindecError("the two tables share no neurons", found=f"{len(a)} and {len(b)} rows")
    rows = []
    for (layer, site), part in both.groupby(["layer", "site"]):
        first, second = part["vocabulary_token_a"], part["vocabulary_token_b"]
        share_a, share_b = first.value_counts(normalize=True), second.value_counts(normalize=True)
        chance = float((share_a * share_b.reindex(share_a.index, fill_value=0.0)).sum())
        rows.append((layer, site, float((first.to_numpy() == second.to_numpy()).mean()), chance, len(part)))
    return pd.DataFrame(rows, columns=["layer", "site", "share", "chance", "n"])


def _robust_z(values: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(values, np.finfo(float).tiny))
    centre = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - centre))
    return (logs - centre) / spread if spread > 0 else np.zeros_like(logs)


def _directions(probe: Probe) -> Iterator[tuple[int, torch.Tensor, torch.Tensor | None]]:
    """Yield (layer, output weights (neuron, unit), input weights or None) of each MLP."""
    from braindec.llm.architecture import is_linear, weight_of

    blocks = probe.model.architecture.blocks
    for layer in range(len(blocks)) if probe.layers is None else probe.layers:
        down, up = blocks[layer].mlp_down, blocks[layer].mlp_gate or blocks[layer].mlp_up
        if down is not None and is_linear(down):
            given = weight_of(up).detach().float() if up is not None and is_linear(up) else None
            written = weight_of(down).detach().float().T
            yield layer, written, given if given is not None and given.shape == written.shape else None


def _table(probe: Probe) -> pd.DataFrame:
    options = option(probe, "vocabulary", {"top": 5, "max_bytes": _MAX_BYTES})
    lm = probe.model
    unembedding = unembedding_of(lm)
    tables = []
    for layer, written, given in _directions(probe):
        found = logit_moments(written, unembedding, **options)
        norm = written.double().norm(dim=1).numpy(force=True)
        names = {k: [" | ".join(token_names(lm, row)) for row in found[k]] for k in ("top", "bottom")}
        cosine = np.full(len(norm), np.nan)
        if given is not None:
            cosine = torch.nn.functional.cosine_similarity(written, given, dim=1).double().numpy(force=True)
        tables.append(pd.DataFrame({
            "model": lm.name, "layer": layer, "site": "mlp_act", "index": np.arange(len(norm)), "vocabulary": found["kurtosis"],
            "vocabulary_variance": found["variance"], "vocabulary_skew": found["skew"], "vocabulary_norm": norm, "vocabulary_cosine": cosine,
            "vocabulary_token": found["top"][:, 0], "vocabulary_top": names["top"], "vocabulary_bottom": names["bottom"],
            "vocabulary_kind": neuron_kinds(found["kurtosis"], found["skew"], found["variance"], norm),
        }))  # fmt: skip
    if not tables:
        raise BraindecError(
            f"{lm.name} has no MLP whose output weights can be read", fix="leave the score vocabulary out"
        )
    return pd.concat(tables, ignore_index=True)


vocabulary = UnitScore(
    name="vocabulary", version="1", level="unit", needs=(), function=_table,
    describe="kurtosis of the logits that a neuron writes, and its tokens", source="Gurnee et al. 2024",
)  # fmt: skip
