"""WindowAttention: a few volumes of a recording to the tokens of a denoiser, by attention over voxels, then over volumes.

It takes the place of a :class:`~braindec.diffusion.conditioner.Conditioner` in a pipeline, so that encoder and denoiser are
trained, saved and opened as one.

Source: Chen, Qing & Zhou 2023 (NeurIPS, MinD-Video, section 3.2: spatial attention in each volume, then temporal attention
over the volumes of a window, tokens of 77 x 768); the body is the masked autoencoder's of Chen et al. 2023 (MinD-Vis: patches of 16
voxels, dim 1024, depth 24, 16 heads, perceptrons as wide as the dim).
Differs from the reference in: not pre-trained on masked recordings of other people; voxels are padded to whole patches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["SIZES", "WindowAttention"]

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"patch": 16, "dim": 64, "depth": 1, "heads": 4, "n_tokens": 8},
    "base": {"patch": 16, "dim": 256, "depth": 6, "heads": 8, "n_tokens": 16},
    "paper": {"patch": 16, "dim": 1024, "depth": 24, "heads": 16, "n_tokens": 77},
}


class WindowAttention(ModelMixin, ConfigMixin):
    """Map windows (batch, voxel * volume) to tokens (batch, n_tokens, width).

    Parameters
    ----------
    n_voxels, n_volumes : int
        Of a window. One volume (betas) makes the attention over volumes trivial.
    width : int
        Of the tokens.
    n_tokens : int
    vector : int, optional
        Length of a vector for the time embedding.
    patch : int
        Neighbouring voxels that are one token inside.
    dim, depth, heads : int
        Of the transformer; its perceptrons are as wide as ``dim``.
    dropout : float
        Of what goes in.
    """

    @register_to_config
    def __init__(
        self, *, n_voxels: int, n_volumes: int, width: int, n_tokens: int = 77, vector: int | None = None, patch: int = 16,
        dim: int = 1024, depth: int = 24, heads: int = 16, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_patches = -(-n_voxels // patch)
        self.input_dropout = nn.Dropout(dropout)
        self.embed = nn.Linear(patch, dim)
        self.place = nn.Parameter(0.02 * torch.randn(1, 1, self.n_patches, dim))
        self.time = nn.Parameter(0.02 * torch.randn(1, n_volumes, 1, dim))
        self.blocks = nn.ModuleList(_Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.to_tokens = nn.Linear(self.n_patches, n_tokens)
        self.to_width = nn.Linear(dim, width)
        self.token_norm = nn.LayerNorm(width)
        self.register_buffer("token_mean", torch.zeros(n_tokens, width))
        self.register_buffer("token_scale", torch.ones(n_tokens, width))
        self.null = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        self.pooled = None if vector is None else nn.Linear(n_tokens * width, vector)
        self.null_vector = None if vector is None else nn.Parameter(torch.zeros(vector))

    def forward(
        self, condition: torch.Tensor, drop: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return tokens (batch, n_tokens, width) and the vector or None; ``drop`` marks rows that get "nothing".

        Parameters
        ----------
        condition : Tensor of shape (batch, n_voxels * n_volumes)
            Voxel by voxel, as ``windows.load(rows).reshape(n, -1)``.
        drop : bool Tensor of shape (batch,), optional
        """
        c = self.config
        if condition.ndim != 2 or condition.shape[1] != c.n_voxels * c.n_volumes:
            raise BraindecError(
                "the windows do not fit the model", found=f"shape {tuple(condition.shape)}",
                allowed=f"(n, {c.n_voxels} voxels * {c.n_volumes} volumes)",
            )  # fmt: skip
        x = self.input_dropout(condition).reshape(-1, c.n_voxels, c.n_volumes).transpose(1, 2)
        x = nn.functional.pad(x, (0, self.n_patches * c.patch - c.n_voxels))
        x = self.embed(x.unflatten(2, (self.n_patches, c.patch))) + self.place + self.time
        for block in self.blocks:
            x = block(x)
        x = self.norm(x).mean(dim=1)  # over volumes -> (batch, patch, dim)
        tokens = self.token_norm(self.to_width(self.to_tokens(x.transpose(1, 2)).transpose(1, 2)))
        tokens = (tokens - self.token_mean) / self.token_scale
        vector = None if self.pooled is None else self.pooled(tokens.flatten(1))
        if drop is not None:
            tokens = torch.where(drop[:, None, None], self.null.to(tokens.dtype), tokens)
            vector = None if vector is None else torch.where(drop[:, None], self.null_vector.to(vector.dtype), vector)
        return tokens, vector

    @torch.no_grad()
    def standardise(self, condition: torch.Tensor, *, block: int = 256) -> None:
        """Give the tokens of these (training) windows mean 0 and variance 1, number by number; later windows get the same map.

        What all windows have in common would else drown what tells them apart.
        """
        self.token_mean.zero_()
        self.token_scale.fill_(1)
        was = self.training
        self.eval()
        tokens = torch.cat([self(part)[0] for part in condition.split(block)])
        self.train(was)
        self.token_mean.copy_(tokens.mean(dim=0))
        self.token_scale.copy_(tokens.std(dim=0).clamp(min=1e-3))

    def nothing(self, n: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return tokens and vector of "nothing" for ``n`` items."""
        vector = None if self.null_vector is None else self.null_vector.expand(n, -1)
        return self.null.expand(n, -1, -1), vector


class _Block(nn.Module):
    """Attention over the patches of a volume, over the volumes of a patch, a perceptron; each added to what it was given."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.over_voxels = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.over_volumes = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, volume, patch, dim)."""
        b, v, p, d = x.shape
        y = self.norms[0](x).reshape(b * v, p, d)
        x = x + self.over_voxels(y, y, y, need_weights=False)[0].reshape(b, v, p, d)
        y = self.norms[1](x).transpose(1, 2).reshape(b * p, v, d)
        x = x + self.over_volumes(y, y, y, need_weights=False)[0].reshape(b, p, v, d).transpose(1, 2)
        return x + self.mlp(self.norms[2](x))
