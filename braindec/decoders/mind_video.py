"""MindVideo: a transformer over voxels and volumes and a denoiser of films that are trained together.

Guidance goes away from the mean training window ("adversarial guidance"): what all recordings have in common is taken out of
the film.

Source: Chen, Qing & Zhou 2023 (NeurIPS, "Cinematic mindscapes", sections 3.2 to 3.4): windows of 2 volumes, tokens of 77 x 768,
6 frames of 256 x 256, 200 steps, guidance 12.5, contrast with the embedding of the stimulus.
Differs from the reference in: the mean is that of training windows (the published code takes the mean of the recordings that it
is tested on); no pre-training on masked recordings; the contrastive stage goes to ``features`` of the stimulus (InfoNCE and
squared error) and is left out without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import batches_of
from braindec.decoders._reading import column
from braindec.decoders.video import VideoDecoder
from braindec.diffusion.window_attention import SIZES, WindowAttention
from braindec.errors import BraindecError
from braindec.losses import InfoNCE
from braindec.train.diffusion import fit_diffusion
from braindec.types import Features, Windows

__all__ = ["MindVideo"]


class MindVideo(VideoDecoder):
    """Train encoder and denoiser on windows of a few volumes.

    Parameters
    ----------
    encoder_options : dict, optional
        Settings of :class:`~braindec.diffusion.window_attention.WindowAttention` that differ from the preset.
    contrast : float
        Weight of InfoNCE (and of the squared error) between the tokens and ``features`` of the stimulus, when they are given, in
        the training of the denoiser.
    encoder_steps, encoder_lr
        Optimiser steps of the contrastive stage before it, and their rate.
    train_encoder : bool
        Train the encoder along with the denoiser after a contrastive stage; with a few hundred windows it then learns them by
        heart. Without features it always is.
    input_dropout : float
        Share of the voxels (at a time) that is set to 0 while the encoder is trained; the others grow by as much.
    preset, denoiser, unet_options, autoencoder, noise_mixing, noise_kind, first_frame, negative, noise, steps
        As in :class:`~braindec.decoders.video.VideoDecoder`, with other defaults.
    batch_size, lr, ema, drop, min_snr, seed, device, folder, num_inference_steps, guidance_scale, scaler, scale_by, time_bins
        The same.
    """

    embedder = None

    def __init__(
        self, *, preset: str = "tiny", encoder_options: dict[str, Any] | None = None, contrast: float = 0.1, encoder_steps: int = 500, encoder_lr: float = 2e-3, train_encoder: bool = False,
        denoiser: str = "stacked", unet_options: dict[str, Any] | None = None, autoencoder: str | None = None, autoencoder_options: dict[str, Any] | None = None,
        input_dropout: float = 0.4, noise_mixing: float = 0.0, noise_kind: str = "mixed", first_frame: bool = False,
        negative: str = "training mean", noise: dict[str, Any] | None = None, steps: int = 600, batch_size: int = 32,
        lr: float = 4e-3, ema: float | None = 0.99, drop: float = 0.15, min_snr: float | None = 5.0, seed: int = 0,
        device: str = "cpu", folder: str | None = None, training: dict[str, Any] | None = None, sampler: str = "ddim", num_inference_steps: int = 20, guidance_scale: float = 2.0,
        scaler: Any = "standard_scaler", scale_by: str | None = None, time_bins: int | str | None = None,
    ) -> None:  # fmt: skip
        self.encoder_options, self.contrast = encoder_options, contrast
        self.encoder_steps, self.encoder_lr, self.train_encoder = encoder_steps, encoder_lr, train_encoder
        super().__init__(
            preset=preset, denoiser=denoiser, unet_options=unet_options, autoencoder=autoencoder, autoencoder_options=autoencoder_options, training=training, sampler=sampler, input_dropout=input_dropout,
            noise_mixing=noise_mixing, noise_kind=noise_kind, first_frame=first_frame, negative=negative, noise=noise, steps=steps,
            batch_size=batch_size, lr=lr, ema=ema, drop=drop, min_snr=min_snr, seed=seed, device=device, folder=folder,
            num_inference_steps=num_inference_steps, guidance_scale=guidance_scale, scaler=scaler, scale_by=scale_by,
            time_bins=time_bins,
        )  # fmt: skip

    def _conditioner(self, inputs: np.ndarray, width: int, vector: int | None) -> dict[str, nn.Module]:
        n_volumes = self.front_.n_bins
        sizes = {**SIZES[self.preset], **(self.encoder_options or {})}
        made: dict[str, nn.Module] = {
            "conditioner": WindowAttention(
                n_voxels=inputs.shape[1] // n_volumes, n_volumes=n_volumes, width=width, vector=vector, **sizes
            )
        }
        if self._features is not None:
            n_tokens = made["conditioner"].config.n_tokens
            made |= {"projection": nn.Linear(n_tokens * width, self._features.shape[1]), "contrast": InfoNCE()}
        return made

    def _model(self, inputs: np.ndarray, shape: Any) -> nn.ModuleDict:
        """Build what is trained, and train the encoder by contrast first."""
        model = super()._model(inputs, shape)
        if self._features is not None and self.encoder_steps:
            tensors = {"x": torch.from_numpy(np.ascontiguousarray(inputs)), **self._aims}
            stage = nn.ModuleDict({k: model[k] for k in ("conditioner", "projection", "contrast")})
            fit_diffusion(
                stage, self._contrast_loss, batches_of(tensors, self.batch_size), steps=self.encoder_steps, lr=self.encoder_lr,
                weight_decay=0.05, ema=0.98, seed=self.seed, device=self.device, title="contrastive stage",
            )  # fmt: skip
            model["conditioner"].to("cpu").standardise(tensors["x"])
            if not self.train_encoder:
                for name, weights in model["conditioner"].named_parameters():
                    weights.requires_grad_(name.startswith(("null", "pooled")))
        return model

    def _contrast_loss(self, model: Any, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        given = super()._condition_of(model, {**batch, "given": batch["x"]}, generator)
        return self._agreement(model, batch, model["conditioner"](given)[0])

    def _condition_of(
        self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], generator: torch.Generator
    ) -> torch.Tensor:
        frozen = self._features is not None and self.encoder_steps and not self.train_encoder
        return batch["given"] if frozen else super()._condition_of(model, batch, generator)

    def _agreement(self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        made = model["projection"](tokens.flatten(1))
        contrast = model["contrast"](made, batch["features"], ids=batch["item"])
        return 0.1 * contrast + nn.functional.mse_loss(made, batch["features"])

    def _more_tensors(self, windows: Windows, features: Features | None) -> dict[str, torch.Tensor]:
        self._aims: dict[str, torch.Tensor] = {}
        if self._features is not None:
            _, codes = np.unique(column(windows, "stimulus_id"), return_inverse=True)
            self._aims = {"features": torch.from_numpy(self._features), "item": torch.from_numpy(codes.reshape(-1))}
        return self._aims

    def _beside(self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
        if "features" not in batch:
            return tokens.new_zeros(())
        kept = ~batch["drop"]  # rows that got "nothing" say nothing of their stimulus
        if int(kept.sum()) < 2:
            return tokens.new_zeros(())
        return self.contrast * self._agreement(model, {k: batch[k][kept] for k in ("features", "item")}, tokens[kept])

    def _fit_front(self, windows: Windows, pictures: Any, features: Features | None) -> np.ndarray:
        if self.contrast < 0:
            raise BraindecError("the weight of a contrast", found=repr(self.contrast), allowed="0 or more")
        self._features = None
        if features is not None and self.contrast:
            values = features.of(column(windows, "stimulus_id")).astype(np.float32)
            self._features = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-6)
        return super()._fit_front(windows, pictures, features)
