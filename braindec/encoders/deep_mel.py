"""deep_mel: a learned representation of mel spectra that is trained together with the encoder of the recording.

Source: Défossez et al. 2023 (Nat Mach Intell 5:1097), Methods, "Deep Mel model": the convolutions of the brain module on the
120 mel bands of the sound, without subjects, to 768 features at each sample.
Differs from the reference in: it was written from the paper; ``pool="mean"`` gives one vector a segment.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from braindec.encoders._base import Encoder
from braindec.encoders._dilated import DilatedConvolutions, Head
from braindec.errors import BraindecError

__all__ = ["DeepMel"]


class DeepMel(Encoder):
    """(batch, band, time) -> (batch, dim, time), or (batch, dim) when it is pooled.

    Parameters
    ----------
    n_chans, n_times, dim : int
        Mel bands, samples, and features at each sample (768 as published).
    width, n_layers : int
        Channels of the convolutions, and how many there are.
    pool : {"mean", "none"}
        "none" gives the features at each sample, as published.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"width": 32, "n_layers": 4},
        "base": {"width": 128, "n_layers": 10},
        "paper": {"width": 320, "n_layers": 10},
    }

    def __init__(
        self, *, n_chans: int, n_times: int, dim: int, width: int = 320, n_layers: int = 10, pool: str = "mean"
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        if pool not in ("mean", "none"):
            raise BraindecError(f"there is no pooling {pool!r}", allowed="mean, none")
        if min(width, n_layers) < 1:
            raise BraindecError("width and n_layers are at least 1", found=f"width={width}, n_layers={n_layers}")
        self.pool = pool
        self.convolutions = DilatedConvolutions(self.n_chans, width, n_layers)
        self.head = Head(width, self.dim)

    def forward(self, x: torch.Tensor, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, band, time) -> (batch, dim, time) or (batch, dim)."""
        out = self.head(self.convolutions(x))
        return out.mean(dim=2) if self.pool == "mean" else out
