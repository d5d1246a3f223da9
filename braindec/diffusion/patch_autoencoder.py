"""PatchAutoencoder: latents in closed form, the leading components of the patches of training pictures.

A patch of ``patch`` x ``patch`` pixels becomes one latent pixel with ``latent_channels`` channels, of variance one on average, so that a
small denoiser works on an eighth or a quarter of the grid. It takes the place of ``AutoencoderKL`` (``encode(x).latent_dist``,
``decode(z).sample``, ``config.scaling_factor``) where none was trained and there is no time to train one.

Source: principal components of image patches, Hancock, Baddeley & Smith 1992 (Network 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from braindec.diffusion._compat import BaseOutput, ConfigMixin, ModelMixin, register_to_config
from braindec.errors import BraindecError

__all__ = ["PatchAutoencoder"]


class _Exactly:
    """A distribution that is one point, with the methods of diffusers' ``DiagonalGaussianDistribution``."""

    def __init__(self, mean: torch.Tensor) -> None:
        self.mean = mean

    def mode(self) -> torch.Tensor:
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.mean


@dataclass
class EncoderOutput(BaseOutput):
    """``latent_dist``, of which ``mode()`` is the latent."""

    latent_dist: _Exactly


@dataclass
class DecoderOutput(BaseOutput):
    """``sample``, pictures (n, channel, height, width) of -1 to 1."""

    sample: torch.Tensor


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Linear map between pictures (n, channel, height, width) of -1 to 1 and latents, fitted in closed form.

    Parameters
    ----------
    channels : int
        Of pictures.
    patch : int
        Side of a patch.
    latent_channels : int
        Components that are kept, at most ``channels * patch ** 2``.
    whiten : bool
        Give each component variance one, instead of one scale for all; then noise hides coarse and fine alike, and a denoiser
        learns more slowly.
    scaling_factor : float
        As in diffusers; latents have variance one by themselves.
    """

    @register_to_config
    def __init__(
        self, *, channels: int = 3, patch: int = 4, latent_channels: int = 16, whiten: bool = False, scaling_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        size = channels * patch**2
        if not 1 <= latent_channels <= size:
            raise BraindecError("latent_channels of patches", found=repr(latent_channels), allowed=f"1 to {size}")
        self.mean = nn.Parameter(torch.zeros(size), requires_grad=False)
        self.down = nn.Parameter(torch.zeros(size, latent_channels), requires_grad=False)
        self.up = nn.Parameter(torch.zeros(latent_channels, size), requires_grad=False)

    @torch.no_grad()
    def fit(self, pictures: torch.Tensor) -> PatchAutoencoder:
        """Set the components from training pictures (n, channel, height, width) of -1 to 1."""
        x = self._patches(pictures).permute(0, 2, 3, 1).reshape(-1, len(self.mean)).double()
        mean = x.mean(dim=0)
        values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        k = self.config.latent_channels
        values, vectors = values.flip(0)[:k].clamp(min=0), vectors.flip(1)[:, :k]
        vectors = vectors * torch.where(vectors.sum(dim=0) < 0, -1.0, 1.0)
        spread = values.sqrt()
        common = spread if self.config.whiten else values.mean().sqrt().clamp(min=1e-12).expand_as(spread)
        alive = spread > 1e-6 * spread.max()  # pictures of one colour have fewer components than they could
        self.mean.copy_(mean)
        self.down.copy_(torch.where(alive, vectors / common.clamp(min=1e-12), 0.0))
        self.up.copy_(torch.where(alive, vectors * common, 0.0).T)
        return self

    def encode(self, x: torch.Tensor) -> EncoderOutput:
        """Return the latents of pictures of -1 to 1, (n, latent_channels, height / patch, width / patch)."""
        z = (self._patches(x).permute(0, 2, 3, 1) - self.mean) @ self.down
        return EncoderOutput(latent_dist=_Exactly(z.permute(0, 3, 1, 2)))

    def decode(self, z: torch.Tensor) -> DecoderOutput:
        """Return the pictures of latents; gradients pass."""
        x = z.permute(0, 2, 3, 1) @ self.up + self.mean
        return DecoderOutput(sample=pixel_shuffle(x.permute(0, 3, 1, 2), self.config.patch))

    def _patches(self, x: torch.Tensor) -> torch.Tensor:
        patch = self.config.patch
        if x.ndim != 4 or x.shape[1] != self.config.channels or x.shape[2] % patch or x.shape[3] % patch:
            raise BraindecError(
                "these pictures cannot be cut into patches", found=f"shape {tuple(x.shape)}",
                allowed=f"(n, {self.config.channels}, height, width), both sides multiples of {patch}",
            )  # fmt: skip
        return pixel_unshuffle(x, patch)
