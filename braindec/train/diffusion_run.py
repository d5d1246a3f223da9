"""The state of one training run of a diffusion model: its steps, and checkpoints that it goes on from bit for bit.

All random numbers of a step come from (seed, step), those of a pass over the data from (seed, pass): no state of a random
generator has to be kept, and a run that goes on draws what an undisturbed one would have drawn.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from braindec.errors import BraindecError
from braindec.files import remove_stale, write_text
from braindec.train.loop import _below, _digest
from braindec.train.processes import Processes
from braindec.train.step_history import StepHistory
from braindec.train.weight_average import WeightAverage
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["Batch", "Batches", "DiffusionRun", "Loss"]

Batch = Mapping[str, torch.Tensor]
Batches = Callable[[torch.Generator], Iterable[Batch]]
Loss = Callable[[nn.Module, Batch, torch.Generator], torch.Tensor]

_FORMAT, _SMALLEST_SCALE, _SAFE_CLIP = 1, 1.0, 1.0
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class LossModule(nn.Module):
    """Model and loss as one module, so that gradients of all parameters can be averaged over processes."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self._loss = model, [loss]  # in a list: a loss that is a module is not a part of this one

    def forward(self, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch."""
        return self._loss[0](self.model, batch, generator)


class DiffusionRun:
    """One training run.

    Parameters
    ----------
    model : nn.Module
    loss : callable
    settings : dict of plain JSON values
        The arguments that decide what comes out.
    accumulate : int
        Parts of a batch.
    processes : Processes
    """

    def __init__(
        self, model: nn.Module, loss: Loss, settings: dict[str, Any], processes: Processes, accumulate: int
    ) -> None:
        self.model, self.loss, self.settings, self.processes = model.to(processes.device), loss, settings, processes
        self.accumulate = accumulate
        self.device = processes.device
        self.wrapped = processes.wrap(LossModule(model, loss))
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = _optimizer(model, settings)
        self.average = WeightAverage(model, settings["ema"])
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings["mixed_precision"] == "fp16")
        self.history, self.folder = StepHistory(), None
        self.step, self.passes, self.taken, self.losses = 0, 0, 0, [0.0, 0]  # losses: sum and number since the last row
        self.best: dict[str, torch.Tensor] | None = None
        self.best_value = math.inf

    @property
    def finished(self) -> bool:
        """All steps done."""
        return self.step >= self.settings["steps"]

    def rate(self) -> float:
        """Learning rate of the next step."""
        lr, warm_up, steps = self.settings["lr"], self.settings["warm_up"], self.settings["steps"]
        rate = lr * min(1.0, (self.step + 1) / warm_up if warm_up else 1.0)
        return (
            rate * 0.5 * (1 + math.cos(math.pi * self.step / steps)) if self.settings["schedule"] == "cosine" else rate
        )

    def batches(self, batches: Batches) -> Iterator[Batch]:
        """Batches of this pass and the next ones, from the one after the last that was trained on."""
        while True:
            generator = self._generator("pass", self.passes)
            useful = self.taken > 0  # a pass that was begun had some
            for batch in islice(batches(generator), self.taken, None):
                self.taken += 1
                if len(batch["x"]) >= self.processes.n:
                    useful = True
                    yield batch
            if not useful:
                raise BraindecError(
                    "there is nothing to train on", fix="use a smaller batch_size, or more windows",
                    found=f"no batches of at least {self.processes.n} rows",
                )  # fmt: skip
            self.passes, self.taken = self.passes + 1, 0

    def train_step(self, batch: Batch) -> float:
        """One step of the optimiser; its learning rate.

        Raises
        ------
        BraindecError
            If the loss or the gradient is not finite; the weights are those before this step.
        """
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(_number(self.settings["seed"], "step", self.step, self.processes.rank))
        self.optimizer.zero_grad(set_to_none=True)
        value = self._gradients(batch)
        if not math.isfinite(value):
            raise self._not_finite("the loss", value, rate, batch)
        self.scaler.unscale_(self.optimizer)
        limit = self.settings["clip_norm"]
        norm = nn.utils.clip_grad_norm_(self.parameters, math.inf if limit is None else limit)
        halves = self.scaler.is_enabled()  # then a gradient that is not finite is left out, and the scale is halved
        if not torch.isfinite(norm) and (not halves or self.scaler.get_scale() < _SMALLEST_SCALE):
            raise self._not_finite("the gradient", norm.item(), rate, batch)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self.average.update(self.step)
        self.losses = [self.losses[0] + value, self.losses[1] + 1]
        return rate

    @torch.no_grad()
    def validate(self, validate: Callable[[nn.Module], Mapping[str, float]]) -> dict[str, float]:
        """Return the validation values of the averaged weights as columns of the history."""
        with self.average.in_place(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings["seed"])
            self.model.eval()
            found = {k: self.processes.sum(float(v)) / self.processes.n for k, v in validate(self.model).items()}
            self.model.train()
        if self.settings["keep_best"] and not math.isfinite(found.get("loss", math.nan)):
            raise BraindecError(
                "keep_best needs a validation loss that is finite", found=f"{found} at step {self.step}",
                fix='validate(model) gives {"loss": ...}; the lowest is kept',
            )  # fmt: skip
        return {f"validation_{name}": value for name, value in found.items()}

    def close_stretch(self, rate: float, found: Mapping[str, float]) -> None:
        """Write a row of the history; keep the averaged weights when they are the best so far."""
        row = {"step": self.step, "lr": rate, "train_loss": self.losses[0] / self.losses[1], **found}
        self.history.rows.append(row)
        self.losses = [0.0, 0]
        if not self.settings["keep_best"]:
            self.history.best_step = self.step
        elif found["validation_loss"] < self.best_value:
            self.best_value, self.history.best_step = found["validation_loss"], self.step
            self.best = {k: v.detach().cpu().clone() for k, v in self.average.current().items()}

    def finish(self) -> StepHistory:
        """Put the averaged weights (the best ones, if they were asked for) into the model."""
        self.average.put(self.best if self.best is not None else self.average.current())
        self.model.eval()
        return self.history

    def open(self, folder: Path, key: str) -> None:
        """Use a folder below ``folder`` for checkpoints, and go on from the one that is there."""
        digest = _digest({**self.settings, "key": key}, self.model)
        self.folder = self.history.folder = folder / f"run-{digest[:12]}"
        if (self.folder / "checkpoint.json").is_file():
            if self.processes.rank == 0:
                remove_stale(self.folder)
            self.load()

    def save(self) -> None:
        """Write a checkpoint: whole, or the one before it stays."""
        if self.folder is None or self.processes.rank != 0:
            return
        tensors = {f"model.{k}": v for k, v in self.average.live.items()}
        tensors |= {f"average.{k}": v for k, v in self.average.tensors.items()}
        tensors |= {f"best.{k}": v for k, v in (self.best or {}).items()}
        for number, entries in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": v for k, v in entries.items()}
        path = self.folder / f"step-{self.step:07d}.safetensors"
        save_tensors(tensors, path)
        about = {
            "format": _FORMAT, "settings": self.settings, "step": self.step, "pass": self.passes, "taken": self.taken,
            "losses": self.losses, "best_step": self.history.best_step, "scaler": self.scaler.state_dict(),
            "best_value": self.best_value if math.isfinite(self.best_value) else None, "finished": self.finished,
            "file": path.name, "sha256": sha256(path), "history": self.history.rows,
        }  # fmt: skip
        write_text(
            self.folder / "checkpoint.json", json.dumps(about, indent=1) + "\n"
        )  # from here on the new one counts
        self.history.save(self.folder / "history.csv")
        for old in self.folder.glob("step-*.safetensors"):
            if old != path:
                old.unlink()

    def load(self) -> None:
        """Go back (or on) to the checkpoint."""
        about = read_json(self.folder / "checkpoint.json")
        if about.get("format") != _FORMAT:
            raise BraindecError(
                f"{self.folder} holds a checkpoint of another version", fix="delete this folder and train again"
            )
        check_whole(self.folder / about["file"], about["sha256"])
        tensors = load_file(self.folder / about["file"])
        self.average.put(_below(tensors, "model"))
        self.average.tensors = {k: v.to(self.device) for k, v in _below(tensors, "average").items()}
        self.best = _below(tensors, "best") or None
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below(tensors, "optimizer").items():
            number, _, entry = name.partition(".")
            state.setdefault(int(number), {})[entry] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        if about["scaler"]:
            self.scaler.load_state_dict(about["scaler"])
        self.step, self.passes, self.taken, self.losses = about["step"], about["pass"], about["taken"], about["losses"]
        self.history = StepHistory(about["history"], about["best_step"], self.folder)
        self.best_value = math.inf if about["best_value"] is None else about["best_value"]

    def _gradients(self, batch: Batch) -> float:
        """Gradients of a batch, its rows shared out among processes and parts; the mean loss."""
        rank, n = self.processes.rank, self.processes.n
        whole = hasattr(self.loss, "draw")  # noise of the whole batch is drawn before it is shared out
        generator = self._generator("loss", self.step, 0 if whole else rank)
        if whole:
            batch = self.loss.draw(batch, generator)
        rows = len(batch["x"])
        first, last = rank * rows // n, (rank + 1) * rows // n
        parts = min(self.accumulate, last - first)
        edges = [first + i * (last - first) // parts for i in range(parts + 1)]
        total = 0.0
        for low, high in pairwise(edges):
            part = {k: v[low:high].to(self.device, non_blocking=True) for k, v in batch.items()}
            share = (high - low) / rows
            with nullcontext() if high == last else self.processes.unsynchronised(self.wrapped):
                with self._autocast():
                    value = self.wrapped(part, generator)
                self.scaler.scale(value * (share * n)).backward()  # processes average their gradients
            total += value.item() * share
        return self.processes.sum(total)

    def _autocast(self) -> Any:
        dtype = _DTYPES.get(self.settings["mixed_precision"])
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _generator(self, *what: Any) -> torch.Generator:
        return torch.Generator().manual_seed(_number(self.settings["seed"], *what))

    def _not_finite(self, what: str, value: float, rate: float, batch: Batch) -> BraindecError:
        """Put the last good weights into the model; the error that says what happened."""
        asked = f"{what} became {value} at step {self.step + 1} of {self.settings['steps']}"
        bad = [k for k, v in batch.items() if v.is_floating_point() and not torch.isfinite(v).all()]
        there = self.folder is not None and (self.folder / "checkpoint.json").is_file()
        if there:
            self.load()
        where = f"from the last good checkpoint, {self.folder}" if there else "(there is no checkpoint)"
        kept = f"the model now holds the averaged weights of step {self.step} {where}"
        self.average.put(self.average.current())
        self.model.eval()
        fix = f"see where {bad[0]!r} of the batch comes from" if bad else f"lower lr, or set clip_norm={_SAFE_CLIP}"
        if self.settings["mixed_precision"] == "fp16" and not bad:
            fix += ', or mixed_precision="bf16"'
        state = f"{bad[0]!r} of the batch is not finite" if bad else "the batch is finite"
        return BraindecError(asked, found=f"learning rate {rate:g}; {state}", fix=f"{fix}; {kept}")


def _optimizer(model: nn.Module, settings: Mapping[str, Any]) -> torch.optim.AdamW:
    """AdamW; biases and normalisation (one-dimensional all) do not decay."""
    learned = [p for p in model.parameters() if p.requires_grad]
    if not learned:
        raise BraindecError("there is nothing to train", found="no parameter of the model requires a gradient")
    half = next((p.dtype for p in learned if p.dtype != torch.float32), None)
    if half is not None:
        raise BraindecError(
            "weights are trained in float32", found=str(half).removeprefix("torch."),
            fix='model.float(), and mixed_precision="bf16" to compute in half precision',
        )  # fmt: skip
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": settings["weight_decay"]},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings["lr"], fused=True)


def _number(*what: Any) -> int:
    """A seed that any of ``what`` changes."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, what)).encode()).digest()[:8], "little") >> 1
