"""MindAnimator: what is seen, how the first frame looks and how it moves are read separately, then made into one film.

Three networks read the recording: tokens of the stimulus (semantic), the latent of the first frame (structure), and the frames
after it, one by one (motion: the Consistency Motion Generator). The predicted stack of frames is noised to a fifth of the way and
denoised by a generator that listens to the tokens, so that the motion can only come from the recording.

Source: Lu et al. 2025 (ICLR, arXiv 2405.03280, sections 3.2 to 3.5); sizes and weights in
:mod:`braindec.diffusion.mind_animator_parts`.
Differs from the reference in: all steps are fitted on training rows (the published code standardises test runs by themselves);
the generator is trained on the training films with their true tokens instead of being an inflated Stable Diffusion, unless one
is opened; tokens are those of ``features``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import DenoiserOptions, batches_of, own_memory, sample_pictures
from braindec.decoders._films import film_targets
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._reading import column
from braindec.decoders.video import VideoDecoder, film_latents
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.film_pipeline import BrainFilmPipeline
from braindec.diffusion.mind_animator_parts import ConsistencyMotionGenerator, SemanticReader, StructureReader
from braindec.errors import BraindecError, did_you_mean
from braindec.train.diffusion import fit_diffusion
from braindec.types import Features, FitRecord, Pictures, Windows

PARTS = ("semantic", "structure", "motion")
_SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {"semantic": {"hidden": 128, "n_hidden": 1}, "structure": {"hidden": 128, "n_hidden": 1},
             "motion": {"dim": 64, "heads": 4, "n_brain_tokens": 4}},
    "base": {"semantic": {"hidden": 512}, "structure": {"hidden": 512}, "motion": {"dim": 256, "heads": 8}},
    "paper": {"semantic": {"hidden": 512, "n_hidden": 3}, "structure": {"hidden": 1024}, "motion": {"dim": 512, "heads": 8}},
}  # fmt: skip
_KINDS = {"semantic": SemanticReader, "structure": StructureReader, "motion": ConsistencyMotionGenerator}

__all__ = ["MindAnimator"]


class MindAnimator(VideoDecoder):
    """Read tokens, first frame and motion separately; fuse them by denoising the predicted stack.

    Parameters
    ----------
    strength : float
        How far the predicted stack is noised: .2 is t = 200 of 1000, 0 keeps it as it is.
    n_tokens : int
        Tokens that the features of a stimulus are cut into; must divide their number.
    semantic, structure, motion : dict, optional
        Settings of the three networks that differ from the preset (``hidden``, ``dropout``, ``mask_ratio``, ...).
    reader_steps : int
        Optimiser steps of each of the three.
    reader_lr : float
    sparsify : float
        Share of the numbers of a recording that is set to 0 in each training example; the others grow by as much.
    jitter : float
        Noise on the frames that the motion generator looks at in training.
    preset, denoiser, unet_options, embedder, cross_fit, autoencoder, noise_mixing, noise_kind, negative, noise, steps
        As in :class:`~braindec.decoders.video.VideoDecoder`; with an ``embedder`` the three networks read its prediction.
    batch_size, lr, ema, drop, min_snr, seed, device, folder, num_inference_steps, guidance_scale, scaler, scale_by, time_bins
        The same.

    Attributes
    ----------
    readers_ : dict
        The three networks.
    """

    first_frame = False
    input_dropout = 0.0

    def __init__(
        self, *, preset: str = "tiny", strength: float = 0.2, n_tokens: int = 1, semantic: dict[str, Any] | None = None,
        structure: dict[str, Any] | None = None, motion: dict[str, Any] | None = None, reader_steps: int = 600,
        reader_lr: float = 2e-3, sparsify: float = 0.2, jitter: float = 0.1, denoiser: str = "stacked",
        unet_options: dict[str, Any] | None = None, embedder: dict[str, Any] | None = None, cross_fit: int = 5,
        autoencoder: str | None = None, autoencoder_options: dict[str, Any] | None = None, noise_mixing: float = 0.0, noise_kind: str = "mixed", negative: str = "nothing",
        noise: dict[str, Any] | None = None, steps: int = 400, batch_size: int = 32, lr: float = 4e-3, ema: float | None = 0.99,
        drop: float = 0.15, min_snr: float | None = 5.0, seed: int = 0, device: str = "cpu", folder: str | None = None,
        training: dict[str, Any] | None = None, sampler: str = "ddim", num_inference_steps: int = 20, guidance_scale: float = 1.0, scaler: Any = "standard_scaler",
        scale_by: str | None = None, time_bins: int | str | None = "auto",
    ) -> None:  # fmt: skip
        self.strength, self.semantic, self.structure, self.motion = strength, semantic, structure, motion
        self.reader_steps, self.reader_lr, self.sparsify, self.jitter = reader_steps, reader_lr, sparsify, jitter
        super().__init__(
            preset=preset, denoiser=denoiser, unet_options=unet_options, n_tokens=n_tokens, embedder=embedder, cross_fit=cross_fit,
            autoencoder=autoencoder, autoencoder_options=autoencoder_options, training=training, sampler=sampler, noise_mixing=noise_mixing, noise_kind=noise_kind, negative=negative, noise=noise, steps=steps,
            batch_size=batch_size, lr=lr, ema=ema, drop=drop, min_snr=min_snr, seed=seed, device=device, folder=folder,
            num_inference_steps=num_inference_steps, guidance_scale=guidance_scale, scaler=scaler, scale_by=scale_by,
            time_bins=time_bins,
        )  # fmt: skip

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> MindAnimator:  # fmt: skip
        """Train the three readers and the generator; ``features`` are what tokens are made of.

        Raises
        ------
        BraindecError
            If there are no features, they cannot be cut into tokens, or the pictures are no films.
        """
        DenoiserOptions.of(self)
        if not 0 <= self.strength <= 1 or not 0 <= self.sparsify < 1:
            raise BraindecError(
                "strength and sparsify are shares", found=f"strength={self.strength}, sparsify={self.sparsify}", allowed="0 to 1"
            )  # fmt: skip
        values, codes = film_targets(windows, pictures)
        tokens = self._fit_tokens(windows, codes, features)
        x = torch.from_numpy(np.ascontiguousarray(self._fit_front(windows, pictures, features)))
        vae = self._latent_space(values)
        clean = film_latents(vae, values)
        self._fit_readers(x, tokens, clean, torch.from_numpy(codes))
        self.mean_first_ = clean[codes, :, 0].mean(dim=0, keepdim=True).numpy()
        self._train_generator(tokens, {"x": clean, "given": tokens}, vae)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.front_.records, *(FitRecord.of(p, windows.ids) for p in (*PARTS, "denoiser"))]
        self.mean_condition_ = np.zeros(
            (1, *tokens.shape[1:]), np.float32
        )  # tokens are standardised over training rows
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what was read from each window: tokens and the stack of latent frames, flat, (n_windows, dim), float32."""
        parts = self.parts(windows)
        return np.concatenate([parts["tokens"].reshape(len(windows), -1), parts["stack"].reshape(len(windows), -1)], 1)

    @torch.no_grad()
    def parts(self, windows: Windows) -> dict[str, np.ndarray]:
        """Return ``tokens`` (n, n_tokens, width) and ``stack`` (n, channel, frame, height, width), window by window."""
        self._check_fitted()
        x = torch.from_numpy(super().condition(windows))
        tokens, stacks = [], []
        for row in x.split(1):
            tokens.append(self.readers_["semantic"](row))
            stacks.append(self.readers_["motion"].roll(self.readers_["structure"](row), row))
        n_tokens, width = self._token_shape
        shape = (0, *self.pipeline_.latent_shape)
        return {
            "tokens": torch.cat(tokens).numpy() if tokens else np.zeros((0, n_tokens, width), np.float32),
            "stack": torch.cat(stacks).numpy() if stacks else np.zeros(shape, np.float32),
        }

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, without: Sequence[str] = (), **sampling: Any
    ) -> np.ndarray:  # fmt: skip
        """Make a film for each condition.

        Parameters
        ----------
        condition, names, seed
            As in :meth:`~braindec.decoders._pictures.PictureDecoder.generate`.
        without : sequence of {"semantic", "structure", "motion"}
            Parts that are taken away: the mean tokens, the mean first frame of training, a film that stands still.
        **sampling
            Options of :class:`BrainFilmPipeline`; ``strength`` too.
        """
        self._check_fitted()
        unknown = [p for p in without if p not in PARTS]
        if unknown:
            raise BraindecError(
                f"there is no part {unknown[0]!r}{did_you_mean(unknown[0], PARTS)}", allowed=", ".join(PARTS)
            )
        own = {"num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale}
        if condition is None:
            return sample_pictures(self.pipeline_, None, names, seed=seed, **{**own, **sampling, "strength": 1.0})
        tokens, stack = self._split(condition)
        if "semantic" in without:
            tokens = np.zeros_like(tokens)
        if "motion" in without:
            stack = np.repeat(stack[:, :, :1], stack.shape[2], axis=2)
        if "structure" in without:
            stack = stack - stack[:, :, :1] + self.mean_first_[:, :, None]
        if self.negative == "training mean":
            own["negative_condition"] = self.mean_condition_
        own["strength"] = self.strength
        return sample_pictures(
            self.pipeline_, tokens, names, seed=seed, per_item={"film_latents": stack}, **{**own, **sampling}
        )

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0,
        **sampling: Any,
    ) -> np.ndarray | None:  # fmt: skip
        """Return the films of true tokens and true frames: what fusion alone loses."""
        if features is None:
            return None
        tokens = ((features.of(stimulus_ids) - self.token_mean_) / self.token_scale_).astype(np.float32)
        stack = film_latents(self.pipeline_.vae, pictures.of(stimulus_ids)).numpy().reshape(len(tokens), -1)
        return self.generate(np.concatenate([tokens, stack], axis=1), names=stimulus_ids, seed=seed, **sampling)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: pipeline and readers by ``save_pretrained``, the rest as safetensors and JSON."""
        self._check_fitted()
        folder = Path(folder)
        for name, reader in self.readers_.items():
            reader.save_pretrained(folder / name, safe_serialization=True)
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        arrays = {f"history.{k}": v for k, v in self.history_.items()} | self._save_front(folder)
        arrays |= {k: getattr(self, f"{k}_") for k in ("token_mean", "token_scale", "mean_first", "mean_condition")}
        return save_picture_decoder(self, folder, arrays=arrays, more={"n_bins": getattr(self.front_, "n_bins", None)})

    @classmethod
    def load(cls, folder: str | Path) -> MindAnimator:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        for name in ("token_mean", "token_scale", "mean_first", "mean_condition"):
            setattr(decoder, f"{name}_", arrays[name])
        decoder._load_front(folder, arrays, more)
        decoder.readers_ = {n: own_memory(k.from_pretrained(folder / n)).eval() for n, k in _KINDS.items()}
        decoder.pipeline_ = BrainFilmPipeline.from_pretrained(folder / "pipeline")
        decoder.pipeline_.set_progress_bar_config(disable=True)
        return decoder

    @property
    def _token_shape(self) -> tuple[int, int]:
        return self.n_tokens, len(self.token_mean_) // self.n_tokens

    def _split(self, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n_tokens, width = self._token_shape
        shape = self.pipeline_.latent_shape
        if condition.ndim != 2 or condition.shape[1] != n_tokens * width + np.prod(shape):
            raise BraindecError(
                "the condition does not fit the decoder", found=f"shape {condition.shape}",
                allowed=f"(n, {n_tokens * width} + {int(np.prod(shape))})",
            )  # fmt: skip
        cut = n_tokens * width
        return condition[:, :cut].reshape(-1, n_tokens, width), condition[:, cut:].reshape(-1, *shape)

    def _fit_tokens(self, windows: Windows, codes: np.ndarray, features: Features | None) -> torch.Tensor:
        """Tokens of each training stimulus, (item, n_tokens, width), standardised over training rows."""
        if features is None:
            raise BraindecError(
                "the semantic part needs features of the stimuli (text tokens, an embedding)", found="none",
                fix="fit(windows, films, features)",
            )  # fmt: skip
        values = features.of(np.unique(column(windows, "stimulus_id"))).astype(np.float32)
        if self.n_tokens < 1 or values.shape[1] % self.n_tokens:
            raise BraindecError(
                "the features cannot be cut into so many tokens",
                found=f"{values.shape[1]} features, n_tokens={self.n_tokens}",
            )
        rows = values[codes]
        self.token_mean_, self.token_scale_ = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
        scaled = ((values - self.token_mean_) / self.token_scale_).astype(np.float32)
        return torch.from_numpy(scaled.reshape(len(scaled), self.n_tokens, -1))

    def _fit_readers(self, x: torch.Tensor, tokens: torch.Tensor, clean: torch.Tensor, codes: torch.Tensor) -> None:
        """Train the three networks, each by itself, on the rows of training."""
        shape, sizes = clean.shape[1:], _SIZES[self.preset]
        given = {
            "semantic": {"n_tokens": tokens.shape[1], "width": tokens.shape[2]},
            "structure": {"latent_shape": [shape[0], *shape[2:]]},
            "motion": {"latent_shape": [shape[0], *shape[2:]], "n_frames": shape[1]},
        }
        rows = {"semantic": tokens, "structure": clean[:, :, 0], "motion": clean}
        self.readers_ = {}
        for number, name in enumerate(PARTS):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed + number)
                own = {**sizes[name], **(getattr(self, name) or {})}
                reader = _KINDS[name](n_inputs=x.shape[1], **given[name], **own)
            tensors = {"x": rows[name][codes], "given": x, "ids": codes}
            loss = getattr(self, f"_{name}_loss")
            fit_diffusion(
                reader, loss, batches_of(tensors, self.batch_size), steps=self.reader_steps, lr=self.reader_lr, weight_decay=0.05,
                ema=0.99, seed=self.seed + number, device=self.device,
            )  # fmt: skip
            self.readers_[name] = reader.to("cpu").eval()

    def _semantic_loss(self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator) -> torch.Tensor:
        return model.loss(self._sparse(batch["given"], generator), batch["x"], ids=batch["ids"])

    def _structure_loss(self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator) -> torch.Tensor:
        return nn.functional.mse_loss(model(self._sparse(batch["given"], generator)), batch["x"])

    def _motion_loss(self, model: nn.Module, batch: Mapping[str, Any], generator: torch.Generator) -> torch.Tensor:
        return model.loss(batch["x"], self._sparse(batch["given"], generator), jitter=self.jitter, generator=generator)

    def _sparse(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        kept = torch.rand(x.shape, generator=generator).to(x.device) >= self.sparsify
        return x * kept / (1 - self.sparsify)

    def _conditioner(self, inputs: Any, width: int, vector: int | None) -> dict[str, nn.Module]:
        n_tokens, dim = inputs.shape[1:]
        return {"conditioner": Conditioner(dim=dim, width=width, n_given=n_tokens, vector=vector)}
