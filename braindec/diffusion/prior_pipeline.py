"""PriorPipeline: image embeddings (or tokens) sampled for brain embeddings, in the conventions of diffusers.

Source: Ramesh et al. 2022 (arXiv 2204.06125, section 2.2: a prior over image embeddings, several samples and the one kept
that fits its condition best); Scotti et al. 2023 (MindEye); Li et al. 2024 (ATM).
Differs from the reference in: of several samples the one is kept that is closest to the brain's own embedding; there is no
argument that could take the truth.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from braindec.diffusion._compat import BaseOutput, DiffusionPipeline
from braindec.diffusion._pipeline_checks import (
    called_back,
    check_guidance,
    check_scheduler,
    count,
    finite,
    open_pipeline,
    set_timesteps,
)
from braindec.diffusion._prior_parts import fitted_shape
from braindec.diffusion.embedding_scale import EmbeddingScale
from braindec.diffusion.noise import item_generators
from braindec.errors import BraindecError

__all__ = ["PriorOutput", "PriorPipeline"]


@dataclass
class PriorOutput(BaseOutput):
    """What the pipeline returns.

    Parameters
    ----------
    embeddings : array or Tensor of shape (n, ...)
    """

    embeddings: Any


class PriorPipeline(DiffusionPipeline):
    """Sample image embeddings for brain embeddings.

    Parameters
    ----------
    prior : TransformerPrior or UNetPrior
        Or any module with ``sample_shape``, ``condition_shape`` and ``forward(sample, timestep, condition)``.
    scheduler : a scheduler of diffusers
        With the ``prediction_type`` that the prior was trained for.
    scaler : EmbeddingScale, optional
        Between own units and what the prior works on; without it embeddings are taken as they are.
    """

    _optional_components = ["scaler"]
    model_cpu_offload_seq = "scaler->prior"
    _callback_tensor_inputs = ["latents"]

    def __init__(self, prior: Any, scheduler: Any, scaler: EmbeddingScale | None = None) -> None:
        super().__init__()
        check_scheduler(scheduler)
        wanted = getattr(prior, "prediction_type", None)
        found = scheduler.config.get("prediction_type", "epsilon")
        if wanted is not None and found != wanted:
            raise BraindecError(
                f"{type(prior).__name__} predicts the {'clean embedding' if wanted == 'sample' else 'noise'}, the scheduler "
                "expects something else",
                found=f"prediction_type={found!r}", allowed=repr(wanted),
                fix=f"{type(scheduler).__name__}.from_config(scheduler.config, prediction_type={wanted!r})",
            )  # fmt: skip
        self.register_modules(prior=prior, scheduler=scheduler, scaler=scaler)

    @classmethod
    def from_pretrained(cls, name: Any, **options: Any) -> Any:
        """Open what ``save_pretrained(name)`` wrote; weights are safetensors, pickles are refused."""
        return open_pipeline(super().from_pretrained, name, **options)

    @torch.no_grad()
    def __call__(
        self,
        condition: Any = None,
        *,
        n: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        names: Sequence[Any] | None = None,
        seed: int = 0,
        latents: torch.Tensor | None = None,
        n_candidates: int = 1,
        brain_embedding: Any = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        progress: bool | None = None,
    ) -> PriorOutput | tuple[Any]:
        """Sample one embedding for each condition.

        Parameters
        ----------
        condition : array or Tensor of shape (n, ...), optional
            Brain embeddings or tokens; without them samples come from the marginal distribution of the training images.
        n : int, optional
            How many without a condition.
        num_inference_steps : int
        guidance_scale : float
            1 is the conditional model, 0 the unconditional one, more exaggerates the condition.
        generator : torch.Generator or list of n, optional
            Of the noise.
        names, seed : sequence of n, int
            Without a generator: noise of each item from (seed, name); names are 0, 1, ... by default.
        latents : Tensor of shape (n, ...), optional
            Standard normal noise to start from, instead of drawing it.
        n_candidates : int
            Samples drawn for each item; the one with the largest cosine to ``brain_embedding`` (both standardised where there
            is a scaler) is kept. What was shown has no part in the choice.
        brain_embedding : array or Tensor of shape (n, ...), optional
            The brain's own prediction of the image embedding, in its units; the condition itself by default, where it has
            the size of an image embedding.
        output_type : {"np", "pt"}
        return_dict : bool
        callback_on_step_end : callable, optional
            ``f(pipeline, step, timestep, {"latents": ...})``; a dict that it returns replaces tensors.
        callback_on_step_end_tensor_inputs : sequence of str
        progress : bool, optional
            Show a progress bar; None shows it on terminals only.

        Raises
        ------
        BraindecError
            If shapes do not fit, or there is neither a condition nor ``n``.
        """
        given = None if condition is None else self._condition(condition)
        n = self._check_call(given, n, n_candidates, output_type, callback_on_step_end_tensor_inputs)
        check_guidance(guidance_scale)
        names = list(range(n) if names is None else names)
        sampled = []
        for k in range(n_candidates):
            called = names if k == 0 else [f"{name}/candidate {k}" for name in names]
            x = self._noise(n, generator, called, seed, latents if k == 0 else None)
            sampled.append(
                self._denoise(x, given, num_inference_steps, guidance_scale, self._step_generators(generator, called, seed),
                              callback_on_step_end, progress)
            )  # fmt: skip
        chosen = self._closest(sampled, condition, brain_embedding) if n_candidates > 1 else sampled[0]
        self.maybe_free_model_hooks()
        out = chosen if output_type == "pt" else chosen.float().cpu().numpy()
        return PriorOutput(embeddings=out) if return_dict else (out,)

    def _denoise(
        self, x: torch.Tensor, given: torch.Tensor | None, steps: int, scale: float, generators: Any, callback: Any,
        progress: bool | None,
    ) -> torch.Tensor:  # fmt: skip
        """From noise to embeddings in their own units."""
        with (
            warnings.catch_warnings()
        ):  # some schedulers of diffusers hand tensors to numpy in a way that it will not take
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            set_timesteps(self.scheduler, steps, self._execution_device)
        x = x * self.scheduler.init_noise_sigma
        bar = tqdm(
            self.scheduler.timesteps, desc="prior", disable=None if progress is None else not progress, leave=False
        )
        for i, t in enumerate(bar):
            predicted = self._predict(self.scheduler.scale_model_input(x, t), t, given, scale)
            x = self._step(predicted, t, x, generators)
            if callback is not None:
                x = called_back(callback, self, i, t, x)
        if not torch.isfinite(x).all():
            raise BraindecError(
                "what the prior sampled is not finite", fix="less guidance, another scheduler, or a prior whose training did not diverge"
            )  # fmt: skip
        return x if self.scaler is None else self.scaler.to_units(x)

    def _predict(self, x: torch.Tensor, t: torch.Tensor, given: torch.Tensor | None, scale: float) -> torch.Tensor:
        if given is None or scale == 0:
            return self.prior(x, t, None)
        conditional = self.prior(x, t, given)
        if scale == 1:
            return conditional
        without = self.prior(x, t, None)
        return without + scale * (conditional - without)

    def _step(self, predicted: torch.Tensor, t: torch.Tensor, x: torch.Tensor, generator: Any) -> torch.Tensor:
        extra = {} if generator is None else {"generator": generator}
        return self.scheduler.step(predicted, t, x, return_dict=False, **extra)[0]

    def _step_generators(self, generator: Any, names: Sequence[Any], seed: int) -> Any:
        """One generator, one an item, or None for schedulers whose steps draw nothing."""
        if "generator" not in signature(self.scheduler.step).parameters:
            return None
        return generator if generator is not None else item_generators([f"{name}/steps" for name in names], seed)

    def _noise(
        self, n: int, generator: Any, names: Sequence[Any], seed: int, latents: torch.Tensor | None
    ) -> torch.Tensor:
        shape = tuple(self.prior.sample_shape)
        if latents is not None:
            given = finite(latents, "the noise", dtype=self.prior.dtype, device=self._execution_device)
            noise = fitted_shape(given, shape, "the noise")
        elif isinstance(generator, torch.Generator):
            noise = torch.randn((n, *shape), generator=generator, device=generator.device)
        elif generator is not None and not isinstance(generator, (list, tuple)):
            raise BraindecError("a generator is a torch.Generator, or a list of them", found=type(generator).__name__)
        else:
            own = item_generators(names, seed) if generator is None else list(generator)
            noise = (
                torch.stack([torch.randn(shape, generator=g, device=g.device) for g in own])
                if own
                else torch.zeros(0, *shape)
            )
        if len(noise) != n:
            raise BraindecError("one name, generator or row of noise an item", found=f"{len(noise)} for {n} items")
        return noise.to(self._execution_device, self.prior.dtype)

    def _closest(self, sampled: list[torch.Tensor], condition: Any, brain_embedding: Any) -> torch.Tensor:
        wanted = condition if brain_embedding is None else brain_embedding
        if wanted is None:
            raise BraindecError("nothing to choose among candidates by", fix="n_candidates=1, or give a condition")
        wanted = finite(wanted, "brain_embedding", dtype=sampled[0].dtype, device=sampled[0].device).flatten(1)
        if wanted.shape != sampled[0].flatten(1).shape:
            raise BraindecError(
                "candidates are compared with the brain's own embedding, which has another size",
                found=f"{tuple(wanted.shape)} and {tuple(sampled[0].shape)}",
                fix="pass brain_embedding= of the size of an image embedding",
            )
        standard = [
            s if self.scaler is None else self.scaler.from_units(s)
            for s in (*sampled, wanted.reshape(sampled[0].shape))
        ]
        close = torch.stack([F.cosine_similarity(s.flatten(1), standard[-1].flatten(1), dim=1) for s in standard[:-1]])
        return torch.stack(sampled)[close.argmax(dim=0), torch.arange(len(wanted), device=close.device)]

    def _condition(self, values: Any) -> torch.Tensor:
        given = finite(values, "the condition", dtype=self.prior.dtype, device=self._execution_device)
        given = fitted_shape(given, tuple(self.prior.condition_shape), "the condition")
        return given if self.scaler is None else self.scaler.condition_from_units(given)

    def _check_call(
        self, given: torch.Tensor | None, n: int | None, n_candidates: int, output_type: str, tensors: Sequence[str]
    ) -> int:
        if given is None and n is None:
            raise BraindecError("how many embeddings?", found="neither a condition nor n")
        if output_type not in ("np", "pt"):
            raise BraindecError(f"there is no output_type {output_type!r}", allowed="np, pt")
        if isinstance(n_candidates, bool) or not isinstance(n_candidates, (int, np.integer)) or n_candidates < 1:
            raise BraindecError("n_candidates must be a whole number of at least 1", found=repr(n_candidates))
        unknown = [t for t in tensors if t not in self._callback_tensor_inputs]
        if unknown:
            raise BraindecError(f"callbacks cannot get {unknown[0]!r}", allowed=", ".join(self._callback_tensor_inputs))
        return count(n) if given is None else len(given)
