"""Copying heads: does a head that looks at a token raise the logit of that token?

Reads no stimuli. Each of ``n_tokens`` random tokens is said four times in a row, so that wherever the head looks it
looks at that token; what it writes at the last one is turned into logits of the same ``n_tokens`` tokens, a matrix (said,
logit). ``copying`` is 2 x (share of tokens with a lower logit than the one that was said) - 1 on average: 1 copies, 0 is
chance, -1 suppresses what it sees. Means of rows and columns are taken off first: a head may favour some tokens whatever it
reads. ``copying_z`` is how far what a head writes is aligned with the tokens it saw, against rotations of what it writes
by all orthogonal matrices (mean 0, variance 1); ``copying_p`` is for more than that, ``copying_p_below`` for less,
``copying_q`` the first corrected over heads. A head of random weights raises or lowers the tokens that it sees a little,
reliably so over tokens: a permutation of tokens calls 15 % of untrained heads copying at 5 %, rotations 5 %.
Options: ``n_tokens`` (128).
Source: Elhage et al. 2021 (OV circuit); Wang et al. 2023 (ICLR, Interpretability in the wild, appendix on name movers).
Differs from the reference in: the circuit is run rather than multiplied out, so grouped heads, rotary positions, biases
and what the layers below do to a token are all in it; ranks instead of eigenvalues, so there is a chance level and a
test.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy import stats

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._repeats import head_layers, plain_tokens
from braindec.llm.scores._unembed import unembedding_of
from braindec.stats.fdr import fdr_bh

__all__ = ["copying", "alignment", "copying_of_logits"]

_SAID = 4


def copying_of_logits(logits: np.ndarray) -> float:
    """Return the copying score of a matrix of logits, -1 to 1.

    Parameters
    ----------
    logits : array of shape (n, n)
        Row: the token that was said; column: the token whose logit it is, in the same order.

    Raises
    ------
    BraindecError
        If the matrix is not square.
    """
    logits = np.asarray(logits, dtype=float)
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1] or len(logits) < 2:
        raise BraindecError("copying needs a square matrix of logits (said, token)", found=f"shape {logits.shape}")
    n, scale = len(logits), np.abs(logits).max()
    logits = logits - logits.mean(axis=0) - logits.mean(axis=1, keepdims=True) + logits.mean()
    if not np.abs(logits).max() > 1e-9 * scale:
        return 0.0  # the head writes the same whatever it reads
    order = np.argsort(np.argsort(logits, axis=1, kind="stable"), axis=1, kind="stable")
    return float(2 * np.trace(order) / (n * (n - 1)) - 1)


def alignment(written: np.ndarray, read: np.ndarray) -> float:
    """Return how far what is written agrees with what is read, in standard deviations over all rotations.

    Parameters
    ----------
    written, read : array of shape (n_tokens, n_units)
        What a head writes for each token, and the directions from which the logits of the same tokens are read.

    Returns
    -------
    float
        ``trace(C) sqrt(n_units) / |C|`` with ``C = written' read``, both centred: for a random orthogonal Q the inner product
        of Q and C has mean 0 and variance ``|C|^2 / n_units``, nearly normal. 0 when nothing is written.
    """
    written, read = (np.asarray(x, dtype=float) - np.mean(x, axis=0, dtype=float) for x in (written, read))
    product = written.T @ read  # (unit, unit)
    size = np.linalg.norm(product)
    if not size > 1e-12 * np.linalg.norm(read) * max(np.abs(written).max(), 1e-30):
        return 0.0
    return float(np.trace(product) * np.sqrt(len(product)) / size)


def _table(probe: Probe) -> pd.DataFrame:
    from braindec.llm.architecture import weight_of
    from braindec.llm.extract import iterate_activations

    options = option(probe, "copying", {"n_tokens": 128})
    layers = head_layers(probe, "head_out")
    lm, rng = probe.model, np.random.default_rng([probe.seed, 12])
    tokens = plain_tokens(lm)
    tokens = np.sort(rng.choice(tokens, min(options["n_tokens"], len(tokens)), replace=False))
    read = unembedding_of(lm)[torch.as_tensor(tokens)].numpy(force=True)  # (token, unit)
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
        projection = weight_of(block.attn_out_proj).detach().float().cpu()  # (unit, head x dim)
        values = torch.cat(kept[layer])[torch.as_tensor(order)]
        parts = zip(values.chunk(block.n_heads, 1), projection.chunk(block.n_heads, 1), strict=True)
        for head, (value, weight) in enumerate(parts):
            written = (value @ weight.T).numpy()  # (said, unit)
            found.append((lm.name, layer, head, copying_of_logits(written @ read.T), alignment(written, read)))
    table = pd.DataFrame(found, columns=["model", "layer", "head", "copying", "copying_z"])
    p = stats.norm.sf(table["copying_z"])
    below = stats.norm.cdf(table["copying_z"])
    return table.assign(copying_p=p, copying_p_below=below, copying_q=fdr_bh(p), copying_chance=0.0)


copying = UnitScore(
    name="copying", version="1", level="head", needs=(), function=_table,
    describe="whether a head raises the logit of the token that it looks at", source="Elhage et al. 2021; Wang et al. 2023",
)  # fmt: skip
