"""Searchlight RSA: the geometry around every voxel (or vertex) compared with models, one map a model.

Spheres with equally many voxels are worked on together: their patterns are gathered into one array, all their Gram
matrices are one batched product, and all similarities with all models another. Nothing is made for a single centre.

Source: Kriegeskorte, Goebel & Bandettini 2006 (PNAS 103:3863); Nili et al. 2014 (PLoS Comput Biol 10:e1003553).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from tqdm import tqdm

from braindec.align.rsa._batched import batched_cells
from braindec.align.rsa._patterns import Patterns, gather
from braindec.align.rsa._tables import complete
from braindec.align.rsa.compare import Comparator, comparator_of
from braindec.align.rsa.measure import Measure
from braindec.align.rsa.rdm import RDMs, measure_of
from braindec.errors import BraindecError
from braindec.stats.asked import number, whole
from braindec.types import Recording

_BLOCK = 400_000  # numbers of float64 gathered at once: 3 MB stay in the cache

__all__ = ["Neighbours", "SearchlightMap", "coordinates_of", "searchlight", "searchlight_rdms", "spheres"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Which units belong to which centre, as one list cut into pieces.

    Parameters
    ----------
    indices : array of int, shape (n_all,)
        Units of the first centre, then of the second, ...
    starts : array of int, shape (n_centres + 1,)
        Where each centre's piece begins, and the end.
    centres : array of int, shape (n_centres,)
        The unit in the middle of each.
    """

    indices: np.ndarray
    starts: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def counts(self) -> np.ndarray:
        """Units a centre has, shape (n_centres,)."""
        return np.diff(self.starts)

    @staticmethod
    def from_lists(lists: Sequence[Sequence[int]], *, centres: Sequence[int] | None = None) -> Neighbours:
        """Make neighbours of one list of unit numbers a centre (vertices of a patch of cortex, channels of a cap).

        Raises
        ------
        BraindecError
            If there are none, or centres differ in number.
        """
        if isinstance(lists, str) or not np.iterable(lists):
            raise BraindecError(
                "neighbours are one list of unit numbers a centre",
                found=repr(lists)[:60],
                allowed="e.g. [[0, 1], [1, 2]]",
            )
        arrays = [_units(one, "neighbours") for one in lists]
        middle = np.arange(len(arrays)) if centres is None else _units(centres, "centres")
        if not arrays or len(middle) != len(arrays):
            raise BraindecError(
                "each centre needs one list of units", found=f"{len(arrays)} lists, {len(middle)} centres"
            )
        starts = np.concatenate([[0], np.cumsum([len(one) for one in arrays])])
        return Neighbours(np.concatenate(arrays), starts, middle)


def _units(values: Any, what: str) -> np.ndarray:
    """Numbers of units as int64 (n,); BraindecError for anything else, and for a unit that stands twice in a list."""
    found = np.asarray(values).ravel()
    if found.size and (found.dtype.kind not in "iu" or found.min() < 0 or len(np.unique(found)) < len(found)):
        raise BraindecError(
            f"{what} are numbers of units, each once", found=repr(found.tolist())[:60], allowed="0, 1, 2, ..."
        )
    return found.astype(np.int64)


@dataclass(frozen=True, eq=False)
class SearchlightMap:
    """Similarity of each model with the geometry around each centre.

    Parameters
    ----------
    values : array of shape (n_model, n_centres)
        NaN where it is not defined.
    centres : array of int, shape (n_centres,)
        The unit in the middle: row of the channels table, column of the patterns.
    n_units : array of int, shape (n_centres,)
        Units of each centre.
    models : DataFrame
        One row a model.
    measure, comparator : str
    notes : list of str
        How many centres are left out, and why.
    """

    values: np.ndarray
    centres: np.ndarray
    n_units: np.ndarray
    models: pd.DataFrame
    measure: str
    comparator: str
    notes: list[str] = field(default_factory=list)

    def on_units(self, n_units: int) -> np.ndarray:
        """Return the maps over all units, (n_model, n_units), NaN where no centre was."""
        if whole(n_units, "n_units") <= self.centres.max(initial=-1):
            raise BraindecError("the map has centres beyond these units", found=f"centre {self.centres.max()}, {n_units} units",
                                allowed="the number of units of the patterns")  # fmt: skip
        full = np.full((len(self.values), n_units), np.nan)
        full[:, self.centres] = self.values
        return full


def coordinates_of(channels: pd.DataFrame | Recording) -> np.ndarray:
    """Return the places of the voxels of a channels table: i, j, k in voxels, else x, y, z in metres; shape (n, 3).

    Raises
    ------
    BraindecError
        If the table has neither, or some are missing.
    """
    table = channels.channels if isinstance(channels, Recording) else channels
    if not isinstance(table, pd.DataFrame):
        raise BraindecError("places are read from a channels table", found=type(table).__name__, allowed="a DataFrame or Recording")  # fmt: skip
    for columns in (["i", "j", "k"], ["x", "y", "z"]):
        if set(columns) <= set(table.columns):
            places = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
            if np.isfinite(places).all():
                return places
    raise BraindecError(
        "a searchlight needs the place of every voxel", found=f"columns {list(table.columns)}",
        allowed="i, j, k (voxels) or x, y, z (m) without gaps",
        fix="give neighbours as lists of units: Neighbours.from_lists",
    )  # fmt: skip


def spheres(coordinates: Any, *, radius: float, centres: Sequence[int] | None = None) -> Neighbours:
    """Return the voxels within ``radius`` of each centre (the centre itself is one of them).

    Parameters
    ----------
    coordinates : array of shape (n_units, 3), channels table or Recording
        Places, in any unit.
    radius : float
        In that unit: voxels for i, j, k; metres for x, y, z.
    centres : sequence of int, optional
        Numbers of the units that get a sphere; all by default.

    Raises
    ------
    BraindecError
        If places are not finite, the radius is not positive, or a centre is no unit.
    """
    places = coordinates_of(coordinates) if isinstance(coordinates, (pd.DataFrame, Recording)) else coordinates
    places = np.asarray(places)
    if places.ndim != 2 or not places.size or places.dtype.kind not in "fiu" or not np.isfinite(places).all():
        raise BraindecError("places are a finite array of (unit, 3)", found=f"{places.dtype} of shape {places.shape}")
    places = places.astype(np.float64)
    if number(radius, "radius", unit="in the unit of the places") <= 0:
        raise BraindecError("the radius of a searchlight is positive", found=f"{radius}")
    n = len(places)
    pairs = cKDTree(places).query_pairs(radius * (1 + 1e-9), output_type="ndarray").astype(np.int32)
    own = np.arange(n, dtype=np.int32)
    rows, columns = np.concatenate([pairs[:, 0], pairs[:, 1], own]), np.concatenate([pairs[:, 1], pairs[:, 0], own])
    table = csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(n, n))
    table.sort_indices()
    if centres is None:
        return Neighbours(table.indices, table.indptr, np.arange(n))
    kept = _units(centres, "centres")
    if kept.size == 0 or kept.min() < 0 or kept.max() >= n:
        raise BraindecError("centres are numbers of units", found=f"{kept[:5]}", allowed=f"0 to {n - 1}")
    table = table[kept]
    return Neighbours(table.indices, table.indptr, kept)


def searchlight(
    values: Any,
    models: RDMs,
    *,
    neighbours: Neighbours,
    measure: str | Measure = "correlation",
    comparator: str | Comparator = "cosine",
    conditions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    noise: Any = None,
    sigma_k: np.ndarray | None = None,
    min_units: int = 5,
) -> SearchlightMap:
    """Compare the dissimilarity matrix around every centre with every model.

    Parameters
    ----------
    values : array of shape (n_items, n_units) or Features
        Patterns; see :func:`braindec.align.rsa.rdm.compute_rdm` for ``measure``, ``conditions`` and ``runs``.
    models : RDMs
        Over the same conditions, in any order.
    neighbours : Neighbours
        From :func:`spheres` or :meth:`Neighbours.from_lists`.
    comparator, sigma_k
        See :func:`braindec.align.rsa.compare.compare`.
    noise : array of shape (n_units,) or Noise of method "diag", optional
        Precision of each unit. A full matrix would mix units of different spheres and is refused.
    min_units : int
        Centres with fewer units are NaN and counted.

    Returns
    -------
    SearchlightMap

    Raises
    ------
    BraindecError
        For conditions that differ from the models', a full noise matrix, or no centre with enough units.
    """
    measure = measure_of(measure)
    comparator = comparator_of(comparator)
    complete(models=models)
    _neighbours(neighbours)
    patterns = _check(values, measure, conditions, runs, noise)
    A = comparator.check(_same_conditions(models, patterns), sigma_k, "model")
    embedded = None if comparator.embed is None else comparator.embed(A, sigma_k).T
    out = np.full((len(A), len(neighbours)), np.nan)
    lost = 0
    for rows, cells in _blocks(patterns, neighbours, measure, min_units):
        defined = np.isfinite(cells).all(axis=1) & (np.ptp(cells, axis=1) > 0)
        lost += int((~defined).sum())
        if not defined.all():
            rows, cells = rows[defined], cells[defined]
        if not len(rows):
            continue
        if embedded is None:
            out[:, rows] = comparator.pairwise(A, cells)
        else:
            out[:, rows] = (comparator.embed(cells, sigma_k) @ embedded).T
    if not np.isfinite(out).any():
        raise BraindecError("no centre has a matrix that can be compared: patterns do not vary", found=f"{lost} of {len(neighbours)} centres without variance")  # fmt: skip
    return SearchlightMap(
        out, neighbours.centres, neighbours.counts, models.table, measure.name, comparator.name,
        _notes(neighbours, min_units, lost),
    )  # fmt: skip


def searchlight_rdms(
    values: Any,
    *,
    neighbours: Neighbours,
    measure: str | Measure = "correlation",
    conditions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    noise: Any = None,
    min_units: int = 5,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (places among the centres (k,), cells (k, n_pairs)) block by block; not in order; small ones are left out.

    Cells are NaN where a correlation is not defined.
    """
    measure = measure_of(measure)
    yield from _blocks(_check(values, measure, conditions, runs, noise), neighbours, measure, min_units)


def _neighbours(neighbours: Any) -> None:
    if not isinstance(neighbours, Neighbours):
        raise BraindecError("neighbours say which units belong to which centre", found=type(neighbours).__name__,
                            fix="spheres(coordinates, radius=...) or Neighbours.from_lists(lists)")  # fmt: skip


def _check(values: Any, measure: Measure, conditions: Any, runs: Any, noise: Any) -> Patterns:
    patterns = gather(values, measure=measure, conditions=conditions, runs=runs, noise=noise)
    if patterns.whitening is not None and patterns.whitening.ndim == 2:
        raise BraindecError(
            "a full noise matrix mixes units of different spheres", allowed="the precision of each unit, shape (n_units,)",
            fix="noise_from_residuals(..., method='diag')",
        )  # fmt: skip
    if not patterns.grouping.present.all():
        run, condition = np.argwhere(~patterns.grouping.present)[0]
        raise BraindecError(
            "a searchlight needs every condition in every run",
            found=f"{patterns.names[condition]!r} is not in run {run + 1}",
        )
    return patterns


def _same_conditions(models: RDMs, patterns: Patterns) -> np.ndarray:
    probe = RDMs(np.zeros((1, len(patterns.names) * (len(patterns.names) - 1) // 2)), patterns.names)
    return models.aligned_to(probe).values


def _blocks(
    patterns: Patterns, neighbours: Neighbours, measure: Measure, min_units: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    _neighbours(neighbours)
    whole(min_units, "min_units", least=1)
    if len(neighbours.indices) and neighbours.indices.max() >= patterns.n_units:
        raise BraindecError(
            "neighbours name units that the patterns lack",
            found=f"unit {neighbours.indices.max()} of {patterns.n_units}",
        )
    by_unit = np.ascontiguousarray(np.concatenate(list(patterns.blocks()), axis=2).transpose(2, 0, 1))
    if measure.counts and (by_unit < 0).any():
        raise BraindecError(f"{measure.name} dissimilarities are of counts or rates, which are not negative")
    counts = neighbours.counts
    if not (counts >= min_units).any():
        raise BraindecError(
            f"no centre has {min_units} units",
            found=f"at most {counts.max(initial=0)}",
            fix="a larger radius, or min_units",
        )
    size = by_unit.shape[1] * by_unit.shape[2]
    with tqdm(total=int((counts >= min_units).sum()), desc="searchlight", disable=None) as bar:
        for count in np.unique(counts[counts >= min_units]):
            same = np.flatnonzero(counts == count)
            step = max(1, _BLOCK // (int(count) * size))
            for first in range(0, len(same), step):
                rows = same[first : first + step]
                units = neighbours.indices[neighbours.starts[rows][:, None] + np.arange(count)]
                block = by_unit[units].transpose(2, 0, 3, 1)  # (run, centre, condition, unit)
                yield rows, batched_cells(block if measure.runs else block[0], measure)[0]
                bar.update(len(rows))


def _notes(neighbours: Neighbours, min_units: int, lost: int) -> list[str]:
    few = int((neighbours.counts < min_units).sum())
    notes = (
        [f"{few:,} of {len(neighbours):,} centres have fewer than {min_units} units and are left out"] if few else []
    )
    if lost:
        notes.append(f"{lost:,} centres hold a pattern without variance or a matrix without contrast and are left out")
    return notes
