"""A language model of event-based gated recurrent units.

Embedding, three layers of :class:`~braindec.networks.egru.EGRU`, and logits through the embedding itself (tied weights)
from the events of the last layer.

Source: Subramoney et al. 2023 (ICLR), section 4.3 (Penn Treebank: layers of 1350, 1350 and 750 units, embedding 750).
Differs from the reference in: dropout masks are drawn by torch, locked over time as the paper says; whole words of the
embedding are not dropped; optimiser and schedule (Merity et al. 2018) are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks.egru import EGRU
from braindec.networks.token_model import TokenModel, portion, whole

__all__ = ["EGRULanguageModel"]


class EGRULanguageModel(TokenModel):
    """Event-based recurrent language model.

    Parameters
    ----------
    vocab_size : int
        Number of tokens.
    dim : int
        Length of embeddings; the last layer has as many units.
    hidden : sequence of int
        Units of the layers before the last.
    threshold : float
        Mean threshold at the start.
    width : float
        Steepness of the surrogate gradient (3.6 for language in the paper).
    scale : float
        Embeddings start between minus and plus this; small networks learn faster from larger ones.
    drop_embedding, drop_between, drop_connect : float
        Dropout of embeddings and between layers (one mask a sequence), and of recurrent weights.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {
            "dim": 64,
            "hidden": [96],
            "scale": 1.7,
            "drop_embedding": 0.0,
            "drop_between": 0.0,
            "drop_connect": 0.0,
        },
        "base": {"dim": 400, "hidden": [650, 650]},
        "paper": {"dim": 750, "hidden": [1350, 1350]},
    }

    def __init__(
        self, *, vocab_size: int, dim: int = 750, hidden: Sequence[int] = (1350, 1350), threshold: float = 0.01,
        width: float = 3.6, scale: float = 0.1, drop_embedding: float = 0.6, drop_between: float = 0.25, drop_connect: float = 0.7,
    ) -> None:  # fmt: skip
        super().__init__(vocab_size=vocab_size)
        if not isinstance(hidden, Sequence) or isinstance(hidden, str):
            raise BraindecError(
                "hidden lists the units of each layer before the last", found=repr(hidden), allowed="[650, 650]"
            )
        sizes = [whole("dim", dim), *(whole("hidden", n) for n in hidden), whole("dim", dim)]
        self.embedding = nn.Embedding(vocab_size, dim)
        nn.init.uniform_(self.embedding.weight, -scale, scale)
        self.layers = nn.ModuleList(
            EGRU(a, b, threshold=threshold, width=width, drop_connect=drop_connect) for a, b in pairwise(sizes)
        )
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.drop_embedding = portion("drop_embedding", drop_embedding)
        self.drop_between = portion("drop_between", drop_between)

    def logits_and_activity(self, tokens: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Tokens (batch, time) -> logits (batch, time, vocab_size), events by layer (batch, time, unit)."""
        x = self._locked(self.embedding(tokens), self.drop_embedding)
        events = {}
        for i, layer in enumerate(self.layers):
            x, _, _ = layer(x)
            events[f"egru {i}"] = x
            x = self._locked(x, self.drop_between)
        return x @ self.embedding.weight.T + self.bias, events

    def consumers(self) -> dict[str, int]:
        """By layer: weights that an event meets, recurrent and in the layer above."""
        above = [*(layer.kernel.shape[1] for layer in list(self.layers)[1:]), self.vocab_size]
        return {f"egru {i}": 3 * layer.n_units + n for i, (layer, n) in enumerate(zip(self.layers, above))}

    def constrain(self) -> None:
        """Keep thresholds in [0, 1]; the training loop calls it after each step."""
        for layer in self.layers:
            layer.constrain()

    def _locked(self, x: torch.Tensor, share: float) -> torch.Tensor:
        if not self.training or not share:
            return x
        return x * nn.functional.dropout(torch.ones_like(x[:, :1]), share)
