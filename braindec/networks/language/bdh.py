"""BDH, the "baby dragon hatchling": attention over many sparse positive neurons whose state is a matrix of synapses.

Each head has ``n`` neurons. With ``x`` (batch, 1, time, dim) the stream and weights shared by all layers::

    a = relu(x E)                       neurons (batch, head, time, n)
    s_t = sum_{i<t} <rope(a_t), rope(a_i)> x_i       strictly past, no softmax
    b = relu(norm(s) E_v)
    x = norm(x + norm((a * b) D))

As an outer-product memory, ``s_t`` is the synapse matrix ``sum_i a_i x_i`` read by ``a_t``: :meth:`BDH.synapses` gives it.

Source: Kosowski, Uznański, Chorowski, Stamirowska & Bartoszkiewicz 2025, The Dragon Hatchling: The missing link between
the transformer and models of the brain, section 6.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks.token_model import TokenModel, portion, whole

__all__ = ["BDH"]

_THETA = 2.0**16


class BDH(TokenModel):
    """Dragon Hatchling language model.

    Parameters
    ----------
    vocab_size : int
        Number of tokens.
    dim : int
        Width of the stream.
    n_layers : int
        How often the shared layer is applied.
    n_heads : int
        Heads.
    multiplier : int
        Neurons in all heads, in units of ``dim``.
    dropout : float
        Dropout of the products of neurons.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"dim": 48, "n_layers": 3, "n_heads": 2, "multiplier": 8, "dropout": 0.0},
        "base": {"dim": 192, "n_layers": 6, "n_heads": 4, "multiplier": 64},
        "paper": {"dim": 256, "n_layers": 6, "n_heads": 4, "multiplier": 128},
    }

    def __init__(
        self, *, vocab_size: int, dim: int = 256, n_layers: int = 6, n_heads: int = 4, multiplier: int = 128,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__(vocab_size=vocab_size)
        self.dim, self.n_layers, self.n_heads = (
            whole("dim", dim),
            whole("n_layers", n_layers),
            whole("n_heads", n_heads),
        )
        n = whole("multiplier", multiplier) * dim // n_heads
        if n % 2 or n * n_heads != multiplier * dim:
            raise BraindecError(
                "multiplier * dim must give each head an even number of neurons",
                found=f"{multiplier} * {dim} / {n_heads}",
            )
        self.n_neurons = n
        self.embedding = nn.Embedding(vocab_size, dim)
        self.encoder = nn.Parameter(torch.empty(n_heads, dim, n))
        self.encoder_v = nn.Parameter(torch.empty(n_heads, dim, n))
        self.decoder = nn.Parameter(torch.empty(n_heads * n, dim))
        self.head = nn.Parameter(torch.empty(dim, vocab_size))
        for weight in (self.embedding.weight, self.encoder, self.encoder_v, self.decoder, self.head):
            nn.init.normal_(weight, std=0.02)
        self.dropout = nn.Dropout(portion("dropout", dropout))

    def logits_and_activity(self, tokens: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Tokens (batch, time) -> logits (batch, time, vocab_size), positive neurons by layer (batch, time, neuron)."""
        x = self._norm(self.embedding(tokens)[:, None])
        turn = self._turns(tokens.shape[1], x)
        events = {}
        for i in range(self.n_layers):
            x, a, b = self._layer(x, turn)
            events[f"x {i}"], events[f"y {i}"] = (v.transpose(1, 2).flatten(2) for v in (a, b))
        return x[:, 0] @ self.head, events

    def consumers(self) -> dict[str, int]:
        """By layer: ``x`` meets the synapses and the gate (dim each), ``y`` the decoder."""
        return {f"{k} {i}": (2 if k == "x" else 1) * self.dim for i in range(self.n_layers) for k in "xy"}

    @torch.no_grad()
    def synapses(self, tokens: torch.Tensor, layer: int) -> torch.Tensor:
        """Return the synapse state of a layer after all ``tokens``: sum of rope(a_i) x_i, shape (batch, head, neuron, dim).

        Raises
        ------
        BraindecError
            If there is no such layer.
        """
        if isinstance(layer, bool) or layer not in range(self.n_layers):
            raise BraindecError("BDH has no such layer", found=repr(layer), allowed=f"0 to {self.n_layers - 1}")
        x = self._norm(self.embedding(self._checked(tokens))[:, None])
        turn = self._turns(tokens.shape[1], x)
        for _ in range(layer):
            x, _, _ = self._layer(x, turn)
        a = torch.relu(x @ self.encoder)
        return self._rope(a, turn).transpose(2, 3) @ x

    def _layer(
        self, x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        a = torch.relu(x @ self.encoder)  # (batch, head, time, neuron)
        turned = self._rope(a, turn)
        read = (turned @ turned.transpose(2, 3)).tril(diagonal=-1) @ x
        b = torch.relu(self._norm(read) @ self.encoder_v)
        product = self.dropout(a * b).transpose(1, 2).flatten(2)[:, None]  # (batch, 1, time, head * neuron)
        return self._norm(x + self._norm(product @ self.decoder)), a, b

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.layer_norm(x, (self.dim,))

    def _turns(self, n_times: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine of the angle of each position and neuron, neighbours in pairs: (time, neuron)."""
        pair = torch.arange(self.n_neurons, device=like.device) // 2 * 2
        cycles = _THETA ** (-pair.to(like.dtype) / self.n_neurons) / (2 * math.pi)
        phase = torch.arange(n_times, device=like.device, dtype=like.dtype)[:, None] * cycles
        angle = (phase % 1) * (2 * math.pi)
        return angle.cos(), angle.sin()

    @staticmethod
    def _rope(a: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        quarter = torch.stack((-a[..., 1::2], a[..., ::2]), dim=-1).flatten(-2)
        return a * turn[0] + quarter * turn[1]
