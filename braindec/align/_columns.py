"""Bands as one matrix: checked, scaled by training rows, delayed within runs; and responses read by rows and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge import contiguous_folds, group_folds
from braindec.signal.delays import delayed

__all__ = ["RowsOf", "Scaler", "check_bands", "fit_scaler", "inner_folds", "joined", "same_bands"]

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and scale of the columns of one band over training rows; a constant column becomes 0.

    Parameters
    ----------
    mean, scale : array of shape (n_columns,)
        A column ``x`` becomes ``(x - mean) * scale``.
    low, high : array of shape (n_columns,)
        Values are held to these: the range of the training rows, half as wide again on each side. A column that hardly
        moves in training (a pixel at the rim) would else be blown up where it moves, and no linear model knows anything
        that far out.
    """

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def n_constant(self) -> int:
        """Columns that never change in the training rows."""
        return int(np.sum(self.scale == 0))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled values, (..., n_columns)."""
        return (np.clip(values, self.low, self.high) - self.mean) * self.scale


def fit_scaler(values: np.ndarray, *, weight: float = 1.0) -> Scaler:
    """Scale the columns of training rows (row, column) to variance ``weight ** 2``."""
    mean, spread = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    moving = spread > 1e-7 * np.maximum(np.abs(mean), 1e-30)
    low, high = values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    room = 0.5 * (high - low)
    return Scaler(mean, np.where(moving, weight / np.where(moving, spread, 1.0), 0.0), low - room, high + room)


def check_bands(bands: Mapping[str, Any], n: int | None = None) -> dict[str, np.ndarray]:
    """Return the bands as float arrays of (row, column) with one number of rows.

    Raises
    ------
    BraindecError
        If there is none, shapes do not fit, or a value is not finite (band and column are named).
    """
    if not isinstance(bands, Mapping) or not bands:
        raise BraindecError("an encoding model needs at least one band", found=f"{type(bands).__name__} of {len(bands)}" if hasattr(bands, "__len__") else repr(bands),
                            fix='bands={"category": array of shape (n_rows, n_columns)}')  # fmt: skip
    out = {}
    for name, values in bands.items():
        values = np.asarray(values)
        values = values if values.dtype == np.float32 else values.astype(np.float64)
        if values.ndim != 2 or not values.shape[1]:
            raise BraindecError(f"band {name!r} is not a matrix of (row, column)", found=f"shape {values.shape}")
        n = len(values) if n is None else n
        if len(values) != n:
            raise BraindecError(
                f"the rows of band {name!r} do not fit", found=f"{len(values)} rows for {n} rows of the other bands or the responses",
                fix="describe every volume (or trial) of every run, in the same order as the responses",
            )  # fmt: skip
        bad = ~np.isfinite(values)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise BraindecError(
                f"band {name!r} holds values that are not finite",
                found=f"{int(bad.sum())} values in {int(bad.any(axis=0).sum())} of {values.shape[1]} columns; the first is {values[row, column]} in column {column}, row {row}",
                fix="fill them (confounds often start with NaN), or leave the column out",
            )  # fmt: skip
        out[str(name)] = values
    return out


def same_bands(bands: Mapping[str, np.ndarray], widths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return the bands in the order of fitting; raise unless they are those that were fitted."""
    for name in widths:
        if name not in bands:
            raise BraindecError(
                f"band {name!r} was fitted and is missing{did_you_mean(name, bands)}", found=", ".join(bands)
            )
        if bands[name].shape[1] != widths[name]:
            raise BraindecError(f"band {name!r} has another number of columns than when it was fitted",
                                found=f"{bands[name].shape[1]}, fitted with {widths[name]}")  # fmt: skip
    more = [name for name in bands if name not in widths]
    if more:
        raise BraindecError(f"band {more[0]!r} was not fitted", allowed=", ".join(widths))
    return {name: bands[name] for name in widths}


def joined(
    bands: Mapping[str, np.ndarray], scalers: Mapping[str, Scaler], delays: Sequence[int], runs: np.ndarray | None, dtype: Any
) -> tuple[np.ndarray, dict[str, slice]]:  # fmt: skip
    """Scale, delay and join the bands: (n_rows, n_columns of all bands and delays), and the columns of each band."""
    parts, slices, start = [], {}, 0
    for name, values in bands.items():
        part = delayed(scalers[name].apply(values), delays, runs=runs).astype(dtype)
        slices[name] = slice(start, start + part.shape[1])
        start += part.shape[1]
        parts.append(part)
    return np.concatenate(parts, axis=1), slices


def inner_folds(n: int, n_folds: int, *, runs: np.ndarray | None, groups: np.ndarray | None, buffer: int = 0) -> Folds:
    """Folds inside the training rows: by groups, by runs (3 or more), or by contiguous blocks of each run.

    Parameters
    ----------
    n : int
        Training rows.
    n_folds : int
        Folds at most.
    runs, groups : array of shape (n,), optional
        Of the training rows.
    buffer : int
        Rows beside a held-out contiguous block that leave training; runs and groups are apart already.
    """
    for labels, least in ((groups, 2), (runs, 3)):
        names = None if labels is None else np.asarray(labels).astype(str)
        if names is not None and (count := len(np.unique(names))) >= least:
            return group_folds(names, min(n_folds, count))
    if n < 2 * n_folds:
        raise BraindecError("there are too few training rows to choose a penalty", found=f"{n} rows for {n_folds} inner folds",
                            fix="inner_folds=2, or more data")  # fmt: skip
    return contiguous_folds(n, n_folds, runs=runs, buffer=buffer)


@dataclass(frozen=True, eq=False)
class RowsOf:
    """Some rows of responses, read by blocks of columns when they are asked for: ``view[:, a:b]``, ``view[rows, a:b]``."""

    source: Any
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_targets)."""
        return len(self.rows), int(self.source.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return np.dtype(getattr(self.source, "dtype", np.float32))

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        return read_block(self.source, columns)[self.rows[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)


def read_block(Y: Any, columns: Any) -> np.ndarray:
    """All rows of a block of columns; whatever ``Y`` is (array, memory map, HDF5, responses), it is read by columns."""
    return np.asarray(Y[:, columns])
