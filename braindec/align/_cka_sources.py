"""Items of two sources in one order, read in blocks of units or of items: arrays in memory, features on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Features

_BLOCK = 4_000_000  # numbers of float64 worked on at once: 32 MB

__all__ = ["Rows", "away_from_mean", "open_rows", "paired"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Some items and units of an array or a signal of (item, unit).

    Parameters
    ----------
    source : array or Signal of shape (any, any)
    rows, columns : array of int
        What is used of it, in order.
    ids : array of shape (n_items,) or None
        Names of the items, for Features.
    """

    source: Any
    rows: np.ndarray
    columns: np.ndarray
    ids: np.ndarray | None

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.rows)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.columns)

    def pick(self, places: np.ndarray) -> Rows:
        """Some of the items."""
        return replace(self, rows=self.rows[places], ids=None if self.ids is None else self.ids[places])

    def draw(self, n: int, rng: np.random.Generator) -> Rows:
        """``n`` units at random."""
        return replace(self, columns=np.sort(self.columns[rng.permutation(self.n_units)[:n]]))

    def joined(self, other: Rows) -> Rows:
        """These items in the order of ``other``: by name when both have names, else as they are.

        Raises
        ------
        BraindecError
            If items differ, or a name stands twice.
        """
        if self.ids is None or other.ids is None:
            if self.n_items != other.n_items:
                raise BraindecError("CKA is over the same items", found=f"{other.n_items} and {self.n_items} items")
            return self
        place = {name: i for i, name in enumerate(self.ids)}
        if len(place) < self.n_items or len(set(other.ids)) < other.n_items:
            raise BraindecError("a stimulus_id stands twice in the features", fix="average its rows first")
        if set(place) != set(other.ids):
            odd = sorted(set(place) ^ set(other.ids))
            raise BraindecError(
                "CKA is over the same items", found=f"{len(odd)} stimulus ids are in one only: {', '.join(map(repr, odd[:5]))}",
                fix="keep the common ones: features[features.items.stimulus_id.isin(common).to_numpy()]",
            )  # fmt: skip
        return self.pick(np.array([place[name] for name in other.ids]))

    def units(self) -> Iterator[np.ndarray]:
        """Blocks of units of all items, (n_items, some), float64."""
        step = max(64, _BLOCK // self.n_items)
        for start in range(0, self.n_units, step):
            columns = self.columns[start : start + step]
            yield self._read(self.rows, columns)

    def items(self) -> Iterator[np.ndarray]:
        """Blocks of items with all units, (some, n_units), float64; the same blocks for sources of one length."""
        step = 512
        for start in range(0, self.n_items, step):
            yield self._read(self.rows[start : start + step], self.columns)

    def mean(self) -> np.ndarray:
        """Mean of each unit over the items, shape (n_units,)."""
        return sum(block.sum(axis=0) for block in self.items()) / self.n_items

    def _read(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        low, high = int(columns[0]), int(columns[-1]) + 1  # columns rise
        if isinstance(self.source, np.ndarray):
            block = self.source[:, low:high] if _all_of(rows, len(self.source)) else self.source[rows, low:high]
        else:
            block = self.source.read(rows, low, high)
        if len(columns) < high - low:
            block = block[:, columns - low]
        block = np.asarray(block, dtype=np.float64)
        if not np.isfinite(block).all():
            row, unit = np.argwhere(~np.isfinite(block))[0]
            raise BraindecError(
                "CKA needs finite values", found=f"item {rows[row]}, unit {columns[unit]}: {block[row, unit]}",
                fix="leave these units or items out",
            )  # fmt: skip
        return block


def open_rows(values: Any) -> Rows:
    """Open Features or an array (n_items, n_units); nothing is read yet."""
    source = values.values if isinstance(values, Features) else np.asarray(values)
    if len(source.shape) != 2 or not source.shape[0] or not source.shape[1]:
        raise BraindecError("CKA is of arrays of (item, unit)", found=f"shape {tuple(source.shape)}")
    if isinstance(source, np.ndarray) and source.dtype.kind not in "fiub":
        raise BraindecError("CKA is of real numbers", found=f"values of {source.dtype}")
    ids = values.ids if isinstance(values, Features) else None
    return Rows(source, np.arange(source.shape[0]), np.arange(source.shape[1]), ids)


def paired(X: Any, Y: Any) -> tuple[Rows, Rows]:
    """Open both with their items in the order of the first."""
    first = open_rows(X)
    return first, open_rows(Y).joined(first)


def away_from_mean(block: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Take the mean of each unit from a block of items; what is only rounding becomes zero."""
    away = block - mean
    away[np.abs(away) <= 1e-13 * np.abs(mean)] = 0.0
    return away


def _all_of(rows: np.ndarray, n: int) -> bool:
    return len(rows) == n and rows[0] == 0 and rows[-1] == n - 1 and bool(np.all(np.diff(rows) == 1))
