"""Unclip: pictures from embeddings, by a denoiser that is told how much the embedding can be trusted.

A denoiser learns to invert embeddings of pictures; no recording is needed for that, so pictures without recordings can be
added (``extra_pictures``). It is then given the embedding that a decoder reads from the recording. Predicted embeddings are
weaker and noisier than true ones, so training embeddings are blurred as the decoder's own predictions are, by a noise level
between 0 (true) and 1 (as predicted), of which the denoiser is told.

Source: Ramesh et al. 2022 (arXiv 2204.06125, unCLIP: noise on the embedding); Scotti et al. 2024 (MindEye2, section 2.3: fine-tuned
unCLIP); Li et al. 2024 (ATM: IP-Adapter).
Differs from the references in: the noise is not white: it is drawn from the errors of the decoder on training rows that it was not
fitted on, which scale and correlate as its errors at test do.
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
)
from braindec.decoders._embedding_errors import EmbeddingErrors
from braindec.decoders._front_end import DecoderFront
from braindec.decoders._picture_stored import load_part, load_picture_decoder, save_part, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.decoders._reading import column
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_adapters import open_image_adapter
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["Unclip"]


class Unclip(PictureDecoder):
    """Train a denoiser on embeddings of pictures; decode the embedding that a decoder reads from the recording.

    Parameters
    ----------
    embedder : dict
        ``{"name": ..., ...}``: a decoder of embeddings of the registry ("ridge", "contrastive", "diffusion_prior").
    cross_fit : int
        Parts in which the embedder predicts training rows, for the size of its errors.
    extra_pictures, extra_features : Pictures, Features, optional
        Further pictures without recordings and their embeddings, joined on ``stimulus_id``. They must be none of the test
        pictures: say in the report what they are.
    pretrained : str, optional
        A folder or hub name of Stable unCLIP, or of Stable Diffusion (XL) with ``ip_adapter`` naming the adapter: nothing is
        trained but the embedder, whose features must be the embeddings that these weights were made for.
    pretrained_options : dict, optional
        For :func:`braindec.diffusion.image_adapters.open_image_adapter`.
    preset, unet_options, n_tokens, autoencoder, autoencoder_options, noise, steps, batch_size, lr, ema, drop, min_snr, seed,
    device, folder, training, sampler, num_inference_steps, guidance_scale
        As in :class:`~braindec.decoders.conditioned.Conditioned`.
    n_candidates : int
        So many pictures are made of each embedding, and the one is kept whose own embedding (by ``describe_pictures`` of the
        call) is closest to the one that was read from the recording; the truth is never looked at.

    Attributes
    ----------
    front_ : DecoderFront
    errors_ : EmbeddingErrors
    pipeline_ : BrainImagePipeline, or an adapter of a pre-trained one
    """

    def __init__(
        self, *, embedder: dict[str, Any] | None = None, cross_fit: int = 5, extra_pictures: Pictures | None = None,
        extra_features: Features | None = None, pretrained: str | None = None, pretrained_options: dict[str, Any] | None = None,
        preset: str = "tiny", unet_options: dict[str, Any] | None = None, n_tokens: int = 4, autoencoder: str | None = None,
        autoencoder_options: dict[str, Any] | None = None, noise: dict[str, Any] | None = None, steps: int = 400,
        batch_size: int = 64, lr: float = 2e-3, ema: float | None = 0.99, drop: float = 0.15, min_snr: float | None = 5.0,
        seed: int = 0, device: str = "cpu", folder: str | None = None,
        training: dict[str, Any] | None = None, sampler: str = "ddim", num_inference_steps: int = 20,
        guidance_scale: float = 2.0, n_candidates: int = 1,
    ) -> None:  # fmt: skip
        self.embedder, self.cross_fit = embedder, cross_fit
        self.extra_pictures, self.extra_features = extra_pictures, extra_features
        self.pretrained, self.pretrained_options = pretrained, pretrained_options
        self.preset, self.unet_options, self.n_tokens = preset, unet_options, n_tokens
        self.autoencoder, self.autoencoder_options, self.noise = autoencoder, autoencoder_options, noise
        self.steps, self.batch_size, self.lr, self.ema, self.drop, self.min_snr = (
            steps,
            batch_size,
            lr,
            ema,
            drop,
            min_snr,
        )
        self.seed, self.device, self.folder, self.training, self.sampler = seed, device, folder, training, sampler
        self.num_inference_steps, self.guidance_scale, self.n_candidates = (
            num_inference_steps,
            guidance_scale,
            n_candidates,
        )

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        DenoiserOptions.check(self)

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> Unclip:  # fmt: skip
        """Fit the embedder on windows, and the denoiser on pictures and their embeddings; ``validation`` is not used."""
        options = DenoiserOptions.of(self)
        still_only(pictures)
        if features is None:
            raise BraindecError("this decoder goes through embeddings", fix="fit(windows, pictures, features)")
        if self.pretrained is not None:
            self.pipeline_ = self._opened()
            self.pipeline_.check_dim(features.shape[1])
        self._fit_embedder(windows, pictures, features)
        self.fit_records_ = [*self.front_.records, FitRecord.of("embeddings", windows.ids)]
        self.history_ = {}
        if self.pretrained is not None:
            self.picture_shape_ = self.pipeline_.picture_shape
            return self
        values, _ = targets_of(windows, pictures)
        embedded = features.of(np.unique(column(windows, "stimulus_id")))
        values, embedded = self._with_extra(values, embedded, pictures, features)
        vae = latent_space(
            self.autoencoder, values, seed=self.seed, device=self.device, **(self.autoencoder_options or {})
        )
        scheduler = noise_levels(self.preset, latents=vae is not None, changes=self.noise)
        model = self._model(values, embedded.shape[1], vae)
        tensors = {"z": torch.from_numpy(self._standard(embedded)), "x": latents_of(vae, values)}
        history = train_denoiser(
            model,
            tensors,
            scheduler=scheduler,
            condition=lambda m, batch, g: self.errors_.blur(batch["z"], g),
            **options,
        )
        model.to("cpu")
        self.history_ = history_of(history)
        self.pipeline_ = image_pipeline(model["unet"], model["conditioner"], scheduler, vae, sampler=self.sampler)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_.append(FitRecord.of("denoiser", windows.ids))
        return self

    def embed(self, windows: Windows) -> np.ndarray:
        """Return the embedding read from each window, in the features' units, (n_windows, dim), float32."""
        self._check_fitted()
        return self._unit(self._predicted(self.front_.raw(windows)))

    def condition(self, windows: Windows) -> np.ndarray:
        """Return the embedding read from each window, standardised, and its noise level 1, (n_windows, dim + 1), float32."""
        self._check_fitted()
        return _with_level(self._predicted(self.front_.raw(windows)), 1.0)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Sample a picture for each condition.

        Parameters
        ----------
        condition, names, seed
            As in :class:`~braindec.decoders._pictures.PictureDecoder`.
        **sampling
            Options of the pipeline, and ``describe_pictures``, a function from pictures to embeddings in the features' units,
            for ``n_candidates`` above 1.
        """
        self._check_fitted()
        describe = sampling.pop("describe_pictures", None)
        own = {"num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale, **sampling}
        if self.n_candidates == 1 or condition is None:
            return self._sample(condition, list(names), seed, own)
        if describe is None:
            raise BraindecError(
                "choosing among candidates needs embeddings of pictures", found=f"n_candidates={self.n_candidates}",
                fix="generate(..., describe_pictures=function of pictures), or n_candidates=1",
            )  # fmt: skip
        wanted = np.asarray(condition)[:, :-1]
        tried = [
            self._sample(condition, [f"{n}/candidate-{k}" for n in names], seed, own) for k in range(self.n_candidates)
        ]
        close = np.stack([_cosine(self._standard(np.asarray(describe(t), dtype=np.float32)), wanted) for t in tried])
        return np.stack(tried)[close.argmax(axis=0), np.arange(len(wanted))]

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0, **sampling: Any
    ) -> np.ndarray | None:  # fmt: skip
        """Return pictures of the true embeddings, at noise level 0."""
        if features is None:
            return None
        condition = _with_level(self._standard(features.of(stimulus_ids)), 0.0)
        return self.generate(condition, names=stimulus_ids, seed=seed, **sampling)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder; weights that were opened by name are not copied."""
        self._check_fitted()
        folder = Path(folder)
        save_part(self.front_.decoder, folder / "embedder")
        if self.pretrained is None:
            self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        arrays = {
            "mean": self.mean_,
            "scale": self.scale_,
            "keep": self.errors_.keep,
            "residuals": self.errors_.residuals,
        }
        arrays |= {f"history.{k}": v for k, v in self.history_.items()}
        return save_picture_decoder(self, folder, arrays=arrays, more={"slope": self.slope_, "units": self.own_units_})

    @classmethod
    def load(cls, folder: str | Path) -> Unclip:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.front_ = DecoderFront(decoder.embedder or {"name": "ridge"})
        decoder.front_.decoder = load_part(folder / "embedder")
        decoder.mean_, decoder.scale_ = arrays["mean"], arrays["scale"]
        decoder.errors_ = EmbeddingErrors(arrays["keep"], arrays["residuals"])
        decoder.slope_, decoder.own_units_ = more["slope"], more["units"]
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        decoder.pipeline_ = (
            open_image_pipeline(folder / "pipeline") if decoder.pretrained is None else decoder._opened()
        )
        return decoder

    def _fit_embedder(self, windows: Windows, pictures: Pictures, features: Features) -> None:
        """Fit the embedder; measure on rows that it was not fitted on how its predictions differ from embeddings."""
        self.front_ = DecoderFront(self.embedder or {"name": "ridge"}, cross_fit=self.cross_fit, seed=self.seed)
        self.front_.fit(windows, pictures, features)
        true = features.of(column(windows, "stimulus_id"))
        if not np.isfinite(true).all():
            raise BraindecError("features of the training stimuli are not finite")
        self.mean_, spread = true.mean(axis=0), true.std(axis=0)
        self.scale_ = np.where(spread > 1e-6 * max(float(spread.max()), 1e-12), spread, 1.0).astype(np.float32)
        self.own_units_ = not hasattr(self.front_.decoder, "describe")
        self.slope_ = 1.0
        raw, true = self._predicted(self.front_.in_sample_raw), self._standard(true)
        self.slope_ = max(float((raw * true).sum() / max((raw * raw).sum(), 1e-12)), 0.0)
        self.errors_ = EmbeddingErrors.measured(self.slope_ * raw, true)

    def _predicted(self, raw: np.ndarray) -> np.ndarray:
        """Predictions in standardised units, scaled by the slope that fits embeddings best."""
        return (self.slope_ * (raw if self.own_units_ else self._standard(raw))).astype(np.float32)

    def _standard(self, values: np.ndarray) -> np.ndarray:
        if values.shape[1] != len(self.mean_):
            raise BraindecError(
                "the embeddings do not fit the model", found=f"shape {values.shape}", allowed=f"(n, {len(self.mean_)})",
                fix="give the features that the decoder was fitted with",
            )  # fmt: skip
        return ((values - self.mean_) / self.scale_).astype(np.float32)

    def _unit(self, standard: np.ndarray) -> np.ndarray:
        return (standard * self.scale_ + self.mean_).astype(np.float32)

    def _with_extra(
        self, values: np.ndarray, embedded: np.ndarray, pictures: Pictures, features: Features
    ) -> tuple[np.ndarray, np.ndarray]:
        """Add the further pictures and their embeddings."""
        extra = same_size(self.extra_pictures, pictures)
        if extra is None:
            return values, embedded
        more = (self.extra_features or features).of(self.extra_pictures.ids)
        if more.shape[1] != embedded.shape[1]:
            raise BraindecError(
                "the extra pictures have embeddings of another length",
                found=f"{more.shape[1]}",
                allowed=f"{embedded.shape[1]}",
            )
        return np.concatenate([values, extra]), np.concatenate([embedded, more])

    def _model(self, values: np.ndarray, dim: int, vae: nn.Module | None) -> nn.ModuleDict:
        channels, *size = latents_of(vae, values[:1]).shape[1:]
        vector = 32 if self.preset == "tiny" else 256
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            unet = denoiser_unet(
                self.preset, channels=channels, size=tuple(size), vector=vector, changes=self.unet_options
            )
            width = unet.config.cross_attention_dim
            return nn.ModuleDict({
                "unet": unet, "conditioner": Conditioner(dim=dim + 1, width=width, n_tokens=self.n_tokens, vector=vector)
            })  # fmt: skip

    def _sample(
        self, condition: np.ndarray | None, names: Sequence[Any], seed: int, own: Mapping[str, Any]
    ) -> np.ndarray:
        if self.pretrained is None:
            return sample_pictures(self.pipeline_, condition, names, seed=seed, **own)
        given = None if condition is None else self._unit(np.asarray(condition)[:, :-1])
        levels = None if condition is None else np.asarray(condition)[:, -1]
        return self.pipeline_.sample(given, levels, names=names, seed=seed, **own)

    def _opened(self) -> Any:
        return open_image_adapter(self.pretrained, device=self.device, **(self.pretrained_options or {}))


def _with_level(values: np.ndarray, level: float) -> np.ndarray:
    return np.concatenate([values, np.full((len(values), 1), level, np.float32)], axis=1)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(length, 1e-12)
