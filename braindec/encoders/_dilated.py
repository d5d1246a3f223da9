"""Dilated residual convolutions over time with gated units, same length out as in.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), Methods, "Brain module": per block two convolutions of kernel 3 with
batch normalisation and GELU, each with a skip, then one to twice the channels and a GLU (Dauphin et al. 2017), dilations
that double from layer to layer and begin again after five.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["DilatedConvolutions", "Head"]

_KERNEL = 3
_PERIOD = 5  # layers after which the dilation is 1 again


class DilatedConvolutions(nn.Module):
    """(batch, n_in, time) -> (batch, width, time).

    Parameters
    ----------
    n_in, width : int
        Channels in and inside.
    n_layers : int
        Convolutions; after every second one follows a gate.
    """

    def __init__(self, n_in: int, width: int, n_layers: int) -> None:
        super().__init__()
        self.convolutions, self.norms, self.gates = nn.ModuleList(), nn.ModuleList(), nn.ModuleDict()
        for k in range(n_layers):
            dilation = 2 ** (k % _PERIOD)
            self.convolutions.append(
                nn.Conv1d(n_in if k == 0 else width, width, _KERNEL, padding=dilation, dilation=dilation)
            )
            self.norms.append(nn.BatchNorm1d(width))
            if k % 2:
                self.gates[str(k)] = nn.Conv1d(width, 2 * width, _KERNEL, padding=1)

    @property
    def receptive_field(self) -> int:
        """Samples of the input that one sample of the output can depend on."""
        spans = [c.dilation[0] * (_KERNEL - 1) for c in self.convolutions]
        return 1 + sum(spans) + (_KERNEL - 1) * len(self.gates)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n_in, time) -> (batch, width, time)."""
        for k, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            h = F.gelu(norm(convolution(x)))
            x = x + h if h.shape == x.shape else h
            if str(k) in self.gates:
                x = F.glu(self.gates[str(k)](x), dim=1)
        return x


class Head(nn.Module):
    """Twice the width, GELU, then the features at each sample: (batch, width, time) -> (batch, dim, time)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.wide, self.out = nn.Conv1d(width, 2 * width, 1), nn.ConvTranspose1d(2 * width, dim, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, width, time) -> (batch, dim, time)."""
        return self.out(F.gelu(self.wide(x)))
