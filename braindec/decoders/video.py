"""VideoDecoder: films from recordings by a diffusion model that listens to what was read from each window.

The front door of the decoders of films: the recording itself (a linear map to tokens is learned) or the prediction of any
decoder of embeddings is the condition; guidance goes away from "nothing" or from the mean over training windows; noise may be
shared by frames. The decoders of single papers (``mind_video``, ``neurocine``, ``mind_animator``, ``flow_animation``) change a
part each.

Source: Ho et al. 2022 (NeurIPS, Video Diffusion Models); Chen, Qing & Zhou 2023 (NeurIPS, MinD-Video: films from tokens of
fMRI); Ho & Salimans 2022 (guidance).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import (
    DenoiserOptions,
    history_of,
    latent_space,
    latents_of,
    noise_levels,
    sample_pictures,
)
from braindec.decoders._films import film_denoiser, film_pipeline, film_targets, train_films
from braindec.decoders._front_end import DecoderFront, WindowFront
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.film_pipeline import BrainFilmPipeline
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Pictures, Windows

_LEVELS = {"tiny": "tiny", "base": "base", "paper": "paper:sd15"}  # of noise
_NOISE: dict[str, dict[str, Any]] = {"tiny": {"prediction": "sample"}, "base": {"prediction": "sample"}, "paper": {}}
NEGATIVES = ("nothing", "training mean")

__all__ = ["VideoDecoder"]


class VideoDecoder(PictureDecoder):
    """Train a denoiser of films on the recordings of training windows.

    Parameters
    ----------
    preset : {"tiny", "base", "paper"}
        Size of the denoiser.
    denoiser : {"stacked", "unet3d", "motion"}
        Kind of denoiser, see :mod:`braindec.decoders._films`.
    unet_options : dict, optional
        Settings of the denoiser that differ from the preset.
    n_tokens : int
        Tokens made of the condition.
    embedder : dict, optional
        ``{"name": "ridge", ...}``: condition on the prediction of a decoder of the registry instead of on the recording.
    cross_fit : int
        Parts in which the embedder predicts the training rows, so that the denoiser is not trained on rows that the embedder
        knows by heart.
    autoencoder : str, optional
        None or "pixels"; or what :func:`~braindec.decoders._diffusion_training.latent_space` takes ("patches", "tiny", a folder of
        an ``AutoencoderKL``): each frame is encoded by itself.
    autoencoder_options : dict, optional
        Settings of an autoencoder that is fitted.
    input_dropout : float
        Share of the numbers of a condition that is set to 0 in each training example; the others grow by as much.
    noise_mixing, noise_kind
        Noise that frames share (:mod:`braindec.diffusion.film_noise`).
    first_frame : bool
        Give the denoiser channels for a known first frame.
    negative : {"nothing", "training mean"}
        What guidance goes away from. The mean is that of the conditions of training windows, never of the ones decoded.
    noise : dict, optional
        Settings of :func:`braindec.diffusion.schedulers.training_scheduler`; "tiny" and "base" predict the clean
        film, which small films learn in a third of the steps.
    steps, batch_size, lr, ema, drop, min_snr, seed, device, folder, training
        As in :func:`~braindec.decoders._films.train_films`.
    sampler : str
        A scheduler of :func:`braindec.diffusion.schedulers.make_scheduler`.
    num_inference_steps, guidance_scale
        Of sampling, unless a call says otherwise.
    scaler, scale_by, time_bins
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.

    Attributes
    ----------
    pipeline_ : BrainFilmPipeline
    mean_condition_ : array of shape (1, ...)
        Mean condition of the training windows.
    history_ : dict of array
    """

    def __init__(
        self, *, preset: str = "tiny", denoiser: str = "stacked", unet_options: dict[str, Any] | None = None, n_tokens: int = 4,
        embedder: dict[str, Any] | None = None, cross_fit: int = 5, autoencoder: str | None = None, autoencoder_options: dict[str, Any] | None = None, input_dropout: float = 0.0,
        noise_mixing: float = 0.0, noise_kind: str = "mixed", first_frame: bool = False, negative: str = "nothing",
        noise: dict[str, Any] | None = None, steps: int = 600, batch_size: int = 32, lr: float = 4e-3, ema: float | None = 0.99,
        drop: float = 0.15, min_snr: float | None = 5.0, seed: int = 0, device: str = "cpu", folder: str | None = None,
        training: dict[str, Any] | None = None, sampler: str = "ddim", num_inference_steps: int = 20, guidance_scale: float = 2.0, scaler: Any = "standard_scaler",
        scale_by: str | None = None, time_bins: int | str | None = "auto",
    ) -> None:  # fmt: skip
        self.preset, self.denoiser, self.unet_options, self.n_tokens = preset, denoiser, unet_options, n_tokens
        self.embedder, self.cross_fit, self.autoencoder, self.input_dropout = (
            embedder,
            cross_fit,
            autoencoder,
            input_dropout,
        )
        self.noise_mixing, self.noise_kind, self.first_frame, self.negative = (
            noise_mixing,
            noise_kind,
            first_frame,
            negative,
        )
        self.autoencoder_options, self.training, self.sampler = autoencoder_options, training, sampler
        self.noise, self.steps, self.batch_size, self.lr, self.ema = noise, steps, batch_size, lr, ema
        self.drop, self.min_snr, self.seed, self.device, self.folder = drop, min_snr, seed, device, folder
        self.num_inference_steps, self.guidance_scale = num_inference_steps, guidance_scale
        self.scaler, self.scale_by, self.time_bins = scaler, scale_by, time_bins

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> VideoDecoder:  # fmt: skip
        """Train on windows; ``features`` for embedders that need them; ``validation`` is not used.

        Raises
        ------
        BraindecError
            If the pictures are no films, or an option is wrong.
        """
        DenoiserOptions.of(self)
        if self.negative not in NEGATIVES:
            raise BraindecError(
                f"guidance cannot go away from {self.negative!r}{did_you_mean(str(self.negative), NEGATIVES)}",
                allowed=", ".join(NEGATIVES),
            )
        values, codes = film_targets(windows, pictures)
        inputs = self._fit_front(windows, pictures, features)
        self.mean_condition_ = inputs.mean(axis=0, keepdims=True).astype(np.float32)
        vae = self._latent_space(values)
        clean = film_latents(vae, values)
        tensors = {"x": clean[torch.from_numpy(codes)], "given": torch.from_numpy(np.ascontiguousarray(inputs))}
        tensors |= self._more_tensors(windows, features)
        self._train_generator(inputs, tensors, vae, condition=self._condition_of, beside=self._beside)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.front_.records, FitRecord.of("denoiser", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what the denoiser listens to, (n_windows, dim), float32: numbers of the recording, or a prediction."""
        self._check_fitted()
        inputs = self.front_.read(windows)
        return np.ascontiguousarray(inputs.reshape(len(windows), -1), dtype=np.float32)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Sample a film for each condition; options of :class:`BrainFilmPipeline` may be given."""
        self._check_fitted()
        own: dict[str, Any] = {"num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale}
        if self.negative == "training mean" and condition is not None:
            own["negative_condition"] = self.mean_condition_
        per_item = {k: sampling.pop(k) for k in ("film", "film_latents", "first_frame") if k in sampling}
        return sample_pictures(self.pipeline_, condition, names, seed=seed, per_item=per_item, **{**own, **sampling})

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: the pipeline by ``save_pretrained``, the rest as safetensors and JSON."""
        self._check_fitted()
        folder = Path(folder)
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        arrays = {f"history.{k}": v for k, v in self.history_.items()} | {"mean_condition": self.mean_condition_}
        arrays |= self._save_front(folder)
        return save_picture_decoder(self, folder, arrays=arrays, more={"n_bins": getattr(self.front_, "n_bins", None)})

    @classmethod
    def load(cls, folder: str | Path) -> VideoDecoder:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        decoder.mean_condition_ = arrays["mean_condition"]
        decoder._load_front(folder, arrays, more)
        decoder.pipeline_ = BrainFilmPipeline.from_pretrained(folder / "pipeline")
        decoder.pipeline_.set_progress_bar_config(disable=True)
        return decoder

    def _latent_space(self, films: np.ndarray) -> nn.Module | None:
        frames = films.reshape(-1, *films.shape[2:])
        options = self.autoencoder_options or {}
        return latent_space(self.autoencoder, frames, seed=self.seed, device=self.device, **options)

    def _train_generator(
        self, inputs: Any, tensors: Mapping[str, torch.Tensor], vae: nn.Module | None, **how: Any
    ) -> None:
        """Train denoiser and conditioner; keep them as a pipeline."""
        scheduler = noise_levels(
            _LEVELS[self.preset], latents=vae is not None, changes={**_NOISE[self.preset], **(self.noise or {})}
        )
        shape = tensors["x"].shape[1:]
        mixing = {"noise_mixing": self.noise_mixing, "noise_kind": self.noise_kind}
        model = self._model(inputs, shape)
        history = train_films(model, tensors, scheduler=scheduler, **mixing, **how, **DenoiserOptions.of(self))
        model.to("cpu")
        self.pipeline_ = film_pipeline(
            model["unet"], model["conditioner"], scheduler, vae, n_frames=shape[1], sampler=self.sampler, **mixing
        )
        self.history_ = history_of(history)

    def _fit_front(self, windows: Windows, pictures: Pictures, features: Features | None) -> np.ndarray:
        """Fit what stands before the denoiser; return what it gives for the training rows, (n, dim)."""
        if self.embedder is not None:
            self.front_: Any = DecoderFront(self.embedder, cross_fit=self.cross_fit, seed=self.seed)
            return self.front_.fit(windows, pictures, features)
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins).fit(windows)
        self.reader_ = self.front_.reader
        return self.front_.read(windows).reshape(len(windows), -1)

    def _save_front(self, folder: Path) -> dict[str, np.ndarray]:
        return {} if self.embedder is None else self.front_.save(folder / "embedder")

    def _load_front(self, folder: Path, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> None:
        if self.embedder is not None:
            self.front_ = DecoderFront(self.embedder).restore(folder / "embedder", arrays)
            return
        self.front_ = WindowFront(scaler=None)
        self.front_.reader, self.front_.n_bins = self.reader_, more["n_bins"]

    def _model(self, inputs: np.ndarray, shape: Sequence[int]) -> nn.ModuleDict:
        """Build what is trained for clean films of ``shape`` (channel, frame, height, width); weights come from the seed."""
        channels, n_frames, *size = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            vector = None if self.denoiser != "stacked" else 32 if self.preset == "tiny" else 256
            unet = film_denoiser(
                self.denoiser, self.preset, channels=channels, n_frames=n_frames, size=tuple(size), vector=vector,
                first_frame=self.first_frame, changes=self.unet_options,
            )  # fmt: skip
            return nn.ModuleDict({"unet": unet, **self._conditioner(inputs, unet.config.cross_attention_dim, vector)})

    def _conditioner(self, inputs: np.ndarray, width: int, vector: int | None) -> dict[str, nn.Module]:
        return {"conditioner": Conditioner(dim=inputs.shape[1], width=width, n_tokens=self.n_tokens, vector=vector)}

    def _more_tensors(self, windows: Windows, features: Features | None) -> dict[str, torch.Tensor]:
        return {}

    def _condition_of(
        self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], generator: torch.Generator
    ) -> torch.Tensor:
        x = batch["given"]
        if self.input_dropout:
            kept = torch.rand(x.shape, generator=generator).to(x.device) >= self.input_dropout
            x = x * kept / (1 - self.input_dropout)
        return x

    _beside: Any = None


def film_latents(vae: nn.Module | None, films: np.ndarray) -> torch.Tensor:
    """Return what is denoised for films (n, frame, height, width, channel) of 0 to 1, (n, channel, frame, height, width)."""
    n, f = films.shape[:2]
    flat = latents_of(vae, films.reshape(-1, *films.shape[2:]))
    return flat.reshape(n, f, *flat.shape[1:]).transpose(1, 2).contiguous()
