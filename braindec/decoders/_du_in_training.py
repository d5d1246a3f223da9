"""How the stages of du_in are trained: batches of windows without labels, their losses, what is measured on held-out windows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from braindec import train
from braindec.decoders._reading import WindowReader
from braindec.encoders._du_in_stages import Autoencoder, CodeGuesses, MaskedCodes, Reconstruction
from braindec.encoders._vector_quantizer import code_usage
from braindec.encoders.du_in import DuIN
from braindec.errors import BraindecError
from braindec.types import Windows

_HELD = 0.1  # share of the windows without labels that only measures
_BLOCK = 256

__all__ = ["ShiftedCrossEntropy", "Unlabelled", "random_masks", "train_autoencoder", "train_masked", "shifted"]


class Unlabelled:
    """Windows without labels in memory, and which of them measure instead of train (the end of each recording).

    Parameters
    ----------
    parts : list of Windows
        With the same channels; parts may differ in length and are scaled by their own numbers.
    scaler : str or transform
    subjects : list of str
        Names of subjects in the order of the encoder; empty when it does not ask.
    batch_size : int
    """

    def __init__(self, parts: Sequence[Windows], scaler: Any, subjects: Sequence[str], batch_size: int) -> None:
        self.batch_size = batch_size
        self.x, self.subject, self.train, self.held, self.readers = [], [], [], [], []
        for windows in parts:
            held = _last(windows, _HELD)
            reader = WindowReader(scaler, "subject" if subjects else None).fit(windows[~held])
            self.readers.append(reader)
            self.x.append(torch.from_numpy(reader.read(windows)))
            names = windows.trials["subject"].astype(str) if subjects else []
            self.subject.append(torch.tensor([list(subjects).index(s) for s in names]) if subjects else None)
            self.train.append(torch.from_numpy(np.flatnonzero(~held)))
            self.held.append(torch.from_numpy(np.flatnonzero(held)))
        self.ids = np.concatenate([w.ids for w in parts])

    def batches(self, make: Callable[[int, torch.Tensor, torch.Generator], Mapping[str, torch.Tensor]]) -> Callable:
        """Return shuffled batches for the training loop; each is of one part, ``make(part, rows, generator)``."""

        def epoch(generator: torch.Generator) -> Iterator[Mapping[str, torch.Tensor]]:
            every = []
            for part, rows in enumerate(self.train):
                mixed = rows[torch.randperm(len(rows), generator=generator)]
                every += [(part, some) for some in mixed.split(self.batch_size) if len(some) > 1]
            for k in torch.randperm(len(every), generator=generator).tolist():
                yield make(*every[k], generator)

        return epoch

    def blocks(self, rows: Sequence[torch.Tensor]) -> Iterator[tuple[int, torch.Tensor]]:
        """Rows of each part in blocks, in order."""
        for part, own in enumerate(rows):
            yield from ((part, some) for some in own.split(_BLOCK) if len(some))

    def context(self, part: int, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The windows ``x`` and, where it is asked for, their subjects."""
        subject = self.subject[part]
        return {"x": self.x[part][rows], **({"subject": subject[rows]} if subject is not None else {})}

    def fingerprint(self) -> str:
        """A hash of all values."""
        digest = hashlib.sha256()
        for x in self.x:
            digest.update(str(tuple(x.shape)).encode() + x.numpy().tobytes())
        return digest.hexdigest()


def train_autoencoder(
    encoder: DuIN, data: Unlabelled, *, epochs: int, lr: float, weight_decay: float, seed: int, device: str, folder: str | Path | None, key: str
) -> tuple[Autoencoder, train.History]:  # fmt: skip
    """Train encoder, quantiser and decoder on the windows themselves.

    Returns
    -------
    Autoencoder
        In evaluation mode.
    History
        With quantised (0 in the first epochs, see ``late`` of the encoder), validation_loss, validation_error (mean squared error of scaled values: 1 is what a flat line has),
        validation_perplexity and validation_usage of the codes, on held-out windows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Autoencoder(encoder)
    where = train.resolve_device(device)

    def make(part: int, rows: torch.Tensor, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        batch = data.context(part, rows)
        return {**batch, "y": batch["x"]}

    def measure(model: nn.Module, loss: nn.Module) -> Mapping[str, float]:
        errors, losses, index, n = 0.0, 0.0, [], 0
        for part, rows in data.blocks(data.held):
            batch = {k: v.to(where) for k, v in data.context(part, rows).items()}
            found = model(batch.pop("x"), **batch)
            target = data.x[part][rows].to(where)
            errors += float(squared_error(found, target)) * len(rows)
            losses += float(loss(found, target)) * len(rows)
            index.append(found.index.flatten().cpu())
            n += len(rows)
        used, perplexity = code_usage(torch.cat(index), model.quantizer.n_codes)
        return {"loss": losses / n, "error": errors / n, "perplexity": perplexity, "usage": used}

    history, first = train.History(), round(encoder.late * epochs)
    for passing, n in ((True, first), (False, epochs - first)):
        model.quantizer.passing = passing
        if n:
            part = train.fit(
                model, _ReconstructionLoss(), data.batches(make), validate=measure, epochs=n, lr=lr, weight_decay=weight_decay, patience=None,
                schedule="constant" if passing else "cosine", clip_norm=3.0, folder=folder, device=device, seed=seed,
                key=f"vqvae {passing} {key} {data.fingerprint()}", title="du_in, autoencoder",
            )  # fmt: skip
            before = len(history.rows)
            history.rows += [
                {**row, "epoch": row["epoch"] + before, "quantised": float(not passing)} for row in part.rows
            ]
            history.best_epoch = part.best_epoch + before
    return model, history


def train_masked(
    autoencoder: Autoencoder, encoder: DuIN, data: Unlabelled, *, share: float, epochs: int, lr: float, weight_decay: float, seed: int,
    device: str, folder: str | Path | None, key: str,
) -> tuple[MaskedCodes, train.History]:  # fmt: skip
    """Train ``encoder`` to guess the codes of hidden tokens, as ``autoencoder`` gives them.

    Returns
    -------
    MaskedCodes
    History
        With validation_loss, validation_accuracy of hidden codes on held-out windows, and validation_chance: the share of the
        code that is the most frequent in training, which needs no input to be guessed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        model = MaskedCodes(encoder)
    where = train.resolve_device(device)
    targets = _codes_of(autoencoder, data, where)
    counts = torch.bincount(torch.cat([t[r].flatten() for t, r in zip(targets, data.train, strict=True)]))
    common = int(counts.argmax())

    def make(part: int, rows: torch.Tensor, generator: torch.Generator) -> Mapping[str, torch.Tensor]:
        y = targets[part][rows]
        return {**data.context(part, rows), "y": y, "mask": random_masks(*y.shape, share, generator)}

    def measure(model: nn.Module, loss: nn.Module) -> Mapping[str, float]:
        fixed = torch.Generator().manual_seed(seed)
        total, right, usual, n = 0.0, 0.0, 0.0, 0
        for part, rows in data.blocks(data.held):
            batch = {k: v.to(where) for k, v in make(part, rows, fixed).items()}
            y = batch.pop("y")
            found = model(batch.pop("x"), **batch)
            total += float(loss(found, y)) * len(rows)
            right += float((found.logits.argmax(2) == y).float().mean()) * len(rows)
            usual += float((y == common).float().mean()) * len(rows)
            n += len(rows)
        return {"loss": total / n, "accuracy": right / n, "chance": usual / n}

    history = train.fit(
        model, _GuessLoss(), data.batches(make), validate=measure, epochs=epochs, lr=lr, weight_decay=weight_decay, patience=None,
        schedule="cosine", clip_norm=3.0, folder=folder, device=device, seed=seed, key=f"mae {share} {key} {data.fingerprint()}",
        title="du_in, hidden codes",
    )  # fmt: skip
    return model, history


def random_masks(n: int, n_tokens: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Hide the same number of random tokens of each window, at least one and not all; (n, n_tokens) of bool."""
    hidden = min(max(1, round(share * n_tokens)), max(1, n_tokens - 1))
    return torch.rand(n, n_tokens, generator=generator).argsort(1).argsort(1) < hidden


def squared_error(found: Reconstruction, x: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the channels that each window's subject has."""
    there = torch.arange(x.shape[1], device=x.device) < found.sizes[:, None]  # (batch, channel)
    return (found.values - x).square().mean(2)[there].mean()


class _ReconstructionLoss(nn.Module):
    """Mean squared error and the quantiser's loss."""

    def forward(self, z: Reconstruction, y: torch.Tensor) -> torch.Tensor:
        return squared_error(z, y) + z.loss


class _GuessLoss(nn.Module):
    """Cross-entropy of the codes of all tokens, each guessed while it was hidden."""

    def forward(self, z: CodeGuesses, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(z.logits.flatten(0, 1), y.flatten())


class ShiftedCrossEntropy(nn.Module):
    """Cross-entropy with a weight for each class; training windows are shifted in time before the model sees them.

    Parameters
    ----------
    weights : Tensor of shape (n_classes,)
    shift : float
        Largest shift, as a share of the window. What moves in at an end is 0, the mean of scaled values: nothing outside
        the window is looked at, and what leaves at one end does not come back at the other.
    """

    def __init__(self, weights: torch.Tensor, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.register_buffer("weights", weights)

    def mix(self, x: torch.Tensor, *, groups: torch.Tensor | None = None) -> tuple[torch.Tensor, dict[str, Any]]:
        """Shift each window by a random number of samples; only the training loop calls this."""
        most = round(self.shift * x.shape[2])
        if not most:
            return x, {}
        return shifted(x, torch.randint(-most, most + 1, (len(x),), device=x.device)), {}

    def forward(self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None) -> torch.Tensor:
        """z, y (batch, n_classes); y holds a 1 at the class."""
        return F.cross_entropy(z, y, weight=self.weights)


def shifted(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Move windows (batch, channel, time) later by ``by`` samples (batch,); zeros move in."""
    source = torch.arange(x.shape[2], device=x.device) - by[:, None]  # (batch, time)
    inside = (source >= 0) & (source < x.shape[2])
    rows = source.clamp(0, x.shape[2] - 1)[:, None].expand_as(x)
    return x.gather(2, rows) * inside[:, None]


def _codes_of(autoencoder: Autoencoder, data: Unlabelled, where: torch.device) -> list[torch.Tensor]:
    """Codes of all windows of each part, (window, token)."""
    autoencoder.eval().to(where)
    found: list[list[torch.Tensor]] = [[] for _ in data.x]
    for part, rows in data.blocks([torch.arange(len(x)) for x in data.x]):
        batch = {k: v.to(where) for k, v in data.context(part, rows).items()}
        found[part].append(autoencoder.code_index(batch.pop("x"), **batch).cpu())
    return [torch.cat(f) for f in found]


def _last(windows: Windows, share: float) -> np.ndarray:
    """Mask of the last windows of each recording, and at least two in all."""
    held = np.zeros(len(windows), dtype=bool)
    for number in np.unique(windows.index[:, 0]):
        rows = np.flatnonzero(windows.index[:, 0] == number)
        rows = rows[np.argsort(windows.index[rows, 1], kind="stable")]
        held[rows[len(rows) - int(share * len(rows)) :]] = True
    if held.sum() < 2:
        if len(windows) < 8:
            raise BraindecError(
                "too few windows to train on without labels", found=f"{len(windows)}", allowed="8 or more"
            )
        held[-2:] = True
    return held
