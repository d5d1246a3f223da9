"""Batches of windows and targets for the training loop: from memory when they fit, else read batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch

from braindec.decoders._reading import WindowReader
from braindec.types import Windows

__all__ = ["Batches", "content_part"]


class Batches:
    """Shuffled batches of one epoch; called with a generator by the training loop.

    Parameters
    ----------
    windows : Windows
    reader : WindowReader
        Fitted transforms.
    targets : array of shape (n_items, dim), float32
        Standardised embeddings of the stimuli.
    codes : array of shape (n_windows,)
        Row of ``targets`` of each window; also its identity.
    subjects : array of shape (n_windows,), optional
        Number of the subject, -1 for an unknown one.
    batch_size : int
    average : int
        So many windows of one stimulus and one of ``groups`` are averaged into one example, dealt anew each epoch.
    groups : array of shape (n_windows,), optional
        Only windows of the same group (subject) are averaged.
    ram_limit : float
        MiB that the windows may take in memory; more are read batch by batch.
    """

    def __init__(
        self,
        windows: Windows,
        reader: WindowReader,
        targets: np.ndarray,
        codes: np.ndarray,
        *,
        subjects: np.ndarray | None = None,
        batch_size: int = 64,
        average: int = 1,
        groups: np.ndarray | None = None,
        ram_limit: float = 1024.0,
    ) -> None:
        self.windows, self.reader, self.codes, self.subjects = windows, reader, np.asarray(codes), subjects
        self.targets = torch.from_numpy(np.ascontiguousarray(targets, dtype=np.float32))
        self.batch_size, self.average = batch_size, average
        labels = np.zeros(len(self.codes)) if groups is None else groups
        _, self.owner = np.unique(
            np.stack([self.codes.astype(str), np.asarray(labels).astype(str)]), axis=1, return_inverse=True
        )
        self.memory: np.ndarray | None = None
        if 4 * np.prod(windows.shape, dtype=float) <= ram_limit * 2**20:
            self.memory = np.empty(windows.shape, dtype=np.float32)
            for rows, block in reader.blocks(windows):
                self.memory[rows] = block

    def __call__(self, generator: torch.Generator) -> Iterator[dict[str, torch.Tensor]]:
        """Give the batches of one epoch; a last batch of a single example is left out (it has no negatives)."""
        units = self._units(generator)
        for start in range(0, len(units), self.batch_size):
            some = units[start : start + self.batch_size]
            if len(some) > 1:
                yield self.batch(some)

    def fixed(self, seed: int) -> Iterator[dict[str, torch.Tensor]]:
        """Give batches that are the same each time, for validation; none is left out."""
        units = (
            self._units(torch.Generator().manual_seed(seed))
            if self.average > 1
            else list(np.arange(len(self.codes))[:, None])
        )
        for start in range(0, len(units), self.batch_size):
            yield self.batch(units[start : start + self.batch_size])

    def batch(self, units: list[np.ndarray]) -> dict[str, torch.Tensor]:
        """Make a batch; each unit holds the rows that are averaged into one example."""
        rows = np.concatenate(units)
        x = torch.from_numpy(self._read(rows))
        first = np.array([u[0] for u in units])
        if self.average > 1:
            owner = torch.from_numpy(np.repeat(np.arange(len(units)), [len(u) for u in units]))
            total = torch.zeros((len(units), *x.shape[1:])).index_add_(0, owner, x)
            x = total / torch.tensor([len(u) for u in units], dtype=torch.float32)[:, None, None]
        codes = torch.from_numpy(self.codes[first].astype(np.int64))
        made = {"x": x, "y": self.targets[codes], "ids": codes}
        if self.subjects is not None:
            made["subject"] = torch.from_numpy(self.subjects[first].astype(np.int64))
        return made

    def fingerprint(self) -> str:
        """A hash that tells other data apart: names, targets and a few windows as the model sees them."""
        digest = hashlib.sha256("\n".join(map(str, self.windows.ids)).encode())
        digest.update(self.targets.numpy().tobytes() + self.codes.astype(np.int64).tobytes())
        probe = np.unique(np.linspace(0, len(self.windows) - 1, 8).round().astype(int))
        digest.update(self._read(probe).tobytes())
        return digest.hexdigest()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        return self.memory[rows] if self.memory is not None else self.reader.read(self.windows, rows)

    def _units(self, generator: torch.Generator) -> list[np.ndarray]:
        order = torch.randperm(len(self.codes), generator=generator).numpy()
        if self.average == 1:
            return list(order[:, None])
        order = order[np.argsort(self.owner[order], kind="stable")]  # rows of one group together, in random order
        starts = np.flatnonzero(np.r_[True, np.diff(self.owner[order]) != 0])
        place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        units = np.split(order, np.flatnonzero(place % self.average == 0)[1:])
        return [units[i] for i in torch.randperm(len(units), generator=generator).tolist()]


def content_part(contents: np.ndarray, share: float) -> np.ndarray:
    """Return a mask of rows whose content is among the first ``share`` by hash: the same contents in every cohort."""
    names = np.unique(contents.astype(str))
    order = sorted(names, key=lambda name: hashlib.sha256(f"validation\n{name}".encode()).digest())
    return np.isin(contents.astype(str), order[: max(1, round(share * len(names)))])
