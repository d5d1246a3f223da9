"""NeuralClassifier: which class a window belongs to, by a network trained on scaled windows with early stopping.

The rows that early stopping looks at are taken out of the training rows, whole runs where there are enough of them, so a
cross-validation hands in training rows as for any other classifier. Permutations of labels retrain the network each
time, which is slow: ``n_permutations`` of 0 to 20 is what most machines bear, and the note beside p says what p can be.

Source: Lawhern et al. 2018 (J Neural Eng 15 056013), section 2.3, and Schirrmeister et al. 2017 (Hum Brain Mapp 38:5391),
section "Training", for classifiers of trials trained by cross-entropy with validation rows.
Differs from the references in: AdamW with a fixed number of epochs and the best of them kept; no second phase of training
on validation rows; classes weigh equally by default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from braindec import registry, train
from braindec.decoders._batches import Batches
from braindec.decoders._reading import WindowReader, column
from braindec.decoders._stored import load_decoder, save_decoder
from braindec.decoders._validation import validation_rows
from braindec.decoders.classifier import _labels
from braindec.errors import BraindecError
from braindec.types import FitRecord, Windows

__all__ = ["NeuralClassifier"]


class NeuralClassifier(ClassifierMixin, BaseEstimator):
    """Train an encoder with one output a class by cross-entropy; keep the epoch that is best on validation rows.

    Parameters
    ----------
    encoder : str or nn.Module
        A name in ``encoders``, or a module (batch, channel, time) -> (batch, n_classes), of which a copy is trained.
    preset : str
        Size of a named encoder: "tiny", "base" or "paper".
    encoder_options : dict, optional
        Settings of a named encoder that differ from the preset.
    epochs, batch_size, lr, weight_decay, patience, clip_norm
        As in :func:`braindec.train.fit`. With ``patience=None`` there are no validation rows and all epochs are run.
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    class_weight : {"balanced"} or None
        "balanced": classes weigh equally, however often each occurs; posteriors are those of equal priors.
    validation_share : float
        Share of the training windows that early stopping looks at, by :func:`braindec.decoders._validation.validation_rows`.
    min_validation : int
        With fewer validation windows than this there is no early stopping: all epochs are run, on all training windows.
    ram_limit : float
        MiB that the training windows may take in memory; more are read batch by batch.
    seed : int
        Of first weights, validation runs, shuffling and dropout.
    device : str
        "cpu", "cuda", "cuda:1" or "auto".
    folder : str, optional
        Checkpoints of the training; an interrupted ``fit`` with the same arguments and data goes on from there.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    encoder_ : nn.Module
    history_ : dict of array
        epoch, lr, train_loss, validation_loss, validation_balanced_accuracy, best_epoch.
    fit_records_ : list of FitRecord

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import Windows
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["face", "house"], 60)
    >>> X = rng.normal(size=(120, 3, 64)).astype("float32")
    >>> X[y == "face", 1, 20:40] += 2
    >>> windows = Windows.from_arrays(X, {"run": np.repeat(list("1234"), 30)}, sfreq=100.0)
    >>> decoder = NeuralClassifier("eegnet", epochs=30, lr=1e-2).fit(windows[:90], y[:90])
    >>> decoder.score(windows[90:], y[90:]) > 0.9
    True
    """

    def __init__(
        self,
        encoder: str | nn.Module = "eegnet",
        *,
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        epochs: int = 100,
        batch_size: int = 32,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        patience: int | None = 20,
        clip_norm: float | None = None,
        scaler: Any = "robust",
        scale_by: str | None = None,
        class_weight: str | None = "balanced",
        validation_share: float = 0.15,
        min_validation: int = 20,
        ram_limit: float = 1024.0,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.encoder, self.preset, self.encoder_options = encoder, preset, encoder_options
        self.epochs, self.batch_size, self.lr, self.weight_decay = epochs, batch_size, lr, weight_decay
        self.patience, self.clip_norm = patience, clip_norm
        self.scaler, self.scale_by, self.class_weight = scaler, scale_by, class_weight
        self.validation_share, self.min_validation, self.ram_limit = validation_share, min_validation, ram_limit
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        for name, least in (("batch_size", 2), ("epochs", 0), ("min_validation", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        for name in ("lr", "weight_decay", "validation_share"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise BraindecError(f"{name} must be a number", found=repr(value))
        if not 0 < self.validation_share <= 0.5:
            raise BraindecError(
                "validation_share is a share of the training windows", found=repr(self.validation_share),
                allowed="above 0, at most 0.5",
            )  # fmt: skip
        if self.class_weight not in ("balanced", None):
            raise BraindecError(f"unknown class_weight {self.class_weight!r}", allowed="balanced, or null")
        names = ("epochs", "lr", "weight_decay", "patience")
        train.check_settings(**{n: getattr(self, n) for n in names}, optimizer="adamw", schedule="constant")
        WindowReader(self.scaler, self.scale_by)
        if isinstance(self.encoder, str):
            registry.get("encoders", self.encoder).settings(self.preset, **(self.encoder_options or {}))
        elif not isinstance(self.encoder, nn.Module):
            raise BraindecError("encoder must be a name or a torch module", found=repr(self.encoder))

    def fit(self, windows: Windows, y: np.ndarray) -> NeuralClassifier:
        """Train on windows and their classes (one for each window).

        Raises
        ------
        BraindecError
            If there are fewer than two classes, labels are missing, values are not finite, windows are too short for the
            encoder, no validation rows can be taken, a device is not there, or an option is wrong.
        """
        self.check()
        if not isinstance(windows, Windows):
            raise BraindecError(
                f"a NeuralClassifier reads Windows, not {type(windows).__name__}",
                fix="Windows.from_arrays(X, {'trial_type': y}, sfreq=...) makes them of an array (window, channel, time)",
            )
        y = _labels(y, len(windows))
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise BraindecError(
                "a classifier needs at least two classes to train on",
                found=f"all {len(y)} windows are {self.classes_[0]!r}" if len(y) else "no windows",
            )
        device = train.resolve_device(self.device)
        rows, held_rows = np.arange(len(y)), np.arange(0)
        if self.patience is not None and self.epochs:
            rows, held_rows = validation_rows(
                windows, codes, self.validation_share, fewest=self.min_validation, seed=self.seed
            )
        part, codes_part = windows[rows], codes[rows]
        self.reader_ = WindowReader(self.scaler, self.scale_by).fit(part)
        self.encoder_ = self._build(part)
        batches = self._batches(part, codes_part)
        held = self._batches(windows[held_rows], codes[held_rows]) if len(held_rows) else None
        history = train.fit(
            self.encoder_, _CrossEntropy(self._weights(codes_part)), batches,
            validate=None if held is None else lambda m, loss: self._validate(m, loss, held),
            epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, clip_norm=self.clip_norm,
            folder=self.folder, device=str(device), key=self._key(batches, held), seed=self.seed, title=f"training {self._name()}",
        )  # fmt: skip
        self.history_ = history.columns()
        self.fitted_on_ = FitRecord.of(f"NeuralClassifier({self._name()})", part.ids)
        self.fit_records_ = [*self.reader_.records, self.fitted_on_]
        if held is not None:
            self.fit_records_.append(FitRecord.of("early stopping", windows.ids[held_rows], purpose="selection"))
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return the log posterior of each class, shape (n_windows, n_classes); windows are read in blocks."""
        check_is_fitted(self, "fit_records_")
        out = np.empty((len(windows), len(self.classes_)))
        device, subjects = _device_of(self.encoder_), self._subject_codes(windows)
        self.encoder_.eval()
        with torch.no_grad():
            for rows, block in self.reader_.blocks(windows, max(self.batch_size, 64)):
                context = {} if subjects is None else {"subject": torch.from_numpy(subjects[rows]).to(device)}
                scores = self.encoder_(torch.from_numpy(block).to(device), **context)
                out[rows] = scores.double().log_softmax(1).cpu().numpy()
        if not np.isfinite(out).all():
            bad = ~np.isfinite(out).all(axis=1)
            raise BraindecError(
                f"the network's scores of {bad.sum()} of {len(out)} windows are not finite",
                found=f"first: {windows.ids[bad][0]}",
                fix="look at the size of their values; use a scaler",
            )
        return out

    def decision_function(self, windows: Windows) -> np.ndarray:
        """Return scores as scikit-learn expects them: (n_windows,) for two classes, else (n_windows, n_classes)."""
        scores = self.decision(windows)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of each window, shape (n_windows,)."""
        return self.classes_[self.decision(windows).argmax(axis=1)]

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Return posteriors, shape (n_windows, n_classes); networks that fit well are too sure of them."""
        return np.exp(self.decision(windows))

    def score(self, windows: Windows, y: np.ndarray) -> float:
        """Return balanced accuracy: the mean over classes of the share of windows that were right."""
        y, right = _labels(y, len(windows)), self.predict(windows) == y
        return float(np.mean([right[y == c].mean() for c in np.unique(y)]))

    def save(self, folder: str | Path) -> Path:
        """Write the fitted classifier as safetensors and JSON."""
        check_is_fitted(self, "fit_records_")
        more = {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str, "subjects": self.subjects_}
        return save_decoder(self, folder, arrays={f"history.{k}": v for k, v in self.history_.items()}, more=more)

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> NeuralClassifier:
        """Return the classifier that :meth:`save` wrote; give ``encoder`` when it was a module of your own."""
        decoder, arrays, more = load_decoder(cls, folder, encoder=encoder)
        decoder.history_ = {name.removeprefix("history."): values for name, values in arrays.items()}
        decoder.classes_, decoder.subjects_ = np.array(more["classes"], dtype=more["dtype"]), more["subjects"]
        decoder.fitted_on_ = next(r for r in decoder.fit_records_ if r.step.startswith("NeuralClassifier("))
        return decoder

    def _build(self, windows: Windows) -> nn.Module:
        """Return the untrained encoder with an output for each class; first weights come from the seed."""
        dim, named = len(self.classes_), isinstance(self.encoder, str)
        kind = registry.get("encoders", self.encoder) if named else self.encoder
        uses = getattr(kind, "uses_subject", False)
        self.subjects_ = sorted(set(column(windows, "subject"))) if uses and "subject" in windows.trials else []
        if not named:
            made = deepcopy(kind)
            _check_output(made, windows, dim)
            return made
        options = {"n_subjects": len(self.subjects_)} if uses else {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return kind.from_preset(self.preset, n_chans=windows.n_channels, n_times=windows.n_times, dim=dim,
                                    **{**options, **(self.encoder_options or {})})  # fmt: skip

    def _batches(self, windows: Windows, codes: np.ndarray) -> Batches:
        targets = np.eye(len(self.classes_), dtype=np.float32)
        return Batches(windows, self.reader_, targets, codes, subjects=self._subject_codes(windows),
                       batch_size=self.batch_size, ram_limit=self.ram_limit)  # fmt: skip

    def _weights(self, codes: np.ndarray) -> torch.Tensor:
        """Weight of each class; the mean over rows is 1."""
        counts = np.bincount(codes, minlength=len(self.classes_))
        weights = len(codes) / (len(counts) * counts) if self.class_weight == "balanced" else np.ones(len(counts))
        return torch.from_numpy(weights.astype(np.float32))

    def _validate(self, model: nn.Module, loss: nn.Module, held: Batches) -> Mapping[str, float]:
        """Loss and balanced accuracy over all validation windows."""
        device = _device_of(model)
        z, y = [], []
        for batch in held.fixed(self.seed):
            context = {k: v.to(device) for k, v in batch.items() if k not in ("x", "y", "ids")}
            z.append(model(batch["x"].to(device), **context))
            y.append(batch["y"].to(device))
        scores, wanted = torch.cat(z), torch.cat(y)
        right = (scores.argmax(1) == wanted.argmax(1)).float() @ wanted  # hits of each class
        counts = wanted.sum(0)
        share = (right[counts > 0] / counts[counts > 0]).mean().item()
        return {"loss": loss(scores, wanted).item(), "balanced_accuracy": share}

    def _key(self, batches: Batches, held: Batches | None) -> str:
        """Names data and options in one hash, so that a checkpoint is continued by the same fit only."""
        skipped = ("folder", "device", "ram_limit", "encoder")
        params = {k: repr(v) for k, v in self.get_params(deep=False).items() if k not in skipped}
        parts = [
            json.dumps(params, sort_keys=True),
            self._name(),
            batches.fingerprint(),
            held.fingerprint() if held else "",
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _subject_codes(self, windows: Windows) -> np.ndarray | None:
        """Number of each window's subject, -1 for one that was not trained; None for encoders that do not ask."""
        if not getattr(self.encoder_, "uses_subject", False):
            return None
        number = {name: i for i, name in enumerate(self.subjects_)}
        names = windows.trials["subject"] if "subject" in windows.trials else [None] * len(windows)
        return np.array([number.get(str(s), -1) for s in names], dtype=np.int64)

    def _name(self) -> str:
        return self.encoder if isinstance(self.encoder, str) else type(self.encoder).__name__


class _CrossEntropy(nn.Module):
    """Cross-entropy with a weight for each class, mean over rows; ``y`` (batch, n_classes) holds a 1 at the class."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None) -> torch.Tensor:
        return F.cross_entropy(z, y, weight=self.weights)


def _device_of(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _check_output(module: nn.Module, windows: Windows, n_classes: int) -> None:
    """Raise unless the module maps (2, channel, time) to (2, n_classes)."""
    training = module.training
    with torch.no_grad():
        made = module.eval()(torch.zeros(2, windows.n_channels, windows.n_times))
    module.train(training)
    if tuple(made.shape) != (2, n_classes):
        raise BraindecError(
            f"the encoder {type(module).__name__} does not have an output for each class",
            found=f"{tuple(made.shape)} for an input (2, {windows.n_channels}, {windows.n_times})",
            allowed=f"(batch, {n_classes})",
        )
