"""SpikeGPT: a language model whose blocks talk in spikes, with attention that is linear in time.

Embeddings become spikes through a step; each block adds what its two spiking layers send::

    x = x + LIF(mix_in_time(norm(x)))          mix_in_time: spiking RWKV, sigmoid(r) * WKV(k, v)
    x = x + LIF(mix_channels(norm(x)))         mix_channels: sigmoid(r) * V relu(k)^2

Leaky integrate-and-fire neurons run along the tokens (time constant 2, threshold 1, hard reset). The stream between blocks
is a sum of spikes: small whole numbers.

Source: Zhu, Zhao, Li & Eshraghian 2023, SpikeGPT: Generative pre-trained language model with spiking neural networks,
sections 3.2 to 3.5; initial values of RWKV: Peng et al. 2023, appendix.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.networks._lif_function import spike
from braindec.networks.lif_layer import LIF
from braindec.networks.surrogate import resolve
from braindec.networks.token_model import TokenModel, portion, whole
from braindec.networks.weighted_past import weighted_past

__all__ = ["SpikeGPT"]


class SpikeGPT(TokenModel):
    """Spiking RWKV language model.

    Parameters
    ----------
    vocab_size : int
        Number of tokens.
    dim : int
        Width.
    n_layers : int
        Blocks.
    dropout : float
        Dropout of each block's output.
    surrogate : str
        Name of the surrogate gradient of spikes.
    backend : {"auto", "fused", "torch"}
        How scans over time run.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"dim": 96, "n_layers": 2, "dropout": 0.0},
        "base": {"dim": 512, "n_layers": 12},
        "paper": {"dim": 768, "n_layers": 18},
    }

    def __init__(
        self, *, vocab_size: int, dim: int = 768, n_layers: int = 18, dropout: float = 0.03, surrogate: str = "atan",
        backend: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(vocab_size=vocab_size)
        self.dim, self.n_layers = whole("dim", dim, 2), whole("n_layers", n_layers)
        self.embedding = nn.Embedding(vocab_size, dim)
        self.surrogate = resolve(surrogate)
        self.norm_in = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(_Block(dim, i, n_layers, dropout, surrogate, backend) for i in range(n_layers))
        self.norm_out = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, vocab_size, bias=False)
        nn.init.orthogonal_(self.embedding.weight, gain=1e-4)
        nn.init.orthogonal_(self.head.weight, gain=0.5)

    def logits_and_activity(self, tokens: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Tokens (batch, time) -> logits (batch, time, vocab_size), spikes by layer (batch, time, unit)."""
        spikes = {"embedding": spike(self.embedding(tokens), self.surrogate)}
        x = self.norm_in(spikes["embedding"])
        for i, block in enumerate(self.blocks):
            x, spikes[f"time {i}"], spikes[f"channel {i}"] = block(x)
        return self.head(self.norm_out(x)), spikes

    def consumers(self) -> dict[str, int]:
        """By layer: weights of the next mixing that a spike meets (three or five maps of dim, or the vocabulary)."""
        fan = {"embedding": 3 * self.dim}
        for i in range(self.n_layers):
            fan[f"time {i}"] = 5 * self.dim
            fan[f"channel {i}"] = 3 * self.dim if i < self.n_layers - 1 else self.vocab_size
        return fan


class _Block(nn.Module):
    def __init__(self, dim: int, layer: int, n_layers: int, dropout: float, surrogate: str, backend: str) -> None:
        super().__init__()
        self.norm_time, self.norm_channel = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.time, self.channel = _TimeMix(dim, layer, n_layers, backend), _ChannelMix(dim, layer, n_layers)
        how = {"decay": 0.5, "decay_input": True, "reset": "hard", "surrogate": surrogate, "batch_first": True}
        self.fire_time, self.fire_channel = LIF(**how, backend=backend), LIF(**how, backend=backend)
        self.dropout = nn.Dropout(portion("dropout", dropout))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        a = self.fire_time(self.time(self.norm_time(x))).spikes
        x = x + a
        b = self.fire_channel(self.channel(self.norm_channel(x))).spikes
        return self.dropout(x + b), a, b


class _TimeMix(nn.Module):
    """Spiking RWKV: (batch, time, dim) -> the same shape."""

    def __init__(self, dim: int, layer: int, n_layers: int, backend: str) -> None:
        super().__init__()
        depth, rest = layer / max(n_layers - 1, 1), 1 - layer / n_layers
        place = torch.arange(dim) / (dim - 1)
        zigzag = ((torch.arange(dim) + 1) % 3 - 1) * 0.5
        self.decay = nn.Parameter(-5 + 8 * place ** (0.7 + 1.3 * depth))
        self.bonus = nn.Parameter(math.log(0.3) + zigzag)
        share = (torch.arange(dim) / dim) ** rest
        self.mix_k = nn.Parameter(share.clone())
        self.mix_v = nn.Parameter(share + 0.3 * depth)
        self.mix_r = nn.Parameter((torch.arange(dim) / dim) ** (0.5 * rest))
        self.key, self.value, self.gate, self.out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        nn.init.orthogonal_(self.value.weight)
        for linear in (self.key, self.gate, self.out):
            nn.init.zeros_(linear.weight)
        self.backend = backend

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = _shift(x)
        k = self.key(torch.lerp(before, x, self.mix_k))
        v = self.value(torch.lerp(before, x, self.mix_v))
        r = torch.sigmoid(self.gate(torch.lerp(before, x, self.mix_r)))
        return self.out(r * weighted_past(self.decay, self.bonus, k, v, backend=self.backend))


class _ChannelMix(nn.Module):
    """Gated squared ReLU of four times the width: (batch, time, dim) -> the same shape."""

    def __init__(self, dim: int, layer: int, n_layers: int) -> None:
        super().__init__()
        share = (torch.arange(dim) / dim) ** (1 - layer / n_layers)
        self.mix_k, self.mix_r = nn.Parameter(share.clone()), nn.Parameter(share.clone())
        self.key, self.value = nn.Linear(dim, 4 * dim, bias=False), nn.Linear(4 * dim, dim, bias=False)
        self.gate = nn.Linear(dim, dim, bias=False)
        nn.init.orthogonal_(self.key.weight, gain=2.0)
        for linear in (self.value, self.gate):
            nn.init.zeros_(linear.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = _shift(x)
        k = torch.relu(self.key(torch.lerp(before, x, self.mix_k))) ** 2
        return torch.sigmoid(self.gate(torch.lerp(before, x, self.mix_r))) * self.value(k)


def _shift(x: torch.Tensor) -> torch.Tensor:
    """The token before: (batch, time, dim), zero at the first."""
    return nn.functional.pad(x[:, :-1], (0, 0, 1, 0))
