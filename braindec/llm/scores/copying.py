"""Copying heads: does a head that looks at a token raise the logit of that token?

Reads no stimuli. Each of ``n_tokens`` random tokens is said four times in a row, so that wherever the head looks it
looks at that token; what it writes at the last one is turned into logits of the same ``n_tokens`` tokens, a matrix (said,
logit). ``copying`` is 2 x (share of tokens with a lower logit than the one that was said) - 1 on average: 1 copies, 0 is
chance, -1 suppresses what it sees. Means of rows and columns are taken off first: a head may favour some tokens whatever it
reads. ``copying_p`` is for more than chance and ``copying_p_below`` for less, from permutations of which token was said.
Options: ``n_tokens`` (128), ``n_permutations`` (999).
Source: Elhage et al. 2021 (OV circuit); Wang et al. 2023 (ICLR, Interpretability in the wild, appendix on name movers).
Differs from the reference in: the circuit is run rather than multiplied out, so grouped heads, rotary positions, biases
and what the layers below do to a token are all in it; ranks instead of eigenvalues, so there is a chance level and a
test.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._repeats import head_layers, plain_tokens
from braindec.llm.scores._unembed import unembedding_of
from braindec.stats.fdr import fdr_bh

__all__ = ["copying", "copying_of_logits"]

_SAID = 4


def copying_of_logits(
    logits: np.ndarray, *, n_permutations: int = 999, rng: np.random.Generator | int = 0
) -> tuple[float, float, float]:
    """Return the copying score of a matrix of logits, and p for more and for less than chance.

    Parameters
    ----------
    logits : array of shape (n, n)
        Row: the token that was said; column: the token whose logit it is, in the same order.
    n_permutations : int
        Of which row belongs to which column.
    rng : Generator or int
        Source of chance.

    Raises
    ------
    BraindecError
        If the matrix is not square.
    """
    logits = np.asarray(logits, dtype=float)
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1] or len(logits) < 2:
        raise BraindecError("copying needs a square matrix of logits (said, token)", found=f"shape {logits.shape}")
    n = len(logits)
    scale = np.abs(logits).max()
    logits = logits - logits.mean(axis=0) - logits.mean(axis=1, keepdims=True) + logits.mean()
    if not np.abs(logits).max() > 1e-9 * scale:
        return 0.0, 1.0, 1.0  # the head writes the same whatever it reads
    order = np.argsort(np.argsort(logits, axis=1, kind="stable"), axis=1, kind="stable")
    share = 2 * order / (n - 1) - 1  # (said, token): -1 the lowest logit of the row, 1 the highest
    observed = float(np.trace(share) / n)
    rng = np.random.default_rng(rng)
    columns = np.argsort(rng.random((n_permutations, n)), axis=1)
    null = share[np.arange(n), columns].mean(axis=1)
    above = (1 + np.sum(null >= observed - 1e-12)) / (1 + n_permutations)
    below = (1 + np.sum(null <= observed + 1e-12)) / (1 + n_permutations)
    return observed, float(above), float(below)


def _table(probe: Probe) -> pd.DataFrame:
    from braindec.llm.architecture import weight_of
    from braindec.llm.extract import iterate_activations

    options = option(probe, "copying", {"n_tokens": 128, "n_permutations": 999})
    layers = head_layers(probe, "head_out")
    lm, rng = probe.model, np.random.default_rng([probe.seed, 12])
    tokens = plain_tokens(lm)
    tokens = np.sort(rng.choice(tokens, min(options["n_tokens"], len(tokens)), replace=False))
    columns = unembedding_of(lm)[torch.as_tensor(tokens)]  # (token, unit)
    rows: list[np.ndarray] = []
    kept: dict[int, list[torch.Tensor]] = {}
    for batch in iterate_activations(lm, [[int(t)] * _SAID for t in tokens], sites=("head_out",), layers=layers,
                                     batch_size=probe.batch_size):  # fmt: skip
        rows.append(np.asarray(batch.rows))
        for (layer, _), values in batch.values.items():
            kept.setdefault(layer, []).append(values[:, -1].float().cpu())
    order = np.argsort(np.concatenate(rows))
    found = []
    for layer in sorted(kept):
        block = lm.architecture.blocks[layer]
        written = weight_of(block.attn_out_proj).detach().float()  # (unit, head x dim)
        values = torch.cat(kept[layer])[torch.as_tensor(order)]
        reads = columns @ written.to(columns)  # (token, head x dim)
        for head, (v, r) in enumerate(zip(values.chunk(block.n_heads, 1), reads.chunk(block.n_heads, 1), strict=True)):
            logits = (v.to(r) @ r.T).numpy(force=True)
            found.append(
                (lm.name, layer, head, *copying_of_logits(logits, n_permutations=options["n_permutations"], rng=rng))
            )
    table = pd.DataFrame(found, columns=["model", "layer", "head", "copying", "copying_p", "copying_p_below"])
    return table.assign(copying_q=fdr_bh(table["copying_p"].to_numpy()), copying_chance=0.0)


copying = UnitScore(
    name="copying", version="1", level="head", needs=(), function=_table,
    describe="whether a head raises the logit of the token that it looks at", source="Elhage et al. 2021; Wang et al. 2023",
)  # fmt: skip
