"""BrainImagePipeline: pictures from embeddings or tokens that were read from a brain, in the conventions of diffusers.

It denoises pixels, or latents when there is an autoencoder; guides without a classifier; starts from noise or from a blurry
picture; and takes a control image where there is a ControlNet. Components are injected, so any scheduler and any UNet of
diffusers that fits can be used.

Source: Ho & Salimans 2022 (classifier-free guidance); Meng et al. 2022 (SDEdit: start from a noised picture); Zhang et al.
2023 (ControlNet).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from PIL import Image
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
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.noise import item_generators
from braindec.errors import BraindecError

__all__ = ["BrainImagePipeline", "ImageOutput", "check_scheduler"]

OUTPUTS = ("np", "pt", "pil", "latent")


@dataclass
class ImageOutput(BaseOutput):
    """What the pipeline returns.

    Parameters
    ----------
    images : array (n, height, width, channel) of 0 to 1, Tensor (n, channel, height, width), or list of PIL images
    """

    images: Any


class BrainImagePipeline(DiffusionPipeline):
    """Sample pictures for conditions.

    Parameters
    ----------
    unet : diffusers.UNet2DConditionModel
        Denoiser of pixels scaled to -1 to 1, or of latents.
    scheduler : a scheduler of diffusers
        Any with ``set_timesteps``, ``scale_model_input``, ``step`` and ``add_noise``.
    conditioner : Conditioner
        From the condition to the tokens of the denoiser.
    vae : diffusers.AutoencoderKL, optional
        Between pictures and latents.
    controlnet : diffusers.ControlNetModel, optional
        Adds a control image to the denoiser.

    Examples
    --------
    ``BrainImagePipeline.from_pretrained(folder)`` opens what ``save_pretrained(folder)`` wrote (the generic
    ``DiffusionPipeline.from_pretrained`` knows classes of diffusers only).
    """

    _optional_components = ["vae", "controlnet"]
    model_cpu_offload_seq = "conditioner->controlnet->unet->vae"
    _callback_tensor_inputs = ["latents"]

    def __init__(
        self, unet: Any, scheduler: Any, conditioner: Conditioner, vae: Any = None, controlnet: Any = None
    ) -> None:
        super().__init__()
        check_scheduler(scheduler)
        listens, told = (
            getattr(getattr(m, "config", None), k, None)
            for m, k in ((unet, "cross_attention_dim"), (conditioner, "width"))
        )
        if isinstance(listens, int) and isinstance(told, int) and listens != told:
            raise BraindecError("the denoiser listens to tokens of another width than the conditioner makes",
                                found=f"cross_attention_dim {listens}, width {told}")  # fmt: skip
        self.register_modules(unet=unet, scheduler=scheduler, conditioner=conditioner, vae=vae, controlnet=controlnet)

    @classmethod
    def from_pretrained(cls, name: Any, **options: Any) -> Any:
        """Open what ``save_pretrained(name)`` wrote; weights are safetensors, pickles are refused."""
        return open_pipeline(super().from_pretrained, name, **options)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of what is denoised."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    @torch.no_grad()
    def __call__(
        self,
        condition: Any = None,
        *,
        n: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 2.0,
        negative_condition: Any = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        names: Sequence[Any] | None = None,
        seed: int = 0,
        latents: torch.Tensor | None = None,
        image: Any = None,
        strength: float = 0.8,
        control: Any = None,
        control_scale: float = 1.0,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        progress: bool | None = None,
    ) -> ImageOutput | tuple[Any]:
        """Sample one picture for each condition.

        Parameters
        ----------
        condition : array or Tensor of shape (n, dim) or (n, n_tokens, dim), optional
            Without it pictures come from the prior alone.
        n : int, optional
            How many pictures without a condition.
        num_inference_steps : int
        guidance_scale : float
            1 is the conditional model, 0 the unconditional one, more exaggerates the condition.
        negative_condition : array or Tensor, optional
            Guides away from this instead of from "nothing": the training mean, for instance (adversarial guidance of
            MinD-Video). One row, or n.
        generator : torch.Generator or list of n, optional
            Of the noise.
        names, seed : sequence of n, int
            Without a generator: noise of each item from (seed, name); names are 0, 1, ... by default.
        latents : Tensor of shape (n, channel, height, width), optional
            Standard normal noise to start from, instead of drawing it.
        image : array of shape (n, height, width, channel), 0 to 1, optional
            Starts from this picture, noised to ``strength``.
        strength : float
            1 starts from pure noise, 0 returns ``image``.
        control : array of shape (n, height, width, channel), optional
            Control image of each item, for pipelines with a ControlNet.
        control_scale : float
        output_type : {"np", "pt", "pil", "latent"}
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
        self._check_call(output_type, callback_on_step_end_tensor_inputs)
        given = None if condition is None else self._tensor(condition)
        n = self._how_many(given, n, "pictures")
        if control is not None and self.controlnet is None:
            raise BraindecError("this pipeline takes no control image", found="control=..., and no controlnet")
        if control is None and self.controlnet is not None:
            raise BraindecError(
                "this pipeline needs a control image for every item", fix="pass control=(n, height, width, channel)"
            )
        conditions = self._encode(given, negative_condition, guidance_scale, n)
        timesteps = self._timesteps(num_inference_steps, strength if image is not None else 1.0)
        noise = self._noise(n, generator, names, seed, latents)
        x = self._start(noise, image, timesteps)
        hint = None if control is None else self._pixels(control, n, scaled=False)
        extra = self._step_generators(n, generator, names, seed)
        for i, t in enumerate(
            tqdm(timesteps, desc="denoising", disable=None if progress is None else not progress, leave=False)
        ):
            predicted = self._predict(x, t, conditions, guidance_scale, hint, control_scale)
            x = self._step(predicted, t, x, extra)
            if callback_on_step_end is not None:
                x = called_back(callback_on_step_end, self, i, t, x)
        out = self._output(x, output_type)
        self.maybe_free_model_hooks()
        return ImageOutput(images=out) if return_dict else (out,)

    def encode_images(self, images: Any) -> torch.Tensor:
        """Return what the denoiser works on: pixels of -1 to 1, or scaled latents, (n, channel, height, width)."""
        x = self._pixels(images, len(images))
        if self.vae is None:
            return x
        with torch.no_grad():
            return self.vae.encode(x).latent_dist.mode() * self.vae.config.scaling_factor

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Return pictures (n, channel, height, width) of 0 to 1; gradients pass."""
        x = latents if self.vae is None else self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return (x / 2 + 0.5).clamp(0, 1)

    def _how_many(self, given: torch.Tensor | None, n: int | None, what: str) -> int:
        if given is None and n is None:
            raise BraindecError(f"how many {what}?", found="neither a condition nor n")
        n = count(n) if given is None else len(given)
        if not n:
            raise BraindecError(f"how many {what}?", found="0", allowed="1 or more")
        return n

    def _encode(self, given: torch.Tensor | None, negative: Any, scale: float, n: int) -> list[tuple[Any, Any]]:
        """Pairs of tokens and vector: the conditional one, then what is guided away from, where each is needed."""
        check_guidance(scale)
        conditions = []
        if given is not None and scale != 0:
            conditions.append(self.conditioner(given))
        if given is None or scale != 1:
            if negative is None:
                conditions.append(self.conditioner.nothing(n))
            else:
                away = self._tensor(negative, "negative_condition")
                if len(away) not in (1, n):
                    raise BraindecError(
                        "negative_condition needs one row, or one an item", found=f"{len(away)} rows for {n} items"
                    )
                tokens, vector = self.conditioner(away)
                conditions.append((tokens.expand(n, -1, -1), None if vector is None else vector.expand(n, -1)))
        return conditions

    def _predict(
        self, x: torch.Tensor, t: torch.Tensor, conditions: list, scale: float, hint: Any, control_scale: float
    ) -> torch.Tensor:
        k = len(conditions)
        tokens = torch.cat([c[0] for c in conditions])
        vector = None if conditions[0][1] is None else torch.cat([c[1] for c in conditions])
        x = self.scheduler.scale_model_input(torch.cat([x] * k), t)
        extra: dict[str, Any] = {}
        if hint is not None:
            down, middle = self.controlnet(
                x, t, encoder_hidden_states=tokens, controlnet_cond=torch.cat([hint] * k), conditioning_scale=control_scale,
                class_labels=vector, return_dict=False,
            )  # fmt: skip
            extra = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        out = self.unet(x, t, encoder_hidden_states=tokens, class_labels=vector, **extra).sample
        if k == 1:
            return out
        with_condition, without = out.chunk(2)
        return without + scale * (with_condition - without)

    def _step(self, predicted: torch.Tensor, t: torch.Tensor, x: torch.Tensor, generators: list) -> torch.Tensor:
        """One step of the scheduler; noise that it adds is drawn item by item, so that items do not depend on one another."""
        if not generators:
            return self.scheduler.step(predicted, t, x, return_dict=False)[0]
        return self.scheduler.step(predicted, t, x, generator=generators, return_dict=False)[0]

    def _step_generators(self, n: int, generator: Any, names: Sequence[Any] | None, seed: int) -> list[torch.Generator]:
        import inspect

        if "generator" not in inspect.signature(self.scheduler.step).parameters:
            return []
        if generator is not None:
            return generator if not isinstance(generator, torch.Generator) else [generator] * n
        return item_generators([f"{name}/steps" for name in (range(n) if names is None else names)], seed)

    def _timesteps(self, steps: int, strength: float) -> torch.Tensor:
        if not isinstance(strength, Real) or not 0 <= strength <= 1:
            raise BraindecError("strength of the noise on a starting picture", found=repr(strength), allowed="0 to 1")
        set_timesteps(self.scheduler, steps, self._execution_device)
        first = steps - round(steps * strength)
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first * self.scheduler.order)
        return self.scheduler.timesteps[first * self.scheduler.order :]

    def _noise(self, n: int, generator: Any, names: Any, seed: int, latents: torch.Tensor | None) -> torch.Tensor:
        shape = self.latent_shape
        if latents is not None:
            given = self._tensor(latents, "the noise")
            if tuple(given.shape) != (n, *shape):
                raise BraindecError("latents do not fit", found=str(tuple(given.shape)), allowed=str((n, *shape)))
            return given
        if generator is not None and not isinstance(generator, (torch.Generator, list, tuple)):
            raise BraindecError("a generator is a torch.Generator, or a list of them", found=type(generator).__name__)
        if generator is None:
            generator = item_generators(range(n) if names is None else names, seed)
        if isinstance(generator, torch.Generator):
            noise = torch.randn((n, *shape), generator=generator, device=generator.device)
        else:
            if len(generator) != n:
                raise BraindecError(
                    "one generator (or name) an item", found=f"{len(generator)} for {n} items", fix="give one, or n"
                )
            rows = [torch.randn(shape, generator=g, device=g.device) for g in generator]
            noise = torch.stack(rows) if rows else torch.zeros(0, *shape)
        return noise.to(self._execution_device, self.unet.dtype)

    def _start(self, noise: torch.Tensor, image: Any, timesteps: torch.Tensor) -> torch.Tensor:
        if image is None:
            return noise * self.scheduler.init_noise_sigma
        self._pixels(image, len(noise))  # says it when there is not one for each item
        clean = self.encode_images(image)
        if clean.shape != noise.shape:
            raise BraindecError(
                "the picture to start from has another size or mode than the pipeline's", found=f"shape {np.shape(image)}",
                allowed=f"{tuple(noise.shape)} (n, channel, height, width), before the autoencoder where there is one",
            )  # fmt: skip
        return clean if not len(timesteps) else self.scheduler.add_noise(clean, noise, timesteps[:1].expand(len(clean)))

    def _pixels(self, images: Any, n: int, *, scaled: bool = True) -> torch.Tensor:
        """(n, height, width, channel) of 0 to 1 -> (n, channel, height, width) of -1 to 1 (or 0 to 1 for hints)."""
        x = torch.as_tensor(np.asarray(images, dtype=np.float32))
        if x.ndim != 4 or len(x) != n:
            raise BraindecError(
                "one picture (height, width, channel) is needed for each item", found=f"shape {tuple(x.shape)} for {n} items"
            )  # fmt: skip
        x = finite(x, "the pictures", dtype=self.unet.dtype, device=self._execution_device).permute(0, 3, 1, 2)
        if scaled and x.numel() and not -1e-3 <= float(x.min()) <= float(x.max()) <= 1 + 1e-3:
            raise BraindecError(
                "pictures must be between 0 and 1", found=f"{float(x.min()):.3g} to {float(x.max()):.3g}"
            )
        return x * 2 - 1 if scaled else x

    def _tensor(self, values: Any, what: str = "the condition") -> torch.Tensor:
        return finite(values, what, dtype=self.unet.dtype, device=self._execution_device)

    def _output(self, x: torch.Tensor, output_type: str) -> Any:
        if not torch.isfinite(x).all():
            raise BraindecError(
                "what was sampled is not finite", found=f"{int((~torch.isfinite(x)).flatten(1).any(dim=1).sum())} of {len(x)} items",
                fix="less guidance, another scheduler, or a denoiser whose training did not diverge",
            )  # fmt: skip
        if output_type == "latent":
            return x
        pictures = self.decode_latents(x)
        if output_type == "pt":
            return pictures
        values = pictures.permute(0, 2, 3, 1).float().cpu().numpy()
        if output_type == "np":
            return values
        bytes_ = (values * 255).round().astype(np.uint8)
        return [Image.fromarray(v[..., 0] if v.shape[2] == 1 else v) for v in bytes_]

    def _check_call(self, output_type: str, tensors: Sequence[str]) -> None:
        if output_type not in OUTPUTS:
            raise BraindecError(f"there is no output_type {output_type!r}", allowed=", ".join(OUTPUTS))
        unknown = [t for t in tensors if t not in self._callback_tensor_inputs]
        if unknown:
            raise BraindecError(f"callbacks cannot get {unknown[0]!r}", allowed=", ".join(self._callback_tensor_inputs))
