"""The loss of a denoiser: what it should predict, and how much each level of noise counts.

Source: Ho et al. 2020 (NeurIPS, DDPM, eq. 14); v-prediction, Salimans & Ho 2022 (appendix D); min-SNR weighting, Hang et al.
2023 (ICCV, section 3.4: weights min(SNR, gamma) / SNR for noise, min(SNR, gamma) / (SNR + 1) for v, min(SNR, gamma) for x0).
"""

from __future__ import annotations

from typing import Any

import torch

from braindec.errors import BraindecError

__all__ = ["denoising_loss", "signal_to_noise", "target_of"]


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
