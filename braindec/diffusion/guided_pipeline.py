"""GuidedImagePipeline: pictures from the prior (or from a brain's condition) that an objective pulls to what it prefers.

Source: Luo, Henderson, Wehbe & Tarr 2023 (NeurIPS, BrainDiVE): the objective is the mean predicted response of a brain region
to the picture. What is done at each step stands in :mod:`braindec.diffusion.guidance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from braindec.diffusion.guidance import Objective, alpha_bar, clean_of, shifted, value_of
from braindec.diffusion.image_pipeline import BrainImagePipeline, ImageOutput
from braindec.errors import BraindecError

__all__ = ["GuidedImagePipeline"]


@dataclass(frozen=True)
class _Guide:
    objective: Objective
    targets: torch.Tensor | None
    scale: float
    mix: bool
    through_denoiser: bool
    limit: float | None


class GuidedImagePipeline(BrainImagePipeline):
    """Sample pictures that an objective likes; components and all other options are those of :class:`BrainImagePipeline`.

    Examples
    --------
    >>> pipeline = GuidedImagePipeline(unet, scheduler, conditioner)  # doctest: +SKIP
    >>> pipeline(n=8, objective=lambda x: x.mean(dim=(1, 2, 3)), objective_scale=20.0, seed=1).images  # doctest: +SKIP
    """

    _guide: _Guide | None = None

    def __call__(
        self,
        condition: Any = None,
        *,
        objective: Objective | None = None,
        objective_scale: float = 1.0,
        targets: Any = None,
        mix: bool = True,
        through_denoiser: bool = True,
        limit: float | None = None,
        **options: Any,
    ) -> ImageOutput | tuple[Any]:
        """Sample one picture for each condition, or ``n`` of the prior, pulled by the objective.

        Parameters
        ----------
        condition : array or Tensor, optional
        objective : callable, optional
            ``objective(images) -> (n,)``: images are a Tensor (n, channel, height, width) of 0 to 1, and the value of an
            item depends on that item alone. Its gradient is needed. With ``targets`` it is ``objective(images, targets)``.
        objective_scale : float
            Logarithm of how much likelier a picture becomes for each unit of the objective. 0 samples as if there were no
            objective, bit for bit; a negative scale looks for what lowers it.
        targets : array or Tensor of shape (n, ...), optional
            What the objective compares each item with (measured responses, for instance).
        mix : bool
            Evaluate the objective on the mix of the clean guess and the noised picture (BrainDiVE), or on the guess alone.
        through_denoiser : bool
            Take the gradient through the denoiser too; without it a step is faster and the gradient rougher.
        limit : float, optional
            Largest root mean square of what a step's guidance changes in the noise of an item (which itself has 1).
        **options
            Of :meth:`BrainImagePipeline.__call__`: ``n``, ``num_inference_steps``, ``names``, ``seed``, ``control``, ...

        Raises
        ------
        BraindecError
            If the objective is no number a picture, has no gradient or is not finite, or the scheduler cannot be used.
        """
        scale = float(objective_scale)
        if not -1e12 < scale < 1e12 or (limit is not None and not limit > 0):
            raise BraindecError(
                "scale and limit of guidance must be finite, the limit above 0", found=f"{objective_scale}, {limit}"
            )
        used = objective is not None and scale != 0
        if used:
            alpha_bar(self.scheduler, 0)  # refuses schedulers that cannot be used before anything is sampled
        given = None if targets is None else self._tensor(targets)
        self._guide = _Guide(objective, given, scale, mix, through_denoiser, limit) if used else None
        try:
            return super().__call__(condition, **options)
        finally:
            self._guide = None

    def objective_gradient(self, x: torch.Tensor, timestep: Any, predicted: torch.Tensor, stretch: float = 1.0) -> Any:
        """Return the objective (n,) and the gradient of scale times it with respect to the noised picture ``x``.

        Parameters
        ----------
        x : Tensor of shape (n, channel, height, width)
            That the denoiser's prediction was computed from, requiring a gradient.
        timestep : scalar
        predicted : Tensor of shape (n, channel, height, width)
        stretch : float
            ``x`` is so many times as large as a noised picture of variance 1 (schedulers that count noise in sigma).
        """
        guide, alpha = self._guide, alpha_bar(self.scheduler, timestep)
        assert guide is not None
        noised = x / stretch
        used = predicted if guide.through_denoiser else predicted.detach()
        clean = clean_of(used, noised, alpha, self.scheduler.config.prediction_type)
        f = float((1 - alpha).sqrt()) if guide.mix else 1.0
        pictures = self.decode_latents(f * clean + (1 - f) * noised)
        value = value_of(guide.objective, pictures, *([] if guide.targets is None else [guide.targets]))
        (gradient,) = torch.autograd.grad(guide.scale * value.sum(), x)
        if not torch.isfinite(gradient).all():
            raise BraindecError(
                f"the gradient of the objective is not finite at timestep {float(timestep):g}",
                fix="use an objective that is smooth where it is evaluated (no square root or division at 0)",
            )
        return value.detach(), gradient * stretch

    def _predict(
        self, x: torch.Tensor, t: torch.Tensor, conditions: list, scale: float, hint: Any, control_scale: float
    ) -> torch.Tensor:
        guide = self._guide
        if guide is None:
            return super()._predict(x, t, conditions, scale, hint, control_scale)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_(True)
            predicted = super()._predict(leaf, t, conditions, scale, hint, control_scale)
            stretch = float(x.norm() / self.scheduler.scale_model_input(x, t).norm())
            _, gradient = self.objective_gradient(leaf, t, predicted, stretch)
        kind, bound = self.scheduler.config.prediction_type, 1.0 if self.vae is None else None
        alpha = alpha_bar(self.scheduler, t)
        return shifted(predicted.detach(), x / stretch, gradient, alpha, kind, limit=guide.limit, bound=bound).to(
            x.dtype
        )
