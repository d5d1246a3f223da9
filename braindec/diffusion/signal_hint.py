"""SignalHint and ResidualHint: from a recording to the control image of a frozen denoiser.

Source: GWIT (Lopez, Sigillo, Colonnese, Panella & Comminiello 2025, ICASSP, section 2): a projection of the EEG by one-dimensional
convolutions to the resolution of the latents steers a ControlNet; CMVDM (Zeng et al. 2024, AAAI, section 3.4): a residual
block, from the recording to an image through a perceptron and convolutions, ends in a convolution that is zero at first, for
what neither semantics nor silhouette carry.
Differs from the references in: sizes; both work for any recording (fMRI has one sample in time).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["ResidualHint", "SignalHint"]


class SignalHint(ModelMixin, ConfigMixin):
    """A recording (n, channel, time) through convolutions over time to a hint (n, hint channel, height, width).

    Parameters
    ----------
    n_chans, n_times : int
        Of the recording.
    size : (int, int)
        Height and width of the hint.
    channels : int
        Of the hint.
    width : int
        Filters.
    n_layers : int
        Convolutions over time, each halving it while more than four samples are left.
    kernel : int
        Samples; odd.
    base : int
        Side of the first map, which is then enlarged to ``size``.
    dropout : float
    """

    @register_to_config
    def __init__(
        self, *, n_chans: int, n_times: int, size: tuple[int, int], channels: int = 4, width: int = 32, n_layers: int = 3,
        kernel: int = 7, base: int = 4, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mix = nn.Conv1d(n_chans, width, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel, padding=kernel // 2) for _ in range(n_layers if n_times > 1 else 0)
        )
        left = n_times
        for _ in self.layers:
            left = left // 2 if left > 4 else left
        self.drop = nn.Dropout(dropout)
        self.fold = nn.Linear(width * left, width * base * base)
        self.blocks = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)])
        self.out = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, channel, time) -> (n, hint channel, height, width)."""
        config = self.config
        if tuple(x.shape[1:]) != (config.n_chans, config.n_times):
            raise BraindecError("the recording does not fit the hint", found=f"shape {tuple(x.shape)}",
                                allowed=f"(n, {config.n_chans}, {config.n_times})")  # fmt: skip
        x = self.mix(x)
        for layer in self.layers:
            x = x + F.gelu(layer(x))
            x = F.avg_pool1d(x, 2) if x.shape[2] > 4 else x
        x = self.fold(self.drop(x.flatten(1))).reshape(len(x), config.width, config.base, config.base)
        first, second = self.blocks
        x = x + first(F.gelu(x))
        x = F.interpolate(x, size=tuple(config.size), mode="bilinear", align_corners=False)
        return self.out(F.gelu(x + second(F.gelu(x))))


class ResidualHint(ModelMixin, ConfigMixin):
    """A vector of the recording (n, dim) to hint channels (n, channels, height, width) that are zero before training.

    Parameters
    ----------
    dim : int
    size : (int, int)
    channels : int
    hidden : int
        Units of the perceptron.
    base : int
        Side of the first map.
    """

    @register_to_config
    def __init__(self, *, dim: int, size: tuple[int, int], channels: int = 2, hidden: int = 64, base: int = 8) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, base * base))
        self.convolutions = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 16, 3, padding=1))
        self.zero = nn.Conv2d(16, channels, 1)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, dim) -> (n, channels, height, width)."""
        base = self.config.base
        x = self.perceptron(x.flatten(1)).reshape(len(x), 1, base, base)
        x = F.interpolate(x, size=tuple(self.config.size), mode="bilinear", align_corners=False)
        return self.zero(F.gelu(self.convolutions(x)))
