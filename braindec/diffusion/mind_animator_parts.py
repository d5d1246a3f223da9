"""What Mind-Animator reads from a recording with three separate networks: what is seen, how it looks first, how it moves.

* :class:`SemanticReader`: a perceptron to the tokens of a text (or any features of the stimulus).
* :class:`StructureReader`: a perceptron to the latent of the first frame.
* :class:`ConsistencyMotionGenerator`: a transformer that predicts the next latent frame from those before it, with the
  recording as what it attends to across.

Source: Lu et al. 2025 (ICLR, arXiv 2405.03280, sections 3.2 to 3.4). 4,500 voxels -> 512, 512, 512 -> 19 x 768 tokens; 4 x 64
x 64 latents; 8 frames; 2 blocks; 60 % of the causal mask left out in training; one token a frame (patch size 64).
Differs from the reference in: hidden sizes of the structure reader and the transformer are not in the text and are ours;
the motion generator gives the change to the frame before, so that "nothing moves" is where it starts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["PAPER", "ConsistencyMotionGenerator", "SemanticReader", "StructureReader", "sparse_causal_mask"]

PAPER: dict[str, dict[str, Any]] = {
    "semantic": {"n_inputs": 4500, "hidden": 512, "n_hidden": 3, "n_tokens": 19, "width": 768},
    "structure": {"n_inputs": 4500, "hidden": 1024, "n_hidden": 2, "latent_shape": [4, 64, 64]},
    "motion": {"n_inputs": 4500, "latent_shape": [4, 64, 64], "n_frames": 8, "dim": 512, "heads": 8, "n_blocks": 2, "mask_ratio": 0.6,
               "n_brain_tokens": 8},
}  # fmt: skip


class SemanticReader(ModelMixin, ConfigMixin):
    """A perceptron from a recording to tokens.

    Parameters
    ----------
    n_inputs : int
        Values of a recording, flat.
    n_tokens, width : int
        Of what is predicted.
    hidden, n_hidden : int
    dropout : float
    """

    @register_to_config
    def __init__(
        self, *, n_inputs: int, n_tokens: int, width: int, hidden: int = 512, n_hidden: int = 3, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.body = _perceptron(n_inputs, hidden, n_hidden, dropout)
        self.head = nn.Linear(hidden, n_tokens * width)
        self.projection = nn.Linear(n_tokens * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n_inputs) -> tokens (batch, n_tokens, width)."""
        return self.head(self.body(x)).reshape(len(x), self.config.n_tokens, self.config.width)

    def loss(
        self, x: torch.Tensor, tokens: torch.Tensor, *, contrast: float = 0.01, project: float = 0.5,
        temperature: float = 0.07, ids: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Return MSE of the tokens + ``contrast`` x InfoNCE + ``project`` x MSE of a projection to their mean.

        Parameters
        ----------
        x : Tensor of shape (batch, n_inputs)
        tokens : Tensor of shape (batch, n_tokens, width)
            Of the stimuli.
        contrast, project : float
            Weights, .01 and .5 in the paper.
        temperature : float
        ids : int Tensor of shape (batch,), optional
            Rows of one stimulus are not negatives of one another.
        """
        made = self(x)
        pooled = tokens.mean(dim=1)
        projected = self.projection(made.flatten(1))
        similar = F.normalize(projected, dim=1) @ F.normalize(pooled, dim=1).T / temperature
        if ids is not None:
            twin = (ids[:, None] == ids) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
            similar = similar.masked_fill(twin, -1e9)
        own = torch.arange(len(x), device=x.device)
        contrasted = (F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own)) / 2
        return F.mse_loss(made, tokens) + contrast * contrasted + project * F.mse_loss(projected, pooled)


class StructureReader(ModelMixin, ConfigMixin):
    """A perceptron from a recording to the latent of the first frame.

    Parameters
    ----------
    n_inputs : int
    latent_shape : (channel, height, width)
    hidden, n_hidden : int
        ``n_hidden=0`` is a linear map.
    dropout : float
    """

    @register_to_config
    def __init__(
        self, *, n_inputs: int, latent_shape: list[int], hidden: int = 1024, n_hidden: int = 2, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.body = _perceptron(n_inputs, hidden, n_hidden, dropout)
        self.head = nn.Linear(hidden if n_hidden else n_inputs, math.prod(latent_shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, n_inputs) -> latent (batch, channel, height, width)."""
        return self.head(self.body(x)).reshape(len(x), *self.config.latent_shape)


def sparse_causal_mask(
    n_frames: int, mask_ratio: float = 0.0, *, n: int = 1, generator: torch.Generator | None = None, device: Any = "cpu"
) -> torch.Tensor:
    """Return which frames a frame looks at, bool (n, n_frames, n_frames): itself, and those before it but for a random part.

    Parameters
    ----------
    n_frames : int
    mask_ratio : float
        Chance that a frame before is left out (.6 in training, 0 after it), so that the recording has to be used.
    n : int
        Independent draws.
    generator : torch.Generator, optional
    device : str
    """
    if not 0 <= mask_ratio <= 1:
        raise BraindecError("the share of frames that is left out", found=repr(mask_ratio), allowed="0 to 1")
    before = torch.tril(torch.ones(n_frames, n_frames, dtype=torch.bool), diagonal=-1)
    kept = torch.rand((n, n_frames, n_frames), generator=generator) >= mask_ratio
    return ((before & kept) | torch.eye(n_frames, dtype=torch.bool)).to(device)


class ConsistencyMotionGenerator(ModelMixin, ConfigMixin):
    """Predict latent frames one after the other, from those before and a recording.

    Parameters
    ----------
    n_inputs : int
        Values of a recording, flat.
    latent_shape : (channel, height, width)
    n_frames : int
    dim, heads, n_blocks : int
        Of the transformer.
    patch : int, optional
        Side of the patches that are tokens; the whole frame by default (smaller ones overfit, say the authors).
    n_brain_tokens : int
        Tokens that the recording is mapped to.
    mask_ratio : float
        See :func:`sparse_causal_mask`.
    dropout : float
    """

    @register_to_config
    def __init__(
        self, *, n_inputs: int, latent_shape: list[int], n_frames: int, dim: int = 512, heads: int = 8, n_blocks: int = 2,
        patch: int | None = None, n_brain_tokens: int = 8, mask_ratio: float = 0.6, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        c, h, w = latent_shape
        self.patch_size = (h, w) if patch is None else (patch, patch)
        if h % self.patch_size[0] or w % self.patch_size[1]:
            raise BraindecError(
                "patches do not tile a frame", found=f"{self.patch_size[0]} pixels, frames of {h} x {w}", fix="a divisor"
            )  # fmt: skip
        n_patches = (h // self.patch_size[0]) * (w // self.patch_size[1])
        size = c * self.patch_size[0] * self.patch_size[1]
        self.brain = nn.Linear(n_inputs, n_brain_tokens * dim)
        self.brain_norm = nn.LayerNorm(dim)
        self.embed = nn.Linear(size, dim)
        self.place = nn.Parameter(0.02 * torch.randn(1, 1, n_patches, dim))
        self.time = nn.Parameter(0.02 * torch.randn(1, n_frames - 1, 1, dim))
        self.blocks = nn.ModuleList(_MotionBlock(dim, heads, dropout) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(dim)
        self.change = nn.Linear(dim, size)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, frames: torch.Tensor, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Predict the frame after each.

        Parameters
        ----------
        frames : Tensor of shape (batch, channel, n, height, width)
            The first ``n`` frames, ``n < n_frames``.
        x : Tensor of shape (batch, n_inputs)
        mask : bool Tensor of shape (batch or 1, n, n), optional
            The causal mask; the whole of it by default.

        Returns
        -------
        Tensor of shape (batch, channel, n, height, width)
            Frame ``f`` is what comes after ``frames[:, :, f]``.
        """
        b, _, n = frames.shape[:3]
        mask = sparse_causal_mask(n, device=x.device) if mask is None else mask
        brain = self.brain_norm(self.brain(x).reshape(b, self.config.n_brain_tokens, self.config.dim))
        tokens = self.embed(self._patches(frames)) + self.place + self.time[:, :n]
        for block in self.blocks:
            tokens = block(tokens, brain, mask)
        return frames + self._frames(self.change(self.norm(tokens)))

    def loss(
        self, frames: torch.Tensor, x: torch.Tensor, *, jitter: float = 0.0, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return the MSE of next frames, with part of the mask left out.

        Parameters
        ----------
        frames : Tensor of shape (batch, channel, n_frames, height, width)
        x : Tensor of shape (batch, n_inputs)
        jitter : float
            Noise on the frames that are looked at (they are predictions themselves afterwards).
        generator : torch.Generator, optional
        """
        seen = frames[:, :, :-1]
        mask = sparse_causal_mask(seen.shape[2], self.config.mask_ratio, n=len(x), generator=generator, device=x.device)
        if jitter:
            noise = torch.randn((*seen.shape[:2], 1, *seen.shape[3:]), generator=generator).to(seen)
            seen, frames = seen + jitter * noise, frames + jitter * noise  # what is seen wrongly stays as it is seen
        return F.mse_loss(self(seen, x, mask), frames[:, :, 1:])

    @torch.no_grad()
    def roll(self, first: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the film (batch, channel, n_frames, height, width) that goes on from ``first`` (batch, channel, height, width)."""
        frames = first[:, :, None]
        for _ in range(self.config.n_frames - 1):
            frames = torch.cat([frames, self(frames, x)[:, :, -1:]], dim=2)
        return frames

    def _patches(self, frames: torch.Tensor) -> torch.Tensor:
        """(batch, c, n, h, w) -> (batch, n, n_patches, c * patch height * patch width)."""
        b, c, n, h, w = frames.shape
        p, q = self.patch_size
        cut = frames.reshape(b, c, n, h // p, p, w // q, q).permute(0, 2, 3, 5, 1, 4, 6)
        return cut.reshape(b, n, (h // p) * (w // q), c * p * q)

    def _frames(self, patches: torch.Tensor) -> torch.Tensor:
        c, h, w = self.config.latent_shape
        p, q = self.patch_size
        b, n = patches.shape[:2]
        cut = patches.reshape(b, n, h // p, w // q, c, p, q).permute(0, 4, 1, 2, 5, 3, 6)
        return cut.reshape(b, c, n, h, w)


class _MotionBlock(nn.Module):
    """Sparse causal attention over frames, attention to the recording, a perceptron; each added to what it was given."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.over_frames = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.to_brain = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, tokens: torch.Tensor, brain: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """tokens (batch, n, n_patches, dim), brain (batch, n_brain, dim), mask (batch or 1, n, n), True where looked at."""
        b, n, p, d = tokens.shape
        x = tokens.transpose(1, 2).reshape(b * p, n, d)
        heads = self.over_frames.num_heads
        hidden = ~mask.expand(b, n, n).repeat_interleave(p * heads, dim=0)
        y = self.norms[0](x)
        x = x + self.over_frames(y, y, y, attn_mask=hidden, need_weights=False)[0]
        x = x.reshape(b, p, n, d).transpose(1, 2).reshape(b, n * p, d)
        x = x + self.to_brain(self.norms[1](x), brain, brain, need_weights=False)[0]
        x = x + self.mlp(self.norms[2](x))
        return x.reshape(b, n, p, d)


def _perceptron(n_inputs: int, hidden: int, n_hidden: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(n_hidden):
        layers += [nn.Linear(hidden if i else n_inputs, hidden), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)
