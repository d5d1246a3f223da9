"""NeuroCine: a contrastive reading of the recording first, then a denoiser of films whose frames share noise.

Stage 1 trains an encoder on two augmented views of each window (spatial masking: voxels set to 0; temporal interpolation: a
window and its stimulus mixed with the next window of the run and its stimulus) by three terms: InfoNCE between the views,
InfoNCE with the stimulus, and the squared error to the stimulus. Stage 2 trains a denoiser of films on the encoder's
predictions, with dependent prior noise in training and sampling.

Source: Sun et al. 2024 (arXiv 2402.01590; no code was published).
Differs from the reference in: weights, masking and mixing shares are not public and are options here; the description of the
stimulus is ``features``, or the first principal components of the training films; small generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import batches_of
from braindec.decoders._films import film_targets
from braindec.decoders._front_end import WindowFront, cross_fitted, make_encoder
from braindec.decoders._reading import column, spread_groups
from braindec.decoders.video import VideoDecoder
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.losses import InfoNCE
from braindec.train.diffusion import fit_diffusion
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["NeuroCine", "film_components", "interpolated", "masked"]


class NeuroCine(VideoDecoder):
    """Contrastive encoder, then a denoiser of films with dependent prior noise.

    Parameters
    ----------
    encoder, encoder_preset, encoder_options
        The encoder of stage 1, a name in ``encoders``.
    masking : float
        Share of voxels (or channels) that a view loses.
    interpolation : float
        Largest share of the next window in a view; the share is drawn evenly from 0 to it.
    contrast : float
        Weight of the two InfoNCE terms against the squared error.
    encoder_steps, encoder_lr
        Optimiser steps of stage 1, and their rate.
    n_components : int
        Principal components of the training films that stand for the stimulus when there are no ``features``.
    cross_fit : int
        Parts in which the training rows are predicted for stage 2; 0 for none.
    noise_mixing : float
        Share of noise that frames have in common.
    preset, denoiser, unet_options, n_tokens, autoencoder, input_dropout, noise_kind, first_frame, negative, noise, steps, batch_size
        As in :class:`~braindec.decoders.video.VideoDecoder`.
    lr, ema, drop, min_snr, seed, device, folder, num_inference_steps, guidance_scale, scaler, scale_by, time_bins
        The same.
    """

    embedder = None

    def __init__(
        self, *, preset: str = "tiny", encoder: str = "mindeye", encoder_preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None, masking: float = 0.3, interpolation: float = 0.3, contrast: float = 0.1,
        encoder_steps: int = 600, encoder_lr: float = 2e-3, n_components: int = 32, cross_fit: int = 3, denoiser: str = "stacked",
        unet_options: dict[str, Any] | None = None, n_tokens: int = 4, autoencoder: str | None = None, autoencoder_options: dict[str, Any] | None = None, input_dropout: float = 0.0,
        noise_mixing: float = 0.5, noise_kind: str = "mixed", first_frame: bool = False, negative: str = "nothing",
        noise: dict[str, Any] | None = None, steps: int = 600, batch_size: int = 32, lr: float = 4e-3, ema: float | None = 0.99,
        drop: float = 0.15, min_snr: float | None = 5.0, seed: int = 0, device: str = "cpu", folder: str | None = None,
        training: dict[str, Any] | None = None, sampler: str = "ddim", num_inference_steps: int = 20, guidance_scale: float = 2.0, scaler: Any = "standard_scaler",
        scale_by: str | None = None, time_bins: int | str | None = "auto",
    ) -> None:  # fmt: skip
        self.encoder, self.encoder_preset, self.encoder_options = encoder, encoder_preset, encoder_options
        self.masking, self.interpolation, self.contrast = masking, interpolation, contrast
        self.encoder_steps, self.encoder_lr, self.n_components = encoder_steps, encoder_lr, n_components
        super().__init__(
            preset=preset, denoiser=denoiser, unet_options=unet_options, n_tokens=n_tokens, cross_fit=cross_fit,
            autoencoder=autoencoder, autoencoder_options=autoencoder_options, training=training, sampler=sampler, input_dropout=input_dropout, noise_mixing=noise_mixing, noise_kind=noise_kind,
            first_frame=first_frame, negative=negative, noise=noise, steps=steps, batch_size=batch_size, lr=lr, ema=ema, drop=drop,
            min_snr=min_snr, seed=seed, device=device, folder=folder, num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale, scaler=scaler, scale_by=scale_by, time_bins=time_bins,
        )  # fmt: skip

    def _fit_front(self, windows: Windows, pictures: Pictures, features: Features | None) -> np.ndarray:
        if not (0 <= self.masking < 1 and 0 <= self.interpolation <= 1 and self.contrast >= 0):
            raise BraindecError(
                "augmentation of the contrastive stage", found=f"masking={self.masking}, interpolation={self.interpolation}, "
                f"contrast={self.contrast}", allowed="masking 0 to below 1, interpolation 0 to 1, contrast 0 or more",
            )  # fmt: skip
        targets = self._targets(windows, pictures, features)

        def fit(some: Windows) -> _ContrastiveFront:
            return _ContrastiveFront(self, WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins)).fit(
                some, targets
            )  # fmt: skip

        predicted = cross_fitted(fit, lambda front, some: front.read(some), windows, self.cross_fit)
        self.front_ = fit(windows)
        self.reader_ = self.front_.front.reader
        return self.front_.read(windows) if predicted is None else predicted

    def _targets(self, windows: Windows, pictures: Pictures, features: Features | None) -> Mapping[str, np.ndarray]:
        """Description of each training stimulus, standardised over training windows."""
        shown = column(windows, "stimulus_id")
        items, codes = np.unique(shown, return_inverse=True)
        if features is None:
            values = film_components(film_targets(windows, pictures)[0], self.n_components)
        else:
            values = features.of(items).astype(np.float32)
        rows = values[codes.reshape(-1)]
        values = (values - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-6)
        return dict(zip(items, values.astype(np.float32), strict=True))

    def _save_front(self, folder: Path) -> dict[str, np.ndarray]:
        self.front_.encoder.save(folder / "encoder")
        return {}

    def _load_front(self, folder: Path, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any]) -> None:
        front = WindowFront(scaler=None)
        front.reader, front.n_bins = self.reader_, more["n_bins"]
        self.front_ = _ContrastiveFront(self, front)
        self.front_.encoder = Encoder.load(folder / "encoder")


class _ContrastiveFront:
    """Stage 1: windows -> predicted description of the stimulus, (n, dim)."""

    def __init__(self, options: NeuroCine, front: WindowFront) -> None:
        self.options, self.front = options, front

    @property
    def n_bins(self) -> int:
        return self.front.n_bins

    def fit(self, windows: Windows, targets: Mapping[str, np.ndarray]) -> _ContrastiveFront:
        o, shown = self.options, column(windows, "stimulus_id")
        x = torch.from_numpy(self.front.fit(windows).read(windows))
        y = torch.from_numpy(np.stack([targets[s] for s in shown]))
        nearby = torch.from_numpy(next_rows(windows))
        ids = torch.from_numpy(np.unique(shown, return_inverse=True)[1].reshape(-1))
        self.encoder = make_encoder(
            o.encoder, o.encoder_preset, tuple(x.shape[1:]), y.shape[1], o.encoder_options or {}, seed=o.seed
        )
        model = nn.ModuleDict({"encoder": self.encoder, "views": InfoNCE(), "stimulus": InfoNCE()})
        tensors = {"x": y, "given": x, "next_x": y[nearby], "next_given": x[nearby], "ids": ids}
        fit_diffusion(
            model, self._loss, batches_of(tensors, o.batch_size), steps=o.encoder_steps, lr=o.encoder_lr, weight_decay=0.05,
            ema=0.98, seed=o.seed, device=o.device,
        )  # fmt: skip
        self.encoder.to("cpu").eval()
        self.seen = windows.ids
        return self

    @property
    def records(self) -> list[FitRecord]:
        """What the reader and the encoder saw."""
        return [*self.front.records, FitRecord.of("contrastive stage", self.seen)]

    @torch.no_grad()
    def read(self, windows: Windows) -> np.ndarray:
        """Predictions one window at a time: the same bytes whatever stands beside a window."""
        x = torch.from_numpy(self.front.read(windows))
        rows = [self.encoder(x[i : i + 1]).numpy() for i in range(len(x))]
        return np.concatenate(rows) if rows else np.zeros((0, self.encoder.dim), np.float32)

    def _loss(
        self, model: nn.ModuleDict, batch: Mapping[str, torch.Tensor], generator: torch.Generator
    ) -> torch.Tensor:
        o = self.options
        mixed, target = interpolated(batch, o.interpolation, generator)
        one = model["encoder"](masked(mixed, o.masking, generator))
        two = model["encoder"](masked(mixed, o.masking, generator))
        contrast = model["views"](one, two, ids=batch["ids"]) + model["stimulus"](one, target, ids=batch["ids"])
        return nn.functional.mse_loss(one, target) + o.contrast * contrast


def masked(x: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Set a random ``share`` of the channels of each window (batch, channel, time) to 0; what stays grows by 1 / (1 - share)."""
    kept = torch.rand(x.shape[:2], generator=generator).to(x.device) >= share
    return x * kept[..., None] / (1 - share)


def interpolated(
    batch: Mapping[str, torch.Tensor], largest: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each window and its target with those of the next window, by a share drawn evenly from 0 to ``largest``."""
    given = batch["given"]
    share = largest * torch.rand(len(given), generator=generator).to(given.device)
    mixed = torch.lerp(given, batch["next_given"], share[:, None, None])
    return mixed, torch.lerp(batch["x"], batch["next_x"], share[:, None])


def next_rows(windows: Windows) -> np.ndarray:
    """Return the row of the window that follows each one in its run, (n,); the last of a run is its own."""
    runs = [spread_groups(windows, (name,)) for name in ("subject", "session", "run") if name in windows.trials]
    run = np.array(["/".join(parts) for parts in zip(*runs, strict=True)]) if runs else np.zeros(len(windows), str)
    onset = (
        windows.trials["onset"].to_numpy(float) if "onset" in windows.trials else np.arange(len(windows), dtype=float)
    )
    order = np.lexsort((onset, run))
    after = np.arange(len(windows))
    same = run[order[1:]] == run[order[:-1]]
    after[order[:-1][same]] = order[1:][same]
    return after


def film_components(films: np.ndarray, n: int) -> np.ndarray:
    """Return the first ``n`` principal components of films (item, ...), (item, at most n), float32."""
    flat = films.reshape(len(films), -1).astype(np.float64)
    left, size, _ = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    n = min(n, int((size > 1e-9 * size[0]).sum()))
    return (left[:, :n] * size[:n]).astype(np.float32)
