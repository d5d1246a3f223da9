"""ShallowFBCSPNet: filters in time and space, squared, averaged and logged: band power, learned.

Source: Schirrmeister et al. 2017 (Hum Brain Mapp 38:5391), section "Shallow ConvNet for raw EEG signals" and table 2
(sizes for 250 Hz).
Differs from the reference in: the two linear convolutions are one product with their combined kernel (same output to
rounding; ``order="plain"`` has them one after the other).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import Encoder, at_least
from braindec.errors import BraindecError

__all__ = ["ShallowFBCSPNet"]

_SMALLEST = 1e-6  # of a mean square before the logarithm


class ShallowFBCSPNet(Encoder):
    """Temporal and spatial filters, square, mean, log, linear; (batch, channel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and number of outputs (classes, or length of an embedding).
    n_filters_time, n_filters_space : int
        Temporal and spatial filters.
    kernel, pool, stride : int
        Samples of the temporal filter, of the average, and between averages; published for 250 Hz.
    dropout : float
        Before the last layer.
    order : str
        "fast" (default) or "plain": the same output.

    Raises
    ------
    BraindecError
        If the windows are shorter than ``kernel + pool - 1`` samples.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_filters_time": 16, "n_filters_space": 16, "kernel": 13, "pool": 38, "stride": 8},
        "base": {"n_filters_time": 32, "n_filters_space": 32, "kernel": 15, "pool": 45, "stride": 9},
        "paper": {"n_filters_time": 40, "n_filters_space": 40, "kernel": 25, "pool": 75, "stride": 15, "dropout": 0.5},
    }

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        n_filters_time: int = 40,
        n_filters_space: int = 40,
        kernel: int = 25,
        pool: int = 75,
        stride: int = 15,
        dropout: float = 0.5,
        order: str = "fast",
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        if order not in ("fast", "plain"):
            raise BraindecError(f"there is no order {order!r}", allowed="fast, plain")
        at_least("ShallowFBCSPNet", self.n_times, kernel + pool - 1, f"kernel {kernel} + pool {pool} - 1")
        self.pool, self.stride, self.order = pool, stride, order
        n_steps = (self.n_times - kernel + 1 - pool) // stride + 1
        self.temporal = nn.Conv2d(1, n_filters_time, (1, kernel))
        self.spatial = nn.Conv2d(n_filters_time, n_filters_space, (self.n_chans, 1), bias=False)
        self.norm = nn.BatchNorm1d(n_filters_space)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(n_filters_space * n_steps, self.dim)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        h = self.norm(self._filtered(x)).square()  # (batch, filter, time - kernel + 1)
        h = F.avg_pool1d(h, self.pool, self.stride).clamp_min(_SMALLEST).log()
        return self.out(self.dropout(h).flatten(1))

    def _filtered(self, x: torch.Tensor) -> torch.Tensor:
        if self.order == "plain":
            return self.spatial(self.temporal(x.unsqueeze(1))).squeeze(2)
        space, time = self.spatial.weight.squeeze(3), self.temporal.weight.flatten(1)
        kernel = torch.einsum("gfc,ft->gct", space, time)  # (filter, channel, kernel)
        return F.conv1d(x, kernel, space.sum(2) @ self.temporal.bias)
