"""Guidance by the gradient of an objective: how a number of the final picture bends one step of denoising.

With a noised picture ``x_t = sqrt(a) x_0 + sqrt(1 - a) noise`` (``a`` is alpha-bar at the step), the denoiser's guess of the
clean picture is ``x0_hat``. The objective ``A`` is evaluated on ``s = f x0_hat + (1 - f) x_t`` with ``f = sqrt(1 - a)``, and
the predicted noise becomes ``noise - sqrt(1 - a) * scale * dA/dx_t``, which raises ``A``.

The scale has a unit. Samples follow, to first order, the density ``p(picture) * exp(scale * A(picture))``: with ``A`` in
standard deviations over pictures of the prior, a picture one standard deviation better is ``exp(scale)`` times as likely as
without guidance, and where ``A`` is Gaussian under the prior its mean rises by ``scale`` standard deviations.

Source: Luo, Henderson, Wehbe & Tarr 2023 (NeurIPS, BrainDiVE, section 3.2 and algorithm 1); Dhariwal & Nichol 2021 (NeurIPS,
classifier guidance, eq. 14); the mix of ``x0_hat`` and ``x_t``, Nichol et al. 2021 (guidance by CLIP, as in community
pipelines). The density is that of classifier guidance with ``log p(y | x) = scale * A(x)``.
Differs from the references in: any prediction type; the predicted noise of the same pass is corrected (BrainDiVE's released code
takes the gradient at one pass of the denoiser and corrects another); no self-attention guidance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from braindec.errors import BraindecError

Objective = Callable[..., torch.Tensor]

__all__ = ["Objective", "alpha_bar", "clean_of", "shifted", "value_of"]

_KINDS = ("epsilon", "v_prediction", "sample")


def alpha_bar(scheduler: Any, timestep: Any) -> torch.Tensor:
    """Return alpha-bar at a timestep, a scalar; between two steps of training it is interpolated.

    Raises
    ------
    BraindecError
        If the scheduler has none (flow matching), or predicts something else than noise, the sample or v.
    """
    kept = getattr(scheduler, "alphas_cumprod", None)
    kind = getattr(scheduler.config, "prediction_type", None)
    if kept is None or kind not in _KINDS:
        raise BraindecError(
            f"guidance by a gradient cannot use the scheduler {type(scheduler).__name__}",
            found="it has no alphas_cumprod" if kept is None else f"prediction_type {kind!r}",
            allowed="schedulers of diffusion such as DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, "
            "with prediction_type epsilon, v_prediction or sample",
        )  # fmt: skip
    place = min(max(float(timestep), 0.0), len(kept) - 1.0)
    low = int(place)
    high = min(low + 1, len(kept) - 1)
    return torch.lerp(kept[low].double(), kept[high].double(), place - low).clamp(1e-8, 1 - 1e-8)


def clean_of(predicted: torch.Tensor, x: torch.Tensor, alpha: torch.Tensor, kind: str) -> torch.Tensor:
    """Return the denoiser's guess of the clean picture from what it predicts ("epsilon", "v_prediction", "sample")."""
    keep, noise = float(alpha.sqrt()), float((1 - alpha).sqrt())
    if kind == "epsilon":
        return (x - noise * predicted) / keep
    return keep * x - noise * predicted if kind == "v_prediction" else predicted


def shifted(
    predicted: torch.Tensor, x: torch.Tensor, gradient: torch.Tensor, alpha: torch.Tensor, kind: str, *,
    limit: float | None = None, bound: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the prediction for which the predicted noise is lower by ``sqrt(1 - alpha) * gradient``.

    Parameters
    ----------
    predicted, x : Tensor of shape (n, ...)
        What the denoiser predicts, and the noised picture that it saw.
    gradient : Tensor of shape (n, ...)
        Of scale times the objective, with respect to the noised picture.
    alpha : scalar Tensor
        alpha-bar.
    kind : {"epsilon", "v_prediction", "sample"}
        What ``predicted`` is.
    limit : float, optional
        Largest root mean square of the change of the noise, item by item (noise itself has 1); None for none.
    bound : float, optional
        Clean values end at plus and minus this (1 for pixels): the change takes none beyond it. Schedulers that clip the clean
        picture, but not the noise, would otherwise turn the excess into a step the wrong way.
    """
    change = (1 - alpha).sqrt().to(gradient.dtype) * gradient
    if limit is not None:
        size = change.flatten(1).pow(2).mean(dim=1).sqrt().clamp(min=1e-30)
        change = change * (limit / size).clamp(max=1.0).reshape(-1, *[1] * (change.ndim - 1))
    raised = ((1 - alpha) / alpha).sqrt().to(change.dtype)  # of the clean picture, for each unit that the noise falls
    if bound is not None:
        clean = clean_of(predicted, x, alpha, kind)
        moved = torch.maximum(torch.minimum(clean + raised * change, clean.clamp(min=bound)), clean.clamp(max=-bound))
        change = (moved - clean) / raised
    if kind == "epsilon":
        return predicted - change
    # the same, told in the clean picture, or in v = sqrt(a) noise - sqrt(1 - a) clean
    return predicted + raised * change if kind == "sample" else predicted - change / alpha.sqrt().to(change.dtype)


def value_of(objective: Objective, pictures: torch.Tensor, *targets: torch.Tensor) -> torch.Tensor:
    """Return the objective of pictures (n, channel, height, width) of 0 to 1, shape (n,).

    Raises
    ------
    BraindecError
        If it is not one finite number an item, or no gradient leads from it to the pictures.
    """
    value = objective(pictures, *targets)
    if not isinstance(value, torch.Tensor) or tuple(value.shape) != (len(pictures),):
        raise BraindecError(
            "the objective must return one number a picture", allowed=f"a Tensor of shape ({len(pictures)},)",
            found=f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__,
            fix="sum or average over voxels, not over pictures",
        )  # fmt: skip
    if torch.is_grad_enabled() and not value.requires_grad:
        raise BraindecError(
            "the objective has no gradient with respect to the picture", found="a value that is cut off from it",
            fix="compute it with torch operations on the tensor that is given (no numpy, no .detach(), no no_grad)",
        )  # fmt: skip
    if not torch.isfinite(value).all():
        raise BraindecError(
            "the objective is not finite", found=f"{int((~torch.isfinite(value)).sum())} of {len(value)} pictures"
        )
    return value
