"""ControlNetDecoder: a frozen picture prior that the recording steers through a ControlNet.

A denoiser is trained on the training pictures (or opened), told their class or embedding at most, and then frozen; a copy of
its encoder learns to add what the recording says. ``hint="signal"`` passes the recording through convolutions over time to a
control image (GWIT); ``hint="silhouette"`` reads the silhouette of the picture from the recording, and ``residual=True`` adds a
block for what neither class nor silhouette carry (CMVDM).

A class that a classifier names makes most of what "n-way accuracy" counts: ``ablations`` gives the pictures of the class alone,
and a score of this decoder means little without that row beside it. In data whose classes were recorded in blocks (EEGCVPR40,
for one) the class can be told from the time of recording: run the audit (:func:`braindec.evaluate.audit.audit`; recipes do)
before any such score is believed.

Source: Zhang, Rao & Agrawala 2023 (ICCV, ControlNet); GWIT: Lopez et al. 2025 (ICASSP); CMVDM: Zeng et al. 2024 (AAAI, sections
3.3 and 3.4); block designs: Li et al. 2021 (TPAMI).
Differs from the references in: silhouettes and classes of training rows are predicted by models that did not see their stimuli,
so that the control is trusted as much as it deserves; the classifier is fitted on the same training rows only; the silhouette
decoder learns by cross-entropy, overlap and total variation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._control_parts import Coarse, SilhouetteFront, given_silhouettes, train_control
from braindec.decoders._diffusion_training import (
    denoiser_unet,
    history_of,
    latent_space,
    latents_of,
    noise_levels,
    own_memory,
    sample_pictures,
    still_only,
    train_denoiser,
)
from braindec.decoders._front_end import WindowFront, cross_fitted
from braindec.decoders._opened import check_makes, opened
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.controlled_pipeline import Control, ControlHints, ControlledImagePipeline
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.presets import controlnet
from braindec.diffusion.schedulers import make_scheduler
from braindec.diffusion.silhouette import SilhouetteDecoder, silhouettes
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["ControlNetDecoder"]


class ControlNetDecoder(PictureDecoder):
    """A frozen denoiser, a class or embedding said to it, and a control image made of the recording.

    Parameters
    ----------
    hint : {"signal", "silhouette"}
        What the control image is made of.
    residual : bool
        Add a residual block from the recording.
    coarse : {"class", "embedding"} or None
        What the denoiser is told besides: the class that a classifier reads from the recording (one-hot, as a caption "image of
        ..." would say), an embedding, or nothing.
    classifier : mapping
        Decoder of the registry that predicts class or embedding.
    label : str
        Column of the pictures' table that names classes.
    cross_fit : int
        Parts of the stimuli for predictions of training rows.
    preset : {"tiny", "base", "paper"}
        Size of the denoiser.
    pretrained : str, optional
        Folder of a :class:`~braindec.diffusion.image_pipeline.BrainImagePipeline` whose denoiser, conditioner and autoencoder are
        used as they are; its condition must have the length of class or embedding.
    prior_steps, steps : int
        Of the denoiser's training, and of the control's.
    silhouette_steps : int
        Of the network that reads silhouettes.
    signal, residual_options : mapping, optional
        Settings of :class:`SignalHint` and :class:`ResidualHint`.
    control_scale, guidance_scale : float
        Of what the control adds, and of the condition.
    prediction : {"sample", "epsilon", "v_prediction"}
        What the denoiser learns to predict; small ones learn soonest to predict the clean picture.
    autoencoder, autoencoder_options, batch_size, lr, ema, drop, min_snr, num_inference_steps, sampler, seed, device, scaler, scale_by, time_bins
        As in :class:`~braindec.decoders.conditioned.Conditioned`; ``drop`` is the share of rows without condition.
    control_drop : float
        Share of rows without control in training.

    Attributes
    ----------
    pipeline_ : ControlledImagePipeline
    coarse_ : Coarse
    silhouette_ : SilhouetteDecoder or None
    history_ : dict of array
        Training loss of the control.
    """

    def __init__(
        self, *, hint: str = "signal", residual: bool = False, coarse: str | None = "class",
        classifier: Mapping[str, Any] | None = None, label: str = "concept_id", cross_fit: int = 3, preset: str = "tiny",
        pretrained: str | None = None, prior_steps: int = 400, steps: int = 400, silhouette_steps: int = 150,
        signal: Mapping[str, Any] | None = None, residual_options: Mapping[str, Any] | None = None, control_scale: float = 1.0,
        guidance_scale: float = 1.0, autoencoder: str | None = None,
        autoencoder_options: Mapping[str, Any] | None = None, prediction: str = "sample", batch_size: int = 64, lr: float = 2e-3,
        ema: float | None = 0.99, drop: float = 0.15, control_drop: float = 0.1, min_snr: float | None = 5.0,
        num_inference_steps: int = 20, sampler: str = "ddim", seed: int = 0, device: str = "cpu",
        scaler: Any = "standard_scaler", scale_by: str | None = None, time_bins: int | str | None = "auto",
    ) -> None:  # fmt: skip
        self.hint, self.residual, self.coarse, self.classifier, self.label = hint, residual, coarse, classifier, label
        self.cross_fit, self.preset, self.pretrained = cross_fit, preset, pretrained
        self.prior_steps, self.steps = prior_steps, steps
        self.silhouette_steps, self.signal, self.residual_options = silhouette_steps, signal, residual_options
        self.control_scale, self.guidance_scale, self.autoencoder = control_scale, guidance_scale, autoencoder
        self.autoencoder_options, self.prediction = autoencoder_options, prediction
        self.batch_size, self.lr, self.ema, self.drop, self.control_drop = batch_size, lr, ema, drop, control_drop
        self.min_snr, self.num_inference_steps, self.sampler = min_snr, num_inference_steps, sampler
        self.seed, self.device, self.scaler, self.scale_by, self.time_bins = seed, device, scaler, scale_by, time_bins

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None,
        silhouettes: Pictures | None = None,
    ) -> ControlNetDecoder:  # fmt: skip
        """Train denoiser, readers and control on training windows.

        Parameters
        ----------
        windows, pictures
            Training windows, and what was shown.
        features : Features, optional
            For ``coarse="embedding"``.
        validation : Windows, optional
            Not used.
        silhouettes : Pictures, optional
            One grey picture for each stimulus, figure 1 and ground 0; by default computed from the pictures by the rule of
            :func:`braindec.diffusion.silhouette.silhouettes`.

        Raises
        ------
        BraindecError
            If a picture or a control image is missing, or an option is wrong.
        """
        self._check_options()
        still_only(pictures)
        values, codes = targets_of(windows, pictures)
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins).fit(windows)
        self.reader_ = self.front_.reader
        signal = self.front_.read(windows)
        self.signal_shape_ = signal.shape[1:]
        self.coarse_ = Coarse(self.coarse, self.classifier or {"name": "ridge", "scaler": "standard_scaler"}, label=self.label,
                              cross_fit=self.cross_fit, seed=self.seed)  # fmt: skip
        true, said = self.coarse_.fit(windows, pictures, features)
        shapes = self._fit_silhouettes(windows, pictures, silhouettes, signal)
        denoiser, scheduler = self._denoiser(values, true)
        self.picture_shape_ = pictures.shape[1:]
        self.pipeline_ = self._control(denoiser, scheduler, values, codes, signal, said, shapes)
        self.fit_records_ = [
            *self.front_.records, *(self.coarse_.front.records if self.coarse else []),
            *(FitRecord.of(step, windows.ids) for step in ("denoiser", "ControlNet")),
        ]  # fmt: skip
        return self

    def condition(self, windows: Windows) -> np.ndarray:
        """Return class or embedding, control image, and the recording where it is needed, (n_windows, n_numbers), float32."""
        self._check_fitted()
        signal = self.front_.read(windows).reshape(len(windows), -1)
        parts = [self.coarse_.read(windows)]
        if self.silhouette_ is not None:
            parts.append(SilhouetteFront.read(self.silhouette_, signal).reshape(len(windows), -1))
        if self.hint == "signal" or self.residual:
            parts.append(signal)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, controls: bool = True, coarse: bool = True,
        weights: Mapping[str, float] | None = None, **sampling: Any,
    ) -> np.ndarray:  # fmt: skip
        """Sample a picture for each condition; None is the denoiser alone.

        Parameters
        ----------
        condition : array (n, n_numbers) or None
        names, seed
            Of the noise.
        controls, coarse : bool
            Use the control image; use the class or embedding.
        weights : mapping of str to float, optional
            Of the controls ("signal" or "silhouette", "residual"); 1 by default.
        **sampling
            Options of :class:`ControlledImagePipeline`.
        """
        self._check_fitted()
        own = {"num_inference_steps": self.num_inference_steps, "guidance_scale": self.guidance_scale}
        if condition is None:
            return sample_pictures(self.pipeline_, None, names, seed=seed, **{**own, **sampling})
        said, given = self._split(np.asarray(condition, np.float32), dict(weights or {}))
        per_item = {}
        if controls:
            own["control_scale"] = self.control_scale
            per_item["control"] = self._images(given)
        use = coarse and self.coarse is not None
        return sample_pictures(
            self.pipeline_, said if use else None, names, seed=seed, per_item=per_item, **{**own, **sampling}
        )

    def ablations(self, windows: Windows, *, seed: int = 0, **sampling: Any) -> dict[str, np.ndarray]:
        """Return pictures of parts of the decoder, by name of the row, to stand beside the decoded ones.

        "class_only" (or "embedding_only"): the control is left out, "control_only": class or embedding is left out,
        "no_residual": the residual block is left out.
        """
        self._check_fitted()
        rows: dict[str, dict[str, Any]] = {}
        if self.coarse is not None:
            rows = {f"{self.coarse}_only": {"controls": False}, "control_only": {"coarse": False}}
        if self.residual:
            rows["no_residual"] = {"weights": {"residual": 0.0}}
        condition = self.condition(windows)
        return {k: self.generate(condition, names=windows.ids, seed=seed, **v, **sampling) for k, v in rows.items()}

    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0,
        **sampling: Any,
    ) -> np.ndarray | None:  # fmt: skip
        """Return pictures of the true silhouette and class; None for ``hint="signal"``, which has no truth."""
        self._check_fitted()
        said = self.coarse_.true(stimulus_ids, pictures, features)
        if self.hint == "signal" or said is None:
            return None
        n = len(stimulus_ids)
        parts = [said, silhouettes(pictures.of(stimulus_ids)).reshape(n, -1)]
        if self.residual:
            parts.append(np.zeros((n, int(np.prod(self.signal_shape_))), np.float32))
        names = [str(s) for s in stimulus_ids]
        return self.generate(
            np.concatenate(parts, axis=1), names=names, seed=seed, weights={"residual": 0.0} if self.residual else None, **sampling
        )  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder: the pipeline by ``save_pretrained``, the rest as safetensors and JSON."""
        self._check_fitted()
        folder, arrays = Path(folder), {f"history.{k}": v for k, v in self.history_.items()}
        self.pipeline_.save_pretrained(folder / "pipeline", safe_serialization=True)
        more: dict[str, Any] = {
            "n_bins": self.front_.n_bins,
            "signal_shape": list(self.signal_shape_),
            "dim": self.coarse_.dim,
        }
        if self.coarse is not None:
            arrays |= self.coarse_.front.save(folder / "classifier")
        if self.coarse == "class":
            more["classes"] = self.coarse_.classes
        elif self.coarse == "embedding":
            arrays |= {"coarse_mean": self.coarse_.mean, "coarse_scale": self.coarse_.scale}
        if self.silhouette_ is not None:
            self.silhouette_.save_pretrained(folder / "silhouette", safe_serialization=True)
        return save_picture_decoder(self, folder, arrays=arrays, more=more)

    @classmethod
    def load(cls, folder: str | Path) -> ControlNetDecoder:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        decoder.front_ = WindowFront(scaler=None)
        decoder.front_.reader, decoder.front_.n_bins = decoder.reader_, more["n_bins"]
        decoder.signal_shape_ = tuple(more["signal_shape"])
        coarse = Coarse(decoder.coarse, decoder.classifier or {"name": "ridge"}, label=decoder.label, cross_fit=decoder.cross_fit,
                        seed=decoder.seed)  # fmt: skip
        coarse.dim, coarse.classes = more["dim"], more.get("classes")
        if decoder.coarse is not None:
            coarse.front.restore(folder / "classifier", arrays)
        if decoder.coarse == "embedding":
            coarse.mean, coarse.scale = arrays["coarse_mean"], arrays["coarse_scale"]
        decoder.coarse_ = coarse
        has = decoder.hint == "silhouette"
        decoder.silhouette_ = (
            own_memory(SilhouetteDecoder.from_pretrained(folder / "silhouette")).eval() if has else None
        )
        decoder.pipeline_ = opened(ControlledImagePipeline, folder / "pipeline")
        return decoder

    def _check_options(self) -> None:
        if self.hint not in ("signal", "silhouette"):
            raise BraindecError(
                "what the control image is made of", found=repr(self.hint), allowed="'signal' or 'silhouette'"
            )
        for name in ("prior_steps", "steps", "silhouette_steps", "batch_size"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, np.integer))
                or value < (0 if name == "steps" else 1)
            ):
                raise BraindecError(
                    f"{name} must be a whole number", found=repr(value), allowed="1 and more (steps: 0 and more)"
                )
        for name in ("drop", "control_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise BraindecError(
                    f"{name} is a share of the rows", found=repr(getattr(self, name)), allowed="0 to below 1"
                )

    def _fit_silhouettes(
        self, windows: Windows, pictures: Pictures, given: Pictures | None, signal: np.ndarray
    ) -> np.ndarray | None:
        """Train the reader of silhouettes; return those of the training rows, read by readers that did not see them."""
        self.silhouette_: SilhouetteDecoder | None = None
        if self.hint != "silhouette":
            return None
        shapes, codes = given_silhouettes(windows, pictures, given, silhouettes)
        X = signal.reshape(len(signal), -1)
        front, place = (
            SilhouetteFront(steps=self.silhouette_steps, seed=self.seed),
            {w: i for i, w in enumerate(windows.ids)},
        )

        def rows(some: Windows) -> np.ndarray:
            return np.array([place[w] for w in some.ids], dtype=int)

        read = cross_fitted(
            lambda some: front.fit(X[rows(some)], shapes[codes[rows(some)]]),
            lambda model, some: front.read(model, X[rows(some)]).reshape(len(some), -1), windows, self.cross_fit,
        )  # fmt: skip
        self.silhouette_ = front.fit(X, shapes[codes])
        read = front.read(self.silhouette_, X) if read is None else read
        return read.reshape(len(X), *shapes.shape[1:])

    def _denoiser(self, values: np.ndarray, true: np.ndarray) -> tuple[dict[str, Any], Any]:
        """The denoiser, trained on pictures and what is said of them, or opened; and the noise that it knows."""
        if self.pretrained is not None:
            return self._opened(true.shape[1], values)
        vae = latent_space(
            self.autoencoder, values, seed=self.seed, device=self.device, **dict(self.autoencoder_options or {})
        )
        scheduler = noise_levels(self.preset, latents=vae is not None, changes={"prediction": self.prediction})
        clean = latents_of(vae, values)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            unet = denoiser_unet(self.preset, channels=clean.shape[1], size=tuple(clean.shape[2:]))
            model = nn.ModuleDict(
                {"unet": unet, "conditioner": Conditioner(dim=true.shape[1], width=unet.config.cross_attention_dim)}
            )
        train_denoiser(
            model, {"x": clean, "c": torch.from_numpy(true.astype(np.float32))}, scheduler=scheduler,
            condition=lambda parts, batch, generator: batch["c"], steps=self.prior_steps, batch_size=self.batch_size, lr=self.lr,
            ema=self.ema, drop=1.0 if self.coarse is None else max(self.drop, 0.05), min_snr=self.min_snr, seed=self.seed,
            device=self.device,
        )  # fmt: skip
        return {"unet": model["unet"], "conditioner": model["conditioner"], "vae": vae}, scheduler

    def _opened(self, dim: int, values: np.ndarray) -> tuple[dict[str, Any], Any]:
        found = opened(BrainImagePipeline, str(self.pretrained))
        if found.conditioner.config.dim != dim and self.coarse is not None:
            raise BraindecError(
                "the pre-trained denoiser listens to something else", allowed=f"conditions of length {dim} ({self.coarse})",
                found=f"length {found.conditioner.config.dim}", fix="coarse=None, or a denoiser trained with these classes or embeddings",
            )  # fmt: skip
        check_makes(found, values)
        return {"unet": found.unet, "conditioner": found.conditioner, "vae": found.vae}, found.scheduler

    def _control(
        self, denoiser: Mapping[str, Any], scheduler: Any, values: np.ndarray, codes: np.ndarray, signal: np.ndarray,
        said: np.ndarray, shapes: np.ndarray | None,
    ) -> ControlledImagePipeline:  # fmt: skip
        """Train the ControlNet and the modules that make the control image; the denoiser stays as it is."""
        clean = latents_of(denoiser["vae"], values)[torch.from_numpy(codes.astype(np.int64))]
        factor = values.shape[1] // clean.shape[2]
        tensors = {"x": clean, "condition": self._said(denoiser, said)}
        settings: list[dict[str, Any]] = []
        if self.hint == "signal":
            settings.append(
                {
                    "name": "signal",
                    "kind": "signal",
                    "n_chans": signal.shape[1],
                    "n_times": signal.shape[2],
                    **dict(self.signal or {}),
                }
            )
            tensors["signal"] = torch.from_numpy(signal)
        else:
            settings.append({"name": "silhouette", "kind": "image", "channels": 1})
            tensors["silhouette"] = torch.from_numpy(np.ascontiguousarray(shapes.transpose(0, 3, 1, 2)))
        if self.residual:
            settings.append(
                {
                    "name": "residual",
                    "kind": "residual",
                    "dim": int(np.prod(signal.shape[1:])),
                    **dict(self.residual_options or {}),
                }
            )
            tensors["residual"] = torch.from_numpy(signal.reshape(len(signal), -1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1)
            hints = ControlHints(controls=settings, size=tuple(values.shape[1:3]))
            net = controlnet(denoiser=denoiser["unet"], hint_channels=hints.n_channels, factor=factor)
        model = nn.ModuleDict({"controlnet": net, "hints": hints})
        self.history_: dict[str, np.ndarray] = {}
        if self.steps:
            history = train_control(
                model, {k: denoiser[k] for k in ("unet", "conditioner")}, tensors, names=[c["name"] for c in settings], scheduler=scheduler,
                steps=self.steps, batch_size=self.batch_size, lr=self.lr, ema=self.ema, drop=self.drop if self.coarse else 1.0,
                control_drop=self.control_drop, min_snr=self.min_snr, seed=self.seed + 1, device=self.device,
            )  # fmt: skip
            self.history_ = history_of(history)
        model.to("cpu").eval().requires_grad_(False)
        for part in denoiser.values():
            if part is not None:
                part.to("cpu").eval().requires_grad_(False)
        sampler = make_scheduler(self.sampler, training=scheduler)
        made = ControlledImagePipeline(denoiser["unet"], sampler, denoiser["conditioner"], net, hints, denoiser["vae"])
        made.set_progress_bar_config(disable=True)
        return made

    def _said(self, denoiser: Mapping[str, Any], said: np.ndarray) -> torch.Tensor:
        dim = denoiser["conditioner"].config.dim
        return torch.from_numpy(said if self.coarse is not None else np.zeros((len(said), dim), np.float32))

    def _images(self, controls: Sequence[Control], block: int = 64) -> np.ndarray:
        """Control images (n, height, width, channel), in blocks of one size: the same bytes whatever stands beside an item."""
        n, out = len(controls[0][1]), []
        for start in range(0, n, block):
            rows = np.minimum(np.arange(start, start + block), n - 1)
            out.append(self.pipeline_.control_image([(k, v[rows], w) for k, v, w in controls])[: min(block, n - start)])
        return np.concatenate(out)

    def _split(self, condition: np.ndarray, weights: dict[str, float]) -> tuple[np.ndarray, list[Control]]:
        """Take a condition apart: what is said, and the list of controls."""
        n, (height, width) = len(condition), self.picture_shape_[:2]
        sizes = [self.coarse_.dim, height * width if self.silhouette_ is not None else 0]
        sizes.append(int(np.prod(self.signal_shape_)) if self.hint == "signal" or self.residual else 0)
        if condition.shape[1:] != (sum(sizes),):
            raise BraindecError(
                "the condition does not fit the decoder", found=f"shape {condition.shape}", allowed=f"(n, {sum(sizes)})"
            )
        said, shape, signal = np.split(condition, np.cumsum(sizes)[:-1], axis=1)
        known = [self.hint, *(["residual"] if self.residual else [])]
        unknown = [k for k in weights if k not in known]
        if unknown:
            raise BraindecError(f"there is no control {unknown[0]!r}", allowed=", ".join(known))
        first = signal.reshape(n, *self.signal_shape_) if self.hint == "signal" else shape.reshape(n, height, width, 1)
        controls: list[Control] = [(self.hint, first, weights.get(self.hint, 1.0))]
        if self.residual:
            controls.append(("residual", signal, weights.get("residual", 1.0)))
        return said, controls
