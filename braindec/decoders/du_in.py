"""DuInClassifier: words (or other classes) from depth electrodes, after training on windows without labels.

Three stages: an autoencoder whose tokens are codes, guesses of the codes of hidden tokens, classification. The first two look at
no label and take windows from anywhere but the test rows.

Source: Zheng et al. 2024 (NeurIPS), "Du-IN: Discrete units-guided mask modeling for decoding speech from intracranial neural
signals".
Differs from the reference in: values are scaled by training windows only; channels, if they are chosen, are chosen on training windows;
early stopping looks at whole runs of the training windows and takes the first of the epochs that are alike (the published code
takes the one that is best on the test trials); shifts in time bring in zeros; learning rates follow half a cosine without a
rise; the second stage goes on from the first one's encoder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from braindec import train
from braindec.decoders._batches import Batches
from braindec.decoders._channel_selection import ChannelSelection, channels_for, pick
from braindec.decoders._du_in_training import ShiftedCrossEntropy, Unlabelled, train_autoencoder, train_masked
from braindec.decoders._reading import WindowReader, column
from braindec.decoders._stored import load_decoder, save_decoder
from braindec.decoders._validation import validation_rows
from braindec.decoders.classifier import _labels
from braindec.encoders._du_in_stages import Autoencoder
from braindec.encoders.du_in import DuIN
from braindec.errors import BraindecError, did_you_mean
from braindec.types import FitRecord, Windows
from braindec.weights import save_tensors

STAGES = ("vqvae", "mae", "cls")

__all__ = ["DuInClassifier"]


class DuInClassifier(ClassifierMixin, BaseEstimator):
    """Train :class:`~braindec.encoders.du_in.DuIN` in stages and classify windows.

    Parameters
    ----------
    preset : str
        Size of the encoder: "tiny", "base" or "paper".
    encoder_options : dict, optional
        Settings of the encoder that differ from the preset.
    patch : float or None
        s of a token; None for the samples of the preset.
    stages : sequence of {"vqvae", "mae", "cls"}
        ["cls"] trains from scratch; "mae" needs "vqvae", which makes the codes.
    unlabelled : Windows or list of Windows, optional
        Windows for the first two stages, with the channels of the training windows and of any length; the training
        windows (without their labels, and without those of early stopping) are always added. Keep stretches that overlap test rows out.
    epochs_vqvae, epochs_mae, epochs : int
        Of the three stages.
    mask : float
        Share of tokens that is hidden; the others are hidden in a second pass.
    lr_pretrain, weight_decay_pretrain : float
        Of the first two stages. Defaults are for "tiny"; at paper size 3e-4, and ``lr=2e-4`` for the last.
    lr, weight_decay, batch_size, patience, class_weight, validation_share, min_validation, ram_limit
        Of the last stage, as in :class:`~braindec.decoders.neural_classifier.NeuralClassifier`.
    shift : float
        Training windows are shifted in time by up to this share of their length; 0 for not at all.
    scaler : str or transform
        Fitted on training windows; "standard" is the z-score of each channel.
    n_channels : int, optional
        Choose so many channels on the training windows.
    channels : ChannelSelection or list of str, optional
        Channels that were chosen elsewhere; windows that chose them and are not training windows are refused.
    seed, device, folder
        As in NeuralClassifier; every stage can be continued from ``folder``.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    encoder_ : DuIN
    autoencoder_ : Autoencoder or None
        Of the first stage, with the quantiser.
    selection_ : ChannelSelection or None
    history_ : dict of dict of array
        Of each stage that was trained: "vqvae" with validation_error, validation_perplexity and validation_usage, "mae" with
        validation_accuracy and validation_chance of hidden codes, "cls" with validation_loss and validation_balanced_accuracy.
    fit_records_ : list of FitRecord

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import Windows
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["yes", "no"], 48)
    >>> X = rng.normal(size=(96, 3, 80)).astype("float32")
    >>> X[y == "yes", 1, 20:60] += 1.5
    >>> windows = Windows.from_arrays(X, {"run": np.repeat(list("1234"), 24)}, sfreq=200.0)
    >>> decoder = DuInClassifier(stages=["cls"], epochs=12).fit(windows[:72], y[:72])
    >>> decoder.score(windows[72:], y[72:]) > 0.9
    True
    """

    def __init__(
        self,
        *,
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        patch: float | None = 0.1,
        stages: Sequence[str] = STAGES,
        unlabelled: Windows | Sequence[Windows] | None = None,
        epochs_vqvae: int = 20,
        epochs_mae: int = 20,
        epochs: int = 60,
        mask: float = 0.5,
        lr_pretrain: float = 4e-3,
        weight_decay_pretrain: float = 0.01,
        lr: float = 4e-3,
        weight_decay: float = 0.05,
        batch_size: int = 32,
        patience: int | None = 20,
        class_weight: str | None = "balanced",
        validation_share: float = 0.15,
        min_validation: int = 20,
        ram_limit: float = 1024.0,
        shift: float = 0.1,
        scaler: Any = "standard",
        n_channels: int | None = None,
        channels: ChannelSelection | list[str] | None = None,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.preset, self.encoder_options, self.patch, self.stages = preset, encoder_options, patch, stages
        self.unlabelled, self.epochs_vqvae, self.epochs_mae, self.epochs = unlabelled, epochs_vqvae, epochs_mae, epochs
        self.mask, self.lr_pretrain, self.weight_decay_pretrain = mask, lr_pretrain, weight_decay_pretrain
        self.lr, self.weight_decay, self.batch_size, self.patience = lr, weight_decay, batch_size, patience
        self.class_weight, self.validation_share, self.min_validation = class_weight, validation_share, min_validation
        self.ram_limit, self.shift, self.scaler = ram_limit, shift, scaler
        self.n_channels, self.channels = n_channels, channels
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        unknown = [s for s in self.stages if s not in STAGES]
        if (
            unknown
            or isinstance(self.stages, str)
            or "cls" not in self.stages
            or ("mae" in self.stages and "vqvae" not in self.stages)
        ):
            close = did_you_mean(str(unknown[0]), STAGES) if unknown else ""
            raise BraindecError(
                f"the stages cannot be {self.stages!r}{close}", allowed="[cls], [vqvae, cls] or [vqvae, mae, cls]",
                fix="hidden codes (mae) are those of an autoencoder (vqvae); words are learned in cls",
            )  # fmt: skip
        for name, least in (
            ("batch_size", 2),
            ("epochs", 0),
            ("epochs_vqvae", 0),
            ("epochs_mae", 0),
            ("min_validation", 1),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        for name, low, high in (("mask", 0.0, 1.0), ("shift", -1e-9, 0.5), ("validation_share", 0.0, 0.5)):
            if not low < getattr(self, name) < high + (name != "mask") * 1e-9:
                raise BraindecError(
                    f"{name} is a share", found=repr(getattr(self, name)), allowed=f"{max(low, 0):g} to {high:g}"
                )
        if self.class_weight not in ("balanced", None):
            raise BraindecError(f"unknown class_weight {self.class_weight!r}", allowed="balanced, or null")
        train.check_settings(epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, optimizer="adamw",
                             schedule="cosine")  # fmt: skip
        WindowReader(self.scaler)
        DuIN.settings(self.preset, **(self.encoder_options or {}))

    def pretrain(self, unlabelled: Windows | Sequence[Windows]) -> DuInClassifier:
        """Run the stages before classification on windows without labels; later calls of ``fit`` begin from there.

        Channels that are to be chosen on training windows are not known here: give ``channels``, or let ``fit`` do it all.
        """
        self.check()
        if self.n_channels is not None:
            raise BraindecError(
                "channels are chosen by labels, so they are not known before fit", found=f"n_channels={self.n_channels}",
                fix="give unlabelled windows to fit or to the decoder, or channels=select_channels(training windows, labels)",
            )  # fmt: skip
        selection = channels_for(_parts(unlabelled)[0], np.empty(0), self.channels, None, self.seed)
        self._pretrain([p if selection is None else pick(p, selection.names) for p in _parts(unlabelled)])
        self.pretrained_ = True
        return self

    def fit(
        self, windows: Windows, y: np.ndarray, *, unlabelled: Windows | Sequence[Windows] | None = None
    ) -> DuInClassifier:
        """Train all stages on windows and their classes; ``unlabelled`` is used beside that of the constructor.

        Raises
        ------
        BraindecError
            If there are fewer than two classes, labels are missing, windows are shorter than a patch, unlabelled windows have other channels,
            or an option is wrong.
        """
        self.check()
        if not isinstance(windows, Windows):
            raise BraindecError(f"a DuInClassifier reads Windows, not {type(windows).__name__}",
                                fix="Windows.from_arrays(X, {'trial_type': y}, sfreq=...) makes them of an array (window, channel, time)")  # fmt: skip
        y = _labels(y, len(windows))
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise BraindecError(
                "a classifier needs at least two classes to train on", found=f"{len(self.classes_)} in {len(y)} windows"
            )
        self.selection_ = channels_for(windows, y, self.channels, self.n_channels, self.seed)
        own = windows if self.selection_ is None else self.selection_(windows)
        rows, held_rows = np.arange(len(y)), np.arange(0)
        if self.patience is not None and self.epochs:
            rows, held_rows = validation_rows(
                own, codes, self.validation_share, fewest=self.min_validation, seed=self.seed
            )
        part = own[rows]
        if "vqvae" in self.stages and not getattr(self, "pretrained_", False):
            extra = [*_parts(self.unlabelled), *_parts(unlabelled)]
            self._pretrain([*(p if self.selection_ is None else self.selection_(p) for p in extra), part])
        elif "vqvae" not in self.stages:
            self.body_, self.autoencoder_, self.before_, self.history_ = None, None, [], {}
        self._classify(own, codes, rows, held_rows)
        chosen = [] if self.selection_ is None else [self.selection_.fitted_on_]
        self.trained_ = set(map(str, windows.ids))
        self.fitted_on_ = FitRecord.of("DuInClassifier", part.ids)
        self.fit_records_ = [*chosen, *self.before_, *self.reader_.records, self.fitted_on_]
        if len(held_rows):
            self.fit_records_.append(FitRecord.of("early stopping", own.ids[held_rows], purpose="selection"))
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return the log posterior of each class, shape (n_windows, n_classes); windows are read in blocks."""
        check_is_fitted(self, "fit_records_")
        own = windows
        if self.selection_ is not None:
            self.selection_.refuse_seen(windows.ids, but=list(self.trained_))
            own = self.selection_(windows)
        out = np.empty((len(own), len(self.classes_)))
        subjects, device = self._subject_codes(own), next(self.encoder_.parameters()).device
        self.encoder_.eval()
        with torch.no_grad():
            for rows, block in self.reader_.blocks(own, max(self.batch_size, 64)):
                context = {} if subjects is None else {"subject": torch.from_numpy(subjects[rows]).to(device)}
                scores = self.encoder_(torch.from_numpy(block).to(device), **context)
                out[rows] = scores.double().log_softmax(1).cpu().numpy()
        if not np.isfinite(out).all():
            raise BraindecError("scores are not finite", fix="look at the size of the values; use a scaler")
        return out

    def decision_function(self, windows: Windows) -> np.ndarray:
        """Return scores as scikit-learn expects them: (n_windows,) for two classes, else (n_windows, n_classes)."""
        scores = self.decision(windows)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of each window, shape (n_windows,)."""
        best = self.decision(windows).argmax(axis=1)  # first: says so where nothing is fitted
        return self.classes_[best]

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Return posteriors, shape (n_windows, n_classes)."""
        return np.exp(self.decision(windows))

    def score(self, windows: Windows, y: np.ndarray) -> float:
        """Return balanced accuracy: the mean over classes of the share of windows that were right."""
        y, right = _labels(y, len(windows)), self.predict(windows) == y
        return float(np.mean([right[y == c].mean() for c in np.unique(y)]))

    def code_counts(self, windows: Windows) -> np.ndarray:
        """How many tokens of windows have each code of the first stage, shape (n_codes,); zeros without that stage."""
        check_is_fitted(self, "fit_records_")
        if self.autoencoder_ is None:
            return np.zeros(
                DuIN.settings(self.preset, **(self.encoder_options or {})).get("n_codes", 0), dtype=np.int64
            )
        own = windows if self.selection_ is None else self.selection_(windows)
        subjects, counts = self._subject_codes(own), np.zeros(self.autoencoder_.quantizer.n_codes, dtype=np.int64)
        device = next(self.autoencoder_.parameters()).device
        self.autoencoder_.eval()
        for rows, block in self.reader_.blocks(own, 256):
            subject = None if subjects is None else torch.from_numpy(subjects[rows]).to(device)
            index = self.autoencoder_.code_index(torch.from_numpy(block).to(device), subject).cpu().numpy()
            counts += np.bincount(index.ravel(), minlength=len(counts))
        return counts

    def save(self, folder: str | Path) -> Path:
        """Write the fitted classifier as safetensors and JSON, the autoencoder beside it."""
        check_is_fitted(self, "fit_records_")
        chosen = self.selection_
        more = {
            "classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str, "subjects": self.subjects_, "trained": sorted(self.trained_),
            "selection": None if chosen is None else {
                "names": chosen.names, "scores": [float(v) for v in chosen.scores], "every": list(chosen.scores.index), "method": chosen.method,
                "step": chosen.fitted_on_.step, "ids": [str(i) for i in chosen.fitted_on_.ids]},
        }  # fmt: skip
        arrays = {f"history.{stage}.{k}": v for stage, table in self.history_.items() for k, v in table.items()}
        folder = save_decoder(self, folder, arrays=arrays, more=more)
        if self.autoencoder_ is not None:
            save_tensors(self.autoencoder_.state_dict(), folder / "autoencoder.safetensors")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> DuInClassifier:
        """Return the classifier that :meth:`save` wrote."""
        decoder, arrays, more = load_decoder(cls, folder)
        decoder.classes_, decoder.subjects_ = np.array(more["classes"], dtype=more["dtype"]), more["subjects"]
        decoder.trained_, chosen = set(more["trained"]), more["selection"]
        decoder.selection_ = None
        if chosen is not None:
            record = FitRecord.of(chosen["step"], chosen["ids"], purpose="selection")
            scores = pd.Series(chosen["scores"], index=chosen["every"], dtype=float)
            decoder.selection_ = ChannelSelection(chosen["names"], scores, record, chosen["method"])
        decoder.history_ = {}
        for name, values in arrays.items():
            _, stage, key = name.split(".", 2)
            decoder.history_.setdefault(stage, {})[key] = values
        decoder.fitted_on_ = next(r for r in decoder.fit_records_ if r.step == "DuInClassifier")
        path, decoder.autoencoder_ = Path(folder) / "autoencoder.safetensors", None
        if path.is_file():
            decoder.autoencoder_ = Autoencoder(deepcopy(decoder.encoder_))
            weights = load_file(path)
            own = {k: v for k, v in decoder.autoencoder_.state_dict().items() if k.startswith("encoder.head.")}
            decoder.autoencoder_.load_state_dict({**weights, **own})
            decoder.autoencoder_.eval()
        return decoder

    def _pretrain(self, parts: list[Windows]) -> None:
        """Train autoencoder and, when asked for, guesses of hidden codes; keep the encoder's weights."""
        _same_channels(parts)
        self.subjects_ = _subjects(parts)
        data = Unlabelled(parts, self.scaler, self.subjects_, self.batch_size)
        how = {"weight_decay": self.weight_decay_pretrain, "lr": self.lr_pretrain, "seed": self.seed, "device": self.device,
               "folder": self.folder, "key": self._params_key()}  # fmt: skip
        encoder = self._build(parts[0], dim=1)
        self.autoencoder_, history = train_autoencoder(encoder, data, epochs=self.epochs_vqvae, **how)
        self.history_ = {"vqvae": history.columns()}
        self.before_ = [
            *(r for reader in data.readers for r in reader.records),
            FitRecord.of("DuInClassifier, before classification", data.ids),
        ]
        if "mae" in self.stages:
            second = deepcopy(encoder)
            _, history = train_masked(self.autoencoder_, second, data, share=self.mask, epochs=self.epochs_mae, **how)
            self.history_["mae"], encoder = history.columns(), second
        self.body_ = {k: v.detach().cpu().clone() for k, v in encoder.body().items()}

    def _classify(self, own: Windows, codes: np.ndarray, rows: np.ndarray, held_rows: np.ndarray) -> None:
        part, codes_part = own[rows], codes[rows]
        names = _subjects([part])
        if self.body_ is not None and names != self.subjects_:
            raise BraindecError(
                "windows to train on and unlabelled windows are of other subjects", found=f"{names} and {self.subjects_}",
                fix="give both the same subjects in the column subject",
            )  # fmt: skip
        self.subjects_ = names
        self.reader_ = WindowReader(self.scaler, "subject" if names else None).fit(part)
        self.encoder_ = self._build(part, dim=len(self.classes_))
        if self.body_ is not None:
            self.encoder_.load_body(self.body_)
        batches = self._batches(part, codes_part)
        held = self._batches(own[held_rows], codes[held_rows]) if len(held_rows) else None
        counts = np.bincount(codes_part, minlength=len(self.classes_))
        weights = len(codes_part) / (len(counts) * counts) if self.class_weight == "balanced" else np.ones(len(counts))
        loss = ShiftedCrossEntropy(torch.from_numpy(weights.astype(np.float32)), self.shift)
        history = train.fit(
            self.encoder_, loss, batches, validate=None if held is None else lambda m, f: self._validate(m, f, held),
            epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, schedule="cosine", clip_norm=3.0,
            folder=self.folder, device=self.device, seed=self.seed, title="training du_in",
            key=f"cls {self._params_key()} {batches.fingerprint()} {held.fingerprint() if held else ''}",
        )  # fmt: skip
        self.history_ = {**self.history_, "cls": history.columns()}

    def _build(self, windows: Windows, *, dim: int) -> DuIN:
        options = dict(self.encoder_options or {})
        if self.patch is not None and "patch" not in options:
            options |= {"patch_seconds": float(self.patch), "sfreq": float(windows.sfreq)}
        n_chans: Any = dict.fromkeys(self.subjects_, windows.n_channels) if self.subjects_ else windows.n_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return DuIN.from_preset(self.preset, n_chans=n_chans, n_times=windows.n_times, dim=dim, **options)  # type: ignore[return-value]

    def _batches(self, windows: Windows, codes: np.ndarray) -> Batches:
        targets = np.eye(len(self.classes_), dtype=np.float32)
        return Batches(windows, self.reader_, targets, codes, subjects=self._subject_codes(windows), batch_size=self.batch_size,
                       ram_limit=self.ram_limit)  # fmt: skip

    def _validate(self, model: nn.Module, loss: nn.Module, held: Batches) -> Mapping[str, float]:
        """Loss and balanced accuracy over all validation windows."""
        device, z, y = next(model.parameters()).device, [], []
        for batch in held.fixed(self.seed):
            context = {k: v.to(device) for k, v in batch.items() if k == "subject"}
            z.append(model(batch["x"].to(device), **context))
            y.append(batch["y"].to(device))
        scores, wanted = torch.cat(z), torch.cat(y)
        right, counts = (scores.argmax(1) == wanted.argmax(1)).float() @ wanted, wanted.sum(0)
        return {
            "loss": loss(scores, wanted).item(),
            "balanced_accuracy": (right[counts > 0] / counts[counts > 0]).mean().item(),
        }

    def _subject_codes(self, windows: Windows) -> np.ndarray | None:
        """Number of each window's subject; None for one subject."""
        if not self.subjects_:
            return None
        number = {name: i for i, name in enumerate(self.subjects_)}
        return np.array([number.get(s, -1) for s in column(windows, "subject")], dtype=np.int64)

    def _params_key(self) -> str:
        skipped = ("folder", "device", "ram_limit", "unlabelled", "channels")
        params = {k: repr(v) for k, v in self.get_params(deep=False).items() if k not in skipped}
        return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


def _parts(unlabelled: Windows | Sequence[Windows] | None) -> list[Windows]:
    if unlabelled is None:
        return []
    parts = [unlabelled] if isinstance(unlabelled, Windows) else list(unlabelled)
    wrong = [type(p).__name__ for p in parts if not isinstance(p, Windows)]
    if wrong or not parts:
        raise BraindecError("unlabelled data are Windows, or a list of them", found=", ".join(wrong) or "an empty list")
    return parts


def _subjects(parts: Sequence[Windows]) -> list[str]:
    """Names of the subjects where there are several; empty for one."""
    there = [p for p in parts if "subject" in p.trials and p.trials["subject"].notna().all()]
    names = sorted({str(s) for p in there for s in p.trials["subject"]})
    return names if len(names) > 1 else []


def _same_channels(parts: Sequence[Windows]) -> None:
    last = parts[-1]
    for part in parts[:-1]:
        if part.ch_names != last.ch_names or abs(part.sfreq - last.sfreq) > 1e-6 * last.sfreq:
            raise BraindecError(
                "unlabelled windows do not fit the training windows",
                found=f"{part.n_channels} channels at {part.sfreq:g} Hz and {last.n_channels} at {last.sfreq:g} Hz; only there: "
                f"{[c for c in part.ch_names if c not in last.ch_names][:6]}",
                fix="prepare both with the same steps, and keep the channels that they share",
            )
