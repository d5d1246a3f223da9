"""Conditioned: a diffusion model that listens to tokens of the recording, trained end to end from windows to pictures.

Tokens go into cross-attention and a vector into the time embedding ("double conditioning"). The recording is read as it is
(a linear map is learned), through an encoder of the registry that is trained along, or through a fitted decoder's
prediction.

Source: Chen et al. 2023 (CVPR, MinD-Vis, sections 3.2 and 3.3); Ho & Salimans 2022; Hang et al. 2023.
Differs from the reference in: no pre-training on masked fMRI is asked for (open a pre-trained encoder by its folder); predictions of
a decoder are cross-fitted; no choice looks at test rows.
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
    denoiser_unet,
    history_of,
    image_pipeline,
    latent_space,
    latents_of,
    noise_levels,
    open_image_pipeline,
    same_size,
    sample_pictures,
    still_only,
    train_denoiser,
)  # fmt: skip
from braindec.decoders._front_end import DecoderFront, WindowFront, make_encoder
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.diffusion.conditioner import Conditioner
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["Conditioned"]

_CODE = 64  # length of what a trained encoder gives


class Conditioned(PictureDecoder):
    """Train a denoiser of pictures (or latents) on the recordings of training windows.

    Parameters
    ----------
    preset : {"tiny", "base", "paper"}
        Size of the denoiser.
    unet_options : dict, optional
        Settings of ``UNet2DConditionModel`` that differ from the preset.
    n_tokens : int
        Tokens made of the recording.
    double : bool
        Add a vector of the recording to the time embedding as well.
    embedder : dict, optional
        ``{"name": "ridge", ...}``: condition on the prediction of a decoder of the registry (of embeddings, which needs
        ``features``; or of pictures, such as "picture_ridge") instead of on the recording.
    cross_fit : int
        Parts in which the embedder predicts the training rows; see :mod:`braindec.decoders._front_end`.
    encoder : str, optional
        A name in ``encoders``, or a folder of a saved one: trained along with the denoiser.
    encoder_preset, encoder_options
        Of a named encoder.
    train_encoder : bool
        False keeps the weights of an encoder that was opened.
    autoencoder : str, optional
        None or "pixels"; "patches"; "tiny"; or a pre-trained ``AutoencoderKL``; see
        :func:`~braindec.decoders._diffusion_training.latent_space`.
    autoencoder_options : dict, optional
        Settings of the autoencoder that is fitted, and ``steps``.
    input_dropout : float
        Share of the channels (or predicted numbers) that is set to 0 in each training example (0.2 in MinD-Vis).
    noise : dict, optional
        Settings of :func:`braindec.diffusion.schedulers.training_scheduler`.
    steps, batch_size, lr, ema, drop, min_snr, seed, device, folder, training
        As in :func:`~braindec.decoders._diffusion_training.train_denoiser`.
    sampler : str
        A scheduler of :func:`braindec.diffusion.schedulers.make_scheduler`.
    num_inference_steps, guidance_scale
        Of sampling, unless a call says otherwise.
    scaler, scale_by, time_bins
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    extra_pictures : Pictures, optional
        Further pictures without recordings: the denoiser sees them with the condition dropped, so they teach the prior. They
        must be none of the test pictures.

    Attributes
    ----------
    pipeline_ : BrainImagePipeline
    history_ : dict of array
        step, lr, train_loss.
    """

    def __init__(
        self, *, preset: str = "tiny", unet_options: dict[str, Any] | None = None, n_tokens: int = 4, double: bool = True,
        embedder: dict[str, Any] | None = None, cross_fit: int = 5, encoder: str | None = None, encoder_preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None, train_encoder: bool = True, autoencoder: str | None = None,
        autoencoder_options: dict[str, Any] | None = None, input_dropout: float = 0.0, noise: dict[str, Any] | None = None,
        steps: int = 400, batch_size: int = 64, lr: float = 2e-3, ema: float | None = 0.99, drop: float = 0.15,
        min_snr: float | None = 5.0, seed: int = 0, device: str = "cpu", folder: str | None = None,
        training: dict[str, Any] | None = None,
        sampler: str = "ddim", num_inference_steps: int = 20, guidance_scale: float = 2.0, scaler: Any = "standard_scaler",
        scale_by: str | None = None, time_bins: int | str | None = "auto", extra_pictures: Pictures | None = None,
    ) -> None:  # fmt: skip
        self.preset, self.unet_options, self.n_tokens, self.double = preset, unet_options, n_tokens, double
        self.embedder, self.cross_fit, self.encoder, self.encoder_preset = embedder, cross_fit, encoder, encoder_preset
        self.encoder_options, self.train_encoder = encoder_options, train_encoder
        self.autoencoder, self.autoencoder_options = autoencoder, autoencoder_options
        self.input_dropout, self.noise = input_dropout, noise
        self.steps, self.batch_size, self.lr, self.ema, self.drop, self.min_snr = (
            steps,
            batch_size,
            lr,
            ema,
            drop,
            min_snr,
        )
        self.seed, self.device, self.folder, self.training = seed, device, folder, training
        self.sampler, self.num_inference_steps, self.guidance_scale = sampler, num_inference_steps, guidance_scale
        self.scaler, self.scale_by, self.time_bins, self.extra_pictures = scaler, scale_by, time_bins, extra_pictures

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        DenoiserOptions.check(self)

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> Conditioned:  # fmt: skip
        """Train on windows; ``features`` only for an ``embedder`` that needs them, ``validation`` is not used."""
        options = DenoiserOptions.of(self)
        still_only(pictures)
        values, codes = targets_of(windows, pictures)
        inputs = self._fit_front(windows, pictures, features)
        extra = same_size(self.extra_pictures, pictures)
        seen = values if extra is None else np.concatenate([values, extra])
        vae = latent_space(
            self.autoencoder, seen, seed=self.seed, device=self.device, **(self.autoencoder_options or {})
        )
        scheduler = noise_levels(self.preset, latents=vae is not None, changes=self.noise)
        model = self._model(inputs, seen, vae)
        latents = latents_of(vae, seen)
        tensors = self._tensors(inputs, latents, codes, len(values))
        history = train_denoiser(model, tensors, scheduler=scheduler, condition=self._condition_of, **options)
        model.to("cpu")
        self.encoder_ = model["encoder"] if "encoder" in model else None
        self.pipeline_ = image_pipeline(model["unet"], model["conditioner"], scheduler, vae, sampler=self.sampler)
        self.history_ = history_of(history)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.front_.records, FitRecord.of("denoiser", windows.ids)]
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what the denoiser listens to, (n_windows, dim), float32: numbers of the recording, prediction, or code."""
        self._check_fitted()
        inputs = self.front_.read(windows)
        if self.encoder_ is None:
            return inputs.reshape(len(windows), -1)
        out = [self._encode(inputs[i : i + 1]) for i in range(len(inputs))]
        return np.concatenate(out) if out else np.zeros((0, _CODE), np.float32)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Sample a picture for each condition; options of :class:`BrainImagePipeline` may be given."""
        self._check_fitted()
        own = {"num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale}
        return sample_pictures(self.pipeline_, condition, names, seed=seed, **{**own, **sampling})

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: the pipeline by ``save_pretrained``, the rest as safetensors and JSON."""
        self._check_fitted()
        folder, arrays = Path(folder), {f"history.{k}": v for k, v in self.history_.items()}
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        if self.encoder_ is not None:
            self.encoder_.save(folder / "encoder")
        if self.embedder is not None:
            arrays |= self.front_.save(folder / "embedder")
        return save_picture_decoder(self, folder, arrays=arrays, more={"n_bins": getattr(self.front_, "n_bins", None)})

    @classmethod
    def load(cls, folder: str | Path) -> Conditioned:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        if decoder.embedder is not None:
            decoder.front_ = DecoderFront(decoder.embedder).restore(folder / "embedder", arrays)
        else:
            decoder.front_ = WindowFront(scaler=None)
            decoder.front_.reader, decoder.front_.n_bins = decoder.reader_, more["n_bins"]
        decoder.encoder_ = Encoder.load(folder / "encoder") if decoder.encoder is not None else None
        decoder.pipeline_ = open_image_pipeline(folder / "pipeline")
        return decoder

    def _fit_front(self, windows: Windows, pictures: Pictures, features: Features | None) -> np.ndarray:
        """Fit what stands before the denoiser; return what it gives for the training rows."""
        if self.embedder is not None and self.encoder is not None:
            raise BraindecError("embedder or encoder, not both", found=f"{self.embedder}, {self.encoder!r}")
        if self.embedder is not None:
            self.front_: Any = DecoderFront(self.embedder, cross_fit=self.cross_fit, seed=self.seed)
            return self.front_.fit(windows, pictures, features)
        bins = None if self.encoder is not None and self.time_bins == "auto" else self.time_bins
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=bins).fit(windows)
        self.reader_ = self.front_.reader
        return self.front_.read(windows)

    def _model(self, inputs: np.ndarray, seen: np.ndarray, vae: nn.Module | None) -> nn.ModuleDict:
        """Build what is trained; first weights come from the seed."""
        parts: dict[str, nn.Module] = {}
        if self.encoder is not None:
            parts["encoder"] = make_encoder(
                self.encoder, self.encoder_preset, inputs.shape[1:], _CODE, self.encoder_options or {}, seed=self.seed
            )
            parts["encoder"].requires_grad_(self.train_encoder)
        dim = _CODE if self.encoder is not None else int(np.prod(inputs.shape[1:]))
        channels, *size = latents_of(vae, seen[:1]).shape[1:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            vector = None if not self.double else 32 if self.preset == "tiny" else 256
            parts["unet"] = denoiser_unet(
                self.preset, channels=channels, size=tuple(size), vector=vector, changes=self.unet_options
            )
            width = parts["unet"].config.cross_attention_dim
            parts["conditioner"] = Conditioner(dim=dim, width=width, n_tokens=self.n_tokens, vector=vector)
        return nn.ModuleDict(parts)

    def _tensors(
        self, inputs: np.ndarray, latents: torch.Tensor, codes: np.ndarray, n_items: int
    ) -> dict[str, torch.Tensor]:
        """Rows of training; pictures without a recording stand last, their input is nan and is dropped."""
        x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
        y = latents[torch.from_numpy(codes.astype(np.int64))]
        without = torch.zeros(len(x), dtype=torch.bool)
        if len(latents) > n_items:
            more = latents[n_items:]
            x, y = torch.cat([x, torch.zeros(len(more), *x.shape[1:])]), torch.cat([y, more])
            without = torch.cat([without, torch.ones(len(more), dtype=torch.bool)])
        return {"given": x, "x": y, "without": without}

    def _condition_of(
        self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], generator: torch.Generator
    ) -> torch.Tensor:
        x = batch["given"]
        if self.input_dropout:
            kept = torch.rand(x.shape[:2], generator=generator).to(x.device) >= self.input_dropout
            x = x * kept.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        return model["encoder"](x) if "encoder" in model else x.flatten(1)

    @torch.no_grad()
    def _encode(self, inputs: np.ndarray) -> np.ndarray:
        """Code of windows, one by one: the same bytes whatever stands beside a window."""
        self.encoder_.eval()
        return self.encoder_(torch.from_numpy(inputs)).numpy()
