"""Targets read by blocks of columns: in memory, memory-mapped, or any object that returns an array when it is sliced.

One pass finds the mean of every target and the targets that cannot be fitted (constant, or with values that are not
finite); they are read as zeros from then on and counted by the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["Targets"]


class Targets:
    """Responses around their means, block by block.

    Parameters
    ----------
    Y : array-like of shape (n, t)
        Anything with ``shape`` and ``Y[:, a:b]``: array, memory map, HDF5 data set, lazily scaled integers.
    n_rows : int
        Rows that the features have.
    centre : bool
        Subtract the mean over all rows.
    block : int
        Targets read at a time.

    Attributes
    ----------
    mean : array of shape (t,), float64
        What was subtracted: the mean, 0 without centring.
    skipped : array of shape (t,), bool
    """

    def __init__(self, Y: Any, n_rows: int, *, centre: bool, block: int) -> None:
        shape = tuple(getattr(Y, "shape", ()))
        if len(shape) != 2 or shape[0] != n_rows or shape[1] < 1:
            raise BraindecError(
                "the responses Y must be (row, target) with a row for each row of the features",
                found=f"Y {shape or type(Y).__name__}, features with {n_rows} rows",
            )
        self._source, self.block = Y, max(1, min(block, shape[1]))
        self.n, self.t = int(shape[0]), int(shape[1])
        self.mean, self.skipped = np.zeros(self.t), np.zeros(self.t, dtype=bool)
        for part in self.slices():
            values = self._raw(part)
            constant = (values == values[0]).all(axis=0)
            with np.errstate(invalid="ignore", over="ignore"):
                mean = values.mean(axis=0, dtype=np.float64)
                spread = np.einsum("ij,ij->j", values, values)
            self.skipped[part] = constant | ~np.isfinite(mean) | ~np.isfinite(spread)
            if centre:
                self.mean[part] = np.where(self.skipped[part], 0.0, mean)

    def slices(self, block: int | None = None) -> Iterator[slice]:
        """Blocks of all targets, in order."""
        step = self.block if block is None else max(1, block)
        for a in range(0, self.t, step):
            yield slice(a, min(a + step, self.t))

    def read(self, part: slice) -> np.ndarray:
        """Centred float array (n, block); skipped targets are zeros."""
        values = self._raw(part)
        if self.mean[part].any():
            values = values - self.mean[part].astype(values.dtype)
        if self.skipped[part].any():
            values = np.where(self.skipped[part], 0.0, values).astype(values.dtype)
        return values

    def gather(self, columns: np.ndarray) -> np.ndarray:
        """Centred float array (n, len(columns)) of sorted column numbers, read block by block."""
        out = []
        for part in self.slices():
            inside = columns[(columns >= part.start) & (columns < part.stop)] - part.start
            if len(inside):
                out.append(self.read(part)[:, inside])
        return np.concatenate(out, axis=1) if out else np.empty((self.n, 0), dtype=np.float32)

    def _raw(self, part: slice) -> np.ndarray:
        values = np.asarray(self._source[:, part])
        if values.shape != (self.n, part.stop - part.start):
            raise BraindecError(
                f"the responses say {self.n} rows, but give another shape when columns {part.start} to {part.stop} are read",
                found=str(values.shape),
            )
        if values.dtype.kind not in "iufb":
            raise BraindecError("the responses must be real numbers", found=str(values.dtype))
        return values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
