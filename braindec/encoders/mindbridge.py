"""MindBridge: voxels pooled to one size, an embedder and a builder a subject, a translator that all subjects share.

The builder is the way back from the shared space to the (pooled) voxels of a subject. It makes three things possible: a
subject's responses are reconstructed; an embedding of subject a, built as subject b and embedded again, must stay what it
was (cycle); and subject b's response to what a saw can be made up.

Source: Wang et al. 2024 (CVPR), "MindBridge: A cross-subject brain decoding framework", section 3 and appendix.
Differs from the reference in: averages and spatial order as poolings (see ``_pooling``); a linear builder, because the
published one ends in GELU and cannot make negative values but through its bottleneck; one image head unless ``text_dim``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._pooling import POOLINGS, pool, unpool
from braindec.encoders._subjects import ResidualBlock, SubjectEncoder, by_subject
from braindec.errors import BraindecError, did_you_mean

BUILDERS = ("linear", "published")

__all__ = ["MindBridge"]


class MindBridge(SubjectEncoder):
    """Pooling, subject embedders, shared translator and head, (batch, voxel, time) -> (batch, dim).

    Parameters
    ----------
    n_chans : int, list of int, or dict of name to int
        Voxels of each subject.
    n_times : int
        1 for single-trial betas.
    dim : int
        Length of the image embedding, all tokens together: 257 x 768 in the paper.
    text_dim : int, optional
        Length of a text embedding (77 x 768 in the paper); no text head by default.
    n_pools : int
        Size that voxels are pooled to.
    pooling : {"max", "average", "ordered"}
        "max" as published; "ordered" averages along a curve through space, set by :meth:`set_order`.
    width, n_blocks : int
        Of the shared space and its translator.
    first_scale : float
        As in :class:`~braindec.encoders.mindeye2.MindEye2`, of the embedders' linear maps.
    bottleneck : int
        Of the adapters.
    builder : {"linear", "published"}, optional
        Way back to the voxels; none by default.
    dropout_first, dropout : float
        In the embedders, and in the translator's blocks.
    """

    OWN: ClassVar[tuple[str, ...]] = ("embedders", "builders")
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"n_pools": 256, "pooling": "average", "width": 128, "first_scale": 0.05, "n_blocks": 1, "bottleneck": 16, "dropout_first": 0.2},
        "base": {"n_pools": 2048, "pooling": "average", "width": 1024, "first_scale": 0.05, "n_blocks": 2, "bottleneck": 64},
        "paper": {"n_pools": 8192, "pooling": "max", "width": 2048, "n_blocks": 4, "bottleneck": 128, "builder": "published",
                  "text_dim": 77 * 768, "dropout_first": 0.5, "dropout": 0.15},
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_chans: Any,
        n_times: int,
        dim: int,
        text_dim: int | None = None,
        n_pools: int = 8192,
        pooling: str = "max",
        width: int = 2048,
        first_scale: float = 1.0,
        n_blocks: int = 4,
        bottleneck: int = 128,
        builder: str | None = None,
        dropout_first: float = 0.5,
        dropout: float = 0.15,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        for name, value, allowed in (("pooling", pooling, POOLINGS), ("builder", builder, (*BUILDERS, None))):
            if value not in allowed:
                raise BraindecError(f"MindBridge has no {name} {value!r}{did_you_mean(str(value), map(str, allowed))}",
                                    allowed=", ".join(map(str, allowed)))  # fmt: skip
        self.n_pools, self.pooling = n_pools, pooling
        self.embedders = nn.ModuleList(
            nn.Sequential(Adapter(n_pools, bottleneck), nn.Linear(n_pools, width), nn.LayerNorm(width), nn.GELU(),
                          nn.Dropout(dropout_first))
            for _ in self.sizes
        )  # fmt: skip
        for embedder in self.embedders:
            embedder[1].weight.data.mul_(first_scale)
        shape = [] if builder == "linear" else [nn.LayerNorm, nn.GELU]
        self.builders = nn.ModuleList(
            nn.Sequential(nn.Linear(width, n_pools), *(k(n_pools) if k is nn.LayerNorm else k() for k in shape),
                          Adapter(n_pools, bottleneck))
            for _ in (self.sizes if builder else [])
        )  # fmt: skip
        self.translator = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(n_blocks)))
        self.head = nn.Linear(width, self.dim)
        self.text_head = None if text_dim is None else nn.Linear(width, text_dim)
        if pooling == "ordered":
            for number, size in enumerate(self.sizes):
                self.register_buffer(f"order_{number}", torch.arange(size * self.n_times))

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, voxel, time), subject (batch,) -> image embedding (batch, dim)."""
        codes = self.codes(x, subject)
        return self.translate(self.embed(self.pool(x, codes), codes))

    def heads(self, x: torch.Tensor, *, subject: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Return ``image`` (batch, dim) and, where there is a text head, ``text`` (batch, text_dim)."""
        codes = self.codes(x, subject)
        h = self.translator(self.embed(self.pool(x, codes), codes))
        text = {} if self.text_head is None else {"text": self.text_head(h)}
        return {"image": self.head(h), **text}

    def pool(self, x: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """x (batch, voxel, time) -> (batch, n_pools)."""
        return by_subject(
            codes, lambda s, rows: pool(self.own_values(x[rows], s), self.n_pools, self.pooling, self._order(s))
        )

    def embed(self, pooled: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Pooled voxels (batch, n_pools) of subjects ``codes`` -> shared space (batch, width)."""
        return by_subject(codes, lambda s, rows: self.embedders[s](pooled[rows]))

    def translate(self, shared: torch.Tensor) -> torch.Tensor:
        """Shared space (batch, width) -> image embedding (batch, dim)."""
        return self.head(self.translator(shared))

    def build(self, shared: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Shared space (batch, width) -> pooled voxels (batch, n_pools) of subjects ``codes``.

        Raises
        ------
        BraindecError
            If there are no builders.
        """
        if not len(self.builders):
            raise BraindecError("this MindBridge has no builders", fix="build it with builder='linear' or 'published'")
        return by_subject(codes, lambda s, rows: self.builders[s](shared[rows]))

    def unpool(self, pooled: torch.Tensor, number: int) -> torch.Tensor:
        """Pooled voxels (batch, n_pools) of one subject -> (batch, voxel, time): the mean of a voxel's pools."""
        values = unpool(pooled, self.sizes[number] * self.n_times, self._order(number))
        return values.unflatten(1, (self.sizes[number], self.n_times))

    def set_order(self, number: int, order: torch.Tensor) -> None:
        """Set the order of a subject's voxels for "ordered" pooling (of one sample a window)."""
        own = self._order(number)
        if own is None or sorted(order.tolist()) != list(range(len(own))):
            raise BraindecError(
                "this is no order of the subject's voxels", found=f"{tuple(order.shape)}, pooling {self.pooling!r}",
                allowed="pooling='ordered', each voxel once",
            )  # fmt: skip
        own.copy_(order)

    def own(self) -> dict[int, list[nn.Module]]:
        """Embedder, and builder where there is one, of each subject."""
        return {i: [self.embedders[i], *self.builders[i : i + 1]] for i in range(self.n_subjects)}

    def _order(self, number: int) -> torch.Tensor | None:
        return getattr(self, f"order_{number}") if self.pooling == "ordered" else None


class Adapter(nn.Module):
    """x + up(GELU(down(x))) through a bottleneck; nothing is added before the first step."""

    def __init__(self, n: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(n, bottleneck), nn.Linear(bottleneck, n)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n) -> the same shape."""
        return x + self.up(torch.nn.functional.gelu(self.down(x)))
