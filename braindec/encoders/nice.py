"""NICE: a temporal-spatial convolution and a projector into an embedding of images.

Source: Song et al. 2024 (ICLR), "Decoding natural images from EEG for object recognition", section 3 and appendix.
Differs from the reference in: the convolutions are re-ordered (same output, see ``_tsconv``); there is no projector on
the image side (the published one returns its input).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.encoders._projector import Projector
from braindec.encoders._tsconv import TSConv

__all__ = ["NICE"]


class NICE(Encoder):
    """Temporal-spatial convolution and residual projector, (batch, channel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and length of the embedding.
    n_filters : int
        Temporal and spatial filters.
    kernel, pool, stride : int
        Samples of the temporal filter, of the average after it, and between averages; the published values are for
        250 Hz; the presets "tiny" and "base" are for about 100 Hz and keep more of the time course.
    dropout, dropout_projector : float
        In the convolution and in the projector.
    order : str
        "fast" (default) or "plain": the same output.

    Raises
    ------
    BraindecError
        If the windows are shorter than ``kernel + pool - 1`` samples.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_filters": 16, "kernel": 9, "pool": 9, "stride": 3},
        "base": {"n_filters": 32, "kernel": 13, "pool": 15, "stride": 4},
        "paper": {"n_filters": 40, "kernel": 25, "pool": 51, "stride": 5, "dropout": 0.5, "dropout_projector": 0.5},
    }

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        n_filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
        dropout_projector: float = 0.5,
        order: str = "fast",
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        self.encoder = TSConv(
            n_chans=self.n_chans, n_times=self.n_times, n_filters=n_filters, n_out=n_filters, kernel=kernel, pool=pool,
            stride=stride, dropout=dropout, order=order,
        )  # fmt: skip
        self.projector = Projector(self.encoder.n_features, self.dim, dropout=dropout_projector)
        self.apply(initialise)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim)."""
        return self.projector(self.encoder(x))


def initialise(module: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02) and normalisation weights from N(1, 0.02), as published."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
