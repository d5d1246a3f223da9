"""Parcels as the columns of a CIFTI file (ptseries, pscalar): their names, and what vertices and voxels they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._cifti_model import grid_difference, short, volume_of


@dataclass(frozen=True, eq=False)
class ParcelModel:
    """Parcels in the order of a file.

    Parameters
    ----------
    names : tuple of str
        One a parcel.
    vertices : tuple of dict of str to array of int
        Vertices of each parcel, a structure.
    voxels : tuple of array of int, shape (n, 3)
        Voxels of each parcel.
    n_vertices : dict of str to int
        Number of vertices of each whole surface.
    grid, affine
        As in :class:`braindec.loaders._cifti_model.BrainModel`.
    """

    names: tuple[str, ...]
    vertices: tuple[Mapping[str, np.ndarray], ...]
    voxels: tuple[np.ndarray, ...]
    n_vertices: Mapping[str, int]
    grid: tuple[int, int, int] | None = None
    affine: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of parcels."""
        return len(self.names)

    @property
    def structures(self) -> list[str]:
        """Names of the surfaces that have parcels."""
        return list(dict.fromkeys(s for held in self.vertices for s in held))

    def describe(self) -> str:
        """Return the counts in one line."""
        return f"{self.size} parcels ({', '.join(self.names[:3])}{', ...' if self.size > 3 else ''})"

    def rows_of(self, structures: str | Sequence[str] | None) -> np.ndarray:
        """Return the parcels with these names (None: all)."""
        if structures is None:
            return np.arange(self.size)
        wanted = [structures] if isinstance(structures, str) else [str(s) for s in structures]
        unknown = [w for w in wanted if w not in self.names]
        if unknown:
            raise BraindecError(
                f"there is no parcel {unknown[0]!r}{did_you_mean(unknown[0], self.names)}",
                found=f"{self.describe()}; a file of parcels has no structures to choose",
                fix="name parcels, or use the dense file (dtseries, dscalar)",
            )
        return np.flatnonzero(np.isin(self.names, wanted))

    def take(self, rows: np.ndarray) -> ParcelModel:
        """Return the model of some parcels."""
        rows = np.asarray(rows)
        held = tuple(self.vertices[r] for r in rows)
        left = {s: n for s, n in self.n_vertices.items() if any(s in v for v in held)}
        return ParcelModel(
            tuple(self.names[r] for r in rows), held, tuple(self.voxels[r] for r in rows), left, self.grid, self.affine
        )

    def difference(self, other: Any) -> list[str]:
        """Return what differs in ``other``, in words."""
        if not isinstance(other, ParcelModel):
            return [f"parcels against {other.describe()}"]
        if self.names != other.names:
            if self.size != other.size:
                return [f"{self.size} against {other.size} parcels"]
            first = next(k for k, (a, b) in enumerate(zip(self.names, other.names, strict=True)) if a != b)
            return [f"parcel {first + 1} is {self.names[first]!r} against {other.names[first]!r}"]
        if dict(self.n_vertices) != dict(other.n_vertices):
            return [f"surfaces of {dict(self.n_vertices)} against {dict(other.n_vertices)} vertices"]
        wrong = [n for k, n in enumerate(self.names) if not self._same(other, k)]
        said = [f"{len(wrong)} parcels hold other vertices or voxels: {', '.join(wrong[:4])}"] if wrong else []
        return said + grid_difference(self, other)

    def _same(self, other: ParcelModel, k: int) -> bool:
        mine, theirs = self.vertices[k], other.vertices[k]
        return (
            mine.keys() == theirs.keys()
            and all(np.array_equal(mine[s], theirs[s]) for s in mine)
            and np.array_equal(self.voxels[k], other.voxels[k])
        )

    def channels(self) -> pd.DataFrame:
        """Return the channel table; positions (centres in m) only of parcels that hold voxels alone."""
        xyz = np.full((self.size, 3), np.nan)
        for k, (held, voxels) in enumerate(zip(self.vertices, self.voxels, strict=True)):
            if len(voxels) and not held and self.affine is not None:
                xyz[k] = (voxels.mean(axis=0) @ self.affine[:3, :3].T + self.affine[:3, 3]) / 1000
        counts = [sum(map(len, h.values())) + len(v) for h, v in zip(self.vertices, self.voxels, strict=True)]
        structure = ["+".join(short(s) for s in h) or "n/a" for h in self.vertices]
        return pd.DataFrame(
            {"name": self.names, "type": "parcel", "unit": "a.u.", "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2],
             "region": self.names, "structure": structure, "n_grayordinates": counts}
        )  # fmt: skip

    def to_map(self, dimension: int) -> Any:
        """Return nibabel's index map of this model."""
        from nibabel import cifti2

        out = cifti2.Cifti2MatrixIndicesMap([dimension], "CIFTI_INDEX_TYPE_PARCELS")
        if self.affine is not None:
            out.volume = cifti2.Cifti2Volume(
                self.grid, cifti2.Cifti2TransformationMatrixVoxelIndicesIJKtoXYZ(-3, np.asarray(self.affine))
            )
        for structure, n in self.n_vertices.items():
            out.append(cifti2.Cifti2Surface(structure, n))
        for name, held, voxels in zip(self.names, self.vertices, self.voxels, strict=True):
            inside = cifti2.Cifti2VoxelIndicesIJK(voxels.tolist()) if len(voxels) else None
            parcel = cifti2.Cifti2Parcel(name, inside)
            for structure, places in held.items():
                parcel.append_cifti_vertices(cifti2.Cifti2Vertices(structure, places.tolist()))
            out.append(parcel)
        return out

    @staticmethod
    def from_map(index_map: Any, path: str) -> ParcelModel:
        """Read nibabel's index map."""
        grid, affine = volume_of(index_map)
        parcels = list(index_map.parcels)
        vertices = tuple(
            {v.brain_structure: np.array(list(v), dtype=np.int64) for v in (p.vertices or [])} for p in parcels
        )
        voxels = tuple(np.array(list(p.voxel_indices_ijk or []), dtype=np.int64).reshape(-1, 3) for p in parcels)
        n_vertices = {s.brain_structure: int(s.surface_number_of_vertices) for s in index_map.surfaces}
        return ParcelModel(tuple(p.name for p in parcels), vertices, voxels, n_vertices, grid, affine)
