"""EEGNet: temporal, depthwise spatial and separable convolutions with few parameters.

Source: Lawhern et al. 2018 (J Neural Eng 15 056013), section 2.2 and table 2; EEGNet-8,2 by default.
Differs from the reference in: nothing in the layers; the constraints on weight norms are applied by ``constrain()`` after
each step of the optimiser.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import Encoder, at_least

__all__ = ["EEGNet"]


class EEGNet(Encoder):
    """EEGNet, (batch, channel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and number of outputs (classes, or length of an embedding).
    f1, depth : int
        Temporal filters, and spatial filters for each of them; ``f1 * depth`` pointwise filters.
    kernel : int
        Samples of the temporal filter; half the sampling rate as published (64 at 128 Hz).
    kernel_separable : int
        Samples of the separable filter after the first average (16 at 32 Hz).
    pool_first, pool_second : int
        Samples that are averaged after the two blocks.
    dropout : float
        0.5 within a subject, 0.25 across subjects as published.
    max_norm_spatial, max_norm_out : float
        Largest norm of the weights of a spatial filter and of an output.

    Raises
    ------
    BraindecError
        If the windows are shorter than ``pool_first * pool_second`` samples.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"f1": 4, "depth": 2, "kernel": 32},
        "base": {"f1": 16, "depth": 2},
        "paper": {"f1": 8, "depth": 2, "kernel": 64, "kernel_separable": 16, "pool_first": 4, "pool_second": 8,
                  "dropout": 0.5, "max_norm_spatial": 1.0, "max_norm_out": 0.25},
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        f1: int = 8,
        depth: int = 2,
        kernel: int = 64,
        kernel_separable: int = 16,
        pool_first: int = 4,
        pool_second: int = 8,
        dropout: float = 0.5,
        max_norm_spatial: float = 1.0,
        max_norm_out: float = 0.25,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        at_least(
            "EEGNet", self.n_times, pool_first * pool_second, f"pool_first {pool_first} x pool_second {pool_second}"
        )
        f2 = f1 * depth
        self.max_norm_spatial, self.max_norm_out = max_norm_spatial, max_norm_out
        self.pool_first, self.pool_second = pool_first, pool_second
        self.temporal = nn.Conv2d(1, f1, (1, kernel), bias=False)
        self.norm_temporal = nn.BatchNorm2d(f1)
        self.spatial = nn.Conv2d(f1, f2, (self.n_chans, 1), groups=f1, bias=False)
        self.norm_spatial = nn.BatchNorm2d(f2)
        self.depthwise = nn.Conv2d(f2, f2, (1, kernel_separable), groups=f2, bias=False)
        self.pointwise = nn.Conv2d(f2, f2, (1, 1), bias=False)
        self.norm_separable = nn.BatchNorm2d(f2)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(f2 * (self.n_times // pool_first // pool_second), self.dim)
        self.constrain()

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        h = self.norm_temporal(self.temporal(same(x.unsqueeze(1), self.temporal)))  # (batch, f1, channel, time)
        h = F.elu(self.norm_spatial(self.spatial(h)))  # (batch, f2, 1, time)
        h = self.dropout(F.avg_pool2d(h, (1, self.pool_first)))
        h = F.elu(self.norm_separable(self.pointwise(self.depthwise(same(h, self.depthwise)))))
        h = self.dropout(F.avg_pool2d(h, (1, self.pool_second)))
        return self.out(h.flatten(1))

    @torch.no_grad()
    def constrain(self) -> None:
        """Shrink filters and outputs whose weights have too large a norm."""
        for layer, largest in ((self.spatial, self.max_norm_spatial), (self.out, self.max_norm_out)):
            layer.weight.copy_(layer.weight.flatten(1).renorm(2, 0, largest).view_as(layer.weight))


def same(x: torch.Tensor, convolution: nn.Conv2d) -> torch.Tensor:
    """Pad the last axis with zeros so that ``convolution`` keeps its length (the extra one of an even kernel at the end)."""
    extra = convolution.kernel_size[1] - 1
    return F.pad(x, (extra // 2, extra - extra // 2))
