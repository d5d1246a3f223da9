"""Files of atlases: label volumes, probability volumes, GIFTI, CIFTI, FreeSurfer .annot and .mgz -> Atlas.

Source: nibabel's formats; FreeSurfer, "LabelsClutsAnnotationFiles".

Differs from nilearn's atlases in: two files of one volume (left, right) that share their numbers are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._atlas import Atlas
from braindec.loaders._cifti_labels import _NOTHING, CiftiLabels, read_labels
from braindec.loaders._cifti_model import CORTEX, Block, BrainModel
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._fmri_tables import space_of
from braindec.loaders._surface_parcels import space_of as surface_space
from braindec.loaders.surfaces import read_surface_labels, side_of

__all__ = ["kind_of", "read_atlas", "read_masks"]


def kind_of(path: str | Path) -> str:
    """Return "cifti", "gifti", "annot", "mgz" or "nifti" by the name of a file.

    Raises
    ------
    UnreadableError
        If the name has none of their endings.
    """
    name = Path(path).name.lower()
    endings = {".dlabel.nii": "cifti", ".gii": "gifti", ".gii.gz": "gifti", ".annot": "annot", ".mgz": "mgz",
               ".mgh": "mgz", ".nii": "nifti", ".nii.gz": "nifti", ".img": "nifti", ".hdr": "nifti"}  # fmt: skip
    found = next((kind for ending, kind in endings.items() if name.endswith(ending)), None)
    if found is None:
        raise UnreadableError(
            f"{path} is no atlas file", allowed=".nii, .nii.gz, .dlabel.nii, .label.gii, .annot, .mgz",
            fix="for a table of names use labels=...",
        )  # fmt: skip
    return found


def read_atlas(
    paths: Sequence[Path],
    *,
    name: str,
    space: str | None,
    table: Mapping[int, str] | None,
    which: int | str | None = None,
) -> Atlas:
    """Read the labels of an atlas from one file, or from two (left, right).

    Parameters
    ----------
    paths : list of Path
        The files.
    name : str
        Of the atlas.
    space : str, optional
        What it is said to be; else what the file says.
    table : dict of int to str, optional
        Names of the labels; needed where the file holds none.
    which : int or str, optional
        Map of a file that holds several.
    """
    kinds = {kind_of(p) for p in paths}
    if len(kinds) > 1 or (len(paths) == 2 and kinds == {"cifti"}):
        raise BraindecError(
            f"the files of {name} do not belong together", found=", ".join(p.name for p in paths),
            allowed="one file, or the left and right hemisphere in the same format",
        )  # fmt: skip
    for path in paths:
        if not path.is_file():
            raise UnreadableError(f"there is no file {path}", fix="check the path")
    kind = kinds.pop()
    if kind in ("cifti", "gifti"):
        found = read_labels(paths[0], which) if kind == "cifti" else read_surface_labels(list(paths), which)
        return _of_labels(found, kind, name, space, table)
    if kind == "annot":
        return _join_surfaces([_annot(p) for p in paths], paths, name, space)
    images = [_open_mgz(p) if kind == "mgz" else open_image(p) for p in paths]
    if all(i.shape[0] > 1 and int(np.prod(i.shape[1:])) == 1 for i in images):  # .mgz of one value a vertex
        return _join_surfaces([_overlay(i, p, table) for i, p in zip(images, paths, strict=True)], paths, name, space)
    if len(images) == 1:
        return _volume(images[0], paths[0], name, space, table)
    return _join_volumes([_volume(i, p, name, space, table) for i, p in zip(images, paths, strict=True)], paths)


def read_masks(masks: Mapping[str, str | Path], *, name: str, space: str | None) -> Atlas:
    """Make one atlas of binary masks on one grid; voxels that lie in two masks count for none, and are counted."""
    if not masks:
        raise BraindecError("no masks are named", allowed="{'V1': 'v1.nii.gz', ...}")
    labels, affine, total, notes = None, None, None, []
    for k, (region, path) in enumerate(masks.items(), start=1):
        image = open_image(path)
        inside = _values(image, Path(path)) != 0
        if inside.ndim != 3:
            raise BraindecError(f"{path} is no mask", found=f"shape {inside.shape}", allowed="one volume")
        if labels is None:
            labels, total, affine = np.zeros(inside.shape, np.int32), np.zeros(inside.shape, np.int16), image.affine
            space = space or space_of(image)
        assert total is not None
        _same_grid(Path(path), inside.shape, image.affine, next(iter(masks.values())), labels.shape, affine)
        if not inside.any():
            raise BraindecError(f"the mask {region} ({path}) is empty", found="no voxel above 0", fix="check the mask")
        labels[inside], total[inside] = k, total[inside] + 1
    assert labels is not None and total is not None
    if (total > 1).any():
        labels[total > 1] = 0
        notes.append(f"{int((total > 1).sum())} voxels lie in two masks and count for none")
    names = dict(enumerate(masks, start=1))
    lost = [names[k] for k in set(names) - set(np.unique(labels).tolist())]
    if lost:
        raise BraindecError(
            f"nothing is left of {lost[0]}: it lies inside other masks", fix="use rois_of, which keeps them apart"
        )
    return Atlas(name, "volume", space, names, labels, affine, path=str(next(iter(masks.values()))), notes=tuple(notes))


def _volume(image: Any, path: Path, name: str, space: str | None, table: Mapping[int, str] | None) -> Atlas:
    values = _values(image, path)
    space = space or space_of(image)
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim not in (3, 4):
        raise UnreadableError(
            f"{path} is no atlas", found=f"shape {values.shape}", allowed="(x, y, z) or (x, y, z, region)"
        )
    whole = values.ndim == 3 and (values.dtype.kind in "iub" or np.array_equal(values, np.round(values)))
    if whole:
        if values.min() < 0 or values.max() > np.iinfo(np.int32).max:
            raise BraindecError(
                f"{path} is no parcellation",
                found=f"values from {values.min()} to {values.max()}",
                allowed="0 = outside, labels above",
            )
        labels = values.astype(np.int32)
        names, notes = _named(labels, table, path.name)
        return Atlas(name, "volume", space, names, labels, image.affine, path=str(path), notes=notes)
    shares = values if values.ndim == 4 else values[..., None]
    if np.nanmin(shares) < 0:
        raise BraindecError(
            f"{path} holds no probabilities", found=f"values down to {np.nanmin(shares):g}", allowed="0 and above"
        )
    known = dict(table or {})
    names = {k: known.get(k, f"region-{k}") for k in range(1, shares.shape[3] + 1)}
    return Atlas(name, "volume", space, names, None, image.affine, probabilities=shares, path=str(path))


def _join_volumes(sides: list[Atlas], paths: Sequence[Path]) -> Atlas:
    """Left and right label volumes: numbers of the right are moved up, names begin with L_ and R_."""
    order = sorted(range(2), key=lambda k: _side(paths[k], paths))
    left, right = (sides[k] for k in order)
    a, b = left.need_labels(), right.need_labels()
    _same_grid(paths[order[1]], b.shape, right.affine, paths[order[0]], a.shape, left.affine)
    shift = max(max(left.names), max(right.names))
    both = (a != 0) & (b != 0)
    labels = np.where(both, 0, np.where(a != 0, a, np.where(b != 0, b + shift, 0))).astype(np.int32)
    names = {k: f"L_{n}" for k, n in left.names.items()} | {k + shift: f"R_{n}" for k, n in right.names.items()}
    notes = (f"{int(both.sum())} voxels lie in both hemispheres and count for none",) if both.any() else ()
    there = set(np.unique(labels).tolist())
    names = {k: n for k, n in names.items() if k in there}
    return Atlas(
        left.name, "volume", left.space, names, labels, left.affine, path=left.path, notes=(*left.notes, *notes)
    )


def _of_labels(found: CiftiLabels, kind: str, name: str, space: str | None, table: Mapping[int, str] | None) -> Atlas:
    parcels = found.parcels()
    labels = np.where(np.isin(found.keys, parcels["key"]), found.keys, 0).astype(np.int32)
    if (parcels["key"] <= 0).any():  # 0 may be a parcel in files that say so
        raise BraindecError(f"{found.path} uses a label that is not above 0", found=str(parcels["key"].min()))
    names = {int(k): str((table or {}).get(int(k), n)) for k, n in zip(parcels["key"], parcels["name"], strict=True)}
    space = space or surface_space(dict(found.model.n_vertices))
    return Atlas(
        name, "cifti" if kind == "cifti" else "surface", space, names, labels, model=found.model, path=found.path
    )


def _annot(path: Path) -> tuple[np.ndarray, dict[int, str]]:
    """Labels (1, 2, ... in the order of the file; 0 for none) and their names."""
    import nibabel as nib

    try:
        index, _, names = nib.freesurfer.read_annot(path)
    except Exception as error:  # nibabel and numpy each raise their own
        raise UnreadableError(f"{path} cannot be read as a FreeSurfer annotation", found=str(error)[:200]) from error
    texts = [n.decode("utf8", "replace") if isinstance(n, bytes) else str(n) for n in names]
    none = [k for k, n in enumerate(texts) if n.strip().lower() in _NOTHING]
    labels = np.where((index < 0) | np.isin(index, none), 0, index + 1).astype(np.int32)
    there = set(np.unique(labels).tolist())
    return labels, {k + 1: n for k, n in enumerate(texts) if k + 1 in there and k not in none}


def _overlay(image: Any, path: Path, table: Mapping[int, str] | None) -> tuple[np.ndarray, dict[int, str]]:
    values = _values(image, path).ravel()
    if not np.array_equal(values, np.round(values)) or values.min() < 0:
        raise BraindecError(f"{path} holds no labels", found=f"values from {values.min():g} to {values.max():g}")
    labels = values.astype(np.int32)
    return labels, dict(_named(labels, table, path.name)[0])


def _join_surfaces(
    sides: list[tuple[np.ndarray, dict[int, str]]], paths: Sequence[Path], name: str, space: str | None
) -> Atlas:
    order = sorted(range(len(sides)), key=lambda k: _side(paths[k], paths))
    structures = [CORTEX["LR".index(_side(paths[k], paths))] for k in order]
    labels, names, shift = [], {}, 0
    shared = len(sides) == 2 and bool(set(sides[0][1].values()) & set(sides[1][1].values()))
    for k, structure in zip(order, structures, strict=True):
        own, called = sides[k]
        prefix = ("L_" if structure == CORTEX[0] else "R_") if shared else ""
        labels.append(np.where(own > 0, own + shift, 0))
        names |= {key + shift: prefix + text for key, text in called.items()}
        shift = max([shift, *names])
    blocks = tuple(Block(s, len(v), len(v)) for s, v in zip(structures, labels, strict=True))
    vertex = np.concatenate([np.arange(len(v)) for v in labels])
    model = BrainModel(blocks, vertex, np.full((len(vertex), 3), -1))
    keys = np.concatenate(labels).astype(np.int32)
    space = space or surface_space(dict(model.n_vertices))
    return Atlas(name, "surface", space, names, keys, model=model, path=str(paths[0]))


def _named(labels: np.ndarray, table: Mapping[int, str] | None, file: str) -> tuple[dict[int, str], tuple[str, ...]]:
    """Names of the labels that occur; labels without a name, and names without a place, are counted."""
    there = [int(k) for k in np.unique(labels) if k != 0]
    if not there:
        raise BraindecError(f"{file} holds no region", found="every label is 0", fix="check the file")
    if table is None:
        return {k: f"region-{k:03d}" for k in there}, ()
    unnamed = [k for k in there if k not in table]
    empty = [n for k, n in table.items() if k != 0 and k not in set(there)]
    if len(unnamed) == len(there):
        raise BraindecError(
            f"the table names none of the labels of {file}", found=f"labels {there[:6]}, table {sorted(table)[:6]}",
            fix="is it the table of another atlas?",
        )  # fmt: skip
    said = [f"{len(unnamed)} labels of {file} have no name: {unnamed[:6]}"] if unnamed else []
    said += [f"{len(empty)} names have no place in {file}: {', '.join(empty[:6])}"] if empty else []
    return {k: table.get(k, f"region-{k:03d}") for k in there}, tuple(said)


def _values(image: Any, path: Path) -> np.ndarray:
    try:
        values = np.asanyarray(image.dataobj)
    except Exception as error:  # gzip, zlib and nibabel each raise their own
        raise UnreadableError(
            f"{path} was cut short or is damaged", found=str(error)[:200], fix="copy it again"
        ) from error
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return values


def _open_mgz(path: Path) -> Any:
    import nibabel as nib

    try:
        return nib.load(path)
    except Exception as error:
        raise UnreadableError(f"{path} cannot be read (tried nibabel.load)", found=str(error)[:200]) from error


def _side(path: Path, paths: Sequence[Path]) -> str:
    side = side_of(path.name)[0]
    others = [side_of(p.name)[0] for p in paths]
    if side is None or len(set(others)) < len(others):
        raise BraindecError(
            f"{path.name}: left or right?", found=", ".join(p.name for p in paths),
            allowed="names with lh / rh, hemi-L / hemi-R, left / right",
        )  # fmt: skip
    return side


def _same_grid(path: Any, shape: Any, affine: Any, other: Any, other_shape: Any, other_affine: Any) -> None:
    if tuple(shape) != tuple(other_shape) or not np.allclose(affine, other_affine, atol=1e-2):
        raise BraindecError(
            f"{Path(path).name} lies on another grid than {Path(other).name}",
            found=f"shapes {tuple(shape)} and {tuple(other_shape)}, affines "
            f"{np.round(affine[:3], 2).tolist()} and {np.round(other_affine[:3], 2).tolist()}",
            fix="resample one of them to the other's grid (nearest neighbour)",
        )
