"""Scores of language networks: bits of each document, what a model saves against another, events by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks.token_model import TokenModel
from braindec.stats.bootstrap import interval_of

__all__ = ["NextToken", "saved_bits", "spikes_of", "surprisals", "to_tensors"]

VERSION = "1"


class NextToken(nn.Module):
    """Cross-entropy of the next token in nats; targets of -1 do not count."""

    def forward(self, logits: torch.Tensor, targets: torch.Tensor, **context: Any) -> torch.Tensor:
        """Logits (batch, time, vocab_size) and targets (batch, time) -> mean."""
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def to_tensors(tokens: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of tokens (n, time + 1), -1 behind the end -> what is read (n, time) and what comes next (n, time)."""
    rows = torch.from_numpy(np.ascontiguousarray(tokens))
    return rows[:, :-1].clamp(min=0), rows[:, 1:].clone()


@torch.no_grad()
def surprisals(model: TokenModel, tokens: np.ndarray, *, batch_size: int = 64) -> np.ndarray:
    """Return the surprisal in bits of rows' tokens after the first, shape (n_rows, n_times - 1); NaN behind the end."""
    found = []
    for first in range(0, len(tokens), batch_size):
        x, y = to_tensors(tokens[first : first + batch_size])
        loss = nn.functional.cross_entropy(model(x).transpose(1, 2), y.clamp(min=0), reduction="none")
        found.append(torch.where(y >= 0, loss / np.log(2.0), torch.nan).numpy())
    return np.concatenate(found)


def saved_bits(
    models: Mapping[str, np.ndarray], base: np.ndarray, document: np.ndarray, *, n_permutations: int, seed: int
) -> pd.DataFrame:
    """Return the bits a token that models save against a base model, with intervals and p over documents.

    Parameters
    ----------
    models : mapping of str to array
        Row name -> surprisals (n_chunks, time).
    base : array of shape (n_chunks, time)
        Surprisals of the base model.
    document : array of int, shape (n_chunks,)
        Documents are the units: of the bootstrap, and of sign flips, which hold if savings are symmetric about zero when
        there is nothing to gain.
    n_permutations : int
        Sign flips.
    seed : int

    Returns
    -------
    DataFrame
        Columns metric, version, row, value, chance, low, high, p, n (documents), note.

    Raises
    ------
    BraindecError
        If a model has no finite surprisal where the base model has one.
    """
    known = np.isfinite(base)
    for name, bits in models.items():
        if bits.shape != base.shape or not np.isfinite(bits[known]).all():
            raise BraindecError(f"surprisals of {name!r} do not cover those of the base model",
                                found=f"shape {bits.shape}, {int((~np.isfinite(bits)).sum())} not finite",
                                allowed=f"shape {base.shape}, {int((~known).sum())} not finite",
                                fix="a network that gives NaN ran away in training: lower the learning rate")  # fmt: skip
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=(n_permutations, int(document.max()) + 1))
    n_tokens = np.bincount(document, known.sum(axis=1))
    drawn = rng.multinomial(len(n_tokens), np.full(len(n_tokens), 1 / len(n_tokens)), size=2000)
    rows = []
    for name, bits in models.items():
        gain = np.bincount(document, np.where(known, base - bits, 0.0).sum(axis=1))
        value = gain.sum() / n_tokens.sum()
        low, high = interval_of((drawn @ gain) / (drawn @ n_tokens), n_units=len(gain))
        null = signs @ gain
        p = (1 + (null >= gain.sum() - 1e-9).sum()) / (1 + n_permutations)
        total = bits[known].sum() / n_tokens.sum()
        rows.append(
            {"metric": "bits_saved", "version": VERSION, "row": name, "value": value, "chance": 0.0, "low": low,
             "high": high, "p": p, "n": len(gain), "note": f"{total:.3f} bits a byte"}
        )  # fmt: skip
    return pd.DataFrame(rows)


@torch.no_grad()
def spikes_of(
    model: TokenModel, tokens: torch.Tensor, *, n_units: int = 40
) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
    """Return when units of each layer send something while the model reads one row of tokens.

    Returns
    -------
    position, unit : arrays of int, shape (n_events,)
        Token and row of the unit.
    layers : list of str
        Layer of each unit; at most ``n_units`` evenly spaced ones of each layer.
    """
    _, events = model.logits_and_activity(tokens[None])
    position, unit, layers = [], [], []
    for layer, sent in events.items():
        pick = np.unique(np.linspace(0, sent.shape[-1] - 1, min(n_units, sent.shape[-1])).round().astype(int))
        at, which = np.nonzero(sent[0, :, pick].numpy())
        position.append(at)
        unit.append(which + len(layers))
        layers += [layer] * len(pick)
    return np.concatenate(position), np.concatenate(unit), layers
