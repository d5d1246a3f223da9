"""OffsetConv: a small temporal convolutional network for windows of (unit, time) around one sample.

Units are mixed by one linear map, residual blocks of dilated convolutions look along time, a learned average over the
window's samples (the *offsets* from the sample that is embedded) and a linear map give the embedding.

Source: Bai, Kolter & Koltun 2018 (arXiv:1803.01271, section 3, sizes of "paper": table 2, sequential MNIST) for residual
blocks of dilated convolutions; Hendrycks & Gimpel 2016 (arXiv:1606.08415) for GELU.
Differs from the reference in: convolutions are centred, not causal, with one convolution a block and no weight
normalisation; samples are averaged with learned weights instead of taking the last one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import Encoder
from braindec.errors import BraindecError

__all__ = ["OffsetConv"]


class OffsetConv(Encoder):
    """Linear map over units, residual convolutions over time, learned average; (batch, unit, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Units, samples of a window, and length of the embedding.
    hidden : int
        Width of the network.
    n_blocks : int
        Residual blocks; dilation doubles from one to the next, up to the length of the window.
    kernel : int
        Samples of each convolution, odd.
    dropout : float
        After each block.
    unit_dropout : float
        Share of the units that are silenced in a training window, so that no few units carry the embedding.
    normalise : bool
        Embeddings of length 1 (on a sphere); False leaves them as they are.

    Raises
    ------
    BraindecError
        If ``kernel`` is even, or a sphere of 1 dimension is asked for.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"hidden": 32, "n_blocks": 1, "kernel": 3, "unit_dropout": 0.2},
        "base": {"hidden": 64, "n_blocks": 3, "kernel": 3, "dropout": 0.1, "unit_dropout": 0.2},
        "paper": {"hidden": 25, "n_blocks": 8, "kernel": 7},
    }

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        hidden: int = 32,
        n_blocks: int = 2,
        kernel: int = 3,
        dropout: float = 0.0,
        unit_dropout: float = 0.0,
        normalise: bool = True,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        if kernel < 1 or kernel % 2 == 0:
            raise BraindecError("kernel of OffsetConv must be odd, so that it has a middle", found=f"kernel={kernel}")
        if normalise and self.dim < 2:
            raise BraindecError(
                "on a sphere of 1 dimension there are two points", found=f"dim={dim}", fix="dim=2, or normalise=False"
            )
        self.normalise = normalise
        self.silence = nn.Dropout1d(unit_dropout)
        self.units = nn.Conv1d(self.n_chans, hidden, 1)
        reach = [min(2**b, max(1, (self.n_times - 1) // max(kernel - 1, 1))) for b in range(n_blocks)]
        self.blocks = nn.ModuleList(
            nn.Conv1d(hidden, hidden, kernel, dilation=d, padding=d * (kernel // 2)) for d in reach
        )
        self.dropout = nn.Dropout(dropout)
        self.offsets = nn.Parameter(torch.zeros(self.n_times))
        self.out = nn.Linear(hidden, self.dim)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, unit, time) -> (batch, dim)."""
        h = self.units(self.silence(x))
        for block in self.blocks:
            h = h + self.dropout(F.gelu(block(h)))
        z = self.out(h @ self.offsets.softmax(0))
        return F.normalize(z, dim=1) if self.normalise else z
