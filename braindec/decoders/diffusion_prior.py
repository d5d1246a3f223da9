"""DiffusionPrior: from a brain embedding to an image embedding as images have them, by a diffusion prior.

What a regression predicts is a mean: shorter and less varied than any embedding of an image, so a generator that was trained
on real ones does not know it. A prior samples an image embedding that agrees with the brain's.

Source: Scotti et al. 2023 (NeurIPS, MindEye, section 3.3: contrastive loss + 30 x prior, conditions dropped in 20 %, retrieval
by the contrastive head); Scotti et al. 2024 (ICML, MindEye2); Li et al. 2024 (NeurIPS, ATM: a fitted embedder, then the prior).
Differs from the references in: embeddings are standardised by training rows; the prior of a fitted embedder is trained on
predictions of rows that the embedder did not see (cross-fitting: it would trust the embedder too much otherwise; ATM's way is
``cross_fit=0``); in the joint training the prior sees only rows that were not mixed; no choice looks at the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec import losses, registry
from braindec.decoders._batches import Batches
from braindec.decoders._diffusion_training import batches_of, own_memory
from braindec.decoders._embedding import EmbeddingDecoder, Targets, unit
from braindec.decoders._front_end import DecoderFront, make_encoder
from braindec.decoders._picture_stored import stored_about
from braindec.decoders._pictures import told
from braindec.decoders._prior_training import (
    JointModel,
    build_prior,
    device_of,
    fingerprint,
    held_loss,
    prior_loss,
    prior_settings,
    sample_embeddings,
    two_heads,
)  # fmt: skip
from braindec.decoders._reading import WindowReader, column
from braindec.decoders._stored import load_decoder, save_decoder
from braindec.diffusion.embedding_scale import EmbeddingScale
from braindec.diffusion.prior_pipeline import PriorPipeline
from braindec.diffusion.schedulers import make_scheduler, training_scheduler
from braindec.encoders._subjects import SubjectEncoder
from braindec.errors import BraindecError, did_you_mean
from braindec.train.diffusion import fit_diffusion
from braindec.train.step_history import StepHistory
from braindec.types import Features, FitRecord, Windows

__all__ = ["DiffusionPrior"]

_SHORT = {"bimixco": {"temperature": 0.1}, "softclip": {"temperature": 0.1},
          "bimixco_softclip": {"mixco": {"temperature": 0.1}, "softclip": {"temperature": 0.1}}}  # fmt: skip
_RETRIEVAL = ("brain", "prior")
_SAMPLING = (
    "num_inference_steps",
    "guidance_scale",
    "n_candidates",
    "generator",
    "latents",
    "callback_on_step_end",
    "progress",
)


class DiffusionPrior(EmbeddingDecoder):
    """Sample the image embedding of what was shown, given a brain embedding.

    Parameters
    ----------
    kind : {"transformer", "unet"}
        The prior of MindEye, which predicts the clean embedding, or of ATM, which predicts the noise.
    preset : str
        "tiny", "base", "paper" ("paper:mindeye", "paper:mindeye2"; "paper:atm" of the unet).
    prior_options : dict, optional
        Settings of the prior that differ from the preset.
    n_tokens : int, optional
        Tokens that the embedding is cut into (transformer); the preset's, or 1.
    embedder : dict, optional
        ``{"name": "ridge", ...}``: a decoder of embeddings of the registry, fitted first; ridge by default.
    cross_fit : int
        Parts in which the embedder predicts the rows that the prior is trained on; 0 uses what it predicts of rows it saw.
    encoder : str, optional
        Instead of an embedder: an encoder of the registry ("mindeye", ...) that is trained along with the prior.
    encoder_preset, encoder_options
        Of the encoder.
    contrastive, contrastive_options
        Loss of the encoder's retrieval head, a name in :mod:`braindec.losses`. None takes a temperature of 0.1 where the
        published one is for tens of thousands of dimensions; {} takes that.
    prior_weight : float
        Of the prior's loss beside the contrastive one.
    condition_drop, sample_drop : float, optional
        Shares of rows without brain embedding, and without noised image embedding (transformer), in training.
    steps, batch_size, lr, warm_up, weight_decay, ema
        As in :func:`braindec.train.diffusion.fit_diffusion`; the preset's by default.
    min_snr : float, optional
        gamma of the min-SNR weights; none by default.
    sampler : str, optional
        A name in :mod:`braindec.diffusion.schedulers`. By default "dpm++": with a denoiser that is exact, 20 steps of it keep
        97 % of the variance of embeddings, 20 of "ddim" 85 %; "ddpm" for the unet of the paper, which needs its bounds.
    num_inference_steps, guidance_scale, n_candidates
        As in :class:`~braindec.diffusion.prior_pipeline.PriorPipeline`; of several candidates the one closest to the brain's
        own embedding is kept.
    retrieve_with : {"brain", "prior"}
        What is compared with candidates: the brain's own embedding, as published, or the prior's sample.
    scaler, scale_by, ram_limit
        Of windows, for an encoder; as in :class:`~braindec.decoders.contrastive.ContrastiveDecoder`.
    seed : int
        Of weights, training and sampling.
    device : str
    folder : str, optional
        Checkpoints.

    Attributes
    ----------
    pipeline_ : PriorPipeline
        From brain embeddings to image embeddings, both in their own units.
    front_ : DecoderFront or None
        The embedder.
    encoder_ : nn.Module
    history_ : dict of array
        step, lr, train_loss, with validation rows validation_loss; best_step.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self, *, kind: str = "transformer", preset: str = "tiny", prior_options: dict[str, Any] | None = None,
        n_tokens: int | None = None, embedder: dict[str, Any] | None = None, cross_fit: int = 5, encoder: str | None = None,
        encoder_preset: str = "tiny", encoder_options: dict[str, Any] | None = None, contrastive: str = "bimixco_softclip",
        contrastive_options: dict[str, Any] | None = None, prior_weight: float = 30.0, condition_drop: float | None = None,
        sample_drop: float | None = None, steps: int | None = None, batch_size: int | None = None, lr: float | None = None,
        warm_up: int | None = None, weight_decay: float = 0.01, ema: float | None = 0.99, min_snr: float | None = None,
        sampler: str | None = None, num_inference_steps: int | None = None, guidance_scale: float | None = None,
        n_candidates: int = 1, retrieve_with: str = "brain", scaler: Any = "standard_scaler", scale_by: str | None = None,
        ram_limit: float = 1024.0, seed: int = 0, device: str = "cpu", folder: str | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.preset, self.prior_options, self.n_tokens = kind, preset, prior_options, n_tokens
        self.embedder, self.cross_fit = embedder, cross_fit
        self.encoder, self.encoder_preset, self.encoder_options = encoder, encoder_preset, encoder_options
        self.contrastive, self.contrastive_options = contrastive, contrastive_options
        self.prior_weight, self.condition_drop, self.sample_drop = prior_weight, condition_drop, sample_drop
        self.steps, self.batch_size, self.lr, self.warm_up = steps, batch_size, lr, warm_up
        self.weight_decay, self.ema, self.min_snr = weight_decay, ema, min_snr
        self.sampler, self.num_inference_steps, self.guidance_scale = sampler, num_inference_steps, guidance_scale
        self.n_candidates, self.retrieve_with = n_candidates, retrieve_with
        self.scaler, self.scale_by, self.ram_limit = scaler, scale_by, ram_limit
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        self._settings()
        if self.embedder is not None and self.encoder is not None:
            raise BraindecError("embedder or encoder, not both", found=f"{self.embedder}, {self.encoder!r}")
        if self.retrieve_with not in _RETRIEVAL:
            raise BraindecError(
                f"retrieve_with has no value {self.retrieve_with!r}", allowed=", ".join(map(repr, _RETRIEVAL))
            )
        if not self.prior_weight > 0:
            raise BraindecError("prior_weight must be positive", found=repr(self.prior_weight))
        if self.min_snr is not None and not self.min_snr > 0:
            raise BraindecError("gamma of the min-SNR weighting", found=repr(self.min_snr), allowed="above 0, or None")
        if self.n_tokens is not None and (not isinstance(self.n_tokens, (int, np.integer)) or self.n_tokens < 1):
            raise BraindecError(
                "n_tokens must be a whole number", found=repr(self.n_tokens), allowed="1 or more, or None"
            )
        if isinstance(self.cross_fit, bool) or not isinstance(self.cross_fit, (int, np.integer)):
            raise BraindecError(
                "cross_fit must be a whole number", found=repr(self.cross_fit), allowed="0, or 2 or more"
            )
        losses.get(self.contrastive, **self._contrastive_options())

    def fit(self, windows: Windows, features: Features, *, validation: Windows | None = None) -> DiffusionPrior:
        """Fit embedder and prior, or encoder and prior together, on training windows.

        Parameters
        ----------
        windows : Windows
            Training windows with ``stimulus_id``.
        features : Features
            Image embeddings of their stimuli; tokens lie one after another in a row.
        validation : Windows, optional
            The averaged weights with the lowest loss of the prior on these rows are kept; without them, the last.

        Raises
        ------
        BraindecError
            If a stimulus has no features, they do not fit a published size, or an option is wrong.
        """
        self.check()
        if not isinstance(features, Features):
            raise BraindecError(
                "a prior makes embeddings of images", found=type(features).__name__, fix="fit(windows, features)"
            )
        targets = Targets(windows, features)
        self._keep_targets(targets)
        settings, dim = self._settings(), targets.values.shape[1]
        scheduler = training_scheduler(
            "base", n_steps=settings["levels"], schedule=settings["schedule"], latents=True,
            prediction="sample" if self.kind == "transformer" else "epsilon",
        )  # fmt: skip
        fit = self._fit_embedder if self.encoder is None else self._fit_encoder
        prior, condition_dim, history = fit(windows, features, targets, scheduler, settings, validation)
        self.history_ = history.columns()
        scale = EmbeddingScale(n=dim, n_condition=condition_dim)
        for name, value in (("mean", targets.mean), ("scale", targets.scale)):
            getattr(scale, name).copy_(torch.from_numpy(value))
        if self.front_ is not None:
            scale.condition_mean.copy_(torch.from_numpy(self.front_.mean))
            scale.condition_scale.copy_(torch.from_numpy(self.front_.scale))
        forgets = not getattr(prior, "around", True)
        sampler = make_scheduler(
            self.sampler or ("ddpm" if forgets else "dpm++"), training=scheduler, timestep_spacing="trailing"
        )
        if "clip_sample" in sampler.config and forgets:
            # this unet forgets the length of what it sees: where nearly all is noise, its errors would grow without a bound
            sampler.register_to_config(clip_sample=True, clip_sample_range=float(np.abs(targets.values).max()))
        self.pipeline_ = PriorPipeline(prior.cpu().eval(), sampler, scale)
        self.pipeline_.set_progress_bar_config(disable=True)
        stages = self.front_.records if self.front_ is not None else self.reader_.records
        self.fit_records_ = [*stages, *(FitRecord.of(s, windows.ids) for s in ("Targets", "prior"))]
        if validation is not None:
            self.fit_records_.append(FitRecord.of("choice of the step", validation.ids, purpose="selection"))
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return what the recording says, without randomness, (n_windows, ...), float32, for :meth:`sample`.

        With an embedder its prediction, in its units; with an encoder its tokens, then its retrieval vector.
        """
        self._check_fitted()
        if self.front_ is not None:
            self.reader_.check(windows)
            return self.front_.raw(windows)
        dim, model = len(self.feature_mean_), two_heads(self.encoder_)
        out = np.empty((len(windows), 2 * dim), dtype=np.float32)
        for rows, block in self.reader_.blocks(windows):
            for i, x in enumerate(
                torch.from_numpy(block)
            ):  # one by one: the same bytes whatever stands beside a window
                out[rows.start + i] = torch.cat(model(x[None]), dim=1)[0].numpy()
        return out

    def sample(self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int | None = None, **sampling: Any) -> np.ndarray:  # fmt: skip
        """Sample an image embedding for each condition, (n, dim) float32 in own units.

        Parameters
        ----------
        condition : array as :meth:`condition` returns it, or None
            None samples from the marginal distribution of the training images.
        names : sequence of shape (n,)
            Noise comes from (seed, name).
        seed : int, optional
            The decoder's by default.
        **sampling
            Options of :class:`~braindec.diffusion.prior_pipeline.PriorPipeline` that differ from the decoder's.
        """
        self._check_fitted()
        settings = self._settings()
        own = {k: settings[k] for k in ("num_inference_steps", "guidance_scale")} | {"n_candidates": self.n_candidates}
        brain = None
        if condition is None:
            own |= {"n_candidates": 1}
        else:
            size = int(np.prod(self.pipeline_.prior.condition_shape)) * (1 if self.front_ is not None else 2)
            condition = told(condition, [size], names=names)
        if condition is not None and self.front_ is None:
            brain, condition = (
                self._in_units(condition[:, len(self.feature_mean_) :]),
                condition[:, : len(self.feature_mean_)],
            )
        unknown = [name for name in sampling if name not in _SAMPLING]
        if unknown:
            raise BraindecError(
                f"sampling of a prior has no option {unknown[0]!r}{did_you_mean(unknown[0], _SAMPLING)}",
                allowed=", ".join(_SAMPLING),
            )
        seed = self.seed if seed is None else seed
        return sample_embeddings(self.pipeline_, condition, names, seed=seed, brain_embedding=brain, progress=False, **{**own, **sampling})  # fmt: skip

    def describe(self, windows: Windows) -> np.ndarray:
        """Return a sampled image embedding of each window in its own units, (n_windows, dim), float32."""
        return self.sample(self.condition(windows), names=windows.ids)

    def embed(self, windows: Windows) -> np.ndarray:
        """Return a sampled image embedding of each window, standardised, (n_windows, dim), float32."""
        return self.project(self.describe(windows))

    def brain_embedding(self, windows: Windows) -> np.ndarray:
        """Return the brain's own embedding, before the prior, in the features' units, (n_windows, dim), float32."""
        given = self.condition(windows)
        return given if self.front_ is not None else self._in_units(given[:, len(self.feature_mean_) :])

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: the pipeline by ``save_pretrained``, the rest as safetensors and JSON."""
        self._check_fitted()
        folder, arrays = Path(folder), {f"history.{k}": v for k, v in self.history_.items()}
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        if self.front_ is not None:
            arrays |= self.front_.save(folder / "embedder")
        return save_decoder(self, folder, arrays=arrays)

    @classmethod
    def load(cls, folder: str | Path) -> DiffusionPrior:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        joint = stored_about(cls, folder)["params"]["encoder"] is not None
        decoder, arrays, _ = load_decoder(cls, folder, encoder=None if joint else nn.Identity())
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        decoder.front_ = None if joint else DecoderFront(decoder._embedder()).restore(folder / "embedder", arrays)
        decoder.pipeline_ = PriorPipeline.from_pretrained(folder / "pipeline")
        decoder.pipeline_.set_progress_bar_config(disable=True)
        for part in (decoder.pipeline_.prior, decoder.pipeline_.scaler):
            own_memory(part).eval()
        return decoder

    def _fit_embedder(
        self,
        windows: Windows,
        features: Features,
        targets: Targets,
        scheduler: Any,
        settings: dict,
        validation: Windows | None,
    ) -> tuple[nn.Module, int, StepHistory]:
        """Fit the embedder, then the prior on its cross-fitted predictions."""
        self.reader_, self.encoder_ = WindowReader(None).fit(windows), nn.Identity()
        self.front_ = DecoderFront(self._embedder(), cross_fit=self.cross_fit, seed=self.seed)
        given = torch.from_numpy(np.ascontiguousarray(self.front_.fit(windows, None, features), dtype=np.float32))
        prior = self._prior(targets.values.shape[1], given.shape[1])
        clean = torch.from_numpy(targets.values)
        rows = {"x": given, "code": torch.from_numpy(targets.codes.astype(np.int64))}
        options = {k: settings[k] for k in ("condition_drop", "sample_drop")} | {"min_snr": self.min_snr}

        def loss(model: nn.Module, batch: Any, generator: torch.Generator) -> torch.Tensor:
            wanted = clean[batch["code"].cpu()].to(batch["x"].device)
            return prior_loss(model, scheduler, batch["x"], wanted, generator, **options)

        held = None
        if validation is not None:
            seen, wanted = torch.from_numpy(self.front_.read(validation)), self._targets_of(validation, features)
            held = lambda model: held_loss(model, scheduler, seen, wanted, seed=self.seed)  # noqa: E731
        key = fingerprint(given.numpy(), targets.values, targets.codes)
        return (
            prior,
            given.shape[1],
            self._train(prior, loss, batches_of(rows, settings["batch_size"]), settings, held, key),
        )

    def _fit_encoder(
        self,
        windows: Windows,
        features: Features,
        targets: Targets,
        scheduler: Any,
        settings: dict,
        validation: Windows | None,
    ) -> tuple[nn.Module, int, StepHistory]:
        """Train encoder and prior together."""
        self.front_ = None
        self.reader_ = WindowReader(self.scaler, self.scale_by).fit(windows)
        dim = targets.values.shape[1]
        model = JointModel(
            self._encoder(windows, dim), self._prior(dim, dim), losses.get(self.contrastive, **self._contrastive_options()),
            scheduler, weight=self.prior_weight, steps=settings["steps"], min_snr=self.min_snr,
            condition_drop=settings["condition_drop"], sample_drop=settings["sample_drop"],
        )  # fmt: skip
        batches = Batches(windows, self.reader_, targets.values, targets.codes, batch_size=settings["batch_size"],
                          ram_limit=self.ram_limit)  # fmt: skip
        held = None
        if validation is not None:
            seen, wanted = torch.from_numpy(self.reader_.read(validation)), self._targets_of(validation, features)
            held = lambda m: held_loss(m.prior, scheduler, m.heads(seen.to(device_of(m)))[0], wanted, seed=self.seed)  # noqa: E731
        history = self._train(
            model, lambda m, batch, generator: m.loss(batch, generator), batches, settings, held, batches.fingerprint()
        )
        self.encoder_ = model.cpu().encoder.eval()
        return model.prior, dim, history

    def _train(self, model: nn.Module, loss: Any, batches: Any, settings: dict, held: Any, key: str) -> StepHistory:
        return fit_diffusion(
            model, loss, batches, steps=settings["steps"], lr=settings["lr"], warm_up=settings["warm_up"],
            weight_decay=self.weight_decay, ema=self.ema, seed=self.seed, device=self.device, folder=self.folder,
            validate=held, keep_best=held is not None, key=key, title="training the prior",
        )  # fmt: skip

    def _targets_of(self, windows: Windows, features: Features) -> torch.Tensor:
        values = features.of(column(windows, "stimulus_id"))
        return torch.from_numpy(((values - self.feature_mean_) / self.feature_scale_).astype(np.float32))

    def _encoder(self, windows: Windows, dim: int) -> nn.Module:
        options = dict(self.encoder_options or {})
        name, sizes = str(self.encoder), {"n_chans": windows.n_channels, "n_times": windows.n_times, "dim": dim}
        if name in registry.names("encoders"):
            kind = registry.get("encoders", name)
            tokens = self.n_tokens if "token_dim" in kind.PRESETS.get("paper", {}) else None
            options = {**({"token_dim": dim // tokens} if tokens else {}), **options}
            alone = "subject" not in windows.trials or windows.trials["subject"].nunique() <= 1
            if issubclass(kind, SubjectEncoder) and alone:  # of one subject its part need not be named
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.seed)
                    return kind.from_preset(self.encoder_preset, **sizes, **options)
        return make_encoder(
            name, self.encoder_preset, (windows.n_channels, windows.n_times), dim, options, seed=self.seed
        )

    def _prior(self, dim: int, condition_dim: int) -> nn.Module:
        return build_prior(self.kind, self.preset, dim=dim, condition_dim=condition_dim, n_tokens=self.n_tokens,
                           options=self.prior_options or {}, seed=self.seed)  # fmt: skip

    def _settings(self) -> dict[str, Any]:
        names = (
            "condition_drop",
            "sample_drop",
            "steps",
            "batch_size",
            "lr",
            "warm_up",
            "num_inference_steps",
            "guidance_scale",
        )
        return prior_settings(self.kind, self.preset, {name: getattr(self, name) for name in names})

    def _contrastive_options(self) -> dict[str, Any]:
        return _SHORT.get(self.contrastive, {}) if self.contrastive_options is None else self.contrastive_options

    def _embedder(self) -> dict[str, Any]:
        if self.embedder is None:
            return {"name": "ridge"}
        if not isinstance(self.embedder, Mapping) or "name" not in self.embedder:
            raise BraindecError(
                "an embedder is asked for by its name and options",
                found=repr(self.embedder),
                fix='{"name": "ridge", ...}',
            )
        return self.embedder

    def _in_units(self, retrieval: np.ndarray) -> np.ndarray:
        """Retrieval vectors, whose length has no meaning, at the length of a standardised embedding and in its units."""
        values = unit(retrieval) * np.sqrt(retrieval.shape[1])
        return (values * self.feature_scale_ + self.feature_mean_).astype(np.float32)

    def _similarity(self, windows: Windows, candidates: Features) -> tuple[np.ndarray, np.ndarray]:
        if self.retrieve_with == "prior":
            return super()._similarity(windows, candidates)
        candidates.rows_of(candidates.ids[:1])  # refuses an id that stands twice
        brain = self.project(self.brain_embedding(windows))
        return unit(brain) @ unit(self.project(candidates).load()).T, candidates.ids
