"""CrossSubjectDecoder: one model for many subjects with different voxels, and a new subject with little data.

Source: Scotti et al. 2024 (ICML, MindEye2) and Wang et al. 2024 (CVPR, MindBridge): subject parts around a shared part, and
"reset-tuning": the shared part is kept, the new subject's part is trained from fresh weights.
Differs from the references in: voxels are standardised by training trials only; early stopping, where asked for, sees
neither test trials nor test images; partners of mixed trials are of the same subject; each subject has the same share of
a batch; the cycle's pair is drawn for each batch.

Whether an adapted model beats one trained from scratch on the same trials depends on the data: in simulations it does clearly
where embeddings have many dimensions that no brain carries (there the shared part knows which to drop), and hardly or not
at all where few dimensions are all carried. Look at the calibration curve before believing either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from braindec import losses, registry, train
from braindec.decoders._batches import Batches
from braindec.decoders._calibration import CalibrationCurve, calibration_curve, top1
from braindec.decoders._embedding import EmbeddingDecoder, Targets
from braindec.decoders._reading import WindowReader, column
from braindec.decoders._subject_storage import load_subjects, save_subjects
from braindec.decoders._subject_training import SubjectBatches, Terms, WithTerms, padded, validate
from braindec.decoders._subject_windows import Trials, held_out, only_subject, same_length, subjects_of
from braindec.decoders.contrastive import _device_of
from braindec.encoders._pooling import voxel_order
from braindec.encoders._subjects import SubjectEncoder
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features, FitRecord, Windows

__all__ = ["CrossSubjectDecoder", "CalibrationCurve", "calibration_curve"]

_SHORT = {"bimixco": {"temperature": 0.1}, "softclip": {"temperature": 0.1},
          "bimixco_softclip": {"mixco": {"temperature": 0.1}, "softclip": {"temperature": 0.1}}}  # fmt: skip
_WAYS = ("reset", "finetune")


class CrossSubjectDecoder(EmbeddingDecoder):
    """Decode stimulus embeddings with one model for all subjects, and adapt it to another subject.

    Parameters
    ----------
    encoder : str
        "mindeye2" or "mindbridge", or any encoder with parts of its own for each subject.
    preset : str
        "tiny", "base" or "paper".
    encoder_options : dict, optional
        Settings that differ from the preset.
    loss : str
        A name in :mod:`braindec.losses`.
    loss_options : dict, optional
        Options of the loss. None takes a temperature of 0.1 where the published one is for tens of thousands of dimensions;
        {} takes that.
    reconstruction, cycle : float
        Weights of the terms that need builders (MindBridge); not used by encoders without.
    epochs : int
        Of ``fit`` and, where it names no other number, of ``adapt``.
    batch_size : int
        Trials of each subject in a batch.
    n_batches : int, optional
        Batches an epoch; by default as many as the subject with most trials fills.
    lr, weight_decay, optimizer, schedule, clip_norm
        As in :func:`braindec.train.fit`.
    patience : int, optional
        Epochs without a lower validation loss; all epochs are trained and the last is kept when None.
    validation_share : float
        Share of the concepts (or stimuli) that early stopping looks at, when there is ``patience`` and no validation rows.
    scaler, scale_by
        Standardisation of voxels by training trials, as in :class:`~braindec.decoders.ridge.RidgeDecoder`;
        ``scale_by="session"`` gives each session its own numbers.
    ram_limit : float
        MiB that the trials of a subject may take in memory.
    seed : int
        Of first weights, order, pairs, mixing and dropout.
    device : str
        "cpu", "cuda", "cuda:1" or "auto".
    folder : str, optional
        Checkpoints of the training; an interrupted ``fit`` or ``adapt`` goes on from there.

    Attributes
    ----------
    subjects_ : list of str
    encoder_ : SubjectEncoder
    readers_ : dict of str to WindowReader
        Each subject's standardisation.
    history_ : dict of array
        Of the last training.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self,
        *,
        encoder: str = "mindeye2",
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        loss: str = "bimixco_softclip",
        loss_options: dict[str, Any] | None = None,
        reconstruction: float = 1.0,
        cycle: float = 1.0,
        epochs: int = 40,
        batch_size: int = 24,
        n_batches: int | None = None,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        optimizer: str = "adamw",
        schedule: str = "onecycle",
        clip_norm: float | None = None,
        patience: int | None = None,
        validation_share: float = 0.1,
        scaler: Any = "standard",
        scale_by: str | None = None,
        ram_limit: float = 1024.0,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.encoder, self.preset, self.encoder_options = encoder, preset, encoder_options
        self.loss, self.loss_options = loss, loss_options
        self.reconstruction, self.cycle = reconstruction, cycle
        self.epochs, self.batch_size, self.n_batches = epochs, batch_size, n_batches
        self.lr, self.weight_decay, self.optimizer, self.schedule = lr, weight_decay, optimizer, schedule
        self.clip_norm, self.patience, self.validation_share = clip_norm, patience, validation_share
        self.scaler, self.scale_by, self.ram_limit = scaler, scale_by, ram_limit
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        for name, least in (("batch_size", 2), ("epochs", 0), ("n_batches", 1)):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least
            if not whole and not (name == "n_batches" and value is None):
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        if not 0 < self.validation_share < 1 or self.reconstruction < 0 or self.cycle < 0:
            raise BraindecError(
                "a weight or share is out of range", found=f"validation_share={self.validation_share}, "
                f"reconstruction={self.reconstruction}, cycle={self.cycle}",
                allowed="0 < validation_share < 1, weights >= 0",
            )  # fmt: skip
        WindowReader(self.scaler, self.scale_by)
        self._loss()
        names = ("epochs", "lr", "weight_decay", "patience", "optimizer", "schedule")
        train.check_settings(**{name: getattr(self, name) for name in names})
        kind = registry.get("encoders", self.encoder)
        if not (isinstance(kind, type) and issubclass(kind, SubjectEncoder)):
            good = [n for n in ("mindeye2", "mindbridge") if n in registry.names("encoders")]
            raise BraindecError(
                f"the encoder {self.encoder!r} has no parts of its own for each subject", allowed=", ".join(good)
            )
        kind.settings(self.preset, **(self.encoder_options or {}))

    def fit(
        self,
        windows: Windows | Mapping[str, Windows] | Sequence[Windows],
        features: Features,
        *,
        validation: Windows | Mapping[str, Windows] | Sequence[Windows] | None = None,
    ) -> CrossSubjectDecoder:
        """Train all parts on one or more subjects.

        Parameters
        ----------
        windows : dict of subject to Windows, list of Windows, or Windows
            Training trials with ``stimulus_id``; each subject may have other voxels. In a list each has the one subject
            that its trials name; Windows of several subjects with the same channels are divided.
        features : Features
            Embeddings of the stimuli.
        validation : as ``windows``, optional
            Trials for early stopping (with ``patience``); by default a part of the stimuli, the same for all subjects.

        Raises
        ------
        BraindecError
            If a stimulus has no features, a subject cannot be told, or an option is wrong.
        """
        self.check()
        parts, held = held_out(subjects_of(windows), validation, self._share)
        self.subjects_ = list(parts)
        self.readers_ = {s: WindowReader(self.scaler, self.scale_by).fit(w) for s, w in parts.items()}
        targets = Targets(Trials(parts), features)
        self._keep_targets(targets)
        first = next(iter(parts.values()))
        same_length(parts, first.n_times)
        self.encoder_ = self._built({s: w.n_channels for s, w in parts.items()}, first.n_times, targets.values.shape[1])
        self._order_voxels(parts)
        self.fit_records_ = []
        self._train(parts, features, held, what="fit")
        return self

    def adapt(
        self,
        windows: Windows,
        features: Features,
        *,
        how: str = "reset",
        subject: str | None = None,
        source: Mapping[str, Windows] | None = None,
        validation: Windows | None = None,
        **changes: Any,
    ) -> CrossSubjectDecoder:
        """Return a decoder that knows one more subject; this one stays as it is.

        Parameters
        ----------
        windows : Windows
            The new subject's training trials.
        features : Features
            Embeddings of their stimuli.
        how : {"reset", "finetune"}
            "reset": only the new subject's part is trained, from fresh weights; "finetune": everything is.
        subject : str, optional
            Name of the new subject; by default what the trials say.
        source : dict of str to Windows, optional
            Trials of known subjects: the cycle leads from them into the new one (for encoders with builders).
        validation : Windows, optional
            The new subject's trials for early stopping.
        **changes
            Settings of the training that differ from this decoder's: epochs, lr, batch_size, n_batches, patience, seed, ...

        Raises
        ------
        BraindecError
            If the subject is known already, or a stimulus has no features.
        """
        self._check_fitted()
        if how not in _WAYS:
            raise BraindecError(f"there is no way {how!r} to adapt{did_you_mean(how, _WAYS)}", allowed=", ".join(_WAYS))
        name = subject or only_subject(windows)
        if name in self.subjects_:
            raise BraindecError(
                f"the decoder knows subject {name!r} already", found=", ".join(self.subjects_),
                fix="fit a decoder on the other subjects and adapt that one",
            )  # fmt: skip
        made = self._changed(changes)
        parts, held = held_out({name: windows}, None if validation is None else {name: validation}, made._share)
        windows = parts[name]
        same_length({name: windows}, made.encoder_.n_times)
        sources = {s: w for s, w in subjects_of(source or {}).items() if made._known(s)}
        for s, w in sources.items():
            made.readers_[s].check(w)
        made.readers_[name] = WindowReader(made.scaler, made.scale_by).fit(windows)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(made.seed)
            made.encoder_ = made.encoder_.cpu().with_subject(name, windows.n_channels)
        made.subjects_ = [*made.subjects_, name]
        made._order_voxels({name: windows})
        number = len(made.subjects_) - 1
        made.encoder_.requires_grad_(how == "finetune")
        for part in made.encoder_.own()[number]:
            part.requires_grad_(True)
        made._train({**sources, name: windows}, features, held, what=how, into=number)
        made.encoder_.requires_grad_(True)
        return made

    def embed(self, windows: Windows, subject: str | None = None) -> np.ndarray:
        """Return the embedding of each trial, (n_windows, dim), float32.

        Parameters
        ----------
        windows : Windows
            Of one subject that the decoder knows, with its voxels.
        subject : str, optional
            By default what the trials say.
        """
        self._check_fitted()
        out = np.empty((len(windows), len(self.feature_mean_)), dtype=np.float32)
        for rows, x, codes in self._blocks(windows, subject):
            out[rows] = self.encoder_(x, subject=codes).cpu().numpy()
        return out

    def embed_items(self, windows: Windows, subject: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return stimulus ids (n_items,) and the mean embedding of each one's trials (n_items, dim)."""
        items, codes = np.unique(column(windows, "stimulus_id"), return_inverse=True)
        total = np.zeros((len(items), len(self.feature_mean_)))
        np.add.at(total, codes, self.embed(windows, subject))
        return items, (total / np.bincount(codes)[:, None]).astype(np.float32)

    def score(self, windows: Windows, candidates: Features, *, average: bool = False) -> float:
        """Return the share of trials (with ``average``: of stimuli, their trials averaged) whose best candidate is right."""
        return top1(self, windows, candidates, average=average)

    def synthesize(self, windows: Windows, to: str, *, subject: str | None = None, space: str = "voxels") -> np.ndarray:
        """Return another subject's response to what was seen, in standard deviations of its training trials.

        Parameters
        ----------
        windows : Windows
            Trials of a known subject.
        to : str
            The other one (the same one gives a reconstruction).
        subject : str, optional
            Whose trials they are; by default what they say.
        space : {"voxels", "pooled"}
            Voxels of ``to``, where each is the mean of the pools it was in; or the pools themselves.

        Returns
        -------
        array of shape (n_windows, n_voxels, n_times) or (n_windows, n_pools), float32

        Raises
        ------
        BraindecError
            If the encoder has no builders.
        """
        self._check_fitted()
        encoder: Any = self.encoder_
        if not len(getattr(encoder, "builders", ())):
            raise BraindecError(
                f"{self.encoder} has no way back to voxels",
                fix="encoder='mindbridge' with a builder (reconstruction > 0)",
            )
        number, made = self._number(to), []
        for _, x, codes in self._blocks(windows, subject):
            target = torch.full_like(codes, number)
            pooled = encoder.build(encoder.embed(encoder.pool(x, codes), codes), target)
            made.append((pooled if space == "pooled" else encoder.unpool(pooled, number)).cpu().numpy())
        return np.concatenate(made)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        return save_subjects(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> CrossSubjectDecoder:
        """Return the decoder that :meth:`save` wrote."""
        return load_subjects(cls, folder)

    def _loss(self) -> nn.Module:
        return losses.get(self.loss, **(_SHORT.get(self.loss, {}) if self.loss_options is None else self.loss_options))

    @property
    def _share(self) -> float | None:
        """Share of the contents held out for early stopping, if there is any."""
        return None if self.patience is None or not self.epochs else self.validation_share

    def _built(self, sizes: dict[str, int], n_times: int, dim: int) -> SubjectEncoder:
        kind, options = registry.get("encoders", self.encoder), dict(self.encoder_options or {})
        settings = kind.settings(self.preset, **options)
        if hasattr(kind, "build") and "builder" not in settings and (self.reconstruction or self.cycle):
            options["builder"] = "linear"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return kind.from_preset(self.preset, n_chans=sizes, n_times=n_times, dim=dim, **options)

    def _order_voxels(self, parts: Mapping[str, Windows]) -> None:
        if getattr(self.encoder_, "pooling", None) != "ordered":
            return
        for name, windows in parts.items():
            order = voxel_order(windows.channels[["x", "y", "z"]].to_numpy(dtype=float))
            self.encoder_.set_order(self._number(name), torch.from_numpy(order))

    def _train(
        self, parts: Mapping[str, Windows], features: Features, held: Mapping[str, Windows], *, what: str,
        into: int | None = None,
    ) -> None:  # fmt: skip
        """Train what requires a gradient on ``parts``, and note which rows were seen."""
        device = train.resolve_device(self.device)
        builders = bool(len(getattr(self.encoder_, "builders", ())))
        weights = {"reconstruction": self.reconstruction, "cycle": self.cycle} if builders else {}
        if into is not None and not weights:
            parts = {s: w for s, w in parts.items() if self._number(s) == into}
        model, loss = Terms(self.encoder_, **weights), WithTerms(self._loss())
        batches = SubjectBatches(self._batches(parts, features), self.encoder_.n_chans, batch_size=self.batch_size,
                                 n_batches=self.n_batches, into=into)  # fmt: skip
        checked = self._batches(held, features)
        history = train.fit(
            model, loss, batches, validate=(lambda m, _: validate(m.encoder, checked, seed=self.seed)) if checked else None,
            epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, optimizer=self.optimizer,
            schedule=self.schedule, clip_norm=self.clip_norm, folder=self.folder, device=str(device), seed=self.seed,
            key=self._key(batches, checked, what), title=f"{self.encoder}: {what}",
        )  # fmt: skip
        self.encoder_.eval()
        self.history_ = history.columns()
        ids = np.concatenate([w.ids for w in parts.values()])
        own = parts if into is None else {self.subjects_[into]: parts[self.subjects_[into]]}
        records = [r for s in own for r in self.readers_[s].records]
        records += [FitRecord.of(f"{self.encoder}: {what}", ids)]
        records += [FitRecord.of("Targets", ids)] if into is None else []
        if held:
            seen = np.concatenate([w.ids for w in held.values()])
            records.append(FitRecord.of("early stopping", seen, purpose="selection"))
        self.fit_records_ = [*self.fit_records_, *records]

    def _batches(self, parts: Mapping[str, Windows], features: Features) -> dict[int, Batches]:
        """Trials of each subject; targets are standardised as in ``fit`` and shared, so that codes are too."""
        if not parts:
            return {}
        shown = {s: column(w, "stimulus_id") for s, w in parts.items()}
        items = np.unique(np.concatenate(list(shown.values())))
        values = features.of(items)
        if not np.isfinite(values).all():
            bad = items[~np.isfinite(values).all(axis=1)]
            raise BraindecError(f"features of {len(bad)} stimuli are not finite", found=", ".join(map(repr, bad[:5])))
        values = ((values - self.feature_mean_) / self.feature_scale_).astype(np.float32)
        return {
            self._number(s): Batches(w, self.readers_[s], values, np.searchsorted(items, shown[s]), ram_limit=self.ram_limit)
            for s, w in parts.items()
        }  # fmt: skip

    def _blocks(self, windows: Windows, subject: str | None):
        """Yield (rows, voxels on the device, subject numbers) of all windows, without gradients."""
        self._check_fitted()
        name = subject or only_subject(windows, default=self.subjects_)
        number, device = self._number(name), _device_of(self.encoder_)
        try:
            self.readers_[name].check(windows)
        except BraindecError as error:
            fix = "give the windows of this subject, with the voxels that it was fitted on"
            raise BraindecError(f"subject {name!r}: {error.asked}", found=f"{windows.n_channels} voxels; {error.found}",
                                allowed=f"{self.encoder_.sizes[number]} voxels", fix=fix) from None  # fmt: skip
        self.encoder_.eval()
        with torch.no_grad():
            for rows, block in self.readers_[name].blocks(windows):
                x = padded(torch.from_numpy(block).to(device), self.encoder_.n_chans)
                yield rows, x, torch.full((len(x),), number, device=device)

    def _number(self, name: str) -> int:
        self._known(name)
        return self.subjects_.index(name)

    def _known(self, name: str) -> bool:
        if name not in self.subjects_:
            raise BraindecError(
                f"the decoder does not know subject {name!r}{did_you_mean(name, self.subjects_)}",
                allowed=", ".join(self.subjects_), fix="adapt(windows, features) makes a decoder that does",
            )  # fmt: skip
        return True

    def _changed(self, changes: Mapping[str, Any]) -> CrossSubjectDecoder:
        """A copy of this fitted decoder with other settings of the training."""
        fixed = ("encoder", "preset", "encoder_options")
        unknown = [n for n in changes if n not in self.get_params(deep=False) or n in fixed]
        if unknown:
            allowed = [n for n in self.get_params(deep=False) if n not in fixed]
            raise BraindecError(f"adapt cannot change {unknown[0]!r}{did_you_mean(unknown[0], allowed)}",
                                allowed=", ".join(allowed))  # fmt: skip
        made = clone(self).set_params(**changes)
        made.check()
        for name in ("feature_mean_", "feature_scale_", "encoder_"):
            setattr(made, name, deepcopy(getattr(self, name)))
        made.readers_, made.subjects_ = dict(self.readers_), list(self.subjects_)
        made.fit_records_ = list(self.fit_records_)
        return made

    def _key(self, batches: SubjectBatches, held: Mapping[int, Batches], what: str) -> str:
        params = {
            k: repr(v) for k, v in self.get_params(deep=False).items() if k not in ("folder", "device", "ram_limit")
        }
        trained = [name for name, p in self.encoder_.named_parameters() if p.requires_grad]
        texts = [
            json.dumps(params, sort_keys=True),
            batches.fingerprint(),
            *(p.fingerprint() for p in held.values()),
            what,
            *trained,
        ]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()
