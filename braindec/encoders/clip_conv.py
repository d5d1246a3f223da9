"""clip_conv: spatial attention, subject layers and dilated convolutions, from MEG or EEG to speech features at each sample.

Source: Défossez, Caucheteux, Rapin, Kabeli & King 2023, "Decoding speech perception from non-invasive brain recordings"
(Nat Mach Intell 5:1097), Methods, "Brain module", figure 4.
Differs from the reference in: it was written from the paper; without positions channels are mixed by a learned map (said so);
a subject that was never seen gets the mean of the subject layers; ``pool="mean"`` gives one vector a window.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.encoders._dilated import DilatedConvolutions, Head
from braindec.encoders._spatial_attention import SpatialAttention
from braindec.errors import BraindecError

__all__ = ["ClipConv"]


class ClipConv(Encoder):
    """(batch, channel, time) -> (batch, dim, time), or (batch, dim) when it is pooled.

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and features at each sample.
    positions : list of shape (n_chans, 2) or (n_subjects, n_chans, 2), optional
        Places of the sensors on the unit square (:func:`braindec.signal.layout.flat_positions`), None where unknown or
        where a subject has fewer sensors. Without any, channels are mixed by a learned map.
    n_subjects : int
        Subjects with a layer of their own; 0 for no such layer.
    n_merged, width, n_layers : int
        Virtual sensors, channels of the convolutions, and how many there are.
    n_waves : int
        Waves an axis of the embedding of places.
    radius : float
        Of the disc of sensors that is left out in training.
    pool : {"mean", "none"}
        "none" gives the features at each sample, as published.

    Raises
    ------
    BraindecError
        If an option is wrong, or positions do not fit the channels or subjects.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_merged": 24, "width": 40, "n_layers": 4, "n_waves": 6},
        "base": {"n_merged": 96, "width": 128, "n_layers": 10, "n_waves": 16},
        "paper": {"n_merged": 270, "width": 320, "n_layers": 10, "n_waves": 32},
    }
    uses_subject: ClassVar[bool] = True
    uses_positions: ClassVar[bool] = True

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        positions: Any = None,
        n_subjects: int = 1,
        n_merged: int = 270,
        width: int = 320,
        n_layers: int = 10,
        n_waves: int = 32,
        radius: float = 0.2,
        pool: str = "mean",
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        self._check(n_subjects, pool, n_merged=n_merged, width=width, n_layers=n_layers, n_waves=n_waves, radius=radius)
        self.n_subjects, self.pool = n_subjects, pool
        if positions is None:
            self.merger: nn.Module = nn.Conv1d(self.n_chans, n_merged, 1, bias=False)
        else:
            self.merger = SpatialAttention(positions, n_merged, n_waves=n_waves, radius=radius)
            self._check_layouts(tuple(self.merger.places.shape[:2]))
        self.mix = nn.Conv1d(n_merged, n_merged, 1)
        if n_subjects:
            self.subject_layers = nn.Parameter(torch.randn(n_subjects, n_merged, n_merged) / math.sqrt(n_merged))
        self.convolutions = DilatedConvolutions(n_merged, width, n_layers)
        self.head = Head(width, self.dim)

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time), subject (batch,) with -1 for unknown -> (batch, dim, time) or (batch, dim)."""
        subject = self._codes(subject, x)
        merged = self.merger(x, self._layout(subject)) if isinstance(self.merger, SpatialAttention) else self.merger(x)
        h = self.mix(merged)
        if self.n_subjects:
            h = self._by_subject(h, subject)
        out = self.head(self.convolutions(h))
        return out.mean(dim=2) if self.pool == "mean" else out

    def _by_subject(self, h: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
        """Each window through the layer of its subject, unknown ones through the mean of all."""
        known = torch.cat([self.subject_layers, self.subject_layers.mean(0, keepdim=True)])
        return known[torch.where(subject < 0, self.n_subjects, subject)] @ h

    def _layout(self, subject: torch.Tensor) -> torch.Tensor | None:
        if len(self.merger.places) == 1:
            return None
        if bool((subject < 0).any()):
            raise BraindecError(
                "subjects have sensors of their own, so the subject of each window must be a known one",
                fix="adapt the decoder to the new subject, or train on sensors that all share",
            )
        return subject

    def _codes(self, subject: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        if subject is None:
            return torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        if (
            subject.shape != (len(x),)
            or bool((subject < -1).any())
            or (self.n_subjects and bool((subject >= self.n_subjects).any()))
        ):
            raise BraindecError(
                f"clip_conv knows {self.n_subjects} subjects", found=f"subject of shape {tuple(subject.shape)}, values "
                f"{int(subject.min())} to {int(subject.max())}",
                allowed=f"shape ({len(x)},), 0 to {self.n_subjects - 1}, or -1 for an unknown subject",
            )  # fmt: skip
        return subject

    def _check_layouts(self, found: tuple[int, int]) -> None:
        layouts, sensors = found
        if sensors != self.n_chans or layouts not in (1, self.n_subjects):
            raise BraindecError(
                "positions do not fit", found=f"{layouts} layouts of {sensors} sensors",
                allowed=f"one layout, or one for each of {self.n_subjects} subjects, of {self.n_chans} sensors",
            )  # fmt: skip

    @staticmethod
    def _check(n_subjects: int, pool: str, *, radius: float, **sizes: int) -> None:
        if pool not in ("mean", "none"):
            raise BraindecError(f"there is no pooling {pool!r}", allowed="mean, none")
        if isinstance(n_subjects, bool) or n_subjects < 0 or not 0 <= radius < 1:
            raise BraindecError(
                "clip_conv needs a number of subjects and a radius", found=f"n_subjects={n_subjects}, radius={radius}",
                allowed="n_subjects >= 0, 0 <= radius < 1",
            )  # fmt: skip
        wrong = {name: size for name, size in sizes.items() if isinstance(size, bool) or size != int(size) or size < 1}
        if wrong:
            raise BraindecError("a size of clip_conv must be a whole number of at least 1", found=str(wrong))
