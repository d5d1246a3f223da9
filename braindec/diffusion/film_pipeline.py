"""BrainFilmPipeline: short films from embeddings or tokens that were read from a brain, in the conventions of diffusers.

It denoises pixels, or the latents of every frame when there is an autoencoder. Three kinds of denoiser fit: a
``UNet3DConditionModel``, a ``UNetMotionModel``, and a ``UNet2DConditionModel`` whose channels are the channels of all frames
(short small films train ten times faster so). It can start from a noised film instead of noise, share noise between frames,
guide away from a condition (the training mean) instead of from "nothing", and hold the first frame.

Source: Chen, Qing & Zhou 2023 (NeurIPS, MinD-Video: tokens of an inflated UNet, adversarial guidance); Lu et al. 2024
(arXiv 2405.03280, Mind-Animator: noise to t = 200 of a predicted stack); Meng et al. 2022 (SDEdit); Sun et al. 2024
(NeuroCine: dependent prior noise); Ho et al. 2022 (Video Diffusion Models, section 3.1: frames that are known replace what is
sampled); Voleti et al. 2022 (NeurIPS, MCVD: frames as channels of a 2-D UNet).
Differs from the reference in: what MinD-Video guides away from is given by the caller and, in the decoders of this package,
is the mean over training windows, never over the windows that are tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from braindec.diffusion._compat import BaseOutput
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.film_noise import check_mixing, film_noise
from braindec.diffusion.image_pipeline import BrainImagePipeline, check_scheduler
from braindec.diffusion.noise import item_generators
from braindec.errors import BraindecError

__all__ = ["BrainFilmPipeline", "FilmOutput", "denoise_film", "film_shape", "takes_first_frame", "takes_places"]

_RANDOM_STEPS = (
    "DDPM",
    "Ancestral",
    "SDE",
    "LCM",
    "TCD",
    "UnCLIP",
)  # schedulers that add noise of their own at each step


@dataclass
class FilmOutput(BaseOutput):
    """What the pipeline returns.

    Parameters
    ----------
    frames : array (n, frame, height, width, channel) of 0 to 1, Tensor (n, frame, channel, height, width), list of lists of
        PIL images, or latents (n, channel, frame, height, width)
    """

    frames: Any

    @property
    def images(self) -> Any:
        """The films, under the name that pipelines of pictures use."""
        return self.frames


def film_shape(unet: Any, n_frames: int) -> tuple[int, int, int, int]:
    """Return (channel, frame, height, width) of what a denoiser makes.

    Raises
    ------
    BraindecError
        If the channels of a 2-D denoiser are no multiple of the frames.
    """
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    channels = unet.config.out_channels
    if _stacked(unet):
        if channels % n_frames:
            raise BraindecError(
                "a 2-D denoiser of films has the channels of all frames", found=f"{channels} channels, {n_frames} frames",
                allowed="a multiple of the frames", fix="UNet2DConditionModel(in_channels=channels * n_frames, ...)",
            )  # fmt: skip
        channels //= n_frames
    return channels, n_frames, height, width


def takes_first_frame(unet: Any, n_frames: int) -> bool:
    """Tell whether a denoiser has channels for the first frame beside those of the film."""
    channels = film_shape(unet, n_frames)[0]
    return _extra_channels(unet) in (channels, channels + 2)


def takes_places(unet: Any, n_frames: int) -> bool:
    """Tell whether a denoiser has two channels that say where a pixel is (-1 to 1 to the right, and down)."""
    channels = film_shape(unet, n_frames)[0]
    return _extra_channels(unet) in (2, channels + 2)


def denoise_film(
    unet: Any,
    x: torch.Tensor,
    t: torch.Tensor,
    tokens: torch.Tensor,
    vector: torch.Tensor | None = None,
    *,
    first: torch.Tensor | None = None,
) -> torch.Tensor:
    """Call a denoiser of films, whichever kind it is.

    Parameters
    ----------
    unet : UNet3DConditionModel, UNetMotionModel or UNet2DConditionModel
    x : Tensor of shape (batch, channel, frame, height, width)
    t : Tensor of shape (), (1,) or (batch,)
    tokens : Tensor of shape (batch, n_tokens, width)
    vector : Tensor of shape (batch, length), optional
        For 2-D denoisers with class embeddings.
    first : Tensor of shape (batch, channel, height, width), optional
        First frame, for denoisers that have channels for it.

    Returns
    -------
    Tensor of shape (batch, channel, frame, height, width)
    """
    b, c, f, h, w = x.shape
    beside = [] if first is None else [first]
    if takes_places(unet, f):  # convolutions do not know where they are, and tokens do not say it
        down, right = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        beside.append(torch.stack([right, down]).to(x).expand(b, 2, h, w))
    if _stacked(unet):
        flat = torch.cat([x.transpose(1, 2).reshape(b, f * c, h, w), *beside], dim=1)
        out = unet(flat, t, encoder_hidden_states=tokens, class_labels=vector).sample
        return out.reshape(b, f, c, h, w).transpose(1, 2)
    x = torch.cat([x, *(part[:, :, None].expand(-1, -1, f, -1, -1) for part in beside)], dim=1)
    if _per_frame_tokens(unet):
        tokens = tokens.repeat_interleave(f, dim=0)
    return unet(x, t, encoder_hidden_states=tokens).sample


class BrainFilmPipeline(BrainImagePipeline):
    """Sample films for conditions.

    Parameters
    ----------
    unet : UNet3DConditionModel, UNetMotionModel, or UNet2DConditionModel with the channels of all frames
        Denoiser of pixels scaled to -1 to 1, or of latents. One that has the channels of one frame more than it gives takes
        the first frame there; one that has two more is told where each pixel is.
    scheduler : a scheduler of diffusers
    conditioner : Conditioner
    vae : diffusers.AutoencoderKL, optional
        Between frames and latents.
    n_frames : int
    noise_mixing : float
        Share of noise that frames have in common, as in training (:mod:`braindec.diffusion.film_noise`).
    noise_kind : {"mixed", "progressive"}
    """

    _optional_components = ["vae"]
    model_cpu_offload_seq = "conditioner->unet->vae"

    def __init__(
        self, unet: Any, scheduler: Any, conditioner: Conditioner, vae: Any = None, n_frames: int = 8,
        noise_mixing: float = 0.0, noise_kind: str = "mixed",
    ) -> None:  # fmt: skip
        super(BrainImagePipeline, self).__init__()  # that class would register a ControlNet
        check_scheduler(scheduler)
        check_mixing(noise_mixing, noise_kind)
        film_shape(unet, n_frames)
        if noise_mixing and any(word in type(scheduler).__name__ for word in _RANDOM_STEPS):
            raise BraindecError(
                f"{type(scheduler).__name__} adds noise at each step that frames do not share", found=f"noise_mixing={noise_mixing}",
                allowed="schedulers without noise of their own: DDIM, DPM-Solver++, UniPC, Euler", fix="or noise_mixing=0",
            )  # fmt: skip
        self.register_modules(unet=unet, scheduler=scheduler, conditioner=conditioner, vae=vae)
        self.register_to_config(n_frames=int(n_frames), noise_mixing=float(noise_mixing), noise_kind=noise_kind)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(channel, frame, height, width) of what is denoised."""
        return film_shape(self.unet, self.config.n_frames)

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
        film: Any = None,
        film_latents: torch.Tensor | None = None,
        strength: float = 0.2,
        first_frame: Any = None,
        output_type: str = "np",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any] | None] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        progress: bool | None = None,
    ) -> FilmOutput | tuple[Any]:
        """Sample one film for each condition.

        Parameters
        ----------
        condition : array or Tensor of shape (n, dim) or (n, n_tokens, dim), optional
            Without it films come from the prior alone.
        n : int, optional
            How many films without a condition.
        num_inference_steps : int
        guidance_scale : float
            1 is the conditional model, 0 the unconditional one, more exaggerates the condition.
        negative_condition : array or Tensor of one row, or n, optional
            Guides away from this instead of from "nothing": the mean over TRAINING windows (adversarial guidance). A mean
            over the windows that are decoded would let them change one another.
        generator : torch.Generator or list of n, optional
        names, seed : sequence of n, int
            Without a generator: noise of each item from (seed, name).
        latents : Tensor of shape (n, channel, frame, height, width), optional
            Noise to start from, instead of drawing it.
        film : array of shape (n, frame, height, width, channel), 0 to 1, optional
            Starts from this film, noised to ``strength``.
        film_latents : Tensor of shape (n, channel, frame, height, width), optional
            The same, for a film that is given as latents.
        strength : float
            1 starts from pure noise, 0 returns the film; .2 is t = 200 of 1000 (Mind-Animator).
        first_frame : array of shape (n, height, width, channel), 0 to 1, optional
            A first frame that is known or decoded: given to denoisers that have channels for it, else put in the place of
            what is sampled, noised as far as the rest.
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
        n = self._how_many(given, n, "films")
        conditions = self._encode(given, negative_condition, guidance_scale, n)
        clean = self._clean(film, film_latents, n)
        timesteps = self._timesteps(num_inference_steps, strength if clean is not None else 1.0)
        noise = self._noise(n, generator, names, seed, latents)
        x = self._begin(noise, clean, timesteps)
        first = None if first_frame is None else self._first(first_frame, n)
        extra = self._step_generators(n, generator, names, seed)
        for i, t in enumerate(
            tqdm(timesteps, desc="denoising", disable=None if progress is None else not progress, leave=False)
        ):
            x = self._hold(x, first, noise, t)
            x = self._step(self._predict_film(x, t, conditions, guidance_scale, first), t, x, extra)
            if callback_on_step_end is not None:
                changed = callback_on_step_end(self, i, t, {"latents": x}) or {}
                x = changed.get("latents", x)
        out = self._output(self._hold(x, first, noise, None), output_type)
        self.maybe_free_model_hooks()
        return FilmOutput(frames=out) if return_dict else (out,)

    def encode_films(self, films: Any) -> torch.Tensor:
        """Return what the denoiser works on: pixels of -1 to 1, or scaled latents, (n, channel, frame, height, width).

        Parameters
        ----------
        films : array of shape (n, frame, height, width, channel), 0 to 1
        """
        shape, frames = np.shape(films), self.config.n_frames
        if len(shape) != 5 or shape[1] != frames:
            raise BraindecError(
                "films are (item, frame, height, width, channel)", found=f"shape {shape}", allowed=f"{frames} frames"
            )
        flat = self.encode_images(np.reshape(films, (-1, *shape[2:])))
        return flat.reshape(shape[0], frames, *flat.shape[1:]).transpose(1, 2)

    def decode_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Return films (n, frame, channel, height, width) of 0 to 1; gradients pass."""
        n, c, f, h, w = latents.shape
        flat = super().decode_latents(latents.transpose(1, 2).reshape(n * f, c, h, w))
        return flat.reshape(n, f, *flat.shape[1:])

    def _predict_film(
        self, x: torch.Tensor, t: torch.Tensor, conditions: list, scale: float, first: torch.Tensor | None
    ) -> torch.Tensor:
        k = len(conditions)
        tokens = torch.cat([c[0] for c in conditions])
        vector = None if conditions[0][1] is None else torch.cat([c[1] for c in conditions])
        x = self.scheduler.scale_model_input(torch.cat([x] * k), t)
        beside = None
        if takes_first_frame(self.unet, self.config.n_frames):  # without a first frame the place for it stays empty
            beside = torch.zeros_like(x[:, :, 0]) if first is None else torch.cat([first] * k)
        out = denoise_film(self.unet, x, t, tokens, vector, first=beside)
        if k == 1:
            return out
        with_condition, without = out.chunk(2)
        return without + scale * (with_condition - without)

    def _clean(self, film: Any, film_latents: Any, n: int) -> torch.Tensor | None:
        if film is not None and film_latents is not None:
            raise BraindecError("a film to start from is given twice", found="film and film_latents")
        if film is None and film_latents is None:
            return None
        clean = self.encode_films(film) if film_latents is None else self._tensor(film_latents)
        if tuple(clean.shape) != (n, *self.latent_shape):
            raise BraindecError(
                "the film to start from does not fit", found=str(tuple(clean.shape)), allowed=str((n, *self.latent_shape))
            )  # fmt: skip
        return clean

    def _begin(self, noise: torch.Tensor, clean: torch.Tensor | None, timesteps: torch.Tensor) -> torch.Tensor:
        if clean is None:
            return noise * self.scheduler.init_noise_sigma
        return clean if not len(timesteps) else self.scheduler.add_noise(clean, noise, timesteps[:1].expand(len(clean)))

    def _first(self, frame: Any, n: int) -> torch.Tensor:
        first = self.encode_images(frame)
        c, _, h, w = self.latent_shape
        if tuple(first.shape) != (n, c, h, w):
            raise BraindecError(
                "first frames do not fit", found=str(tuple(first.shape)), allowed=f"{n} frames of {(c, h, w)}"
            )
        return first

    def _hold(self, x: torch.Tensor, first: torch.Tensor | None, noise: torch.Tensor, t: Any) -> torch.Tensor:
        """Put a known first frame where no channels take it: noised to ``t``, or clean at the end."""
        if first is None or takes_first_frame(self.unet, self.config.n_frames):
            return x
        known = first if t is None else self.scheduler.add_noise(first, noise[:, :, 0], t.reshape(1).expand(len(x)))
        return torch.cat([known[:, :, None], x[:, :, 1:]], dim=2)

    def _noise(self, n: int, generator: Any, names: Any, seed: int, latents: torch.Tensor | None) -> torch.Tensor:
        shape = self.latent_shape
        if latents is not None:
            if tuple(latents.shape) != (n, *shape):
                raise BraindecError("latents do not fit", found=str(tuple(latents.shape)), allowed=str((n, *shape)))
            return latents.to(self._execution_device, self.unet.dtype)
        if generator is None:
            generator = item_generators(range(n) if names is None else names, seed)
        generators = [generator] * n if isinstance(generator, torch.Generator) else list(generator)
        if len(generators) != n:
            raise BraindecError(
                "one generator (or name) an item", found=f"{len(generators)} for {n} items", fix="give one, or n"
            )
        options = {"mixing": self.config.noise_mixing, "kind": self.config.noise_kind}
        return film_noise(shape, generators, **options).to(self._execution_device, self.unet.dtype)

    def _output(self, x: torch.Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return x
        films = self.decode_latents(x)
        if output_type == "pt":
            return films
        values = films.permute(0, 1, 3, 4, 2).float().cpu().numpy()
        if output_type == "np":
            return values
        bytes_ = (values * 255).round().astype(np.uint8)
        return [[Image.fromarray(v[..., 0] if v.shape[2] == 1 else v) for v in film] for film in bytes_]


def _extra_channels(unet: Any) -> int:
    return unet.config.in_channels - unet.config.out_channels


def _stacked(unet: Any) -> bool:
    from diffusers import UNet2DConditionModel

    return isinstance(unet, UNet2DConditionModel)


def _per_frame_tokens(unet: Any) -> bool:
    from diffusers import UNetMotionModel

    return isinstance(unet, UNetMotionModel)
