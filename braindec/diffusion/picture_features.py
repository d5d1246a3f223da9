"""Features of pictures that gradients pass through: what encoding models that guide, or judge, a generator stand on.

Four kinds of network, all from pictures (n, channel, height, width) of 0 to 1 to numbers (n, units): average colours on a grid,
energies of a Gabor filter bank, a small convolutional network (random, or trained on responses), and a CLIP image encoder
whose weights the user has. A model that judges must stand on another one than the model that guides.

Source: Gabor energies as in Kay et al. 2008 (Nature 452:352); random convolutional features, Saxe et al. 2011 (ICML); CLIP,
Radford et al. 2021 (ICML).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from braindec.errors import BraindecError, did_you_mean

__all__ = ["NETWORKS", "ClipFeatures", "ConvFeatures", "GaborFeatures", "GridFeatures", "make_network", "open_clip"]

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class GridFeatures(nn.Module):
    """Average colour of each cell of a grid: linear in the picture.

    Parameters
    ----------
    channels : int
    grid : int
        Cells a side.
    """

    def __init__(self, *, channels: int, grid: int = 6) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (n, channel, height, width) -> (n, channel * grid**2)."""
        return F.adaptive_avg_pool2d(images, self.grid).flatten(1)


class GaborFeatures(nn.Module):
    """Energies of Gabor filters, averaged on a grid, beside average colours.

    Parameters
    ----------
    channels : int
        Of the pictures; filters see the mean over channels and, in colour, red against green and blue against yellow.
    n_orientations : int
    wavelengths : sequence of float
        In pixels.
    grid : int
        Cells a side.
    """

    def __init__(
        self, *, channels: int, n_orientations: int = 4, wavelengths: tuple[float, ...] = (3.0, 6.0), grid: int = 4
    ) -> None:
        super().__init__()
        self.grid = grid
        mixes = torch.tensor([[1.0]]) if channels == 1 else torch.tensor([[1, 1, 1], [1, -1, 0], [-0.5, -0.5, 1]]) / 2
        self.register_buffer("mixes", mixes.float())
        self.sizes = [2 * math.ceil(w) + 1 for w in wavelengths]
        for k, wave in enumerate(wavelengths):
            self.register_buffer(f"bank_{k}", _gabors(wave, n_orientations, self.sizes[k]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (n, channel, height, width) -> (n, units)."""
        seen = torch.einsum("nchw,kc->nkhw", images, self.mixes)
        n, k, h, w = seen.shape
        out = [F.adaptive_avg_pool2d(seen, self.grid).flatten(1)]
        flat = seen.reshape(n * k, 1, h, w)
        for i, size in enumerate(self.sizes):
            padded = F.pad(flat, [size // 2] * 4, mode="replicate")
            both = F.conv2d(padded, getattr(self, f"bank_{i}")).reshape(n * k, 2, -1, h, w)
            energy = (both.square().sum(dim=1) + 1e-4).sqrt()  # smooth at 0
            out.append(F.adaptive_avg_pool2d(energy, self.grid).reshape(n, -1))
        return torch.cat(out, dim=1)


class ConvFeatures(nn.Module):
    """A small convolutional network; units are averages of each layer on a grid.

    Parameters
    ----------
    channels : int
    widths : sequence of int
        Of the layers; after each but the first the picture is halved.
    grid : int
        Cells a side.
    seed : int
        Of the weights.
    """

    def __init__(self, *, channels: int, widths: tuple[int, ...] = (16, 32, 32), grid: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.grid = grid
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (channels, *widths)
            self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, padding_mode="replicate")
                                        for a, b in itertools.pairwise(sizes))  # fmt: skip
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.weight[0].numel()))
                nn.init.uniform_(layer.bias, -0.3, 0.3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (n, channel, height, width) -> (n, units)."""
        x, out = images * 2 - 1, []
        for i, layer in enumerate(self.layers):
            if i and min(x.shape[-2:]) > 2:
                x = F.avg_pool2d(x, 2)
            x = F.gelu(layer(x))
            out.append(F.adaptive_avg_pool2d(x, min(self.grid, *x.shape[-2:])).flatten(1))
        return torch.cat(out, dim=1)


class ClipFeatures(nn.Module):
    """Image embeddings of a CLIP model, of length 1.

    Parameters
    ----------
    channels : int
        1 or 3 (grey pictures are shown as colour).
    vision : dict
        Settings of ``transformers.CLIPVisionConfig``; weights come with :func:`open_clip` or from a saved model.
    """

    def __init__(self, *, channels: int, vision: dict[str, Any]) -> None:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        super().__init__()
        self.model = CLIPVisionModelWithProjection(CLIPVisionConfig(**vision))
        self.size = int(self.model.config.image_size)
        self.register_buffer("mean", torch.tensor(_CLIP_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_CLIP_STD).reshape(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images (n, channel, height, width) -> (n, projection_dim)."""
        x = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        x = (x.expand(-1, 3, -1, -1) - self.mean) / self.std
        return F.normalize(self.model(pixel_values=x).image_embeds, dim=1)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "grid": GridFeatures, "gabor": GaborFeatures, "conv": ConvFeatures, "clip": ClipFeatures,
}  # fmt: skip


def make_network(name: str, *, channels: int, **options: Any) -> nn.Module:
    """Build one of :data:`NETWORKS`.

    Raises
    ------
    BraindecError
        If there is no such network or option.
    """
    if name not in NETWORKS:
        raise BraindecError(
            f"there is no differentiable network {name!r}{did_you_mean(name, NETWORKS)}", allowed=", ".join(NETWORKS)
        )
    try:
        return NETWORKS[name](
            channels=channels, **{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        )
    except TypeError as error:
        raise BraindecError(f"the network {name!r} cannot be built so", found=str(error)) from None


def open_clip(path: str | Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read settings and weights of a CLIP image encoder from a local folder (``config.json``, ``*.safetensors``).

    Returns
    -------
    settings, weights
        For :class:`ClipFeatures` and its ``model``.

    Raises
    ------
    BraindecError
        If the folder holds no CLIP model, or only pickled weights.
    """
    from transformers import CLIPVisionModelWithProjection

    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise BraindecError(
            f"{folder} holds no CLIP model", found="no config.json", fix="name a folder as save_pretrained() writes it"
        )
    if not list(folder.glob("*.safetensors")):
        raise BraindecError(
            f"{folder} holds no weights as safetensors", found=", ".join(p.name for p in folder.glob("*.bin")) or "none",
            fix="pickled weights are not opened: load them where you trust them and save_pretrained(..., safe_serialization=True)",
        )  # fmt: skip
    model = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    settings = json.loads(model.config.to_json_string())
    return settings, model.state_dict()


def _gabors(wave: float, n_orientations: int, size: int) -> torch.Tensor:
    """Even and odd filters, (2 * n_orientations, 1, size, size), without a response to plain grey."""
    y, x = torch.meshgrid(*[torch.arange(size) - size // 2] * 2, indexing="ij")
    window = torch.exp(-(x.square() + y.square()) / (2 * (wave / 2) ** 2))
    out = []
    for phase in (0.0, math.pi / 2):
        for k in range(n_orientations):
            turn = math.pi * k / n_orientations
            wave_at = 2 * math.pi / wave * (x * math.cos(turn) + y * math.sin(turn)) + phase
            kernel = window * torch.cos(wave_at)
            kernel = kernel - window * kernel.sum() / window.sum()
            out.append(kernel / kernel.abs().sum())
    return torch.stack(out)[:, None].float()
