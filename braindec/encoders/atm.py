"""ATM-S: attention over channels with a subject token, the temporal-spatial convolution, and a projector.

Source: Li et al. 2024 (NeurIPS), "Visual decoding and reconstruction via EEG embeddings with guided diffusion",
section 3; the layer is that of Liu et al. 2024 (ICLR, iTransformer): one token a channel, normalisation after each block.
Differs from the reference in: the subject token is taken off again and no channel is lost (the published code drops the
last one); subjects are numbered from 0 and an unknown one is -1, with a token of its own that is trained by hiding the
subject of some windows; the convolutions are re-ordered (same output, see ``_tsconv``).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import Encoder
from braindec.encoders._projector import Projector
from braindec.encoders._tsconv import TSConv
from braindec.errors import BraindecError

__all__ = ["ATM"]


class ATM(Encoder):
    """Channel attention, temporal-spatial convolution and projector, (batch, channel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans, n_times, dim : int
        Channels, samples, and length of the embedding.
    n_subjects : int
        Subjects that have a token; ``forward(x, subject=...)`` takes their numbers from 0, and -1 for anybody else.
    n_layers, n_heads, d_head, d_ff : int
        Attention layers, heads, length of a head, and width of the feed-forward part.
    dropout_attention : float
        In the attention layers.
    unknown_rate : float
        Share of training windows whose subject is hidden, so that the token for unknown subjects is trained.
    n_filters, kernel, pool, stride, dropout, dropout_projector, order
        As in :class:`~braindec.encoders.nice.NICE`.

    Raises
    ------
    BraindecError
        If the windows are shorter than ``kernel + pool - 1`` samples.
    """

    uses_subject: ClassVar[bool] = True
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_heads": 2, "d_head": 16, "d_ff": 64, "n_filters": 16, "kernel": 9, "pool": 9, "stride": 3},
        "base": {"d_ff": 128, "d_head": 32, "n_filters": 32, "kernel": 13, "pool": 15, "stride": 4},
        "paper": {"n_subjects": 10, "n_layers": 1, "n_heads": 4, "d_head": 62, "d_ff": 256, "dropout_attention": 0.25,
                  "n_filters": 40, "kernel": 25, "pool": 51, "stride": 5, "dropout": 0.5, "dropout_projector": 0.5},
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        dim: int,
        n_subjects: int = 1,
        n_layers: int = 1,
        n_heads: int = 4,
        d_head: int = 62,
        d_ff: int = 256,
        dropout_attention: float = 0.25,
        unknown_rate: float = 0.1,
        n_filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.5,
        dropout_projector: float = 0.5,
        order: str = "fast",
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        if n_subjects < 0 or not 0 <= unknown_rate <= 1:
            raise BraindecError(
                "ATM needs a number of subjects and a rate", found=f"n_subjects={n_subjects}, unknown_rate={unknown_rate}",
                allowed="n_subjects >= 0, 0 <= unknown_rate <= 1",
            )  # fmt: skip
        self.n_subjects, self.unknown_rate = n_subjects, unknown_rate
        self.convolution = TSConv(  # first, so that too short windows are refused before anything is built
            n_chans=self.n_chans, n_times=self.n_times, n_filters=n_filters, n_out=n_filters, kernel=kernel, pool=pool,
            stride=stride, dropout=dropout, order=order,
        )  # fmt: skip
        self.value = nn.Linear(self.n_times, self.n_times)
        self.subject_token = nn.Embedding(n_subjects + 1, self.n_times)  # the last one is for unknown subjects
        self.layers = nn.ModuleList(
            ChannelAttention(self.n_times, n_heads=n_heads, d_head=d_head, d_ff=d_ff, dropout=dropout_attention)
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(self.n_times)
        self.dropout = nn.Dropout(dropout_attention)
        self.projector = Projector(self.convolution.n_features, self.dim, dropout=dropout_projector)

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time), subject (batch,) with -1 for unknown -> (batch, dim)."""
        token = self.subject_token(self._rows(subject, x)).unsqueeze(1)  # (batch, 1, time)
        h = self.dropout(torch.cat([token, self.value(x)], dim=1))  # (batch, 1 + channel, time)
        for layer in self.layers:
            h = layer(h)
        return self.projector(self.convolution(self.norm(h)[:, 1:]))

    def _rows(self, subject: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
        """Row of the token of each window; no subject at all means that all are unknown."""
        if subject is None:
            return torch.full((len(x),), self.n_subjects, device=x.device)
        if subject.shape != (len(x),) or bool((subject < -1).any()) or bool((subject >= self.n_subjects).any()):
            raise BraindecError(
                f"ATM knows {self.n_subjects} subjects", found=f"subject of shape {tuple(subject.shape)}, values "
                f"{int(subject.min())} to {int(subject.max())}",
                allowed=f"shape ({len(x)},), 0 to {self.n_subjects - 1}, or -1 for an unknown subject",
            )  # fmt: skip
        hidden = subject < 0
        if self.training and self.unknown_rate > 0:
            hidden = hidden | (torch.rand(len(x), device=x.device) < self.unknown_rate)
        return torch.where(hidden, self.n_subjects, subject)


class ChannelAttention(nn.Module):
    """One layer of attention between tokens (batch, token, width), normalised after each block."""

    def __init__(self, width: int, *, n_heads: int, d_head: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.read = (nn.Linear(width, n_heads * d_head) for _ in range(3))
        self.out = nn.Linear(n_heads * d_head, width)
        self.wide, self.narrow = nn.Linear(width, d_ff), nn.Linear(d_ff, width)
        self.norm_attention, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, token, width) -> the same shape."""
        q, k, v = (f(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.read))
        rate = self.dropout.p if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=rate)  # (batch, head, token, d_head)
        x = self.norm_attention(x + self.dropout(self.out(seen.transpose(1, 2).flatten(2))))
        return self.norm_wide(x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(x))))))
