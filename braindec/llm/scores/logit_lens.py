"""Logit lens: what each layer would say the next token is.

Reads "texts". The residual stream after each layer goes through the final norm and the unembedding. ``logit_lens`` is the
cross-entropy of the next token in bits (``logit_lens_low`` and ``logit_lens_high``: 95 % interval over windows of text),
``logit_lens_chance`` that of equal odds, ``logit_lens_unigram`` that of the frequencies of tokens in these texts,
``logit_lens_rank`` the median rank of the next token (1 is first), ``logit_lens_top`` the share of tokens for which it is
first, ``logit_lens_kl`` the divergence in bits from what the last layer says.
Source: nostalgebraist 2020 (Interpreting GPT: the logit lens); Belrose et al. 2023 (arXiv:2303.08112) for the divergence.
Differs from the reference in: nothing is capped or rescaled after the unembedding, also where the model does so.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from scipy import stats

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._tokens import windows_of
from braindec.llm.scores._unembed import lens_logits

__all__ = ["logit_lens"]

SITE = "resid_post"
_LN2 = float(np.log(2.0))


def lens_batches(probe: Probe, tokens: list[list[int]]) -> Iterator[tuple[np.ndarray, dict[int, torch.Tensor]]]:
    """Yield rows of ``tokens`` (all of one length) and, for each layer, its residual stream (batch, position, unit).

    Raises
    ------
    BraindecError
        If the model reads both ways: it then knows the next token.
    """
    from braindec.llm.extract import iterate_activations

    if probe.model.bidirectional:
        raise BraindecError(f"{probe.model.name} reads both ways, so it does not predict the next token",
                            fix="use a causal model for scores of prediction")  # fmt: skip
    layers = range(probe.model.n_layers) if probe.layers is None else sorted({*probe.layers, probe.model.n_layers - 1})
    for batch in iterate_activations(
        probe.model, tokens, sites=(SITE,), layers=list(layers), batch_size=probe.batch_size
    ):
        yield np.asarray(batch.rows), {layer: values for (layer, _), values in batch.values.items()}


def _measures(logits: torch.Tensor, final: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """Return cross-entropy, divergence (bits) and rank of each target, (3, batch, position)."""
    chance = logits.log_softmax(dim=-1)
    own = chance.gather(-1, target[..., None])
    rank = 1 + (chance > own).sum(dim=-1)
    last = final.log_softmax(dim=-1)
    divergence = (last.exp() * (last - chance)).sum(dim=-1)
    return torch.stack([-own[..., 0] / _LN2, divergence / _LN2, rank.to(own.dtype)]).double().numpy(force=True)


def _table(probe: Probe) -> pd.DataFrame:
    lm = probe.model
    tokens = windows_of(probe)
    found: dict[int, np.ndarray] = {}
    for rows, layers in lens_batches(probe, [list(map(int, t)) for t in tokens]):
        target = torch.as_tensor(tokens[rows, 1:])
        final = lens_logits(lm, layers[max(layers)][:, :-1])
        for layer, hidden in layers.items():
            values = _measures(lens_logits(lm, hidden[:, :-1]), final, target.to(final.device))
            found.setdefault(layer, np.empty((3, len(tokens), tokens.shape[1] - 1)))[:, rows] = values
    share = np.unique(tokens[:, 1:], return_counts=True)[1] / tokens[:, 1:].size
    unigram = float(-(share * np.log2(share)).sum())
    n = len(tokens)
    half = {k: stats.t.ppf(0.975, n - 1) * v[0].mean(axis=1).std(ddof=1) / np.sqrt(n) for k, v in found.items()}
    wanted = [layer for layer in sorted(found) if probe.layers is None or layer in probe.layers]
    return pd.DataFrame([{
        "model": lm.name, "layer": layer, "site": SITE, "logit_lens": found[layer][0].mean(),
        "logit_lens_low": found[layer][0].mean() - half[layer], "logit_lens_high": found[layer][0].mean() + half[layer],
        "logit_lens_chance": float(np.log2(lm.vocab_size)), "logit_lens_unigram": unigram,
        "logit_lens_rank": float(np.median(found[layer][2])), "logit_lens_top": float((found[layer][2] == 1).mean()),
        "logit_lens_kl": found[layer][1].mean(),
    } for layer in wanted])  # fmt: skip


logit_lens = UnitScore(
    name="logit_lens", version="1", level="layer", needs=("texts",), function=_table,
    describe="cross-entropy of the next token read from each layer, in bits", source="nostalgebraist 2020; Belrose et al. 2023",
)  # fmt: skip
