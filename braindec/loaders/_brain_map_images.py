"""Images of values a channel: volumes, hemispheres, grayordinates; what is not there is NaN."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.files import check_room, written_whole
from braindec.loaders._cifti_file import kind_of_name, open_cifti
from braindec.loaders._cifti_labels import CiftiLabels
from braindec.loaders._cifti_model import CORTEX, BrainModel, check_surface, match, short
from braindec.loaders._cifti_parcels import ParcelModel
from braindec.loaders._cifti_write import make_image

SIDES = {CORTEX[0]: ("L", "CortexLeft"), CORTEX[1]: ("R", "CortexRight")}
_MNI = 4  # NIfTI code of the MNI152 space; 2 is "aligned to something"


def voxel_places(channels: pd.DataFrame, info: Mapping[str, Any]) -> np.ndarray:
    """Return i, j, k of each channel, shape (n, 3): its columns, or its position through the inverse affine.

    Raises
    ------
    BraindecError
        If neither is known, a position is no voxel centre, or a voxel lies outside the grid.
    """
    grid, affine = info.get("grid"), info.get("affine")
    if grid is None or affine is None:
        raise BraindecError(
            "these channels do not say their volume", found=f"grid {grid}, affine {affine}",
            fix="keep grid and affine in info, as the readers give them",
        )  # fmt: skip
    affine = np.asarray(affine, dtype=float)
    if affine.shape != (4, 4):
        raise BraindecError("an affine has 4 x 4 numbers", found=f"shape {affine.shape}")
    if {"i", "j", "k"} <= set(channels):
        places = channels[["i", "j", "k"]].to_numpy(dtype=np.int64)
    elif not {"x", "y", "z"} <= set(channels):
        raise BraindecError("these voxels do not say where they lie", found=f"columns {', '.join(map(str, channels.columns))}",
                            allowed="i, j, k or x, y, z (m)")  # fmt: skip
    else:
        mm = channels[["x", "y", "z"]].to_numpy(dtype=float) * 1000
        if not np.isfinite(mm).all():
            raise BraindecError(
                "some voxels have no position", found=f"{int(~np.isfinite(mm).all(axis=1).sum())} of {len(mm)}"
            )
        exact = (mm - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        places = np.round(exact).astype(np.int64)
        off = abs(exact - places).max(initial=0)
        if off > 0.05:
            raise BraindecError(
                "positions are not those of the voxels of the grid", found=f"up to {off:.2f} voxels beside a centre",
                fix="keep the affine of the images in info",
            )  # fmt: skip
    if (places < 0).any() or (places >= np.asarray(grid)).any():
        raise BraindecError(
            "some voxels lie outside the grid", found=f"grid {list(grid)}, up to {places.max(axis=0).tolist()}"
        )
    return places


def volume_image(values: np.ndarray, channels: pd.DataFrame, info: Mapping[str, Any], space: str | None) -> Any:
    """Return a NIfTI image of values (n_maps, n_channels): 3-D for one map, else 4-D."""
    places = voxel_places(channels, info)
    volume = np.full((*(int(n) for n in info["grid"]), len(values)), np.nan, dtype=np.float32)
    volume[tuple(places.T)] = values.T
    return nifti(volume, np.asarray(info["affine"], dtype=float), space)


def nifti(volume: np.ndarray, affine: np.ndarray, space: str | None) -> Any:
    """Return a NIfTI image of (x, y, z, map); one map is written as 3-D."""
    import nibabel as nib

    image = nib.Nifti1Image(volume[..., 0] if volume.shape[3] == 1 else volume, affine)
    code = _MNI if str(space or "").startswith("MNI152") else 1 if space == "scanner" else 2
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    image.header.set_xyzt_units("mm", "sec")
    return image


def painted_volume(values: np.ndarray, channels: pd.DataFrame, atlas: Any, space: str | None) -> Any:
    """Return a NIfTI image with the value of its parcel at every voxel of an atlas image."""
    labels = np.asarray(atlas.dataobj)
    labels = np.round(labels.reshape(labels.shape[:3])).astype(np.int64)
    keys = channels["label"].to_numpy(dtype=np.int64)
    missing = sorted(set(keys) - set(np.unique(labels)))
    if missing:
        raise BraindecError(
            "the atlas lacks some parcels", found=f"labels {missing[:8]}", fix="give the atlas that was used"
        )
    return nifti(np.moveaxis(_spread(values, keys, labels), 0, -1), atlas.affine, space)


def cifti_image(
    values: np.ndarray,
    names: Sequence[str],
    channels: pd.DataFrame,
    info: Mapping[str, Any],
    full: Any,
    *,
    strict: bool,
) -> Any:
    """Return a dscalar (or pscalar) of values (n_maps, n_channels).

    With a model ``full`` (see :func:`model_of`) all of it is written, with NaN at places that are no channel; else the model
    of the channels alone. A place that ``full`` lacks is an error when ``strict``, and otherwise a reason not to use it.
    """
    if isinstance(full, ParcelModel):
        at = pd.Series(range(full.size), index=list(full.names)).reindex(channels["name"])
        if at.isna().any():
            raise BraindecError(f"the file of parcels has no parcel {at.index[at.isna()][0]!r}", found=full.describe())
        return make_image(_wide(values, at.to_numpy(dtype=int), full.size), full, maps=names)
    model, order = BrainModel.from_channels(channels, info)
    values = np.asarray(values, dtype=np.float32)[:, order]
    if full is None:
        return make_image(values, model, maps=names)
    at = match(full, model)
    if full.clashes(model) or (at < 0).any():
        if strict:
            raise BraindecError(
                "the channels do not lie on the brain model of like", found=f"{int((at < 0).sum())} of {model.size} places "
                "are not in it", allowed=full.describe(),
            )  # fmt: skip
        return make_image(values, model, maps=names)  # the file has changed since it was read
    return make_image(_wide(values, at, full.size), full, maps=names)


def model_of(like: Any, info: Mapping[str, Any]) -> Any:
    """Return the brain model to write on: of ``like``, else of the file that the recording came from, else None."""
    if isinstance(like, (BrainModel, ParcelModel)):
        return like
    source = like if like is not None else info.get("path")
    if like is None and (source is None or kind_of_name(Path(str(source))) is None or not Path(str(source)).is_file()):
        return None
    return open_cifti(source).model


def painted_cifti(
    values: np.ndarray, names: Sequence[str], channels: pd.DataFrame, labels: CiftiLabels, full: Any
) -> Any:
    """Return a dscalar with the value of its parcel at every grayordinate of ``full``, or of the labels."""
    model = full if isinstance(full, BrainModel) else labels.model
    keys = labels.on(model, "the data", missing=int(labels.keys.min()) - 1)
    return make_image(_spread(values, parcel_keys(channels, labels), keys), model, maps=names)


def hemispheres(
    values: np.ndarray, names: Sequence[str], channels: pd.DataFrame, info: Mapping[str, Any]
) -> dict[str, Any]:
    """Return GIFTI images of values (n_maps, n_channels), "L" and "R": every vertex of the surface, NaN without a value."""
    check_surface(channels)
    n_vertices = dict(info.get("n_vertices") or {})
    vertex, structure = channels["vertex"].to_numpy(dtype=np.int64), channels["structure"].astype(str).to_numpy()
    made = {}
    for name in SIDES:
        rows = (structure == name) & (vertex >= 0)
        if rows.any():
            if vertex[rows].max() >= n_vertices.get(name, 0):
                raise BraindecError(
                    f"the surface {short(name)} is smaller than its vertices", found=f"{vertex[rows].max()} of {n_vertices}",
                    fix="keep n_vertices in info, as the readers give them",
                )  # fmt: skip
            wide = np.full((len(values), n_vertices[name]), np.nan, dtype=np.float32)
            wide[:, vertex[rows]] = values[:, rows]
            made[SIDES[name][0]] = _gifti(wide, names, SIDES[name][1])
    if not made:
        raise BraindecError("no channel is a vertex of a cortex", found=f"structures {sorted(set(structure))[:6]}")
    return made


def painted_hemispheres(
    values: np.ndarray, names: Sequence[str], channels: pd.DataFrame, labels: CiftiLabels
) -> dict[str, Any]:
    """Return GIFTI images with the value of its parcel at every vertex."""
    wide = _spread(values, parcel_keys(channels, labels), labels.keys)
    made = {}
    for name in labels.model.structures:
        rows = labels.model.structure_of == name
        made[SIDES[name][0]] = _gifti(wide[:, rows], names, SIDES[name][1])
    return made


def parcel_keys(channels: pd.DataFrame, labels: CiftiLabels) -> np.ndarray:
    """Return the key of each parcel: the column ``label``, or the key of its name.

    Raises
    ------
    BraindecError
        If a parcel is not among the labels.
    """
    table = labels.parcels()
    if "label" in channels and channels["label"].notna().all():
        keys = channels["label"].to_numpy(dtype=np.int64)
    else:
        keys = channels["name"].map(dict(zip(table["name"], table["key"], strict=True))).to_numpy(dtype=float)
    known = set(table["key"])
    unknown = [n for n, k in zip(channels["name"], keys, strict=True) if k not in known]
    if unknown:
        raise BraindecError(
            f"{len(unknown)} parcels are not in {Path(labels.path).name}", found=", ".join(map(str, unknown[:6])),
            fix="give the labels that were used: labels=...",
        )  # fmt: skip
    return keys.astype(np.int64)


def save_nifti(image: Any, path: Path) -> None:
    """Write a .nii.gz whole; same values, same bytes."""
    _save(gzip.compress(image.to_bytes(), 6, mtime=0), path)


def save_gifti(image: Any, path: Path) -> None:
    """Write a GIFTI file whole."""
    _save(image.to_bytes(), path)


def _save(data: bytes, path: Path) -> None:
    with written_whole(path) as temporary:
        check_room(temporary, len(data))
        temporary.write_bytes(data)


def _gifti(values: np.ndarray, names: Sequence[str], side: str) -> Any:
    from nibabel import gifti

    arrays = [
        gifti.GiftiDataArray(np.asarray(v, np.float32), intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32",
                             meta={"Name": str(n)})
        for v, n in zip(values, names, strict=True)
    ]  # fmt: skip
    return gifti.GiftiImage(darrays=arrays, meta=gifti.GiftiMetaData({"AnatomicalStructurePrimary": side}))


def _spread(values: np.ndarray, keys: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The value of its key at every place, shape (n_maps, *labels.shape); NaN where no key is."""
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys[order], labels), len(keys) - 1)
    there = keys[order][at] == labels
    return np.where(there, np.asarray(values, np.float32)[:, order][:, at], np.float32(np.nan))


def _wide(values: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """Values at the columns ``at`` of ``size``, NaN elsewhere."""
    wide = np.full((len(values), size), np.nan, dtype=np.float32)
    wide[:, at] = values
    return wide
