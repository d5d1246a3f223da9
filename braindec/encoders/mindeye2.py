"""MindEye2: one linear map a subject into a shared space, a residual mixer that all subjects share, tokens and a projector.

Source: Scotti et al. 2024 (ICML), "MindEye2: Shared-subject models enable fMRI-to-image with 1 hour of data", section 3;
blocks and projector as in Scotti et al. 2023 (NeurIPS, MindEye).
Differs from the reference in: subjects with different voxels may share a batch (the reference runs them one by one); no
low-level ("blurry image") branch; the projector's width and the size of the first weights are settings.
With one token inside (``n_mixed = 1``, as published) the second mixer sees one number and can only add a constant.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._subjects import SubjectEncoder, TokenProjector, by_subject, tokens_of

__all__ = ["MindEye2"]


class MindEye2(SubjectEncoder):
    """Subject maps, mixer backbone, and retrieval projector, (batch, voxel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans : int, list of int, or dict of name to int
        Voxels of each subject.
    n_times : int
        1 for single-trial betas.
    dim : int
        Length of the stimulus embedding, all tokens together: 256 x 1664 in the paper.
    token_dim : int, optional
        Length of a token; an embedding that is shorter is one token.
    width : int
        Of the shared space.
    first_scale : float
        Size of a subject map's first weights, in units of the usual ones. Small ones keep directions that the training
        trials do not show from adding noise, which decides when trials are fewer than voxels.
    n_mixed : int
        Vectors of that width inside the backbone.
    n_blocks : int
    dropout : float
        In the blocks.
    projector_width : int
        Of the retrieval projector's hidden layers.
    """

    OWN: ClassVar[tuple[str, ...]] = ("adapters",)
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"width": 128, "first_scale": 0.05, "n_blocks": 1, "projector_width": 128, "dropout": 0.15},
        "base": {"width": 1024, "first_scale": 0.05, "n_blocks": 4, "projector_width": 1024, "token_dim": 1664},
        "paper": {
            "width": 4096,
            "n_mixed": 1,
            "n_blocks": 4,
            "dropout": 0.15,
            "token_dim": 1664,
            "projector_width": 1664,
        },
    }

    def __init__(
        self,
        *,
        n_chans: Any,
        n_times: int,
        dim: int,
        token_dim: int | None = None,
        width: int = 4096,
        first_scale: float = 1.0,
        n_mixed: int = 1,
        n_blocks: int = 4,
        dropout: float = 0.15,
        projector_width: int = 1664,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        self.n_tokens, self.token_dim = tokens_of(self.dim, token_dim, "MindEye2")
        self.n_mixed = n_mixed
        self.adapters = nn.ModuleList(nn.Linear(v * self.n_times, n_mixed * width) for v in self.sizes)
        for adapter in self.adapters:
            adapter.weight.data.mul_(first_scale)
        self.blocks = nn.ModuleList(MixerBlock(width, n_mixed, dropout) for _ in range(n_blocks))
        self.to_tokens = nn.Linear(n_mixed * width, self.dim)
        self.projector = TokenProjector(self.token_dim, projector_width)

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, voxel, time), subject (batch,) -> embedding for retrieval (batch, dim)."""
        return self.heads(x, subject=subject)["retrieval"].flatten(1)

    def heads(self, x: torch.Tensor, *, subject: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Return ``tokens`` for a diffusion prior and ``retrieval``, both (batch, token, token_dim)."""
        tokens = self.tokens(self.shared(x, subject=subject))
        return {"tokens": tokens, "retrieval": self.projector(tokens)}

    def shared(self, x: torch.Tensor, *, subject: torch.Tensor | None = None) -> torch.Tensor:
        """x (batch, voxel, time) -> the space that all subjects share (batch, n_mixed * width)."""
        codes = self.codes(x, subject)
        return by_subject(codes, lambda s, rows: self.adapters[s](self.own_values(x[rows], s)))

    def tokens(self, shared: torch.Tensor) -> torch.Tensor:
        """Shared space (batch, n_mixed * width) -> tokens (batch, token, token_dim)."""
        h = shared.unflatten(1, (self.n_mixed, -1))
        for block in self.blocks:
            h = block(h)
        return self.to_tokens(h.flatten(1)).unflatten(1, (self.n_tokens, self.token_dim))


class MixerBlock(nn.Module):
    """Two residual perceptrons: over the width, then over the vectors; (batch, vector, width) -> the same."""

    def __init__(self, width: int, n_mixed: int, dropout: float) -> None:
        super().__init__()
        self.over_width, self.over_vectors = _perceptron(width, dropout), _perceptron(n_mixed, dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, vector, width) -> the same shape."""
        x = x + self.over_width(x)
        return x + self.over_vectors(x.transpose(1, 2)).transpose(1, 2)


def _perceptron(n: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(n), nn.Linear(n, n), nn.GELU(), nn.Dropout(dropout), nn.Linear(n, n))
