"""ContrastiveDecoder: an encoder trained so that a window meets the embedding of the stimulus that was shown.

Source: Défossez et al. 2023 (Nat Mach Intell) and Song et al. 2024 (ICLR, NICE) for contrastive decoding.
Differs from the references in: scaling, standardisation and early stopping see training and validation rows only, and say
which; validation stimuli (concepts, where they are named) are none of the training's.
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
from torch import nn

from braindec import losses, registry, train
from braindec.decoders._batches import Batches, content_part
from braindec.decoders._embedding import EmbeddingDecoder, Targets, unit
from braindec.decoders._reading import WindowReader, column, spread_groups
from braindec.decoders._stored import load_decoder, save_decoder
from braindec.errors import BraindecError
from braindec.types import Features, FitRecord, Windows

__all__ = ["ContrastiveDecoder"]

_FEWEST = 5  # contents that a validation part can be taken from
_AT_ONCE = 4096  # validation windows that are contrasted with one another


class ContrastiveDecoder(EmbeddingDecoder):
    """Train an encoder by contrast with standardised stimulus embeddings; keep the epoch that is best on validation rows.

    Parameters
    ----------
    encoder : str or nn.Module
        A name in ``encoders``, or a module (batch, channel, time) -> (batch, dim), of which a copy is trained.
    preset : str
        Size of a named encoder: "tiny", "base" or "paper".
    encoder_options : dict, optional
        Settings of a named encoder that differ from the preset.
    loss : str
        "infonce", "one_way_sequence", "multi_positive" or "siglip".
    loss_options : dict, optional
        Options of the loss.
    queue : int
        Stimuli of earlier batches that are candidates too; 0 for none.
    epochs, batch_size, lr, weight_decay, patience, optimizer, schedule, clip_norm
        As in :func:`braindec.train.fit`; ``epochs=0`` gives the untrained encoder.
    average_repetitions : int
        So many training windows of one stimulus and subject are averaged into one example, dealt anew each epoch.
    scaler, scale_by
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    validation_share : float
        Share of the concepts (or stimuli) of the training windows that early stopping looks at, when ``fit`` gets no
        validation windows.
    ram_limit : float
        MiB that the training windows may take in memory; more are read batch by batch.
    seed : int
        Of first weights, shuffling and dropout.
    device : str
        "cpu", "cuda", "cuda:1" or "auto".
    folder : str, optional
        Checkpoints of the training; an interrupted ``fit`` with the same arguments goes on from there.

    Attributes
    ----------
    encoder_ : nn.Module
    loss_ : nn.Module
        With the learned temperature.
    subjects_ : list of str
        Subjects in the order of their tokens, for encoders that use the subject.
    history_ : dict of array
        epoch, lr, train_loss, validation_loss, validation_top1, best_epoch.
    fit_records_ : list of FitRecord
    """

    def __init__(
        self,
        *,
        encoder: str | nn.Module = "nice",
        preset: str = "tiny",
        encoder_options: dict[str, Any] | None = None,
        loss: str = "infonce",
        loss_options: dict[str, Any] | None = None,
        queue: int = 0,
        epochs: int = 50,
        batch_size: int = 64,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        patience: int | None = 10,
        optimizer: str = "adamw",
        schedule: str = "constant",
        clip_norm: float | None = None,
        average_repetitions: int = 1,
        scaler: Any = "robust",
        scale_by: str | None = None,
        validation_share: float = 0.1,
        ram_limit: float = 1024.0,
        seed: int = 0,
        device: str = "cpu",
        folder: str | None = None,
    ) -> None:
        self.encoder, self.preset, self.encoder_options = encoder, preset, encoder_options
        self.loss, self.loss_options, self.queue = loss, loss_options, queue
        self.epochs, self.batch_size, self.lr, self.weight_decay, self.patience = (
            epochs,
            batch_size,
            lr,
            weight_decay,
            patience,
        )
        self.optimizer, self.schedule, self.clip_norm = optimizer, schedule, clip_norm
        self.average_repetitions, self.scaler, self.scale_by = average_repetitions, scaler, scale_by
        self.validation_share, self.ram_limit = validation_share, ram_limit
        self.seed, self.device, self.folder = seed, device, folder

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        self._check_options()
        WindowReader(self.scaler, self.scale_by)
        losses.get(self.loss, **(self.loss_options or {}))
        names = ("epochs", "lr", "weight_decay", "patience", "optimizer", "schedule")
        train.check_settings(**{name: getattr(self, name) for name in names})
        if isinstance(self.encoder, str):
            registry.get("encoders", self.encoder).settings(self.preset, **(self.encoder_options or {}))

    def fit(self, windows: Windows, features: Features, *, validation: Windows | None = None) -> ContrastiveDecoder:
        """Train on windows.

        Parameters
        ----------
        windows : Windows
            Training windows with ``stimulus_id``.
        features : Features
            Embeddings of the stimuli of training and validation windows.
        validation : Windows, optional
            Rows for early stopping; by default a part of the training windows by content (see ``validation_share``).

        Raises
        ------
        BraindecError
            If a stimulus has no features, windows are too short for the encoder, the loss is not finite, a device is not
            there, or an option is wrong.
        """
        self._check_options()
        windows, validation = self._parts(windows, validation)
        device = train.resolve_device(self.device)
        self.reader_ = WindowReader(self.scaler, self.scale_by).fit(windows)
        targets = Targets(windows, features)
        self._keep_targets(targets)
        self.encoder_, self.loss_ = self._build(windows, targets.values.shape[1])
        batches = self._batches(windows, targets.values, targets.codes)
        held = None if validation is None else self._held(validation, features, targets)
        queue = losses.MemoryQueue(self.queue, targets.values.shape[1]) if self.queue else None
        history = train.fit(
            self.encoder_, self.loss_, batches, validate=None if held is None else lambda m, loss: self._validate(m, loss, held),
            epochs=self.epochs, lr=self.lr, weight_decay=self.weight_decay, patience=self.patience, optimizer=self.optimizer,
            schedule=self.schedule, clip_norm=self.clip_norm, queue=queue, folder=self.folder, device=str(device),
            key=self._key(batches, held), seed=self.seed, title=f"training {self._name()}",
        )  # fmt: skip
        self.history_ = history.columns()
        self.fit_records_ = [*self.reader_.records, *(FitRecord.of(s, windows.ids) for s in ("Targets", self._name()))]
        if validation is not None and self.epochs:
            self.fit_records_.append(FitRecord.of("early stopping", validation.ids, purpose="selection"))
        return self

    def embed(self, windows: Windows) -> np.ndarray:
        """Return the embedding of each window, (n_windows, dim), float32; windows are read in blocks."""
        self._check_fitted()
        out = np.empty((len(windows), len(self.feature_mean_)), dtype=np.float32)
        device = _device_of(self.encoder_)
        subjects = self._subject_codes(windows)
        self.encoder_.eval()
        with torch.no_grad():
            for rows, block in self.reader_.blocks(windows, max(self.batch_size, 64)):
                context = {} if subjects is None else {"subject": torch.from_numpy(subjects[rows]).to(device)}
                out[rows] = self.encoder_(torch.from_numpy(block).to(device), **context).cpu().numpy()
        return out

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        arrays = {f"history.{k}": v for k, v in self.history_.items()}
        arrays |= {f"loss.{k}": v.detach().cpu().numpy() for k, v in self.loss_.state_dict().items()}
        return save_decoder(self, folder, arrays=arrays, more={"subjects": self.subjects_, **self._more()})

    @classmethod
    def load(cls, folder: str | Path, *, encoder: nn.Module | None = None) -> ContrastiveDecoder:
        """Return the decoder that :meth:`save` wrote; give ``encoder`` when it was a module of your own."""
        decoder, arrays, more = load_decoder(cls, folder, encoder=encoder)
        split = {
            k: {n[len(k) + 1 :]: v for n, v in arrays.items() if n.startswith(f"{k}.")} for k in ("history", "loss")
        }
        decoder.history_, decoder.subjects_ = split["history"], more["subjects"]
        for name in set(more) - {"subjects"}:
            setattr(decoder, f"{name}_", more[name])
        decoder.loss_ = losses.get(decoder.loss, **(decoder.loss_options or {}))
        decoder.loss_.load_state_dict({k: torch.from_numpy(v) for k, v in split["loss"].items()})
        return decoder

    def _more(self) -> dict[str, Any]:
        """Further plain values that a subclass keeps beside the weights."""
        return {}

    def _check_options(self) -> None:
        for name, least in (("batch_size", 2), ("average_repetitions", 1), ("queue", 0), ("epochs", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
        if not 0 < self.validation_share < 1:
            raise BraindecError(
                "validation_share is a share", found=repr(self.validation_share), allowed="between 0 and 1"
            )

    def _parts(self, windows: Windows, validation: Windows | None) -> tuple[Windows, Windows | None]:
        """Training and validation windows; the latter are taken by content when early stopping has none."""
        if validation is not None and not len(validation):
            raise BraindecError("the validation windows are empty", fix="leave validation out, or give it rows")
        if validation is not None or self.patience is None or not self.epochs:
            return windows, validation
        column(windows, "stimulus_id")
        contents = spread_groups(windows, ("concept_id", "stimulus_id"))
        if len(set(contents)) < _FEWEST:
            raise BraindecError(
                f"early stopping needs validation rows of other stimuli, and the training windows show {len(set(contents))}",
                allowed=f"at least {_FEWEST} concepts or stimuli", fix="pass validation=windows[rows], or patience=None",
            )  # fmt: skip
        held = content_part(contents, self.validation_share)
        return windows[~held], windows[held]

    def _build(self, windows: Windows, dim: int) -> tuple[nn.Module, nn.Module]:
        """Return the untrained encoder and the loss; first weights come from the seed."""
        uses = registry.get("encoders", self.encoder).uses_subject if isinstance(self.encoder, str) else False
        uses = uses or getattr(self.encoder, "uses_subject", False)
        self.subjects_ = sorted(set(column(windows, "subject"))) if uses and "subject" in windows.trials else []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            if isinstance(self.encoder, str):
                options = {"n_subjects": len(self.subjects_)} if uses else {}
                made = registry.get("encoders", self.encoder).from_preset(
                    self.preset, n_chans=windows.n_channels, n_times=windows.n_times, dim=dim,
                    **{**options, **(self.encoder_options or {})},
                )  # fmt: skip
            elif isinstance(self.encoder, nn.Module):
                made = deepcopy(self.encoder)
                _check_output(made, windows, dim)
            else:
                raise BraindecError("encoder must be a name or a torch module", found=repr(self.encoder))
            return made, losses.get(self.loss, **(self.loss_options or {}))

    def _batches(self, windows: Windows, targets: np.ndarray, codes: np.ndarray) -> Batches:
        groups = column(windows, "subject") if self.average_repetitions > 1 and "subject" in windows.trials else None
        return Batches(windows, self.reader_, targets, codes, subjects=self._subject_codes(windows), batch_size=self.batch_size,
                       average=self.average_repetitions, groups=groups, ram_limit=self.ram_limit)  # fmt: skip

    def _held(self, validation: Windows, features: Features, targets: Targets) -> Batches:
        """Validation windows; their targets are standardised as the training's."""
        items, codes = np.unique(column(validation, "stimulus_id"), return_inverse=True)
        return self._batches(validation, (features.of(items) - targets.mean) / targets.scale, codes)

    def _validate(self, model: nn.Module, loss: nn.Module, held: Batches) -> Mapping[str, float]:
        """Loss among all validation windows at once, and top-1 among their stimuli.

        It hangs neither on a batch size nor on the temperature, which training makes too confident for new stimuli.
        """
        device = _device_of(model)
        z, codes = [], []
        for batch in held.fixed(self.seed):
            context = {k: v.to(device) for k, v in batch.items() if k not in ("x", "y", "ids")}
            z.append(model(batch["x"].to(device), **context))
            codes.append(batch["ids"])
        embedded, code = torch.cat(z), torch.cat(codes)
        parts = [slice(s, s + _AT_ONCE) for s in range(0, len(code), _AT_ONCE)]
        y = held.targets.to(device)
        values = [_calibrated(loss, embedded[p], y[code[p].to(device)], code[p].to(device)) for p in parts]
        sizes = [len(code[p]) for p in parts]
        hits = (unit(embedded.cpu().numpy()) @ unit(held.targets.numpy()).T).argmax(axis=1) == code.numpy()
        return {"loss": float(np.average(values, weights=sizes)), "top1": float(hits.mean())}

    def _key(self, batches: Batches, held: Batches | None) -> str:
        """Names data and options in one hash, so that a checkpoint is continued by the same fit only."""
        params = {
            k: repr(v)
            for k, v in self.get_params(deep=False).items()
            if k not in ("folder", "device", "ram_limit", "encoder")
        }
        text = (
            json.dumps(params, sort_keys=True)
            + self._name()
            + batches.fingerprint()
            + (held.fingerprint() if held else "")
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _subject_codes(self, windows: Windows) -> np.ndarray | None:
        """Number of each window's subject, -1 for one that was not trained; None for encoders that do not ask."""
        if not getattr(self.encoder_, "uses_subject", False):
            return None
        if "subject" not in windows.trials:
            return np.full(len(windows), -1, dtype=np.int64)
        number = {name: i for i, name in enumerate(self.subjects_)}
        return np.array([number.get(str(s), -1) for s in windows.trials["subject"]], dtype=np.int64)

    def _name(self) -> str:
        return self.encoder if isinstance(self.encoder, str) else type(self.encoder).__name__


def _device_of(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _calibrated(loss: nn.Module, z: torch.Tensor, y: torch.Tensor, ids: torch.Tensor) -> float:
    """The loss at the best of a few temperatures; as it is for losses without one."""
    if not hasattr(loss, "log_scale"):
        return loss(z, y, ids=ids).item()
    tried = [
        loss.log_scale.detach(),
        *torch.linspace(0.0, loss.log_scale.new_tensor(100.0).log().item(), 16, device=z.device),
    ]
    return min(torch.func.functional_call(loss, {"log_scale": s}, (z, y), {"ids": ids}).item() for s in tried)


def _check_output(module: nn.Module, windows: Windows, dim: int) -> None:
    """Raise unless the module maps (2, channel, time) to (2, dim)."""
    training = module.training
    with torch.no_grad():
        made = module.eval()(torch.zeros(2, windows.n_channels, windows.n_times))
    module.train(training)
    if tuple(made.shape) != (2, dim):
        raise BraindecError(
            f"the encoder {type(module).__name__} does not end in the features' length",
            found=f"{tuple(made.shape)} for an input (2, {windows.n_channels}, {windows.n_times})", allowed=f"(batch, {dim})",
        )  # fmt: skip
