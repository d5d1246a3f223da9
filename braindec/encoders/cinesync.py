"""CineSync's encoder: EEG and fMRI of one clip, each tokenised and encoded apart, then together; one vector and tokens.

Each modality's window is cut into frames (one a scan), each frame becomes a vector by a linear map, a 1 x 1 convolution over
frames makes tokens, a class token is put before them; pre-norm transformer layers run on each modality alone, then on all
tokens together. The mean of the class tokens is the embedding, the mean of the modalities' tokens conditions a generator.

Source: Gao et al. 2025 (CineBrain, arXiv 2503.06940), sizes as given there: 226 tokens, width 4096, 32 heads, 8 layers apart
and 8 together, output 1152.
Differs from the reference in: the code that was published lacks the model, so pooling of class tokens and of tokens, learned
positions and the missing-modality token are ours; one modality alone works as well (windows that were not fused).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.errors import BraindecError

__all__ = ["CineSync"]


class CineSync(Encoder):
    """Fusion encoder, (batch, channel, time) -> (batch, dim); :meth:`tokens` gives (batch, n_tokens, width).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Of fused windows (:func:`braindec.signal.fusion.fuse_windows`), or of one modality.
    parts : list of [n_channels, n_times], optional
        Shapes of the modalities in a fused window, in order; one modality of (n_chans, n_times) by default.
    n_frames : int
        Frames that each part's time is cut into (one a scan in the paper); fewer where a part is shorter. The end is padded
        with zeros to a whole number of frames.
    width, n_heads, n_apart, n_together, n_tokens : int
        Sizes of the transformer.
    dropout : float
    drop_part : float
        Chance that one modality of a training example is replaced by a learned token, so that the other must do alone.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"width": 64, "n_heads": 4, "n_apart": 1, "n_together": 1, "n_tokens": 4, "dropout": 0.1, "drop_part": 0.2},
        "base": {"width": 256, "n_heads": 8, "n_apart": 2, "n_together": 2, "n_tokens": 16, "dropout": 0.1, "drop_part": 0.2},
        "paper": {"width": 4096, "n_heads": 32, "n_apart": 8, "n_together": 8, "n_tokens": 226, "dropout": 0.0, "drop_part": 0.0},
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        parts: list[list[int]] | None = None,
        n_frames: int = 5,
        width: int = 64,
        n_heads: int = 4,
        n_apart: int = 1,
        n_together: int = 1,
        n_tokens: int = 4,
        dropout: float = 0.1,
        drop_part: float = 0.0,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        sizes = {
            "width": width,
            "n_heads": n_heads,
            "n_frames": n_frames,
            "n_tokens": n_tokens,
            "n_apart": n_apart,
            "n_together": n_together,
        }
        wrong = {
            k: v for k, v in sizes.items() if not isinstance(v, int) or v < (0 if k in ("n_apart", "n_together") else 1)
        }
        pairs = parts is None or (isinstance(parts, (list, tuple)) and all(np.shape(p) == (2,) for p in parts))
        if wrong or not pairs or not 0 <= dropout < 1:
            raise BraindecError("CineSync cannot be built so", found=str(wrong or {"parts": parts, "dropout": dropout}),
                                allowed="whole numbers of at least 1, parts of [n_channels, n_times], 0 <= dropout < 1")  # fmt: skip
        self.parts = [(self.n_chans, self.n_times)] if parts is None else [(int(c), int(t)) for c, t in parts]
        if parts is not None and (self.n_times != 1 or sum(c * t for c, t in self.parts) != self.n_chans):
            raise BraindecError(
                "the parts do not add up to the windows", found=f"parts {self.parts}, windows ({self.n_chans}, {self.n_times})",
                allowed="fused windows: one sample of sum(n_channels * n_times) numbers",
            )  # fmt: skip
        if width % n_heads or not 0 <= drop_part < 1 or min(n_frames, n_tokens) < 1 or min(n_apart, n_together) < 0:
            raise BraindecError(
                "the sizes of CineSync do not fit", found=f"width={width}, n_heads={n_heads}, drop_part={drop_part}, n_frames={n_frames}, "
                f"n_tokens={n_tokens}, n_apart={n_apart}, n_together={n_together}",
                allowed="n_heads divides width, 0 <= drop_part < 1, at least one frame and token, no negative number of layers",
            )  # fmt: skip
        self.n_tokens, self.drop_part = n_tokens, drop_part
        self.tokenizers = nn.ModuleList(_Tokenizer(c, t, min(n_frames, t), width, n_tokens) for c, t in self.parts)
        self.apart = nn.ModuleList(_layers(n_apart, width, n_heads, dropout) for _ in self.parts)
        self.together = _layers(n_together, width, n_heads, dropout)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, self.dim)
        many = len(self.parts) > 1
        self.missing = nn.Parameter(0.02 * torch.randn(len(self.parts), n_tokens, width)) if many else None

    def forward(self, x: torch.Tensor, *, without: int | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, dim); ``without`` leaves one part out."""
        return self.head(self._encoded(x, without)[:, :, 0].mean(dim=1))

    def tokens(self, x: torch.Tensor, *, without: int | None = None) -> torch.Tensor:
        """x (batch, channel, time) -> (batch, n_tokens, width): what conditions a generator."""
        return self._encoded(x, without)[:, :, 1:].mean(dim=1)

    def _encoded(self, x: torch.Tensor, without: int | None) -> torch.Tensor:
        """(batch, part, 1 + n_tokens, width)."""
        sizes = [c * t for c, t in self.parts]
        blocks = x.reshape(len(x), -1).split(sizes, dim=1)
        out = []
        gone = self._gone(len(x), without, x.device)
        for i, ((c, t), tokenizer, layers) in enumerate(zip(self.parts, self.tokenizers, self.apart, strict=True)):
            tokens = tokenizer(
                blocks[i].reshape(len(x), c, t), None if self.missing is None else self.missing[i], gone == i
            )
            for layer in layers:
                tokens = layer(tokens)
            out.append(tokens)
        tokens = torch.cat(out, dim=1)
        for layer in self.together:
            tokens = layer(tokens)
        return self.norm(tokens).reshape(len(x), len(self.parts), 1 + self.n_tokens, -1)

    def _gone(self, n: int, without: int | None, device: torch.device) -> torch.Tensor:
        """Number of the part that each example does without, -1 for none, (batch,)."""
        if without is not None:
            if self.missing is None or not 0 <= without < len(self.parts):
                raise BraindecError(f"part {without} cannot be left out", found=f"{len(self.parts)} parts")
            return torch.full((n,), without, device=device)
        if not self.training or self.missing is None or not self.drop_part:
            return torch.full((n,), -1, device=device)
        part = torch.randint(len(self.parts), (n,), device=device)
        return torch.where(torch.rand(n, device=device) < self.drop_part, part, -1)


class _Tokenizer(nn.Module):
    """(batch, channel, time) -> (batch, 1 + n_tokens, width): frames, a linear map, a 1 x 1 convolution, positions."""

    def __init__(self, n_chans: int, n_times: int, n_frames: int, width: int, n_tokens: int) -> None:
        super().__init__()
        self.n_frames, self.length = n_frames, -(-n_times // n_frames)
        self.linear = nn.Linear(n_chans * self.length, width)
        self.mix = nn.Conv1d(n_frames, n_tokens, 1)
        self.first = nn.Parameter(0.02 * torch.randn(width))
        self.positions = nn.Parameter(0.02 * torch.randn(1 + n_tokens, width))

    def forward(self, x: torch.Tensor, missing: torch.Tensor | None, gone: torch.Tensor) -> torch.Tensor:
        n, c, t = x.shape
        x = nn.functional.pad(x, (0, self.n_frames * self.length - t))
        frames = x.reshape(n, c, self.n_frames, self.length).transpose(1, 2).reshape(n, self.n_frames, -1)
        tokens = self.mix(self.linear(frames))
        if missing is not None:
            tokens = torch.where(gone[:, None, None], missing, tokens)
        return torch.cat([self.first.expand(n, 1, -1), tokens], dim=1) + self.positions


def _layers(n: int, width: int, n_heads: int, dropout: float) -> nn.ModuleList:
    return nn.ModuleList(
        nn.TransformerEncoderLayer(width, n_heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        for _ in range(n)
    )
