"""What decoders of films share: targets, the denoiser of a preset, its training, the pipeline.

A denoiser of films is one of three: "stacked", a 2-D UNet whose channels are those of all frames (small films, ten times
faster on a CPU); "unet3d", convolutions and attention over time; "motion", a UNet with motion modules (AnimateDiff).

Source: Ho et al. 2022 (Video Diffusion Models); Voleti et al. 2022 (MCVD: frames as channels); Guo et al. 2024 (AnimateDiff).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNetMotionModel
from torch import nn

from braindec.decoders._diffusion_training import batches_of
from braindec.decoders._pictures import targets_of
from braindec.diffusion.film_noise import check_mixing, mix_frames
from braindec.diffusion.film_pipeline import BrainFilmPipeline, denoise_film, takes_first_frame
from braindec.diffusion.presets import film_unet, unet
from braindec.diffusion.schedulers import make_scheduler
from braindec.errors import BraindecError, did_you_mean
from braindec.train.denoising import DiffusionLoss, denoising_loss, diffusion_loss
from braindec.train.diffusion import StepHistory, fit_diffusion
from braindec.types import Pictures, Windows

DENOISERS = ("stacked", "unet3d", "motion")
Condition = Callable[[Any, Mapping[str, torch.Tensor], torch.Generator], torch.Tensor]
Beside = Callable[[Any, Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]
_MAX_STACKED = 32  # frames that a 2-D denoiser takes

__all__ = ["DENOISERS", "film_denoiser", "film_pipeline", "film_targets", "first_frames", "nchw_films", "train_films"]


def film_targets(windows: Windows, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Return the films of the stimuli of windows, each once, (n_items, frame, height, width, channel), and each window's row.

    Raises
    ------
    BraindecError
        If pictures are given for films, or films have one frame.
    """
    check_films(pictures)
    return targets_of(windows, pictures)


def check_films(pictures: Pictures) -> None:
    """Raise unless ``pictures`` are films of two frames or more."""
    if not pictures.is_film:
        raise BraindecError(
            "this decoder makes films", found=f"still pictures, {pictures!r}",
            allowed="films (item, frame, height, width, channel)", fix="use a decoder of pictures, such as 'conditioned'",
        )  # fmt: skip
    if pictures.shape[1] < 2:
        raise BraindecError(
            "a film of one frame is a picture", found=repr(pictures), allowed="2 frames or more",
            fix="use a decoder of pictures: Pictures(pictures.values[:, 0], pictures.items)",
        )  # fmt: skip


def first_frames(pictures: Pictures) -> Pictures:
    """Return the first frame of each film as still pictures."""
    check_films(pictures)
    return Pictures(pictures.load()[:, 0], pictures.items, None, dict(pictures.info))


def nchw_films(films: np.ndarray) -> torch.Tensor:
    """(n, frame, height, width, channel) of 0 to 1 -> (n, channel, frame, height, width) of -1 to 1."""
    return torch.from_numpy(np.ascontiguousarray(films, dtype=np.float32)).permute(0, 4, 1, 2, 3) * 2 - 1


def film_denoiser(
    kind: str, preset: str, *, channels: int, n_frames: int, size: tuple[int, int], vector: int | None = None,
    first_frame: bool = False, places: bool = True, changes: Mapping[str, Any] | None = None,
) -> nn.Module:  # fmt: skip
    """Build a denoiser of films.

    Parameters
    ----------
    kind : {"stacked", "unet3d", "motion"}
    preset : {"tiny", "base", "paper"}
        "paper" is the text-to-video model of ModelScope ("unet3d") or Stable Diffusion 1.5 with AnimateDiff's modules
        ("motion").
    channels, n_frames, size
        Of what is denoised, ``size`` (height, width).
    vector : int, optional
        Length of a vector that is added to the time embedding ("stacked" only).
    first_frame : bool
        Add channels that take a known first frame.
    places : bool
        Add two channels that say where a pixel is (Liu et al. 2018, CoordConv), so that a token can say "left".
    changes : mapping, optional
        Settings of the model in diffusers.
    """
    if kind not in DENOISERS:
        raise BraindecError(
            f"there is no denoiser {kind!r}{did_you_mean(str(kind), DENOISERS)}", allowed=", ".join(DENOISERS)
        )
    sides: Any = size[0] if size[0] == size[1] else size
    beside = channels * int(first_frame) + 2 * int(places)
    more = {"in_channels": channels + beside, "out_channels": channels}
    changes = dict(changes or {})
    if kind == "stacked":
        if n_frames > _MAX_STACKED:
            raise BraindecError("too many frames to stand as channels", found=str(n_frames), fix="denoiser='unet3d'")
        more = {"in_channels": channels * n_frames + beside, "out_channels": channels * n_frames}
        name = "paper:sd15" if preset == "paper" else preset
        return unet(name, sample_size=sides, vector=vector, **{**more, **changes})
    if kind == "unet3d":
        if (
            preset == "tiny"
        ):  # narrower than the preset of that name, which has 32 and 64 channels and is five times slower
            more |= {"block_out_channels": (16, 32), "norm_num_groups": 8, "attention_head_dim": 4,
                     "down_block_types": ("DownBlock3D", "CrossAttnDownBlock3D"),
                     "up_block_types": ("CrossAttnUpBlock3D", "UpBlock3D")}  # fmt: skip
        name = "paper:modelscope" if preset == "paper" else preset
        return film_unet(name, sample_size=sides, **{**more, **changes})
    return UNetMotionModel(**{**_MOTION[preset], "sample_size": sides, **more, **changes})


def train_films(
    model: nn.ModuleDict,
    tensors: Mapping[str, torch.Tensor],
    *,
    scheduler: DDPMScheduler,
    noise_mixing: float = 0.0,
    noise_kind: str = "mixed",
    condition: Condition | None = None,
    beside: Beside | None = None,
    steps: int,
    batch_size: int = 64,
    lr: float = 2e-3,
    ema: float | None = 0.99,
    drop: float = 0.15,
    min_snr: float | None = 5.0,
    seed: int = 0,
    device: str = "cpu",
    folder: str | Path | None = None,
    training: Mapping[str, Any] | None = None,
) -> StepHistory:
    """Train ``model["unet"]`` and ``model["conditioner"]`` (and what else is in ``model``) in place.

    Parameters
    ----------
    model : nn.ModuleDict
    tensors : mapping of Tensor (n, ...)
        "x" clean films or latents (n, channel, frame, height, width), "given" what the condition is made of.
    scheduler : DDPMScheduler
    noise_mixing, noise_kind
        Noise that frames share; the pipeline must have the same.
    condition : callable, optional
        ``condition(model, batch, generator)``; ``batch["given"]`` by default.
    beside : callable, optional
        ``beside(model, batch, tokens) -> scalar`` that is added to the loss.
    steps, batch_size, lr, ema, drop, min_snr, seed, device, folder, training
        As in :func:`~braindec.decoders._diffusion_training.train_denoiser`.
    """
    check_mixing(noise_mixing, noise_kind)
    ready = diffusion_loss(
        model["unet"], model["conditioner"], scheduler, condition_drop=drop, min_snr=min_snr,
        noise=partial(_batch_noise, mixing=noise_mixing, kind=noise_kind),
    )  # fmt: skip
    digest = hashlib.sha256(b"".join(tensors[k].detach().cpu().contiguous().numpy().tobytes() for k in sorted(tensors)))
    return fit_diffusion(
        model, _FilmLoss(ready, condition, beside, tensors["x"].shape[2]), batches_of(tensors, batch_size), steps=steps, lr=lr,
        ema=ema, seed=seed, device=device, folder=folder, **{"key": digest.hexdigest(), **dict(training or {})},
    )  # fmt: skip


def _batch_noise(shape: tuple[int, ...], generator: torch.Generator, *, mixing: float, kind: str) -> torch.Tensor:
    own = torch.randn(shape, generator=generator, device=generator.device)
    shared = torch.randn((*shape[:2], *shape[3:]), generator=generator, device=generator.device)
    return mix_frames(own, mixing, kind=kind, shared=shared)


class _FilmLoss:
    """The common loss for denoisers of films: noise of films, a first frame that is now and then left out."""

    def __init__(self, ready: DiffusionLoss, condition: Condition | None, beside: Beside | None, n_frames: int) -> None:
        self.ready, self.condition, self.beside = ready, condition, beside
        self.with_first = takes_first_frame(ready.unet, n_frames)

    def draw(self, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
        drawn = self.ready.draw(batch, generator)
        if self.with_first:  # so that the place for it may stay empty
            kept = (
                torch.rand(len(batch["x"]), generator=generator, device=generator.device) >= self.ready.condition_drop
            )
            drawn["first_kept"] = kept.to(batch["x"])
        return drawn

    def __call__(self, model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        if "noise" not in batch:
            batch = self.draw(batch, generator)
        clean, levels = batch["x"], batch["timesteps"]
        given = batch["given"] if self.condition is None else self.condition(model, batch, generator)
        tokens, vector = self.ready.conditioner(given, batch["drop"])
        first = clean[:, :, 0] * batch["first_kept"][:, None, None, None] if self.with_first else None
        noised = self.ready.scheduler.add_noise(clean, batch["noise"], levels)
        predicted = denoise_film(self.ready.unet, noised, levels, tokens, vector, first=first)
        scheduler, min_snr = self.ready.scheduler, self.ready.min_snr
        value = denoising_loss(scheduler, predicted, clean, batch["noise"], levels, min_snr=min_snr)
        return value if self.beside is None else value + self.beside(model, batch, tokens)


def film_pipeline(
    unet: nn.Module, conditioner: nn.Module, scheduler: Any, vae: nn.Module | None = None, *, n_frames: int,
    noise_mixing: float = 0.0, noise_kind: str = "mixed", sampler: str = "ddim",
) -> BrainFilmPipeline:  # fmt: skip
    """Wrap what was trained in a pipeline; ``sampler`` is a name of :func:`braindec.diffusion.schedulers.make_scheduler`."""
    made = BrainFilmPipeline(
        unet, make_scheduler(sampler, training=scheduler), conditioner, vae, n_frames, noise_mixing, noise_kind
    )
    made.set_progress_bar_config(disable=True)
    return made


_LEVELS = ("CrossAttnDownBlockMotion",) * 3 + ("DownBlockMotion",)
_MOTION: dict[str, dict[str, Any]] = {
    "tiny": {"layers_per_block": 1, "block_out_channels": (16, 32), "norm_num_groups": 8, "cross_attention_dim": 32,
             "num_attention_heads": 4, "motion_num_attention_heads": 4, "use_motion_mid_block": False,
             "down_block_types": ("DownBlockMotion", "CrossAttnDownBlockMotion"),
             "up_block_types": ("CrossAttnUpBlockMotion", "UpBlockMotion")},
    "base": {"layers_per_block": 1, "block_out_channels": (64, 128, 128), "norm_num_groups": 32, "cross_attention_dim": 256,
             "num_attention_heads": 8, "motion_num_attention_heads": 8, "use_motion_mid_block": False,
             "down_block_types": ("DownBlockMotion",) + ("CrossAttnDownBlockMotion",) * 2,
             "up_block_types": ("CrossAttnUpBlockMotion",) * 2 + ("UpBlockMotion",)},
    "paper": {"layers_per_block": 2, "block_out_channels": (320, 640, 1280, 1280), "norm_num_groups": 32,
              "cross_attention_dim": 768, "num_attention_heads": 8, "motion_num_attention_heads": 8,
              "use_motion_mid_block": True, "down_block_types": _LEVELS,
              "up_block_types": ("UpBlockMotion",) + ("CrossAttnUpBlockMotion",) * 3},
}  # fmt: skip
