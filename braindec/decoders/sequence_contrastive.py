"""SequenceContrastiveDecoder: from MEG or EEG of several subjects to the features of a sound at each sample, by contrast.

Source: Défossez, Caucheteux, Rapin, Kabeli & King 2023 (Nat Mach Intell 5:1097), Methods: a window's prediction Z and segments Y are
compared by ``<Z, Y> / |Y|`` over features and time, and the right segment is told from those of the batch (eq. 2-3); features are
standardised by one mean and spread; Adam, 3e-4, until the loss on validation contents no longer falls.
Differs from the reference in: it was written from the paper; windows of one segment are never negatives of each other; a
memory queue may add candidates; channels are scaled on up to 2,000 training windows a subject; a new subject begins at the mean of the
subject layers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from torch import nn

from braindec import losses, registry, train
from braindec.decoders._reading import WindowReader, column
from braindec.decoders._sequence_data import (
    Heard,
    SequenceBatches,
    SequenceTargets,
    check_segments,
    divided,
    rows_by_subject,
)
from braindec.decoders._sequence_model import PairLoss, SequenceModel, build_encoder, build_target, with_subject
from braindec.decoders._sequence_retrieval import SequenceRetrieval
from braindec.decoders._sequence_storage import load_sequences, save_sequences
from braindec.decoders._sequence_training import scale_of, validate_sequences
from braindec.decoders._subject_training import padded
from braindec.decoders._subject_windows import only_subject, same_length
from braindec.decoders.contrastive import _device_of
from braindec.errors import BraindecError, did_you_mean
from braindec.types import FitRecord, Segments, Windows

__all__ = ["SequenceContrastiveDecoder"]

_WAYS = ("layer", "finetune", "scale")
_FIXED = ("encoder", "preset", "encoder_options", "subject_layers", "target_encoder", "target_options", "target_scale")


class SequenceContrastiveDecoder(SequenceRetrieval, BaseEstimator):
    """Train one encoder for all subjects so that a window's sequence meets that of the segment that was heard.

    Parameters
    ----------
    encoder : str or nn.Module
        "clip_conv", or a module (batch, channel, time) -> (batch, dim, time), of which a copy is trained.
    preset : str
        Size of a named encoder: "tiny", "base" or "paper".
    encoder_options : dict, optional
        Settings that differ from the preset; ``positions`` are taken from the windows, ``{"positions": None}`` does without.
    subject_layers : bool
        Each subject has a layer of its own.
    target_encoder : str, optional
        "deep_mel": the features of the sound are encoded too, trained together.
    target_options : dict, optional
        ``dim`` (768), ``preset`` ("tiny") and settings of the target encoder.
    target_scale : {"global", "unit"}
        Features are standardised by one mean and spread (as published), or one a unit, of training segments.
    loss : str
        "one_way_sequence", "infonce", "multi_positive", "siglip", or "regression" (mean squared error: no contrast).
    loss_options : dict, optional
    queue : int
        Segments of earlier batches that are candidates too; 0 for none.
    epochs, lr, weight_decay, patience, optimizer, schedule, clip_norm
        As in :func:`braindec.train.fit`; ``epochs=0`` gives the untrained encoder.
    batch_size : int
        Windows in a batch, all subjects mixed.
    n_batches : int, optional
        Batches an epoch at most.
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`, fitted for each subject; each value of the column ``scale_by`` (where
        there is one) has its own numbers: as published, each recording.
    validation_share : float
        Share of the contents that early stopping looks at, when ``fit`` gets no validation windows and there is ``patience``.
    ram_limit : float
        MiB that windows, and features, may take in memory; more are read batch by batch.
    seed : int
        Of first weights, shuffling and dropout.
    device : str
        "cpu", "cuda", "cuda:1" or "auto".
    folder : str, optional
        Checkpoints of the training; an interrupted ``fit`` or ``adapt`` goes on from there.

    Attributes
    ----------
    subjects_ : list of str
    encoder_, target_ : nn.Module
    targets_ : SequenceTargets
    readers_ : dict of str to WindowReader
    scale_ : float
        Factor on similarities that makes their softmax fit best on validation windows; 1 for the one-way loss, as published.
    history_ : dict of array
        epoch, lr, train_loss, validation_loss, validation_top10, best_epoch.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self,
        *,
        encoder: str | nn.Module = "clip_conv",
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        subject_layers: bool = True,
        target_encoder: str | None = None,
        target_options: dict[str, Any] | None = None,
        target_scale: str = "global",
        loss: str = "one_way_sequence",
        loss_options: dict[str, Any] | None = None,
        queue: int = 0,
        epochs: int = 50,
        batch_size: int = 128,
        n_batches: int | None = 1200,
        lr: float = 3e-4,
        weight_decay: float = 0.0,
        patience: int | None = 10,
        optimizer: str = "adam",
        schedule: str = "constant",
        clip_norm: float | None = None,
        scaler: Any = "robust",
        scale_by: str | None = "recording",
        validation_share: float = 0.1,
        ram_limit: float = 1024.0,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.encoder, self.preset, self.encoder_options = encoder, preset, encoder_options
        self.subject_layers, self.target_encoder, self.target_options = subject_layers, target_encoder, target_options
        self.target_scale, self.loss, self.loss_options, self.queue = target_scale, loss, loss_options, queue
        self.epochs, self.batch_size, self.n_batches = epochs, batch_size, n_batches
        self.lr, self.weight_decay, self.patience = lr, weight_decay, patience
        self.optimizer, self.schedule, self.clip_norm = optimizer, schedule, clip_norm
        self.scaler, self.scale_by, self.validation_share = scaler, scale_by, validation_share
        self.ram_limit, self.seed, self.device, self.folder = ram_limit, seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        for name, least in (("batch_size", 2), ("epochs", 0), ("queue", 0), ("n_batches", 1)):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least
            if not whole and not (name == "n_batches" and value is None):
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        if not 0 < self.validation_share < 1:
            raise BraindecError(
                "validation_share is a share", found=repr(self.validation_share), allowed="between 0 and 1"
            )
        if self.target_scale not in ("global", "unit"):
            raise BraindecError(f"target_scale={self.target_scale!r} is unknown", allowed="global, unit")
        if self.target_encoder is not None and (self.queue or self.loss == "regression"):
            raise BraindecError(
                "a target that is learned goes with contrast within the batch only", found=f"loss {self.loss!r}, queue={self.queue}",
                fix="queue=0 and a contrastive loss (with a regression both sides would become constant)",
            )  # fmt: skip
        WindowReader(self.scaler, self.scale_by)
        losses.get(self.loss, **(self.loss_options or {}))
        names = ("epochs", "lr", "weight_decay", "patience", "optimizer", "schedule")
        train.check_settings(**{name: getattr(self, name) for name in names})
        if isinstance(self.encoder, str):
            registry.get("encoders", self.encoder).settings(self.preset, **(self.encoder_options or {}))

    def fit(self, windows: Heard, segments: Segments, *, validation: Heard | None = None) -> SequenceContrastiveDecoder:
        """Train on the windows of one or more subjects.

        Parameters
        ----------
        windows : Windows, list of Windows, or dict of subject to Windows
            Training windows with ``stimulus_id``; in a list or dict subjects may have different sensors.
        segments : Segments
            What the sounds were like, as long as the windows, for training and validation stimuli.
        validation : as ``windows``, optional
            For early stopping; by default a part of the training contents.

        Raises
        ------
        BraindecError
            If a stimulus has no segment, lengths differ, sensors differ and have no places, or an option is wrong.
        """
        self.check()
        stops = self.patience is not None and self.epochs > 0
        parts, held = divided(windows, validation, self.validation_share if stops else None)
        check_segments({**parts, **held}, segments)
        first = next(iter(parts.values()))
        same_length(parts, first.n_times)
        self.subjects_ = list(parts)
        self.readers_ = {
            s: self._reader().fit(w) if self._by(w) else WindowReader(self.scaler).fit(w) for s, w in parts.items()
        }
        rows = np.concatenate([segments.rows_of(column(w, "stimulus_id")) for w in parts.values()])
        self.targets_ = SequenceTargets.fit(segments, rows, self.target_scale)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            n_units = segments.shape[1]
            self.target_ = None
            if self.target_encoder is not None:
                self.target_ = build_target(
                    self.target_encoder, n_units, first.n_times, options=self.target_options or {}
                )
            dim = n_units if self.target_ is None else self.target_.dim
            self.encoder_ = build_encoder(self.encoder, parts, dim, preset=self.preset, options=self.encoder_options or {},
                                          subject_layers=self.subject_layers)  # fmt: skip
        self.n_chans_, self.dim_ = max(w.n_channels for w in parts.values()), dim
        self.ch_names_ = first.ch_names if all(w.ch_names == first.ch_names for w in parts.values()) else None
        self.fit_records_ = []
        self._train(parts, segments, held, what="fit")
        ids = np.concatenate([w.ids for w in parts.values()])
        self.fit_records_.append(FitRecord.of("SequenceTargets", ids))
        return self

    def adapt(
        self,
        windows: Windows,
        segments: Segments | None = None,
        *,
        how: str = "layer",
        subject: str | None = None,
        validation: Windows | None = None,
        **changes: Any,
    ) -> SequenceContrastiveDecoder:
        """Return a decoder that knows one more subject; this one stays as it is.

        Parameters
        ----------
        windows : Windows
            The new subject's training windows.
        segments : Segments
            What was heard; not looked at with ``how="scale"``.
        how : {"layer", "finetune", "scale"}
            "layer": the subject's own layer is trained, from the mean of the known ones, and all that is shared stays; "finetune":
            everything is trained; "scale": nothing is, only the channels are scaled: the subject gets the mean layer (zero-shot).
        subject : str, optional
            Name of the new subject; by default what the trials say.
        validation : Windows, optional
            The new subject's windows for early stopping; by default a part of its contents, or none with ``patience=None``.
        **changes
            Settings of the training that differ from this decoder's: epochs, lr, batch_size, patience, seed, ...

        Raises
        ------
        BraindecError
            If the subject is known already, its sensors are others and have no places, or a segment is missing.
        """
        self._check_fitted()
        if how not in _WAYS:
            raise BraindecError(f"there is no way {how!r} to adapt{did_you_mean(how, _WAYS)}", allowed=", ".join(_WAYS))
        name = subject or only_subject(windows)
        if name in self.subjects_:
            raise BraindecError(f"the decoder knows subject {name!r} already", found=", ".join(self.subjects_),
                                fix="fit a decoder on the other subjects and adapt that one")  # fmt: skip
        made = self._changed(changes)
        stops = how != "scale" and made.patience is not None and made.epochs > 0
        held = None if validation is None else {name: validation}
        parts, held = divided({name: windows}, held, made.validation_share if stops else None)
        made.readers_[name] = (
            made._reader().fit(parts[name]) if made._by(parts[name]) else WindowReader(made.scaler).fit(parts[name])
        )
        if how == "scale":
            made._same_sensors(windows)
            made.fit_records_ = [*made.fit_records_, *made.readers_[name].records]
            return made
        if segments is None:
            raise BraindecError(
                "adapt needs the segments that the new subject heard", fix="adapt(windows, segments), or how='scale'"
            )
        check_segments({**parts, **held}, segments)
        if how == "layer" or made.subject_layers:
            made.encoder_ = with_subject(made.encoder_.cpu(), windows, len(made.subjects_), known_names=made.ch_names_)
            made.n_chans_ = made.encoder_.n_chans
            made.ch_names_ = made.ch_names_ if made.ch_names_ == list(windows.ch_names) else None
        else:
            made._same_sensors(windows)
        made.subjects_ = [*made.subjects_, name]
        made._train(parts, segments, held, what=how)
        return made

    def _embedded(self, windows: Heard) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, what the encoder gives (n, dim, time)) of all windows, subject by subject."""
        self._check_fitted()
        device, codes = _device_of(self.encoder_), {s: i for i, s in enumerate(self.subjects_)}
        model = SequenceModel(self.encoder_).eval()
        for name, part, rows in rows_by_subject(windows):
            if name not in self.readers_:
                raise BraindecError(
                    f"the decoder does not know subject {name!r}{did_you_mean(name, list(self.readers_))}", allowed=", ".join(self.readers_),
                    fix="adapt(windows, segments) makes a decoder that does; adapt(windows, how='scale') needs no segments",
                )  # fmt: skip
            with torch.no_grad():
                for some, block in self.readers_[name].blocks(part, max(self.batch_size, 64)):
                    x = padded(torch.from_numpy(block).to(device), self.n_chans_)
                    code = torch.full((len(x),), codes.get(name, -1), device=device)
                    yield rows[some], model(x, subject=code).cpu().numpy()

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        """Standardised segments (n, unit, time) as they are compared, through the target encoder when there is one."""
        if self.target_ is None:
            return values
        out, device = np.empty((len(values), self.dim_, values.shape[2]), np.float32), _device_of(self.target_)
        self.target_.eval()
        with torch.no_grad():
            for start in range(0, len(values), 128):
                out[start : start + 128] = (
                    self.target_(torch.from_numpy(values[start : start + 128]).to(device)).cpu().numpy()
                )
        return out

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        return save_sequences(self, folder)

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> SequenceContrastiveDecoder:
        """Return the decoder that :meth:`save` wrote; give ``encoder`` when it was a module of your own."""
        return load_sequences(cls, folder, encoder=encoder)

    def _train(
        self, parts: Mapping[str, Windows], segments: Segments, held: Mapping[str, Windows], *, what: str
    ) -> None:
        """Train what the way asks for, and note which rows were seen."""
        model = SequenceModel(self.encoder_, self.target_, fixed=what == "layer")
        model.requires_grad_(what != "layer")
        before = None
        if what == "layer":
            self.encoder_.subject_layers.requires_grad_(True)
        if what != "fit" and getattr(self.encoder_, "n_subjects", 0):
            before = self.encoder_.subject_layers.detach().cpu().clone()
        loss = losses.get(self.loss, **(self.loss_options or {}))
        if self.target_ is not None:
            loss = PairLoss(loss)
        batches, checked = self._batches(parts, segments), self._batches(held, segments) if held else None
        queue = losses.MemoryQueue(self.queue, self.dim_ * segments.shape[2]) if self.queue else None
        history = train.fit(
            model, loss, batches, validate=None if checked is None else lambda m, fn: validate_sequences(m, fn, checked, seed=self.seed),
            epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, optimizer=self.optimizer,
            schedule=self.schedule, clip_norm=self.clip_norm, queue=queue, folder=self.folder, device=str(train.resolve_device(self.device)),
            key=self._key(batches, checked, what), seed=self.seed, title=f"training {self._name()}",
        )  # fmt: skip
        model.requires_grad_(True)
        if before is not None:  # weight decay must not move the layers of subjects that were not there
            with torch.no_grad():
                self.encoder_.subject_layers[: len(before) - 1] = before[:-1].to(self.encoder_.subject_layers)
        self.history_ = history.columns()
        self.scale_ = 1.0
        if self.loss != "one_way_sequence":
            self.scale_ = scale_of(model, batches if checked is None else checked, seed=self.seed)
        ids = np.concatenate([w.ids for w in parts.values()])
        records = [r for s in parts for r in self.readers_[s].records]
        self.fit_records_ = [*self.fit_records_, *records, FitRecord.of(f"{self._name()}: {what}", ids)]
        if held:
            seen = np.concatenate([w.ids for w in held.values()])
            self.fit_records_.append(FitRecord.of("early stopping", seen, purpose="selection"))

    def _batches(self, parts: Mapping[str, Windows], segments: Segments) -> SequenceBatches:
        listed = [(self.subjects_.index(s), w, self.readers_[s]) for s, w in parts.items()]
        return SequenceBatches(listed, segments, self.targets_, n_chans=self.n_chans_, batch_size=self.batch_size,
                               n_batches=self.n_batches, sound=self.target_ is not None, ram_limit=self.ram_limit)  # fmt: skip

    def _reader(self) -> WindowReader:
        return WindowReader(self.scaler, self.scale_by)

    def _by(self, windows: Windows) -> bool:
        """Whether the windows say what they are scaled by; "recording" is left out where there is no such column."""
        return self.scale_by is not None and (self.scale_by in windows.trials or self.scale_by != "recording")

    def _same_sensors(self, windows: Windows) -> None:
        if self.ch_names_ is None or list(windows.ch_names) != self.ch_names_:
            raise BraindecError("the new subject has other sensors than those that all known subjects share",
                                fix="how='layer' gives it a layout of its own")  # fmt: skip

    def _changed(self, changes: Mapping[str, Any]) -> SequenceContrastiveDecoder:
        """A copy of this fitted decoder with other settings of the training."""
        allowed = [n for n in self.get_params(deep=False) if n not in _FIXED]
        unknown = [n for n in changes if n not in allowed]
        if unknown:
            raise BraindecError(
                f"adapt cannot change {unknown[0]!r}{did_you_mean(unknown[0], allowed)}", allowed=", ".join(allowed)
            )
        made = clone(self).set_params(**changes)
        made.check()
        for name in ("encoder_", "target_"):
            setattr(made, name, deepcopy(getattr(self, name)))
        for name in ("targets_", "n_chans_", "dim_", "ch_names_", "scale_", "history_"):
            setattr(made, name, getattr(self, name))
        made.readers_, made.subjects_ = dict(self.readers_), list(self.subjects_)
        made.fit_records_ = list(self.fit_records_)
        return made

    def _key(self, batches: SequenceBatches, held: SequenceBatches | None, what: str) -> str:
        left_out = ("folder", "device", "ram_limit", "encoder")
        params = {k: repr(v) for k, v in self.get_params(deep=False).items() if k not in left_out}
        texts = [
            json.dumps(params, sort_keys=True),
            self._name(),
            batches.fingerprint(),
            held.fingerprint() if held else "",
            what,
        ]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()

    def _name(self) -> str:
        return self.encoder if isinstance(self.encoder, str) else type(self.encoder).__name__
