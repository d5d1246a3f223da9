"""What decoders that train a denoiser share: the UNet of a preset, the space that is denoised, the training, the pipeline.

For any decoder of pictures whose condition is an embedding, tokens, or the output of an encoder that is trained along:
``denoiser_unet`` builds the UNet, ``latent_space`` says what is denoised (pixels, patches, an autoencoder), ``train_denoiser``
trains with dropped conditions, min-SNR weights and averaged weights, ``image_pipeline`` wraps the result, and
``sample_pictures`` samples in blocks with noise by name.

Source: Ho et al. 2020 (DDPM), Nichol & Dhariwal 2021 (cosine schedule), Ho & Salimans 2022 (dropped conditions), Hang et al.
2023 (min-SNR), Rombach et al. 2022 (latents).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import nn

from braindec.diffusion._pipeline_checks import own_memory
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.patch_autoencoder import PatchAutoencoder
from braindec.diffusion.presets import autoencoder, sizes, unet
from braindec.diffusion.pretrained import open_component
from braindec.diffusion.schedulers import make_scheduler, training_scheduler
from braindec.errors import BraindecError, did_you_mean
from braindec.train.denoising import diffusion_loss
from braindec.train.diffusion import StepHistory, fit_diffusion
from braindec.types import Pictures

__all__ = ["DenoiserOptions", "batches_of", "denoiser_unet", "history_of", "image_pipeline", "latent_space", "latents_of", "nchw",
           "noise_levels", "open_image_pipeline", "own_memory", "same_size", "sample_pictures", "still_only", "train_denoiser"]  # fmt: skip

Condition = Callable[[Any, Mapping[str, torch.Tensor], torch.Generator], torch.Tensor]
_BLOCK = 64  # pictures sampled at once


class DenoiserOptions:
    """Names of the options that decoders with a trained denoiser have in common (see :class:`~braindec.decoders.conditioned.Conditioned`)."""

    NAMES = ("steps", "batch_size", "lr", "ema", "drop", "min_snr", "seed", "device", "folder", "training")

    @staticmethod
    def of(decoder: Any) -> dict[str, Any]:
        """Return them as arguments of :func:`train_denoiser`, checked."""
        for name, least in (("steps", 1), ("batch_size", 1)):
            value = getattr(decoder, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        if not 0 <= decoder.drop < 1:
            raise BraindecError("drop is a share of the conditions", found=repr(decoder.drop), allowed="0 to below 1")
        return {name: getattr(decoder, name) for name in DenoiserOptions.NAMES}

    @staticmethod
    def check(decoder: Any) -> None:
        """Raise if an option is wrong, as far as that can be known without data."""
        DenoiserOptions.of(decoder)
        levels = noise_levels(decoder.preset, latents=False, changes=decoder.noise)
        make_scheduler(decoder.sampler, training=levels)
        denoiser_name(decoder.preset)


def denoiser_unet(
    preset: str, *, channels: int, size: tuple[int, int], vector: int | None = None, changes: Mapping[str, Any] | None = None
) -> UNet2DConditionModel:  # fmt: skip
    """Build the UNet of a preset for a grid of (channel, height, width); see :func:`braindec.diffusion.presets.unet`.

    "paper" is the label-to-image latent model that MinD-Vis starts from ("paper:mindvis"); tokens have its
    ``cross_attention_dim``.
    """
    return unet(
        denoiser_name(preset),
        sample_size=size[0] if size[0] == size[1] else size,
        channels=channels,
        vector=vector,
        **dict(changes or {}),
    )


def denoiser_name(preset: str) -> str:
    """The size of the denoiser of a preset."""
    name, known = "paper:mindvis" if preset == "paper" else preset, sizes("unet")
    if name not in known:
        raise BraindecError(f"there is no preset {preset!r}{did_you_mean(preset, known)}", allowed=", ".join(("paper", *known)))  # fmt: skip
    return name


def nchw(pictures: np.ndarray) -> torch.Tensor:
    """(n, height, width, channel) of 0 to 1 -> (n, channel, height, width) of -1 to 1."""
    return torch.from_numpy(np.ascontiguousarray(pictures, dtype=np.float32)).permute(0, 3, 1, 2) * 2 - 1


def latent_space(
    choice: str | None, pictures: np.ndarray, *, steps: int = 300, seed: int = 0, device: str = "cpu", **options: Any
) -> nn.Module | None:
    """Return what stands between pictures and what is denoised; None for the pixels themselves.

    Parameters
    ----------
    choice : str or None
        None or "pixels"; "patches": components of 4 x 4 patches in closed form; "tiny": a small ``AutoencoderKL`` trained on
        the pictures; else a folder or hub name of an ``AutoencoderKL`` (safetensors).
    pictures : array (n, height, width, channel), 0 to 1
        Training pictures.
    steps, seed, device
        Of the training of a small one.
    **options
        Settings of "patches" (``patch``, ``latent_channels``) or of the small ``AutoencoderKL``.
    """
    channels = pictures.shape[-1]
    if choice in (None, "pixels"):
        return None
    if choice == "patches":
        patch = int(options.get("patch", 4))
        kept = int(options.get("latent_channels", min(channels * patch**2, 4 * channels)))
        made = PatchAutoencoder(
            channels=channels, patch=patch, latent_channels=kept, whiten=bool(options.get("whiten"))
        )
        return made.fit(nchw(pictures))
    if choice == "tiny":
        return _trained_autoencoder(pictures, steps=steps, seed=seed, device=device, **options)
    return _opened_autoencoder(choice, channels)


def noise_levels(preset: str, *, latents: bool, changes: Mapping[str, Any] | None = None) -> DDPMScheduler:
    """Return the noise of training of a preset; see :func:`braindec.diffusion.schedulers.training_scheduler`."""
    return training_scheduler("paper:mindvis" if preset == "paper" else preset, latents=latents, **dict(changes or {}))


def batches_of(
    tensors: Mapping[str, torch.Tensor], batch_size: int
) -> Callable[[torch.Generator], Iterator[dict[str, torch.Tensor]]]:
    """Return ``batches(generator)`` for :func:`fit_diffusion`: full batches of rows in random order."""
    n = len(next(iter(tensors.values())))

    def batches(generator: torch.Generator) -> Iterator[dict[str, torch.Tensor]]:
        order = torch.randperm(n, generator=generator)
        size = min(batch_size, n)
        for start in range(0, n - size + 1, size):
            rows = order[start : start + size]
            yield {k: v[rows] for k, v in tensors.items()}

    return batches


def train_denoiser(
    model: nn.ModuleDict,
    tensors: Mapping[str, torch.Tensor],
    *,
    scheduler: Any,
    condition: Condition,
    steps: int,
    batch_size: int = 64,
    lr: float = 2e-3,
    ema: float | None = 0.99,
    drop: float = 0.15,
    min_snr: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
) -> StepHistory:
    """Train ``model["unet"]`` and ``model["conditioner"]`` (and whatever ``condition`` uses of ``model``) in place.

    Parameters
    ----------
    model : nn.ModuleDict
        With "unet" and "conditioner".
    tensors : mapping of Tensor (n, ...)
        Rows that belong together; "x" is what is denoised, (n, channel, height, width); "without", bool, where it is given,
        marks rows that have no condition.
    scheduler : DDPMScheduler
    condition : callable
        ``condition(model, batch, generator) -> (batch, dim) or (batch, n_tokens, dim)``.
    steps, batch_size, lr, ema, seed, device, folder
        As in :func:`~braindec.train.diffusion.fit_diffusion`.
    drop : float
        Share of the rows whose condition is replaced by "nothing".
    min_snr : float, optional
        gamma of the min-SNR weights.
    training : mapping, optional
        Further arguments of :func:`~braindec.train.diffusion.fit_diffusion` (``mixed_precision``, ``accumulate``,
        ``gradient_checkpointing``, ``accelerate``, ``warm_up``).
    """
    without = "without" in tensors and bool(tensors["without"].any())
    ready = diffusion_loss(
        model["unet"], model["conditioner"], scheduler, min_snr=min_snr, condition_drop=drop or (1e-9 if without else 0.0)
    )  # fmt: skip
    digest = hashlib.sha256(b"".join(tensors[k].detach().cpu().contiguous().numpy().tobytes() for k in sorted(tensors)))
    return fit_diffusion(
        model, _Loss(ready, condition), batches_of(tensors, batch_size), steps=steps, lr=lr, ema=ema, seed=seed, device=device,
        folder=folder, **{"key": digest.hexdigest(), **dict(training or {})},
    )  # fmt: skip


class _Loss:
    """The common loss with a condition that is computed from the batch by what is trained."""

    def __init__(self, ready: Any, condition: Condition) -> None:
        self.ready, self.condition = ready, condition

    def draw(self, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
        drawn = self.ready.draw(batch, generator)
        if "without" in batch:
            drawn["drop"] = drawn["drop"] | batch["without"]
        return drawn

    def __call__(self, model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        if "noise" not in batch:
            batch = self.draw(batch, generator)
        return self.ready(model, {**batch, "condition": self.condition(model, batch, generator)}, generator)


def image_pipeline(
    unet: nn.Module, conditioner: Conditioner, scheduler: Any, vae: nn.Module | None = None, *, sampler: str = "ddim"
) -> BrainImagePipeline:  # fmt: skip
    """Wrap what was trained in a pipeline; ``sampler`` is a name of :func:`braindec.diffusion.schedulers.make_scheduler`."""
    made = BrainImagePipeline(unet, make_scheduler(sampler, training=scheduler), conditioner, vae)
    made.set_progress_bar_config(disable=True)
    return made


def open_image_pipeline(folder: str | Path) -> BrainImagePipeline:
    """Open what ``save_pretrained`` of an image pipeline wrote."""
    made = BrainImagePipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    for part in made.components.values():
        if isinstance(part, nn.Module):
            part.eval()
    return made


def latents_of(vae: nn.Module | None, values: np.ndarray, *, block: int = 256) -> torch.Tensor:
    """What is denoised for pictures (n, height, width, channel) of 0 to 1: pixels or latents, (n, channel, height, width)."""
    x = nchw(values)
    if vae is None:
        return x
    with torch.no_grad():
        parts = [vae.encode(x[i : i + block]).latent_dist.mode() for i in range(0, len(x), block)]
    return torch.cat(parts) * vae.config.scaling_factor


def history_of(history: StepHistory) -> dict[str, np.ndarray]:
    """Columns of a history, for the report."""
    return {k: np.array([row[k] for row in history.rows], dtype=float) for k in history.rows[0]}


def still_only(pictures: Pictures) -> None:
    """Raise for films."""
    if pictures.is_film:
        raise BraindecError("this decoder makes still pictures", found="films", fix="use a decoder of films")


def same_size(extra: Pictures | None, pictures: Pictures) -> np.ndarray | None:
    """Return further pictures, (n, height, width, channel), or None; they must be of the size and mode of the others."""
    if extra is None:
        return None
    if extra.shape[1:] != pictures.shape[1:]:
        raise BraindecError(
            "the extra pictures are of another size or mode",
            found=f"{extra.shape[1:]}",
            allowed=f"{pictures.shape[1:]}",
        )
    return extra.load()


def sample_pictures(
    pipeline: BrainImagePipeline,
    condition: np.ndarray | None,
    names: Sequence[Any],
    *,
    seed: int,
    block: int = _BLOCK,
    per_item: Mapping[str, np.ndarray] | None = None,
    **sampling: Any,
) -> np.ndarray:
    """Sample a picture for each name, block by block, (n, height, width, channel) float32 of 0 to 1.

    Parameters
    ----------
    pipeline : BrainImagePipeline
    condition : array (n, ...) or None
        None for the prior alone.
    names : sequence of shape (n,)
        Noise comes from (seed, name).
    seed : int
    block : int
        How many at once. Blocks are padded to one size, so that a picture has the same bytes whatever stands beside it.
    per_item : mapping of array (n, ...), optional
        Further arguments with one row an item (``image``, ``control``).
    **sampling
        Further arguments of the pipeline.
    """
    names = list(names)
    if condition is not None and len(condition) != len(names):
        raise BraindecError("one name for each condition", found=f"{len(condition)} conditions, {len(names)} names")
    made = []
    for start in range(0, len(names), block):
        rows = slice(start, min(start + block, len(names)))
        some = names[rows]
        pad = block - len(some) if len(names) > 1 or block > 1 else 0

        def filled(values: np.ndarray, pad: int = pad, rows: slice = rows) -> np.ndarray:
            values = np.asarray(values)[rows]
            return np.concatenate([values, np.repeat(values[-1:], pad, axis=0)]) if pad else values

        extra = {k: filled(v) for k, v in (per_item or {}).items()}
        given = {"n": block} if condition is None else {"condition": filled(condition)}
        out = pipeline(**given, names=some + [some[-1]] * pad, seed=seed, **extra, **sampling).images
        made.append(np.asarray(out, dtype=np.float32)[: len(some)])
    return np.concatenate(made) if made else np.zeros((0, 1, 1, 1), np.float32)


def _trained_autoencoder(
    pictures: np.ndarray, *, steps: int, seed: int, device: str, kl: float = 1e-4, batch_size: int = 32, **options: Any
) -> AutoencoderKL:
    """A small AutoencoderKL of the training pictures; its scaling factor makes latents of variance one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = autoencoder("tiny", sample_size=pictures.shape[1], channels=pictures.shape[-1], **options)

    def loss(model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        found = model.encode(batch["x"]).latent_dist
        noise = torch.randn(found.mean.shape, generator=generator).to(found.mean.device)
        made = model.decode(found.mean + found.std * noise).sample
        return (made - batch["x"]).abs().mean() + kl * found.kl().mean() / found.mean[0].numel()

    y = nchw(pictures)
    fit_diffusion(vae, loss, batches_of({"x": y}, batch_size), steps=steps, lr=3e-3, ema=None, seed=seed, device=device)
    with torch.no_grad():
        some = vae.to("cpu").encode(y[:256]).latent_dist.mode()
    vae.register_to_config(scaling_factor=float(1 / some.std().clamp(min=1e-6)))
    return vae.eval().requires_grad_(False)


def _opened_autoencoder(path: str, channels: int) -> AutoencoderKL:
    vae = open_component("autoencoder", path)
    if vae.config.in_channels != channels:
        raise BraindecError(
            "the autoencoder was trained on pictures of another mode", found=f"pictures of {channels} channels",
            allowed=f"{vae.config.in_channels} channels", fix="convert the pictures when they are loaded",
        )  # fmt: skip
    return vae.eval().requires_grad_(False)
