"""Silhouettes: what is figure and what is ground in a picture, by a stated rule; and a network that reads them from a recording.

The rule of :func:`silhouettes`: the colour of the ground is the median of the pixels at the border of the picture; a pixel's
distance from it is the largest difference of a colour channel; figure is what lies beyond the threshold that best parts the
distances of one picture in two (Otsu 1979). A picture in which no pixel is further than ``least`` from the ground has none.
The rule holds for an object on a plain ground; for photographs, give silhouettes of a segmentation instead.

Source: CMVDM (Zeng et al. 2024, AAAI, section 3.3) for silhouettes read from fMRI by a convolutional decoder; Otsu 1979 (IEEE
Trans. SMC 9:62).
Differs from the references in: the decoder's loss is cross-entropy, overlap (Dice) and total variation, not perceptual features
of a pre-trained network.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["SilhouetteDecoder", "silhouette_loss", "silhouettes"]

_BINS = 64


def silhouettes(pictures: np.ndarray, *, least: float = 0.08) -> np.ndarray:
    """Return which pixels belong to the figure, (n, height, width, 1), float32 of 0 and 1.

    Parameters
    ----------
    pictures : array of shape (n, height, width, channel), 0 to 1
    least : float
        Distance from the ground below which nothing is figure.
    """
    x = np.asarray(pictures, dtype=np.float32)
    if x.ndim != 4 or not np.isfinite(x).all():
        raise BraindecError("silhouettes are taken of pictures (n, height, width, channel)", found=f"shape {x.shape}",
                            fix="load them as finite floats of 0 to 1")  # fmt: skip
    edge = np.concatenate([x[:, 0], x[:, -1], x[:, 1:-1, 0], x[:, 1:-1, -1]], axis=1)  # (n, pixel, channel)
    ground = np.median(edge, axis=1)
    distance = np.abs(x - ground[:, None, None]).max(axis=3)
    flat = distance.reshape(len(x), -1)
    threshold = np.maximum(_otsu(flat), least)
    return (distance > threshold[:, None, None]).astype(np.float32)[..., None]


def _otsu(values: np.ndarray) -> np.ndarray:
    """The threshold of each row that parts it in two with most variance between, (n,)."""
    top = np.maximum(values.max(axis=1, keepdims=True), 1e-12)
    place = np.minimum((values / top * _BINS).astype(int), _BINS - 1)
    counts = np.stack([np.bincount(row, minlength=_BINS) for row in place]).astype(float)
    share = counts.cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    mass = (counts * (np.arange(_BINS) + 0.5)).cumsum(axis=1) / counts.sum(axis=1, keepdims=True)
    between = (mass[:, -1:] * share - mass) ** 2 / np.maximum(share * (1 - share), 1e-12)
    return (between[:, :-1].argmax(axis=1) + 1) / _BINS * top[:, 0]


class SilhouetteDecoder(ModelMixin, ConfigMixin):
    """A vector of the recording (n, dim) to a silhouette (n, 1, height, width) of 0 to 1.

    Parameters
    ----------
    dim : int
        Numbers of the recording.
    size : (int, int)
    width : int
        Filters.
    base : int
        Side of the first map; it is doubled until ``size`` is reached.
    dropout : float
        Of the input.
    """

    @register_to_config
    def __init__(
        self, *, dim: int, size: tuple[int, int], width: int = 32, base: int = 4, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.first = nn.Linear(dim, width * base * base)
        side, layers = base, []
        while side < max(size):
            layers.append(nn.ModuleList([nn.GroupNorm(8, width), nn.Conv2d(width, width, 5, padding=2)]))
            side *= 2
        self.blocks = nn.ModuleList(layers)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, dim) -> (n, 1, height, width), before the sigmoid."""
        base = self.config.base
        x = self.first(self.drop(x.flatten(1))).reshape(len(x), -1, base, base)
        for norm, convolution in self.blocks:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = x + convolution(F.silu(norm(x)))
        return F.interpolate(self.out(F.silu(x)), size=tuple(self.config.size), mode="bilinear", align_corners=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (n, dim) -> (n, 1, height, width) of 0 to 1."""
        return torch.sigmoid(self.logits(x))


def silhouette_loss(logits: torch.Tensor, true: torch.Tensor, *, variation: float = 0.02) -> torch.Tensor:
    """Return cross-entropy plus 1 - Dice overlap plus ``variation`` times the total variation, a scalar.

    Parameters
    ----------
    logits, true : Tensor of shape (n, 1, height, width)
    variation : float
    """
    shown = torch.sigmoid(logits)
    overlap = (2 * (shown * true).flatten(1).sum(1) + 1) / (shown.flatten(1).sum(1) + true.flatten(1).sum(1) + 1)
    rough = (shown[..., 1:, :] - shown[..., :-1, :]).abs().mean() + (shown[..., 1:] - shown[..., :-1]).abs().mean()
    return F.binary_cross_entropy_with_logits(logits, true) + (1 - overlap).mean() + variation * rough
