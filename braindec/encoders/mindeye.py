"""MindEye: voxels of one subject through a wide residual perceptron to tokens of an image embedding, and a projector.

Source: Scotti et al. 2023 (NeurIPS), "Reconstructing the mind's eye", section 3.1 and appendix.
Differs from the reference in: no low-level branch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.encoders._subjects import ResidualBlock, TokenProjector, tokens_of

__all__ = ["MindEye"]


class MindEye(Encoder):
    """Linear map, residual blocks, tokens and projector, (batch, voxel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Voxels, samples (1 for betas), and length of the embedding, all tokens together: 257 x 768 in the paper.
    token_dim : int, optional
        Length of a token; an embedding that is shorter is one token.
    width, n_blocks : int
        Of the residual part.
    dropout_first, dropout : float
        After the linear map, and in the blocks.
    projector_width : int
        Of the retrieval projector's hidden layers.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"width": 128, "n_blocks": 1, "projector_width": 128},
        "base": {"width": 1024, "projector_width": 1024, "token_dim": 768},
        "paper": {
            "width": 4096,
            "n_blocks": 4,
            "dropout_first": 0.5,
            "dropout": 0.15,
            "token_dim": 768,
            "projector_width": 2048,
        },
    }

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        token_dim: int | None = None,
        width: int = 4096,
        n_blocks: int = 4,
        dropout_first: float = 0.5,
        dropout: float = 0.15,
        projector_width: int = 2048,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        self.n_tokens, self.token_dim = tokens_of(self.dim, token_dim, "MindEye")
        self.first = nn.Sequential(
            nn.Linear(self.n_chans * self.n_times, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout_first)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width, dropout) for _ in range(n_blocks))
        self.to_tokens = nn.Linear(width, self.dim)
        self.projector = TokenProjector(self.token_dim, projector_width)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, voxel, time) -> embedding for retrieval (batch, dim)."""
        return self.heads(x)["retrieval"].flatten(1)

    def heads(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return ``tokens`` for a diffusion prior and ``retrieval``, both (batch, token, token_dim)."""
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = block(h)
        tokens = self.to_tokens(h).unflatten(1, (self.n_tokens, self.token_dim))
        return {"tokens": tokens, "retrieval": self.projector(tokens)}
