"""GIFTI data on surfaces (func, shape, label), one file a hemisphere, without any mesh: values, structure, names.

Source: GIFTI surface data format 1.0 (Harwell et al. 2008); structures are named as in CIFTI (CIFTI_STRUCTURE_CORTEX_LEFT).

Differs from nilearn's ``SurfaceImage`` in: no mesh is needed, since nothing here depends on where a vertex lies; labels of
both hemispheres that share keys or names are told apart (nilearn joins them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._cifti_labels import CiftiLabels
from braindec.loaders._cifti_model import CORTEX, Block, BrainModel, short
from braindec.loaders._gifti_file import first_array, load_gifti
from braindec.loaders._run_signal import RunSignal

__all__ = ["GiftiSignal", "Surface", "join", "open_surface", "read_surface", "read_surface_labels", "side_of",
           "surface_model"]  # fmt: skip

_ENTITY = re.compile(r"(?<=_hemi-)(l|r|lh|rh|left|right)(?=[._])", re.IGNORECASE)
_PART = re.compile(r"(?:^|(?<=[._]))(l|r|lh|rh|left|right)(?=[._])", re.IGNORECASE)  # lh.thickness, S1.L.func.gii


@dataclass(frozen=True, eq=False)
class Surface:
    """Data of one hemisphere.

    Parameters
    ----------
    path : Path
        The file.
    structure : str
        Its name in CIFTI.
    n_vertices, n_maps : int
        Vertices, and maps or volumes.
    labels : bool
        Whether values are keys of a table.
    missing : array of bool, shape (n_vertices,)
        Where the first map is NaN (the medial wall of fMRIPrep's ``--medial-surface-nan``).
    step : float or None
        ``TimeStep`` of a series as the file says it; GIFTI does not say in which unit.
    values : array of shape (n_vertices, n_maps), optional
        float32, or int32 keys; None when only the head was read.
    maps : tuple of str
        Names of the maps, when all was read.
    table : DataFrame, optional
        key, name, red, green, blue, alpha of a label file.
    """

    path: Path
    structure: str
    n_vertices: int
    n_maps: int
    labels: bool
    missing: np.ndarray
    step: float | None = None
    values: np.ndarray | None = None
    maps: tuple[str, ...] = ()
    table: pd.DataFrame | None = None

    @property
    def hemisphere(self) -> str:
        """``"L"`` or ``"R"``."""
        return "L" if self.structure == CORTEX[0] else "R"


def open_surface(path: str | Path, *, structure: str | None = None) -> Surface:
    """Read the head of a GIFTI file and its first map; the others stay on disk.

    Parameters
    ----------
    path : str or Path
        .func.gii, .shape.gii, .label.gii, with or without .gz.
    structure : str, optional
        "left" or "right", where neither file nor name says it.

    Raises
    ------
    UnreadableError
        If it is empty, damaged, cut short, or a mesh.
    BraindecError
        If the hemisphere is not known, or name and content differ in it.
    """
    path = Path(path)
    image, n_arrays = first_array(path)
    array = image.darrays[0].data
    n_maps = int(np.prod(array.shape[1:])) if array.ndim > 1 and n_arrays == 1 else n_arrays
    first = array.reshape(len(array), -1)[:, 0]
    return Surface(
        path, _structure(path, image, structure), len(array), n_maps, _are_labels(image),
        ~np.isfinite(first) if first.dtype.kind == "f" else np.zeros(len(array), bool), _time_step(image),
    )  # fmt: skip


def read_surface(path: str | Path, *, structure: str | None = None) -> Surface:
    """Read all of a GIFTI file; see :func:`open_surface`."""
    path = Path(path)
    image = load_gifti(path)
    arrays = [a.data.reshape(len(a.data), -1) for a in image.darrays]
    if len({len(a) for a in arrays}) != 1:
        raise UnreadableError(
            f"{path}: its maps differ in their number of vertices", found=str(sorted({len(a) for a in arrays}))
        )
    labels = _are_labels(image)
    values = np.concatenate(arrays, axis=1).astype(np.int32 if labels else np.float32)
    names = tuple(str(a.meta.get("Name") or "") for a in image.darrays) if len(arrays) == values.shape[1] else ()
    maps = tuple(n or f"map {k + 1}" for k, n in enumerate(names or [""] * values.shape[1]))
    table = None
    if labels:
        rows = [(int(v.key), str(v.label), *(v.rgba or (0, 0, 0, 1))) for v in image.labeltable.labels]
        table = pd.DataFrame(rows, columns=["key", "name", "red", "green", "blue", "alpha"]).sort_values("key")
    missing = ~np.isfinite(values[:, 0]) if not labels else np.zeros(len(values), bool)
    return Surface(
        path, _structure(path, image, structure), len(values), values.shape[1], labels, missing, _time_step(image),
        values, maps, table,
    )  # fmt: skip


def side_of(name: str) -> tuple[str | None, str]:
    """Return the hemisphere ("L", "R") that a file name says, or None, and the name without it."""
    found = next((m for e in (_ENTITY, _PART) if (m := e.search(name))), None)
    if found is None:
        return None, name
    return found.group(1)[0].upper(), f"{name[: found.start()]}*{name[found.end() :]}"


def join(surfaces: Sequence[Surface]) -> list[Surface]:
    """Return the hemispheres of one thing, left first.

    Raises
    ------
    BraindecError
        If a hemisphere stands twice, or they differ in their number of maps.
    """
    ordered = sorted(surfaces, key=lambda s: s.structure)
    names = ", ".join(s.path.name for s in ordered)
    if len({s.structure for s in ordered}) < len(ordered):
        raise BraindecError(f"one hemisphere stands twice: {names}", found=short(ordered[0].structure))
    if len({s.n_maps for s in ordered}) > 1:
        raise BraindecError(
            f"the hemispheres differ in length: {names}", found=", ".join(f"{s.hemisphere} {s.n_maps}" for s in ordered),
            fix="one of them was cut short, or they are of different runs: copy or name them again",
        )  # fmt: skip
    return ordered


def surface_model(surfaces: Sequence[Surface]) -> BrainModel:
    """Return the brain model of whole hemispheres: every vertex, in order."""
    blocks = tuple(Block(s.structure, s.n_vertices, s.n_vertices) for s in surfaces)
    vertex = np.concatenate([np.arange(s.n_vertices) for s in surfaces])
    return BrainModel(blocks, vertex, np.full((len(vertex), 3), -1))


def read_surface_labels(paths: str | Path | Sequence[str | Path], which: int | str | None = None) -> CiftiLabels:
    """Read a parcellation of one or both hemispheres from label GIFTI files.

    Parameters
    ----------
    paths : path, or list of two
        One file a hemisphere.
    which : int or str, optional
        Number or name of the map; needed when there are several.

    Returns
    -------
    CiftiLabels
        Keys are those of the files unless both hemispheres use the same for a parcel (as FreeSurfer's aparc does): those of
        the right are then moved up by one number. Names that stand in both become ``L_name`` and ``R_name``.
        ``table.file_key`` holds the keys of the files.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    surfaces = join([read_surface(p) for p in given])
    for s in surfaces:
        if not s.labels or s.table is None:
            raise UnreadableError(
                f"{s.path} holds no labels", allowed=".label.gii (intent NIFTI_INTENT_LABEL, with a table of labels)"
            )
    maps = [_map_number(s, which) for s in surfaces]
    keys = [s.values[:, m].copy() for s, m in zip(surfaces, maps, strict=True)]
    tables = [s.table.assign(file_key=s.table["key"], hemisphere=s.hemisphere) for s in surfaces]
    if len(surfaces) == 2:
        _tell_apart(keys, tables)
    table = pd.concat(tables, ignore_index=True).drop_duplicates(["key"]).sort_values("key").reset_index(drop=True)
    name = surfaces[0].maps[maps[0]]
    return CiftiLabels(surface_model(surfaces), np.concatenate(keys), table, name, str(given[0]))


class GiftiSignal(RunSignal):
    """Time series of vertices of one run (both hemispheres one after the other), or their means over parcels.

    The files are compressed text: they are decoded whole on the first read and kept while the recording is open.

    Parameters
    ----------
    paths : list of path
        One file a hemisphere, in order of the rows.
    rows, starts, first, last, confounds
        As in :class:`braindec.loaders._run_signal.RunSignal`.
    """

    def __init__(self, paths: Sequence[str | Path], rows: np.ndarray, **options: Any) -> None:
        super().__init__(rows, **options)
        self.paths = [str(Path(p).absolute()) for p in paths]
        self.path = self.paths[0]

    def _stored(self, rows: np.ndarray, first: int, last: int) -> np.ndarray:
        data = self.__dict__.get("_open_data")
        if data is None:
            data = np.concatenate([_series(p) for p in self.paths])
            if data.shape[1] < self.last or len(data) <= self.rows.max(initial=0):
                raise UnreadableError(
                    f"{self.path} was cut short", found=f"{data.shape[1]} volumes of {len(data)} vertices",
                    fix="copy the file again",
                )  # fmt: skip
            self._open_data = data
        return data[rows, first:last]


def _series(path: str) -> np.ndarray:
    """All volumes of a hemisphere, shape (n_vertices, n_volumes)."""
    found = read_surface(path, structure="left")  # which hemisphere it is was said when it was opened
    return np.asarray(found.values, dtype=np.float32)


def _tell_apart(keys: list[np.ndarray], tables: list[pd.DataFrame]) -> None:
    """Give the right hemisphere keys and names of its own where both use the same; nothing is changed otherwise."""
    left, right = tables
    nothing = CiftiLabels.none_of(left, None) | CiftiLabels.none_of(right, None)
    both = set(left["name"][~left["key"].isin(nothing)]) & set(right["name"][~right["key"].isin(nothing)])
    used = [set(np.unique(k)) - nothing for k in keys]
    for table, side in zip(tables, "LR", strict=True):
        own = table["name"].isin(both) & ~table["key"].isin(nothing)
        table.loc[own, "name"] = f"{side}_" + table["name"][own]
    if used[0] & used[1]:
        shift = int(max(left["key"].max(), keys[0].max())) + 1
        keys[1][~np.isin(keys[1], list(nothing))] += shift
        right.loc[~right["key"].isin(nothing), "key"] += shift


def _map_number(surface: Surface, which: int | str | None) -> int:
    if which is None and surface.n_maps == 1:
        return 0
    if isinstance(which, (int, np.integer)) and 0 <= which < surface.n_maps:
        return int(which)
    if which in surface.maps:
        return surface.maps.index(str(which))
    raise BraindecError(
        f"{surface.path.name} holds {surface.n_maps} maps of labels: which one is meant?"
        if which is None
        else f"{surface.path.name} has no map {which!r}{did_you_mean(str(which), surface.maps)}",
        allowed=", ".join(f"{k}: {n}" for k, n in enumerate(surface.maps[:12])),
    )


def _are_labels(image: Any) -> bool:
    return int(image.darrays[0].intent) == 1002  # NIFTI_INTENT_LABEL


def _time_step(image: Any) -> float | None:
    try:
        step = float(image.darrays[0].meta.get("TimeStep") or image.meta.get("TimeStep"))
    except (TypeError, ValueError):
        return None
    return step if np.isfinite(step) and step > 0 else None


def _structure(path: Path, image: Any, given: str | None) -> str:
    """The structure: as it is given, else as the file says, which must fit its name."""
    sides = {"l": CORTEX[0], "r": CORTEX[1]}
    if given is not None:
        if str(given).lower()[:1] not in sides:
            raise BraindecError(f"structure {given!r} is unknown", allowed="left, right")
        return sides[str(given).lower()[0]]
    said = image.meta.get("AnatomicalStructurePrimary") or image.darrays[0].meta.get("AnatomicalStructurePrimary")
    inside = {"CortexLeft": CORTEX[0], "CortexRight": CORTEX[1]}.get(str(said))
    named = sides.get((side_of(path.name)[0] or "").lower())
    if (inside or named) is None or (inside and named and inside != named):
        raise BraindecError(
            f"{path.name}: left or right?", found=f"its name says {short(named or 'nothing')}, its content {said}",
            allowed="hemi-L or hemi-R in the name, AnatomicalStructurePrimary = CortexLeft or CortexRight in the file",
        )  # fmt: skip
    return inside or named
