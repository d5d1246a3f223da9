"""The loss of a denoiser: what it should predict, and how much each level of noise counts.

Source: Ho et al. 2020 (NeurIPS, DDPM, eq. 14); v-prediction, Salimans & Ho 2022 (appendix D); min-SNR weighting, Hang et al.
2023 (ICCV, section 3.4: weights min(SNR, gamma) / SNR for noise, min(SNR, gamma) / (SNR + 1) for v, min(SNR, gamma) for x0);
dropped conditions, Ho & Salimans 2022; noise with an offset that all pixels of a channel share, Guttenberg 2023 (blog post).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError

__all__ = ["DiffusionLoss", "denoising_loss", "diffusion_loss", "signal_to_noise", "target_of"]

Batch = Mapping[str, torch.Tensor]


def signal_to_noise(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:
    """Return alpha_bar / (1 - alpha_bar) at each timestep, shape (batch,)."""
    kept = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    return kept / (1 - kept).clamp(min=1e-12)


def target_of(
    scheduler: Any,
    clean: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
    prediction_type: str | None = None,
) -> torch.Tensor:
    """Return what the denoiser should predict: noise ("epsilon"), "sample" or "v_prediction"; the scheduler's by default."""
    kind = prediction_type or scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return clean
    if kind == "v_prediction":
        return scheduler.get_velocity(clean, noise, timesteps)
    raise BraindecError(f"there is no prediction type {kind!r}", allowed="epsilon, sample, v_prediction")


def denoising_loss(
    scheduler: Any,
    predicted: torch.Tensor,
    clean: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
    *,
    min_snr: float | None = None,
    prediction_type: str | None = None,
) -> torch.Tensor:
    """Return the mean squared error of a batch, weighted by noise level.

    Parameters
    ----------
    scheduler : a scheduler of diffusers
        With ``alphas_cumprod``.
    predicted, clean, noise : Tensor of shape (batch, ...)
    timesteps : int Tensor of shape (batch,)
    min_snr : float, optional
        gamma of the min-SNR weighting (5 in the paper); None weighs all alike.
    prediction_type : str, optional
        As in :func:`target_of`.
    """
    kind = prediction_type or scheduler.config.prediction_type
    target = target_of(scheduler, clean, noise, timesteps, kind)
    errors = (predicted.float() - target.float()).pow(2).flatten(1).mean(dim=1)
    if min_snr is not None:
        snr = signal_to_noise(scheduler, timesteps)
        weights = snr.clamp(max=min_snr)
        errors = errors * {"epsilon": weights / snr, "v_prediction": weights / (snr + 1), "sample": weights}[kind]
    return errors.mean()


class DiffusionLoss:
    """The loss of a denoiser that listens to a condition; made by :func:`diffusion_loss`.

    ``draw`` adds the noise, the levels and the dropped rows of a whole batch; calling it is the loss of the rows of a batch
    that has them. So a batch that is shared out among devices, or among parts of one step, sees the same noise as a whole one.
    """

    def __init__(self, unet: nn.Module, conditioner: nn.Module, scheduler: Any, **options: Any) -> None:
        from diffusers import UNetMotionModel

        self.unet, self.conditioner, self.scheduler = unet, conditioner, scheduler
        self._per_frame = isinstance(unet, UNetMotionModel)  # wants tokens for each frame
        self.controlnet: nn.Module | None = options["controlnet"]
        self.condition_drop, self.control_drop = options["condition_drop"], options["control_drop"]
        self.min_snr, self.noise_offset, self.noise = options["min_snr"], options["noise_offset"], options["noise"]

    def draw(self, batch: Batch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Return the batch with "noise", "timesteps" (batch,), "drop" (batch,) and, with a control image, "control_drop"."""
        clean, n = batch["x"], len(batch["x"])
        device, where = generator.device, clean.device
        drawn: dict[str, torch.Tensor] = dict(batch)
        levels = self.scheduler.config.num_train_timesteps
        drawn["timesteps"] = torch.randint(levels, (n,), generator=generator, device=device).to(where)
        if self.noise is None:
            noise = torch.randn(clean.shape, generator=generator, device=device)
        else:
            noise = self.noise(tuple(clean.shape), generator)
        if self.noise_offset:
            offset = torch.randn((n, clean.shape[1], *[1] * (clean.ndim - 2)), generator=generator, device=device)
            noise = noise + self.noise_offset * offset
        drawn["noise"] = noise.to(where, clean.dtype)
        drawn["drop"] = (torch.rand(n, generator=generator, device=device) < self.condition_drop).to(where)
        if self.controlnet is not None:
            drawn["control_drop"] = (torch.rand(n, generator=generator, device=device) < self.control_drop).to(where)
        return drawn

    def __call__(self, model: nn.Module | None, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch; ``model`` is what is trained, and is not looked at."""
        if "noise" not in batch:
            batch = self.draw(batch, generator)
        clean, timesteps = batch["x"], batch["timesteps"]
        noisy = self.scheduler.add_noise(clean, batch["noise"], timesteps)
        tokens, vector = self.conditioner(batch["condition"], batch["drop"] if self.condition_drop else None)
        if self._per_frame:
            tokens = tokens.repeat_interleave(clean.shape[2], dim=0)
        extra: dict[str, Any] = {} if vector is None else {"class_labels": vector}
        if self.controlnet is not None:
            extra |= self._control(batch, noisy, tokens, extra)
        predicted = self.unet(noisy, timesteps, encoder_hidden_states=tokens, return_dict=False, **extra)[0]
        return denoising_loss(self.scheduler, predicted, clean, batch["noise"], timesteps, min_snr=self.min_snr)

    def _control(
        self, batch: Batch, noisy: torch.Tensor, tokens: torch.Tensor, labels: Mapping[str, Any]
    ) -> dict[str, Any]:
        if "control" not in batch:
            raise BraindecError(
                "the control network needs a control image for every item", fix='give batches "control"'
            )
        hint = batch["control"]
        if self.control_drop:
            hint = hint * (~batch["control_drop"]).to(hint.dtype)[:, None, None, None]
        down, middle = self.controlnet(
            noisy, batch["timesteps"], encoder_hidden_states=tokens, controlnet_cond=hint, return_dict=False, **labels
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}


def diffusion_loss(
    unet: nn.Module,
    conditioner: nn.Module,
    scheduler: Any,
    *,
    controlnet: nn.Module | None = None,
    condition_drop: float = 0.1,
    control_drop: float = 0.0,
    min_snr: float | None = None,
    noise_offset: float = 0.0,
    noise: Callable[[tuple[int, ...], torch.Generator], torch.Tensor] | None = None,
) -> DiffusionLoss:
    """Return the ``loss(model, batch, generator)`` of :func:`braindec.train.diffusion.fit_diffusion`.

    Batches hold ``x`` (batch, channel, height, width) or (batch, channel, frame, height, width): clean pixels of -1 to 1, or
    latents; ``condition`` (batch, dim) or (batch, n_tokens, dim); and, with a control network, ``control`` (batch, channel,
    height, width) of 0 to 1.

    Parameters
    ----------
    unet : nn.Module
        Called as ``unet(noisy, timesteps, encoder_hidden_states=tokens[, class_labels=vector])``, as those of diffusers are
        (``UNetMotionModel`` gets the tokens once a frame).
    conditioner : nn.Module
        ``conditioner(condition, drop) -> (tokens, vector or None)``, as :class:`braindec.diffusion.conditioner.Conditioner`.
    scheduler : a scheduler of diffusers
        Adds the noise; says whether noise, the clean picture or the velocity is predicted.
    controlnet : nn.Module, optional
        As those of diffusers.
    condition_drop : float
        Share of rows that get "nothing": needed for guidance without a classifier.
    control_drop : float
        Share of rows whose control image is blanked.
    min_snr : float, optional
        gamma of the min-SNR weighting (5 in the paper).
    noise_offset : float
        Standard deviation of an offset that all pixels of a channel share (.05 to .1 is usual): for pictures that are darker
        or brighter than grey on the whole.
    noise : callable, optional
        ``noise(shape, generator)`` instead of standard normal noise: frames that share some of theirs, for instance.

    Raises
    ------
    BraindecError
        If an option is out of bounds, or the scheduler cannot be trained with.
    """
    for name, value in (("condition_drop", condition_drop), ("control_drop", control_drop)):
        if not 0 <= value <= 1:
            raise BraindecError(f"{name} is a share of the rows", found=repr(value), allowed="0 to 1")
    if min_snr is not None and not min_snr > 0:
        raise BraindecError("gamma of the min-SNR weighting", found=repr(min_snr), allowed="above 0, or None")
    if noise_offset < 0:
        raise BraindecError("noise_offset is a standard deviation", found=repr(noise_offset), allowed="0 and more")
    if getattr(scheduler, "alphas_cumprod", None) is None or not hasattr(scheduler, "add_noise"):
        raise BraindecError(
            f"{type(scheduler).__name__} cannot be trained with", found="no alphas_cumprod",
            fix="use braindec.diffusion.schedulers.training_scheduler()",
        )  # fmt: skip
    return DiffusionLoss(
        unet, conditioner, scheduler, controlnet=controlnet, condition_drop=condition_drop, control_drop=control_drop,
        min_snr=min_snr, noise_offset=noise_offset, noise=noise,
    )  # fmt: skip
