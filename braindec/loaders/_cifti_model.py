"""Brain models of CIFTI: which vertex or voxel each column of a file is, and in words how two of them differ.

Source: CIFTI-2 specification (Glasser et al. 2013, NeuroImage 80:105; nitrc.org/projects/cifti), section "Brain models".

Differs from nibabel's ``BrainModelAxis`` in: the exponent of the volume's transformation is applied (affines are always in
mm), one structure may stand both as a surface and as voxels, and nothing loops over grayordinates in Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean

PREFIX = "CIFTI_STRUCTURE_"
CORTEX = (f"{PREFIX}CORTEX_LEFT", f"{PREFIX}CORTEX_RIGHT")
GROUPS = ("all", "cortex", "subcortex")


@dataclass(frozen=True)
class Block:
    """Neighbouring grayordinates of one structure; ``n_vertices`` is that of the whole surface, 0 for voxels."""

    structure: str
    count: int
    n_vertices: int = 0

    @property
    def surface(self) -> bool:
        """Whether it is a surface (else voxels)."""
        return self.n_vertices > 0


@dataclass(frozen=True, eq=False)
class BrainModel:
    """Grayordinates in the order of a file.

    Parameters
    ----------
    blocks : tuple of Block
        Structures in order.
    vertex : array of int, shape (n,)
        Vertex of each grayordinate on its surface; -1 for voxels.
    voxel : array of int, shape (n, 3)
        Voxel (i, j, k) of each grayordinate; -1 for vertices.
    grid : tuple of int, optional
        Shape of the volume, when there are voxels.
    affine : array of shape (4, 4), optional
        Voxel to mm.
    """

    blocks: tuple[Block, ...]
    vertex: np.ndarray
    voxel: np.ndarray
    grid: tuple[int, int, int] | None = None
    affine: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of grayordinates."""
        return len(self.vertex)

    @property
    def structures(self) -> list[str]:
        """Names of the structures in order."""
        return list(dict.fromkeys(b.structure for b in self.blocks))

    @property
    def n_vertices(self) -> dict[str, int]:
        """Number of vertices of each whole surface."""
        return {b.structure: b.n_vertices for b in self.blocks if b.surface}

    @cached_property
    def block_of(self) -> np.ndarray:
        """Number of the block of each grayordinate, shape (n,)."""
        return np.repeat(np.arange(len(self.blocks)), [b.count for b in self.blocks])

    @cached_property
    def structure_of(self) -> np.ndarray:
        """Name of the structure of each grayordinate, shape (n,)."""
        return np.array([b.structure for b in self.blocks], dtype=object)[self.block_of]

    def describe(self) -> str:
        """Return the counts in one line."""
        surfaces = [f"{short(b.structure)} {b.count} of {b.n_vertices} vertices" for b in self.blocks if b.surface]
        voxels = [b for b in self.blocks if not b.surface]
        many = f"{sum(b.count for b in voxels)} voxels in {len(voxels)} structures"
        return f"{self.size} grayordinates: " + ", ".join([*surfaces, *([many] if voxels else [])])

    def rows_of(self, structures: str | Sequence[str] | None) -> np.ndarray:
        """Return the grayordinates of some structures, in the order of the file.

        Parameters
        ----------
        structures : str or list of str, optional
            "all", "cortex" (both surfaces), "subcortex" (all voxels), or names in any of the usual spellings
            ("CIFTI_STRUCTURE_CORTEX_LEFT", "CortexLeft", "cortex_left", "thalamus" for both sides).
        """
        if structures is None:
            return np.arange(self.size)
        keep = np.zeros(len(self.blocks), dtype=bool)
        for name in [structures] if isinstance(structures, str) else structures:
            keep |= [_fits(str(name), b) for b in self.blocks] if self._known(str(name)) else False
        return np.flatnonzero(keep[self.block_of])

    def _known(self, name: str) -> bool:
        if any(_fits(name, b) for b in self.blocks):
            return True
        there = [short(s) for s in self.structures]
        raise BraindecError(
            f"there is no structure {name!r}{did_you_mean(name, [*there, *GROUPS])}", found=", ".join(there),
            allowed="all, cortex, subcortex, or names of structures",
        )  # fmt: skip

    def take(self, rows: np.ndarray) -> BrainModel:
        """Return the model of some grayordinates (rows that rise within each structure)."""
        rows = np.asarray(rows)
        number = self.block_of[rows]
        edges = np.r_[0, np.flatnonzero(np.diff(number)) + 1, len(rows)] if len(rows) else np.zeros(1, int)
        order = [int(number[a]) for a in edges[:-1]]
        if len(set(order)) < len(order):
            raise BraindecError("grayordinates of one structure must stand together", found=f"{len(order)} stretches")
        blocks = tuple(replace(self.blocks[b], count=int(n)) for b, n in zip(order, np.diff(edges), strict=True))
        volume = any(not b.surface for b in blocks)
        return BrainModel(
            blocks, self.vertex[rows], self.voxel[rows], self.grid if volume else None, self.affine if volume else None
        )

    def difference(self, other: Any) -> list[str]:
        """Return what differs in ``other``, in words; empty when both are the same model."""
        if not isinstance(other, BrainModel):
            return [f"grayordinates against {other.describe()}"]
        mine, theirs = ({(b.structure, b.surface): (k, b) for k, b in enumerate(m.blocks)} for m in (self, other))
        said = [f"{_kind(*key)} ({mine[key][1].count}) is missing" for key in mine if key not in theirs]
        said += [f"{_kind(*key)} ({theirs[key][1].count}) is extra" for key in theirs if key not in mine]
        for key in (k for k in mine if k in theirs):
            (a, one), (b, two) = mine[key], theirs[key]
            if one.n_vertices != two.n_vertices:
                said.append(f"{short(key[0])}: a surface of {one.n_vertices} against {two.n_vertices} vertices")
            if one.count != two.count:
                said.append(f"{_kind(*key)}: {one.count} against {two.count}")
            elif one.n_vertices == two.n_vertices:
                wrong = (self._places(a) != other._places(b)).any(axis=1)
                said += [f"{_kind(*key)}: {int(wrong.sum())} of {one.count} lie elsewhere"] if wrong.any() else []
        if not said and list(mine) != list(theirs):
            said.append(f"the order: {_order(self)} against {_order(other)}")
        return said + grid_difference(self, other)

    def clashes(self, other: BrainModel) -> list[str]:
        """Return in words why no place of ``other`` can be found in this model: other surfaces, another volume."""
        surfaces = [
            f"{short(s)}: a surface of {n} against {other.n_vertices[s]} vertices"
            for s, n in self.n_vertices.items()
            if other.n_vertices.get(s, n) != n
        ]
        return surfaces + grid_difference(self, other)

    def _places(self, block: int) -> np.ndarray:
        rows = slice(*np.searchsorted(self.block_of, [block, block + 1]))
        return np.c_[self.vertex[rows], self.voxel[rows]]

    def channels(self) -> pd.DataFrame:
        """Return the channel table: name, structure, vertex, i, j, k, and positions of voxels in m."""
        xyz = np.full((self.size, 3), np.nan)
        voxels = self.vertex < 0
        if voxels.any() and self.affine is not None:
            xyz[voxels] = (self.voxel[voxels] @ self.affine[:3, :3].T + self.affine[:3, 3]) / 1000
        names = [
            f"{short(s)}-{v:05d}" if v >= 0 else f"{short(s)}-{i:03d}-{j:03d}-{k:03d}"
            for s, v, (i, j, k) in zip(self.structure_of, self.vertex.tolist(), self.voxel.tolist(), strict=True)
        ]
        table = {"name": names, "type": "grayordinate", "unit": "a.u.", "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]}
        ijk = dict(zip("ijk", self.voxel.T, strict=True))
        return pd.DataFrame({**table, "structure": self.structure_of, "vertex": self.vertex, **ijk})

    def to_map(self, dimension: int) -> Any:
        """Return nibabel's index map of this model."""
        from nibabel import cifti2

        out = cifti2.Cifti2MatrixIndicesMap([dimension], "CIFTI_INDEX_TYPE_BRAIN_MODELS")
        if self.affine is not None:
            out.volume = cifti2.Cifti2Volume(
                self.grid, cifti2.Cifti2TransformationMatrixVoxelIndicesIJKtoXYZ(-3, np.asarray(self.affine))
            )
        start = 0
        for b in self.blocks:
            rows = slice(start, start + b.count)
            where = (
                {"n_surface_vertices": b.n_vertices, "vertex_indices": cifti2.Cifti2VertexIndices(self.vertex[rows].tolist())}
                if b.surface
                else {"voxel_indices_ijk": cifti2.Cifti2VoxelIndicesIJK(self.voxel[rows].tolist())}
            )  # fmt: skip
            kind = "CIFTI_MODEL_TYPE_SURFACE" if b.surface else "CIFTI_MODEL_TYPE_VOXELS"
            out.append(cifti2.Cifti2BrainModel(start, b.count, kind, b.structure, **where))
            start += b.count
        return out

    @staticmethod
    def from_map(index_map: Any, path: str) -> BrainModel:
        """Read nibabel's index map.

        Raises
        ------
        UnreadableError
            If indices are missing, lie outside their surface or volume, or overlap.
        """
        models = sorted(index_map.brain_models, key=lambda m: m.index_offset)
        blocks, vertex, voxel = [], [], []
        grid, affine = volume_of(index_map)
        for m in models:
            surface = m.model_type == "CIFTI_MODEL_TYPE_SURFACE"
            places = np.array(list(m.vertex_indices if surface else m.voxel_indices_ijk), dtype=np.int64)
            top = [m.surface_number_of_vertices] if surface else grid
            inside = len(places) == m.index_count and top is not None and (places >= 0).all() and (places < top).all()
            if not inside or m.index_offset != sum(b.count for b in blocks):
                raise UnreadableError(
                    f"{path}: the brain model of {m.brain_structure} is damaged",
                    found=f"{len(places)} indices for {m.index_count} grayordinates from {m.index_offset} on, up to "
                    f"{places.max(initial=-1)} of {top}", fix="write the file again",
                )  # fmt: skip
            blocks.append(Block(m.brain_structure, len(places), int(m.surface_number_of_vertices) if surface else 0))
            vertex.append(places if surface else np.full(len(places), -1))
            voxel.append(np.full((len(places), 3), -1) if surface else places.reshape(-1, 3))
        volume = any(not b.surface for b in blocks)
        return BrainModel(
            tuple(blocks), np.concatenate(vertex), np.concatenate(voxel), grid if volume else None,
            affine if volume else None,
        )  # fmt: skip

    @staticmethod
    def from_channels(channels: pd.DataFrame, info: Any) -> tuple[BrainModel, np.ndarray]:
        """Return the model of a channel table (structure, vertex, i, j, k) and the rows of the table in its order."""
        check_surface(channels)
        structure = channels["structure"].astype(str).to_numpy()
        vertex = channels["vertex"].to_numpy(dtype=np.int64)
        voxel = channels[["i", "j", "k"]].to_numpy(dtype=np.int64) if "i" in channels else np.full((len(vertex), 3), -1)
        surface = vertex >= 0
        keys = pd.Series(list(zip(structure, surface.tolist(), strict=True)))
        number, kinds = pd.factorize(keys)
        order = np.argsort(number, kind="stable")
        n_vertices = dict(info.get("n_vertices") or {})
        missing = [s for s, on in kinds if on and s not in n_vertices]
        if missing or (not surface.all() and info.get("affine") is None):
            raise BraindecError(
                "these grayordinates do not say their whole surface or volume",
                found=f"n_vertices of {sorted(n_vertices)}, affine {info.get('affine')!r}",
                fix="keep n_vertices, grid and affine in info, as the readers give them",
            )
        counts = np.bincount(number)
        blocks = tuple(Block(s, int(counts[k]), int(n_vertices[s]) if on else 0) for k, (s, on) in enumerate(kinds))
        grid = None if surface.all() else tuple(int(n) for n in info["grid"])
        affine = None if surface.all() else np.asarray(info["affine"], dtype=float)
        return BrainModel(blocks, vertex[order], voxel[order], grid, affine), order


def check_surface(channels: pd.DataFrame) -> None:
    """Refuse channels that do not say which vertex or voxel of which structure they are."""
    missing = [c for c in ("structure", "vertex") if c not in channels]
    if missing:
        raise BraindecError(
            "these channels do not say their structure and vertex", found=f"no column {', '.join(missing)}",
            allowed="channels of the readers cifti and gifti", fix="write volumes: kind='nifti'",
        )  # fmt: skip


def short(structure: str) -> str:
    """Return a structure without the prefix of CIFTI."""
    return structure.removeprefix(PREFIX)


def volume_of(index_map: Any) -> tuple[tuple[int, int, int] | None, np.ndarray | None]:
    """Return grid and affine (mm) of the volume of an index map, or None, None."""
    volume = index_map.volume
    if volume is None:
        return None, None
    transform = volume.transformation_matrix_voxel_indices_ijk_to_xyz
    affine = np.array(transform.matrix, dtype=float)
    affine[:3] *= 10.0 ** (int(transform.meter_exponent) + 3)  # the exponent of mm is -3
    return tuple(int(n) for n in volume.volume_dimensions), affine


def grid_difference(one: Any, two: Any) -> list[str]:
    """Return in words how the volumes of two models differ."""
    if one.affine is None or two.affine is None:
        return []
    if tuple(one.grid) != tuple(two.grid):
        return [f"the volume: {one.grid} against {two.grid} voxels"]
    if not np.allclose(one.affine, two.affine, atol=1e-3):
        return [
            f"the affine of the volume: {one.affine[:3].round(3).tolist()} against {two.affine[:3].round(3).tolist()}"
        ]
    return []


def match(model: BrainModel, other: BrainModel) -> np.ndarray:
    """Return the row of ``model`` that is each grayordinate of ``other``, shape (other.size,); -1 where there is none."""
    names = {s: k for k, s in enumerate(dict.fromkeys([*model.structures, *other.structures]))}
    grid = model.grid or other.grid or (1, 1, 1)
    mine, theirs = _codes(model, names, grid), _codes(other, names, grid)
    order = np.argsort(mine, kind="stable")
    at = np.minimum(np.searchsorted(mine[order], theirs), model.size - 1)
    return np.where(mine[order][at] == theirs, order[at], -1)


def _codes(model: BrainModel, names: dict[str, int], grid: tuple[int, ...]) -> np.ndarray:
    """One number a grayordinate: structure, then vertex or voxel."""
    number = np.array([names[b.structure] for b in model.blocks])[model.block_of] * 2 + (model.vertex < 0)
    flat = np.ravel_multi_index(tuple(np.maximum(model.voxel, 0).T), grid, mode="clip")
    return number * 2**40 + np.where(model.vertex < 0, flat, model.vertex)


def _kind(structure: str, surface: bool) -> str:
    return f"{short(structure)} {'vertices' if surface else 'voxels'}"


def _order(model: BrainModel) -> str:
    return ", ".join(short(b.structure) for b in model.blocks[:5]) + (" ..." if len(model.blocks) > 5 else "")


def _fits(name: str, block: Block) -> bool:
    if name.lower() in GROUPS:
        return name.lower() == "all" or (name.lower() == "subcortex") != block.surface
    asked = _plain(name)
    for side in ("left", "right"):  # "left_cortex" as well as "CortexLeft"
        if asked.startswith(side):
            asked = asked.removeprefix(side) + side
    mine = _plain(short(block.structure))
    return mine == asked or (mine in (f"{asked}left", f"{asked}right"))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.upper().removeprefix(PREFIX).lower())
