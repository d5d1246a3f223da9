"""Images of maps as channels: NIfTI, GIFTI, CIFTI; all of them, or the values of given channels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._bids_tree import entities_of, read_json
from braindec.loaders._brain_map_images import voxel_places
from braindec.loaders._cifti_file import kind_of_name, open_cifti
from braindec.loaders._cifti_model import BrainModel, match
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._fmri_tables import space_of as nifti_space
from braindec.loaders._fmri_tables import voxel_channels
from braindec.loaders._surface_parcels import space_of
from braindec.loaders.surfaces import join, read_surface, side_of, surface_model

Found = tuple[dict[str, np.ndarray], pd.DataFrame, dict[str, Any]]


def read_channels(path: Path, like: tuple[pd.DataFrame, Mapping[str, Any]] | None) -> Found:
    """Return maps, channel table and info of an image; see :func:`braindec.loaders.brain_maps.read_map`."""
    if path.name.endswith((".gii", ".gii.gz")):
        return _surfaces(path, like)
    return _volume(path, like) if kind_of_name(path) is None else _grayordinates(path, like)


def _grayordinates(path: Path, like: Any) -> Found:
    file = open_cifti(path)
    if file.step is not None:
        raise UnreadableError(f"{path} is a time series, not maps", fix="use the reader cifti")
    values = file.values(keys=file.kind.endswith("label"))
    info = _volume_info(file.model) | {
        "path": str(path),
        "space": _space(path) or space_of(dict(file.model.n_vertices)),
    }
    maps = dict(zip(_unique(file.maps), values, strict=True))
    if like is None:
        return maps, file.model.channels(), info
    channels, about = like
    if not isinstance(file.model, BrainModel):
        at = pd.Series(range(file.model.size), index=list(file.model.names)).reindex(channels["name"])
        return _taken(maps, at.fillna(-1).to_numpy(dtype=int), path, channels, about)
    return _matched(maps, file.model, path, channels, about)


def _surfaces(path: Path, like: Any) -> Found:
    side, whole = side_of(path.name)
    beside = [p for p in sorted(path.parent.iterdir()) if side_of(p.name)[1] == whole] if side else [path]
    surfaces = join([read_surface(p) for p in beside])
    model = surface_model(surfaces)
    values = np.concatenate([np.asarray(s.values) for s in surfaces]).T
    maps = dict(zip(_unique(surfaces[0].maps), values, strict=True))
    n_vertices = dict(model.n_vertices)
    info = {"path": str(path), "n_vertices": n_vertices, "space": _space(path) or space_of(n_vertices)}
    if like is None:
        return maps, model.channels().assign(type="vertex"), info
    return _matched(maps, model, path, *like)


def _volume(path: Path, like: Any) -> Found:
    image = open_image(path)
    data = np.asarray(image.dataobj, dtype=np.float32)
    if data.ndim not in (3, 4):
        raise UnreadableError(f"{path} is not an image of maps", found=f"shape {data.shape}", allowed="3-D or 4-D")
    data = data.reshape(*data.shape[:3], -1)
    names = _names(path, data.shape[3])
    affine = np.asarray(image.affine, dtype=float)
    space = _space(path) or nifti_space(image)
    info = {"path": str(path), "grid": list(data.shape[:3]), "affine": affine.tolist(), "space": space}
    if like is None:
        there = np.isfinite(data).any(axis=3)
        if not there.any():
            raise BraindecError(f"{path.name} holds no value", found="NaN everywhere")
        _, channels = voxel_channels(there, affine, True)
        places = channels[["i", "j", "k"]].to_numpy()
        return {n: data[(*places.T, m)] for m, n in enumerate(names)}, channels, info
    channels, about = like
    grid = [int(n) for n in about.get("grid") or []]
    if grid != list(data.shape[:3]) or not np.allclose(np.asarray(about["affine"], float), affine, atol=1e-2):
        raise BraindecError(
            f"{path.name} does not lie on the grid of the channels", found=f"shape {data.shape[:3]} against {tuple(grid)}",
            fix="use the map of the same space and resolution",
        )  # fmt: skip
    places = voxel_places(channels, about)
    return {n: data[(*places.T, m)] for m, n in enumerate(names)}, channels, dict(about) | info


def _matched(maps: dict[str, np.ndarray], model: BrainModel, path: Path, channels: pd.DataFrame, about: Any) -> Found:
    own, order = BrainModel.from_channels(channels, about)
    said = model.clashes(own)
    if said:
        raise BraindecError(f"{path.name} has another brain model than the channels", found="; ".join(said))
    at = np.empty(len(order), dtype=int)
    at[order] = match(model, own)
    return _taken(maps, at, path, channels, about)


def _taken(maps: dict[str, np.ndarray], at: np.ndarray, path: Path, channels: pd.DataFrame, about: Any) -> Found:
    if (at < 0).any():
        first = channels["name"].iloc[int(np.argmax(at < 0))]
        raise BraindecError(
            f"{path.name} lacks {int((at < 0).sum())} of {len(at)} channels", found=f"no value for {first}",
        )  # fmt: skip
    return {n: v[at] for n, v in maps.items()}, channels, dict(about) | {"path": str(path)}


def _volume_info(model: Any) -> dict[str, Any]:
    info: dict[str, Any] = {"n_vertices": dict(model.n_vertices)}
    if model.affine is not None:
        info |= {"grid": [int(n) for n in model.grid], "affine": np.asarray(model.affine).tolist()}
    return info


def _names(path: Path, n: int) -> list[str]:
    """Names of the maps of a NIfTI image: of its sidecar, else the stat of its name."""
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    said = read_json(sidecar).get("Maps") if sidecar.is_file() else None
    if isinstance(said, list) and len(said) == n:
        return _unique([str(s) for s in said])
    stem = entities_of(path.name).get("stat") or sidecar.name.removesuffix(".json")
    return [stem] if n == 1 else [f"{stem}-{k + 1}" for k in range(n)]


def _unique(names: Any) -> list[str]:
    """Names told apart by a number where they repeat."""
    made: list[str] = []
    for name in names:
        made.append(name if name not in made else f"{name}-{len(made) + 1}")
    return made


def _space(path: Path) -> str | None:
    return entities_of(path.name).get("space")
