"""Sensors merged by where they are: attention over a Fourier embedding of their places on a flat head.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), Methods, "Spatial attention layer": a_j(x, y) as a Fourier series
with K = 32, softmax over sensors, and sensors within a disc left out in training.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError

__all__ = ["SpatialAttention", "fourier_embedding"]

MARGIN = 0.2  # around the unit square, so that the series need not be periodic over the head
UNKNOWN = -0.1  # where the place of a sensor is not known; such sensors are never attended to


def fourier_embedding(places: torch.Tensor, n_waves: int) -> torch.Tensor:
    """Cosines and sines of plane waves.

    Parameters
    ----------
    places : tensor of shape (..., 2)
        On the unit square.
    n_waves : int
        Waves an axis: angles ``2 pi (k x + l y) / (1 + 2 margin)``, k and l from 0 to n_waves - 1, x and y from the margin's edge.

    Returns
    -------
    tensor of shape (..., 2 * n_waves ** 2)
        All cosines (k slow, l fast), then all sines.
    """
    k = torch.arange(n_waves, dtype=places.dtype, device=places.device)
    x, y = ((places[..., i, None] + MARGIN) * k for i in (0, 1))  # (..., n_waves)
    angle = 2 * math.pi / (1 + 2 * MARGIN) * (x[..., :, None] + y[..., None, :])
    return torch.cat([angle.cos().flatten(-2), angle.sin().flatten(-2)], dim=-1)


class SpatialAttention(nn.Module):
    """Weighted means of sensors, (batch, sensor, time) -> (batch, n_merged, time).

    Parameters
    ----------
    positions : list of shape (n_chans, 2) or (n_layouts, n_chans, 2)
        Places on the unit square; None (or a pair of None) where unknown.
    n_merged : int
        Virtual sensors.
    n_waves : int
        As in :func:`fourier_embedding`.
    radius : float
        In training the sensors within this distance of a random place are left out; 0 leaves out none.

    Raises
    ------
    BraindecError
        If places are not on the unit square, or a layout has none.
    """

    def __init__(self, positions: Any, n_merged: int, *, n_waves: int, radius: float) -> None:
        super().__init__()
        places = _places(positions)  # (layout, sensor, 2)
        known = (places != UNKNOWN).all(-1)
        self.radius = radius
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("embedding", fourier_embedding(places, n_waves), persistent=False)
        self.queries = nn.Parameter(torch.randn(n_merged, 2 * n_waves**2) / math.sqrt(2 * n_waves**2))

    def weights(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Weight of each sensor in each virtual one, (layout, n_merged, sensor); ``kept`` (layout, sensor) leaves out others."""
        allowed = self.known if kept is None else self.known & kept
        allowed = torch.where(allowed.any(1, keepdim=True), allowed, self.known)  # never none at all
        scores = torch.einsum("lsf,mf->lms", self.embedding, self.queries)
        return scores.masked_fill(~allowed[:, None], -torch.inf).softmax(dim=-1)

    def forward(self, x: torch.Tensor, layout: torch.Tensor | None = None) -> torch.Tensor:
        """x (batch, sensor, time), layout (batch,) -> (batch, n_merged, time)."""
        kept = None
        if self.training and self.radius > 0:
            centre = torch.rand(2, device=x.device)
            kept = (self.places - centre).norm(dim=-1) > self.radius
        weights = self.weights(kept)
        return torch.einsum("ms,bst->bmt", weights[0], x) if len(weights) == 1 else weights[layout] @ x


def _places(positions: Any) -> torch.Tensor:
    """Nested lists as (layout, sensor, 2), unknown places filled in."""
    try:
        given = [list(p) if p is not None else None for p in positions]
        layouts = (
            [given] if all(p is None or not any(isinstance(v, (list, tuple)) for v in p) for p in given) else given
        )
        rows = [[_place(p) for p in layout] for layout in layouts]
        places = torch.tensor(rows, dtype=torch.float32, device="cpu")
    except (TypeError, ValueError, IndexError) as error:
        raise BraindecError(
            "positions are lists of [x, y] for each channel, or one such list a subject", found=str(error)
        ) from error
    known = (places != UNKNOWN).all(-1)
    inside = ((places >= 0) & (places <= 1)).all(-1)
    if not bool((inside | ~known).all()):
        raise BraindecError("positions lie outside the unit square", found=f"{places[known].min():g} to {places[known].max():g}",
                            fix="braindec.signal.layout.flat_positions puts sensors on it")  # fmt: skip
    if not bool(known.any(1).all()):
        raise BraindecError("spatial attention needs places of sensors", found="a layout without any known place",
                            fix="give the recording a montage, or positions=None for a learned mixing of channels")  # fmt: skip
    return places


def _place(given: Any) -> tuple[float, float]:
    x, y = (None, None) if given is None else given
    return (UNKNOWN, UNKNOWN) if x is None or y is None else (float(x), float(y))
