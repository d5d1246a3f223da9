"""One training loop: early stopping on validation rows, checkpoints after each epoch, resumable bit for bit.

A run that is interrupted at any moment (Ctrl-C, kill -9, a power cut) and started again with the same arguments ends with
the same weights as an undisturbed one: a checkpoint holds weights, optimiser, memory queue, both random states, and the
best weights so far. On the CPU "the same" also asks for the same number of threads.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.files import remove_stale, write_text
from braindec.losses import MemoryQueue
from braindec.weights import check_whole, read_json, save_tensors, sha256

Batch = Mapping[str, torch.Tensor]
_OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
_SCHEDULES = ("constant", "cosine", "onecycle")
_WARM_UP, _ONE_CYCLE = 2.0, (25.0, 1000.0)  # epochs of rising; largest over first, and first over last learning rate
_FORMAT = 1

__all__ = ["History", "fit", "resolve_device"]


@dataclass
class History:
    """What each epoch brought.

    Parameters
    ----------
    rows : list of dict
        epoch (from 1), lr, train_loss, validation_loss and other validation values, one row an epoch.
    best_epoch : int
        Epoch whose weights were kept; 0 when nothing was trained.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0

    def columns(self) -> dict[str, np.ndarray]:
        """One array a column, and ``best_epoch`` as an array of one."""
        names = list(self.rows[0]) if self.rows else ["epoch", "lr", "train_loss"]
        table = {n: np.array([row[n] for row in self.rows], dtype=np.float64) for n in names}
        return {**table, "best_epoch": np.array([self.best_epoch])}

    def save(self, path: str | Path) -> None:
        """Write a CSV file in which every digit of the floats is kept."""
        names = list(self.rows[0]) if self.rows else ["epoch", "lr", "train_loss"]
        lines = [",".join(names), *(",".join(repr(row[n]) for n in names) for row in self.rows)]
        write_text(path, "\n".join(lines) + "\n")


def resolve_device(device: str) -> torch.device:
    """Return the device; "auto" is CUDA where there is one and else the CPU.

    Raises
    ------
    BraindecError
        If the name is unknown, or the device that was asked for is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BraindecError(f"there is no device {device!r}", allowed="cpu, cuda, cuda:0, ..., auto") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= count:
        raise BraindecError(
            f"the device {device!r} was asked for and is not there", found=f"{count} CUDA devices",
            fix="use device='auto' or 'cpu'" if not count else f"use cuda:0 to cuda:{count - 1}",
        )  # fmt: skip
    if found.type not in ("cpu", "cuda"):
        raise BraindecError(f"the device {device!r} is not supported", allowed="cpu, cuda, cuda:0, ..., auto")
    return found


def fit(
    model: nn.Module,
    loss: nn.Module,
    batches: Callable[[torch.Generator], Iterable[Batch]],
    *,
    epochs: int,
    validate: Callable[[nn.Module, nn.Module], Mapping[str, float]] | None = None,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    patience: int | None = 10,
    optimizer: str = "adamw",
    betas: tuple[float, float] = (0.9, 0.999),
    schedule: str = "constant",
    clip_norm: float | None = None,
    queue: MemoryQueue | None = None,
    folder: str | Path | None = None,
    key: str = "",
    device: str = "cpu",
    seed: int = 0,
    title: str = "training",
) -> History:
    """Train ``model`` and the parameters of ``loss`` in place; both end with the best weights, in evaluation mode.

    Parameters
    ----------
    model : nn.Module
        Called as ``model(x, **context)``. If it has ``constrain()``, that is called after each step; so for the loss.
    loss : nn.Module
        Called as ``loss(z, y)``, with ``ids=`` when batches have them and ``queue=`` when there is one. If it (or the
        model) has ``at(progress)``, that is called before each epoch with the share of epochs done. If it has
        ``mix(x, groups=subject)``, that changes ``x`` before the model sees it and names more arguments of the loss.
    batches : callable
        ``batches(generator)`` gives the batches of one epoch: dicts with ``x`` (batch, channel, time), ``y``, optional
        ``ids`` (batch,), and anything else that is context for the model. All shuffling comes from ``generator``.
    epochs : int
        At most so many; 0 leaves the weights as they are.
    validate : callable, optional
        ``validate(model, loss)`` gives ``{"loss": ..., other values}``; without gradients, in evaluation mode. The epoch
        with the lowest loss is kept. Without it the last epoch is kept.
    lr, weight_decay : float
        Weight decay is for weights; biases, normalisation and the loss's own parameters have none.
    patience : int, optional
        Stop after so many epochs without a lower validation loss; never when None.
    optimizer : {"adamw", "adam"}
    betas : (float, float)
        Of the optimiser.
    schedule : {"constant", "cosine", "onecycle"}
        Cosine goes from ``lr`` to 0 over ``epochs``; onecycle rises from ``lr / 25`` to ``lr`` in two epochs and falls to
        ``lr / 25,000``, both along half a cosine (Smith & Topin 2019), one value an epoch.
    clip_norm : float, optional
        Largest norm of the gradient.
    queue : MemoryQueue, optional
        Gets the targets of each batch after its step.
    folder : path, optional
        Checkpoints go to ``folder/<hash of the arguments, the first weights and key>``; an interrupted run finds its own.
    key : str
        Names the data: other data must have another key.
    device : str
        "cpu", "cuda", "cuda:1", "auto".
    seed : int
        Of shuffling and dropout. The state of torch's global generator is as before afterwards.
    title : str
        Of the progress bar.

    Returns
    -------
    History

    Raises
    ------
    BraindecError
        If the loss is not finite (with epoch and learning rate), there is nothing to train on, or an argument is wrong.
    """
    check_settings(
        epochs=epochs, lr=lr, weight_decay=weight_decay, patience=patience, optimizer=optimizer, schedule=schedule
    )
    where = resolve_device(device)
    settings = {"epochs": epochs, "lr": lr, "weight_decay": weight_decay, "patience": patience, "optimizer": optimizer,
                "betas": list(betas), "schedule": schedule, "clip_norm": clip_norm, "seed": seed, "device": where.type,
                "validated": validate is not None, "key": key}  # fmt: skip
    digest = _digest(settings, model, loss, queue)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda(where)))
        stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False))
        torch.manual_seed(seed)
        run = _Run(model, loss, queue, settings, where)
        if folder is not None:
            run.open(Path(folder) / f"run-{digest[:12]}")
        bar = stack.enter_context(
            tqdm(total=epochs, initial=run.epoch, desc=title, unit="epoch", leave=False, disable=None)
        )
        while not run.finished:
            row = run.train_epoch(batches)
            if validate is not None:
                row.update(run.validate(validate))
            run.close_epoch(row)
            bar.update()
            bar.set_postfix({k: f"{v:.3g}" for k, v in row.items() if k != "epoch"}, refresh=False)
    return run.restore_best()


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        queue: MemoryQueue | None,
        settings: dict[str, Any],
        device: torch.device,
    ) -> None:
        self.parts = {"model": model.to(device), "loss": loss.to(device)}
        if queue is not None:
            self.parts["queue"] = queue.to(device)
        self.model, self.loss, self.queue, self.settings, self.device = model, loss, queue, settings, device
        self.parameters = [p for part in (model, loss) for p in part.parameters() if p.requires_grad]
        self.optimizer = _OPTIMIZERS[settings["optimizer"]](
            _parameter_groups(model, loss, settings["weight_decay"]), lr=settings["lr"], betas=tuple(settings["betas"])
        )
        self.generator = torch.Generator().manual_seed(settings["seed"])
        self.history, self.best_value, self.epoch, self.folder = History(), math.inf, 0, None
        self.best = self._weights()

    @property
    def finished(self) -> bool:
        """All epochs done, or no better value for ``patience`` epochs."""
        patience = self.settings["patience"] if self.settings["validated"] else None
        waited = self.epoch - self.history.best_epoch
        return self.epoch >= self.settings["epochs"] or (patience is not None and waited >= patience)

    def train_epoch(self, batches: Callable[[torch.Generator], Iterable[Batch]]) -> dict[str, float]:
        """Run one epoch; return its row of the history."""
        lr = self._lr()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.model.train(), self.loss.train()
        for part in (self.model, self.loss):
            if hasattr(part, "at"):
                part.at(self.epoch / self.settings["epochs"])
        total, count = 0.0, 0
        for number, batch in enumerate(batches(self.generator)):
            value = self._step(batch)
            if not math.isfinite(value):
                raise BraindecError(
                    f"the loss became {value} in epoch {self.epoch + 1}, batch {number + 1}", found=f"learning rate {lr:g}",
                    fix="lower lr, or set clip_norm=1.0; see whether the input is scaled (scaler) and without NaN",
                )  # fmt: skip
            total, count = total + value * len(batch["x"]), count + len(batch["x"])
        if not count:
            raise BraindecError(
                "there is nothing to train on", found="no batches", fix="use a smaller batch_size, or more windows"
            )
        return {"epoch": self.epoch + 1, "lr": lr, "train_loss": total / count}

    def _step(self, batch: Batch) -> float:
        moved = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        x, y = moved.pop("x"), moved.pop("y")
        names = {"ids": moved.pop("ids")} if "ids" in moved else {}
        memory = {"queue": self.queue} if self.queue is not None else {}
        if hasattr(self.loss, "mix"):
            x, mixed = self.loss.mix(x, groups=moved.get("subject"))
            names.update(mixed)
        self.optimizer.zero_grad(set_to_none=True)
        value = self.loss(self.model(x, **moved), y, **names, **memory)
        number = value.item()
        if not math.isfinite(number):
            return number
        value.backward()
        if self.settings["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings["clip_norm"])
        self.optimizer.step()
        for part in (self.model, self.loss):
            if hasattr(part, "constrain"):
                part.constrain()
        if self.queue is not None:
            self.queue.push(y, names["ids"])
        return number

    @torch.no_grad()
    def validate(self, validate: Callable[[nn.Module, nn.Module], Mapping[str, float]]) -> dict[str, float]:
        """Return the validation values as columns of the history."""
        self.model.eval(), self.loss.eval()
        found = {f"validation_{name}": float(value) for name, value in validate(self.model, self.loss).items()}
        if not math.isfinite(found["validation_loss"]):
            raise BraindecError(
                f"the validation loss became {found['validation_loss']} in epoch {self.epoch + 1}",
                found=f"learning rate {self._lr():g}", fix="lower lr, or set clip_norm=1.0",
            )  # fmt: skip
        return found

    def close_epoch(self, row: dict[str, float]) -> None:
        """Keep the best weights, and write the checkpoint."""
        self.history.rows.append(row)
        self.epoch += 1
        value = row.get("validation_loss", -math.inf)
        if value < self.best_value or not self.settings["validated"]:
            self.best_value, self.history.best_epoch, self.best = value, self.epoch, self._weights()
        if self.folder is not None:
            self._save()

    def restore_best(self) -> History:
        """Put the best weights into model and loss."""
        for name, weights in self.best.items():
            self.parts[name].load_state_dict(weights)
            self.parts[name].eval()
        return self.history

    def open(self, folder: Path) -> None:
        """Use ``folder`` for checkpoints, and go on from the one that is there."""
        self.folder = folder
        if not (folder / "checkpoint.json").is_file():
            return
        remove_stale(folder)
        about = read_json(folder / "checkpoint.json")
        if about.get("format") != _FORMAT:
            raise BraindecError(
                f"{folder} holds a checkpoint of another version", fix="delete this folder and train again"
            )
        check_whole(folder / about["file"], about["sha256"])
        tensors = load_file(folder / about["file"])
        for name, part in self.parts.items():
            part.load_state_dict(_below(tensors, name))
        self.best = {name: _below(tensors, f"best.{name}") for name in self.best}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below(tensors, "optimizer").items():
            number, _, entry = name.partition(".")
            state.setdefault(int(number), {})[entry] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["rng.torch"])
        self.generator.set_state(tensors["rng.batches"])
        if "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"], self.device)
        self.epoch, self.history = about["epoch"], History(about["history"], about["best_epoch"])
        self.best_value = math.inf if about["best_value"] is None else about["best_value"]

    def _save(self) -> None:
        tensors = {f"{name}.{k}": v for name, part in self.parts.items() for k, v in part.state_dict().items()}
        tensors |= {f"best.{name}.{k}": v for name, weights in self.best.items() for k, v in weights.items()}
        for number, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in entries.items()}
        tensors |= {"rng.torch": torch.get_rng_state(), "rng.batches": self.generator.get_state()}
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        path = self.folder / f"epoch-{self.epoch:05d}.safetensors"
        save_tensors(tensors, path)
        about = {"format": _FORMAT, "settings": self.settings, "epoch": self.epoch, "best_epoch": self.history.best_epoch,
                 "best_value": self.best_value if math.isfinite(self.best_value) else None,
                 "finished": self.finished, "file": path.name, "sha256": sha256(path), "history": self.history.rows}  # fmt: skip
        write_text(
            self.folder / "checkpoint.json", json.dumps(about, indent=1) + "\n"
        )  # from here on the new one counts
        self.history.save(self.folder / "history.csv")
        for old in self.folder.glob("epoch-*.safetensors"):
            if old != path:
                old.unlink()

    def _weights(self) -> dict[str, dict[str, torch.Tensor]]:
        return {
            name: {k: v.detach().cpu().clone() for k, v in self.parts[name].state_dict().items()}
            for name in ("model", "loss")
        }

    def _lr(self) -> float:
        lr, epochs = self.settings["lr"], self.settings["epochs"]
        if self.settings["schedule"] == "cosine":
            lr *= _fall(self.epoch / epochs)
        elif self.settings["schedule"] == "onecycle":
            now, top = self.epoch + 0.5, min(_WARM_UP, epochs / 2)  # the middle of the epoch stands for it
            if now < top:
                lr *= 1 - (1 - 1 / _ONE_CYCLE[0]) * _fall(now / top)
            else:
                lowest = 1 / (_ONE_CYCLE[0] * _ONE_CYCLE[1])
                lr *= lowest + (1 - lowest) * _fall((now - top) / (epochs - top))
        return lr


def check_settings(**given: Any) -> None:
    """Raise unless epochs, lr, weight_decay, patience, optimizer and schedule can be used."""
    for name, allowed in (("optimizer", tuple(_OPTIMIZERS)), ("schedule", _SCHEDULES)):
        if given[name] not in allowed:
            raise BraindecError(f"{name} cannot be {given[name]!r}", allowed=", ".join(allowed))
    patience = given["patience"]
    for name, good in (("epochs", given["epochs"] >= 0), ("lr", given["lr"] > 0), ("weight_decay", given["weight_decay"] >= 0),
                       ("patience", patience is None or patience >= 1)):  # fmt: skip
        if not good:
            raise BraindecError(
                f"{name} of the training cannot be {given[name]!r}",
                allowed="epochs >= 0, lr > 0, weight_decay >= 0, patience >= 1 or None",
            )


def _fall(done: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _parameter_groups(model: nn.Module, loss: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases, normalisation and the loss's parameters (one-dimensional all) do not."""
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        {"params": [p for p in loss.parameters() if p.requires_grad], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if not groups:
        raise BraindecError(
            "there is nothing to train", found="no parameter of the model or the loss requires a gradient"
        )
    return groups


def _digest(settings: Mapping[str, Any], *parts: nn.Module | None) -> str:
    """Hash of the arguments and of the first weights: a run is continued by the same run only."""
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for part in parts:
        digest.update(type(part).__name__.encode())
        for name, tensor in (part.state_dict() if part is not None else {}).items():
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix.``, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
