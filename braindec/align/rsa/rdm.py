"""Dissimilarity matrices: how different the patterns of every two conditions are, one row a matrix.

A matrix of n conditions is kept as the n (n - 1) / 2 cells above its diagonal, row by row, in float64. Values may be
a memory map (10,000 conditions are 0.4 GB a matrix).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa._patterns import gather
from braindec.align.rsa.measure import Measure
from braindec.errors import BraindecError, did_you_mean, nearest
from braindec.files import check_room, written_whole
from braindec.registry import get
from braindec.types.signals import open_hdf5_dataset
from braindec.types.storage import hdf5, read_table, to_json, write_table

__all__ = ["RDMs", "cells_to_square", "compute_rdm", "measure_of", "n_conditions_of", "square_to_cells"]

_SMALL = 50_000_000  # cells


@dataclass(frozen=True, eq=False)
class RDMs:
    """Dissimilarity matrices over the same conditions.

    Parameters
    ----------
    values : array of float, shape (n_rdm, n_pairs)
        Cells above the diagonal, row by row: (0, 1), (0, 2), ..., (1, 2), ... NaN marks a missing cell.
    conditions : sequence, shape (n,)
        Name of each condition, kept as text; all different.
    table : DataFrame, optional
        One row a matrix: subject, region, layer, model, time, ...
    measure : str
        How the cells were computed.
    info : dict
        Anything else worth keeping (number of units, noise, version of the measure).

    Raises
    ------
    BraindecError
        If shapes do not fit or a condition stands twice.

    Examples
    --------
    >>> rdms = RDMs(np.array([[1.0, 2.0, 3.0]]), ["a", "b", "c"])
    >>> rdms.square()[0, 0]
    array([0., 1., 2.])
    """

    values: np.ndarray
    conditions: np.ndarray
    table: pd.DataFrame | None = None
    measure: str = ""
    info: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.dtype.kind not in "fiub":
            raise BraindecError("dissimilarities are real numbers", found=f"values of {values.dtype}")
        values = np.atleast_2d(values if values.dtype == np.float64 else values.astype(np.float64))
        named = [] if self.conditions is None else list(self.conditions)
        if any(c is None or c != c for c in named):
            raise BraindecError(
                "some conditions have no name", found=f"{len(named)} conditions", fix="name each of them"
            )
        conditions = np.array([str(c) for c in named], dtype=object)
        n = len(conditions)
        if values.ndim != 2 or values.shape[1] != n * (n - 1) // 2 or n < 2:
            raise BraindecError(
                "dissimilarities and their conditions differ in number",
                found=f"values {values.shape}, {n} conditions",
                allowed=f"(number of matrices, {n * (n - 1) // 2}) for {n} conditions; at least 2 conditions",
                fix="for square matrices use RDMs.from_square",
            )
        _all_different(conditions)
        if values.size < _SMALL and np.isinf(values).any():  # large ones are on disk and are not read here
            raise BraindecError(
                "dissimilarities are finite, or NaN where they are missing",
                found=f"{int(np.isinf(values).sum())} infinite cells",
            )
        table = pd.DataFrame(index=range(len(values))) if self.table is None else self.table.reset_index(drop=True)
        if len(table) != len(values):
            raise BraindecError(
                "matrices and their table differ in number", found=f"{len(values)} and {len(table)} rows"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "conditions", conditions)
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "info", dict(self.info or {}))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return len(self.conditions)

    @property
    def n_pairs(self) -> int:
        """Number of cells of a matrix."""
        return self.values.shape[1]

    @property
    def missing(self) -> np.ndarray:
        """Which cells are missing, bool of shape (n_rdm, n_pairs)."""
        return np.isnan(self.values)

    def square(self) -> np.ndarray:
        """Return full symmetric matrices with zeros on the diagonal, shape (n_rdm, n, n)."""
        return cells_to_square(self.values)

    def __getitem__(self, rows: Any) -> RDMs:
        """Return the matrices of ``rows`` (number, slice, mask or numbers)."""
        kept = np.atleast_1d(np.arange(len(self))[rows])
        return replace(self, values=self.values[kept], table=self.table.iloc[kept])

    def where(self, **keys: Any) -> RDMs:
        """Return the matrices whose table has these values, e.g. ``rdms.where(region="IFG", subject=["01", "02"])``.

        Raises
        ------
        BraindecError
            If the table has no such column or value, or no matrix is left.
        """
        kept = np.ones(len(self), dtype=bool)
        for column, wanted in keys.items():
            if column not in self.table:
                raise BraindecError(
                    f"the table of the matrices has no column {column!r}", allowed=", ".join(self.table)
                )
            several = list(wanted) if isinstance(wanted, (list, tuple, set, np.ndarray)) else [wanted]
            there = self.table[column]
            if unknown := [value for value in several if not there.isin([value]).any()]:
                names = list(dict.fromkeys(map(str, there)))
                raise BraindecError(f"no matrix has {column}={unknown[0]!r}{did_you_mean(str(unknown[0]), names)}", found=f"{len(self)} matrices",
                                    allowed=", ".join(names[:20]))  # fmt: skip
            kept &= there.isin(several).to_numpy()
        if not kept.any():
            raise BraindecError(f"no matrix has {keys}", found=f"{len(self)} matrices with {list(self.table)}")
        return self[kept]

    def subset(self, conditions: Sequence[Any]) -> RDMs:
        """Return the matrices of some conditions, in the order given (also used to reorder all of them).

        Raises
        ------
        BraindecError
            If a condition is unknown or stands twice.
        """
        asked = np.array([str(c) for c in conditions], dtype=object)
        _all_different(asked)
        place = pd.Index(self.conditions).get_indexer(pd.Index(asked))
        if (place < 0).any():
            unknown = asked[place < 0]
            near = nearest(unknown[0], self.conditions[:5000]) or list(self.conditions[:3])
            raise BraindecError(
                f"{len(unknown)} of {len(asked)} conditions are not in the matrices", found=", ".join(map(repr, unknown[:5])),
                allowed=f"{self.n_conditions} conditions such as {', '.join(map(repr, near))}",
            )  # fmt: skip
        if np.array_equal(place, np.arange(self.n_conditions)):
            return self
        return replace(self, values=self.values[:, pair_places(place, self.n_conditions)], conditions=asked)

    def aligned_to(self, other: RDMs) -> RDMs:
        """Return these matrices with the conditions in the order of ``other``.

        Raises
        ------
        BraindecError
            If the two do not hold the same conditions.
        """
        mine, theirs = set(self.conditions), set(other.conditions)
        if mine != theirs:
            only_mine, only_theirs = sorted(mine - theirs), sorted(theirs - mine)
            raise BraindecError(
                "dissimilarity matrices are compared over the same conditions",
                found=f"{len(mine)} and {len(theirs)} conditions, {len(mine & theirs)} in common; only in one: "
                f"{', '.join(map(repr, (only_mine + only_theirs)[:5]))}",
                fix="keep the common ones: rdms.subset(names) on both",
            )
        return self.subset(other.conditions)

    def save(self, path: str | Path) -> RDMs:
        """Write an HDF5 file (contiguous float64) and return the matrices opened from it."""
        path = _path(path)
        if not path.parent.is_dir():
            raise BraindecError(f"matrices cannot be written to {path}", found=f"no folder {path.parent}", fix="make the folder first")  # fmt: skip
        check_room(path, self.values.nbytes)
        with written_whole(path) as temporary, hdf5(temporary, "w") as file:
            file.create_dataset("values", data=self.values)
            file.attrs.update(kind="rdms", measure=self.measure, info=to_json(dict(self.info)))
            write_table(file, "table", self.table)
            write_table(file, "conditions", pd.DataFrame({"condition": self.conditions}))
        return RDMs.open(path)

    @staticmethod
    def open(path: str | Path) -> RDMs:
        """Open matrices that :meth:`save` wrote; values stay on disk, memory-mapped."""
        import json

        path = _path(path)
        with hdf5(path, "r") as file:
            if file.attrs.get("kind") != "rdms":
                raise BraindecError(f"{path} does not hold dissimilarity matrices", found=f"datasets {list(file)}")
            table, conditions = read_table(file, "table"), read_table(file, "conditions")["condition"]
            measure, info = str(file.attrs["measure"]), json.loads(file.attrs["info"])
        return RDMs(open_hdf5_dataset(path, "values"), conditions.to_numpy(), table, measure, info)

    @staticmethod
    def from_square(
        matrices: np.ndarray, conditions: Sequence[Any], *, table: pd.DataFrame | None = None, measure: str = ""
    ) -> RDMs:
        """Make RDMs of symmetric matrices (n_rdm, n, n) or (n, n).

        Raises
        ------
        BraindecError
            If a matrix is not square and symmetric with zeros on its diagonal (1e-8 of its largest cell).
        """
        matrices = np.asarray(matrices, dtype=np.float64)
        matrices = matrices[None] if matrices.ndim == 2 else matrices
        if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2]:
            raise BraindecError("dissimilarity matrices are square", found=f"shape {matrices.shape}")
        if np.isinf(matrices).any():
            raise BraindecError("dissimilarities are finite, or NaN where they are missing",
                                found=f"{int(np.isinf(matrices).sum())} infinite cells")  # fmt: skip
        scale = np.nanmax(np.abs(matrices), initial=0.0)
        if not np.allclose(matrices, matrices.swapaxes(1, 2), rtol=0, atol=1e-8 * scale, equal_nan=True):
            raise BraindecError(
                "dissimilarity matrices are symmetric", found="a matrix that differs from its transpose"
            )
        diagonal = np.diagonal(matrices, axis1=1, axis2=2)
        if (np.abs(diagonal) > 1e-8 * scale).any():
            raise BraindecError(
                "a condition differs from itself: these are no dissimilarities",
                found=f"{diagonal[np.abs(diagonal) > 1e-8 * scale][0]:g} on the diagonal", allowed="0 (or NaN) on the diagonal",
                fix="turn similarities into dissimilarities first: 1 - correlations",
            )  # fmt: skip
        return RDMs(square_to_cells(matrices), np.asarray(conditions, dtype=object), table, measure)

    @staticmethod
    def concat(parts: Sequence[RDMs]) -> RDMs:
        """Put matrices below one another; conditions are brought into the order of the first.

        Raises
        ------
        BraindecError
            If there are none, or conditions or measures differ.
        """
        parts = list(parts)
        if not parts:
            raise BraindecError("there are no matrices to put together", found="an empty list")
        measures = sorted({p.measure for p in parts})
        if len(measures) > 1:
            raise BraindecError("matrices of different measures cannot be put together", found=", ".join(measures))
        aligned = [p.aligned_to(parts[0]) for p in parts]
        table = (
            pd.concat([p.table for p in parts], ignore_index=True) if any(len(p.table.columns) for p in parts) else None
        )
        return replace(parts[0], values=np.concatenate([p.values for p in aligned]), table=table)

    def __repr__(self) -> str:
        return f"<RDMs {len(self)} x {self.n_conditions} conditions, {self.measure or 'measure not named'}>"


def compute_rdm(
    values: Any,
    *,
    measure: str | Measure = "correlation",
    conditions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    noise: Any = None,
    table: Mapping[str, Any] | None = None,
) -> RDMs:
    """Return the dissimilarity matrix of patterns.

    Rows of one condition are averaged first (over rows for plain measures, within runs for cross-validated ones).
    Everything is float64; units are read in blocks, so memory holds one block and n x n numbers.

    Parameters
    ----------
    values : array of shape (n_items, n_units) or Features
        Patterns, in memory or on disk.
    measure : str or Measure
        A name of ``align.rsa.rdms``: correlation, squared_euclidean, mahalanobis, crossnobis, poisson, ...
    conditions : sequence, shape (n_items,), optional
        Condition of each row; order of first appearance. By default each row is one, named by its stimulus_id.
    runs : sequence, shape (n_items,), optional
        Run of each row, for cross-validated measures: noise must be independent between runs.
    noise : array of shape (n_units, n_units) or (n_units,), or Noise, optional
        Precision (inverse covariance) of the noise, full or its diagonal; see :mod:`braindec.align.rsa.noise`.
    table : mapping, optional
        What the row of the result's table says: subject, region, ...

    Returns
    -------
    RDMs
        One matrix.

    Raises
    ------
    BraindecError
        For values that are not finite, a condition whose pattern has no variance (correlation), negative counts
        (poisson), a cross-validated measure without runs, or noise of another shape.
    """
    measure = measure_of(measure)
    patterns = gather(values, measure=measure, conditions=conditions, runs=runs, noise=noise)
    cells = square_to_cells(patterns.dissimilarities(measure))[None]
    info = {"version": measure.version, "n_units": patterns.n_units, "unit": measure.unit}
    if measure.runs:
        info["runs"] = int(patterns.n_runs)
    if table is not None and not isinstance(table, Mapping):
        raise BraindecError(
            "table says what the matrix is of",
            found=repr(table)[:60],
            allowed="e.g. {'subject': '01', 'region': 'IFG'}",
        )
    return RDMs(cells, patterns.names, None if table is None else pd.DataFrame([dict(table)]), measure.name, info)


def _path(path: Any) -> Path:
    if not isinstance(path, (str, Path)) or not str(path):
        raise BraindecError("no file of matrices was named", found=repr(path), allowed="a path such as rdms.h5")
    return Path(path)


def measure_of(measure: str | Measure) -> Measure:
    """Return a measure by name, or itself."""
    return measure if isinstance(measure, Measure) else get("align.rsa.rdms", str(measure))


def cells_to_square(cells: np.ndarray) -> np.ndarray:
    """Full symmetric matrices (..., n, n) of cells (..., n_pairs); zeros on the diagonal."""
    n = n_conditions_of(cells.shape[-1])
    rows, columns = np.triu_indices(n, 1)
    full = np.zeros((*cells.shape[:-1], n, n))
    full[..., rows, columns] = cells
    full[..., columns, rows] = cells
    return full


def square_to_cells(square: np.ndarray) -> np.ndarray:
    """Cells above the diagonal (..., n_pairs), row by row, of matrices (..., n, n)."""
    n = square.shape[-1]
    rows, columns = np.triu_indices(n, 1)
    flat = np.ascontiguousarray(square).reshape(*square.shape[:-2], n * n)
    return flat[..., rows * n + columns]


def n_conditions_of(n_pairs: int) -> int:
    """Return n for n (n - 1) / 2 cells.

    Raises
    ------
    BraindecError
        If there is no such n.
    """
    n = int((1 + np.sqrt(1 + 8 * n_pairs)) / 2)
    if n * (n - 1) // 2 != n_pairs or n < 2:
        raise BraindecError(f"{n_pairs} cells are not the upper triangle of a matrix", allowed="1, 3, 6, 10, 15, ...")
    return n


def pair_places(order: np.ndarray, n: int) -> np.ndarray:
    """Where the cells of conditions ``order`` stand among the cells of ``n`` conditions, shape (n_pairs of order,)."""
    first, second = np.triu_indices(len(order), 1)
    a, b = np.asarray(order)[first], np.asarray(order)[second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    return low * (2 * n - low - 1) // 2 + high - low - 1


def _all_different(conditions: np.ndarray) -> None:
    index = pd.Index(conditions)
    if not index.is_unique:
        twice = index[index.duplicated()].unique()
        raise BraindecError("a condition stands twice", found=", ".join(map(repr, twice[:5])))
