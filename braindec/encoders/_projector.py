"""Projector into an embedding: a linear map, a residual block, layer normalisation.

Source: Song et al. 2024 (ICLR), section 3; the same head is used by Li et al. 2024 (NeurIPS, ATM).
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Projector"]


class Projector(nn.Module):
    """(batch, n_in) -> (batch, dim): Linear, then x + Dropout(Linear(GELU(x))), then LayerNorm."""

    def __init__(self, n_in: int, dim: int, *, dropout: float = 0.5) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, dim)
        self.second = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n_in) -> (batch, dim)."""
        h = self.first(x)
        return self.norm(h + self.dropout(self.second(nn.functional.gelu(h))))
