"""Masks and parcellations on the grid of the images: found, checked, resampled only when asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.loaders import _fmri_tables
from braindec.loaders._bids_tree import entities_of
from braindec.loaders._fmri_signal import image_values, open_image
from braindec.loaders._fmri_tree import Run


@dataclass(frozen=True)
class Grid:
    """The voxels or parcels of a subject: how to read them, and their channel table."""

    voxels: np.ndarray
    starts: np.ndarray | None
    channels: Any
    paths: tuple[Path, ...]
    said: tuple[str, ...] = ()
    atlas: Path | None = None


def make_grid(runs: Sequence[Run], images: Sequence[Any], root: Path, options: Mapping[str, Any]) -> Grid:
    """Return the voxels (or parcels) that all runs of a subject share.

    Raises
    ------
    BraindecError
        If runs lie on different grids, no mask is known, or nothing is left.
    """
    first = images[0]
    for run, image in zip(runs, images, strict=True):
        if image.shape[:3] != first.shape[:3] or not np.allclose(image.affine, first.affine, atol=1e-2):
            raise BraindecError(
                f"runs of one subject lie on different grids: {runs[0].path.name} and {run.path.name}",
                found=f"shapes {first.shape[:3]} and {image.shape[:3]}" + _affines(first.affine, image.affine),
                fix="use runs that were aligned (fMRIPrep: choose one space), or run one session at a time: "
                "session: ...",
            )
    said: list[str] = []
    mask, paths = _mask(runs, images, root, options, said)
    placed = _fmri_tables.space_of(first) is not None
    if not placed:
        said.append(
            f"{runs[0].path.name}: the header names no coordinate system (qform and sform codes are 0): no positions"
        )
    if options["atlas"] is None:
        if mask is None:
            raise _no_mask(root)
        voxels, channels = _fmri_tables.voxel_channels(mask, first.affine, placed)
        return Grid(voxels, None, channels, paths, tuple(said))
    atlas_path = named_path(root, options["atlas"], runs[0])
    check_space(atlas_path, runs[0].path)
    atlas = _fit(open_image(atlas_path), first, atlas_path, options["resample"], said, labels=True)
    if not np.allclose(atlas, np.round(atlas)) or (atlas < 0).any():
        raise BraindecError(
            f"{atlas_path.name} is not a parcellation",
            found="values that are not whole numbers from 0 up",
            allowed="0 = outside",
        )
    labels = np.round(atlas).astype(np.int64)
    before = set(np.unique(labels)) - {0}
    labels = labels if mask is None else np.where(mask, labels, 0)
    lost = len(before - set(np.unique(labels)))
    if lost:
        said.append(f"{lost} of {len(before)} parcels of {atlas_path.name} lie outside the mask and are left out")
    if not labels.any():
        raise BraindecError(
            f"no parcel of {atlas_path.name} has a voxel",
            found="an empty parcellation" if not before else "none inside the mask",
        )
    table = named_path(root, options["atlas_labels"], runs[0]) if options["atlas_labels"] else None
    names = _fmri_tables.atlas_names(table)
    unnamed = sorted(set(np.unique(labels).tolist()) - {0} - set(names)) if table else []
    if table and len(unnamed) == len(set(np.unique(labels)) - {0}):
        raise BraindecError(
            f"{table.name} names none of the parcels of {atlas_path.name}", found=f"parcels {unnamed[:6]}, names of {list(names)[:6]}",
            fix="is it the table of another parcellation?",
        )  # fmt: skip
    if unnamed:
        said.append(
            f"{len(unnamed)} parcels of {atlas_path.name} have no name in {table.name if table else ''}: {unnamed[:6]}"
        )
    voxels, starts, channels = _fmri_tables.parcel_channels(labels, first.affine, names, placed)
    extra = (atlas_path, *([table] if table else []))
    return Grid(voxels, starts, channels, (*paths, *extra), tuple(said), atlas_path)


def mask_files(runs: Sequence[Run], root: Path, options: Mapping[str, Any]) -> list[Path]:
    """Return the files of masks and parcellations that :func:`make_grid` reads."""
    named = [named_path(root, options[k], runs[0]) for k in ("atlas", "atlas_labels") if options[k]]
    if options["mask"] not in (None, "auto", "brain"):
        return [named_path(root, options["mask"], runs[0]), *named]
    return [*(m for r in runs if (m := _brain_mask(r)) is not None), *named]


def _mask(
    runs: Sequence[Run], images: Sequence[Any], root: Path, options: Mapping[str, Any], said: list[str]
) -> tuple[np.ndarray | None, tuple[Path, ...]]:
    wanted, first = options["mask"], images[0]
    if wanted == "auto":
        mask = _from_intensities(first, runs[0].path)
        said.append(
            f"the mask was computed from the intensities of {runs[0].path.name} ({int(mask.sum())} voxels), "
            "without any labels"
        )
        return mask, ()
    if wanted not in (None, "brain"):
        path = named_path(root, wanted, runs[0])
        check_space(path, runs[0].path)
        return _filled(_fit(open_image(path), first, path, options["resample"], said) != 0, path), (path,)
    found = [_brain_mask(r) for r in runs]
    if wanted == "brain" and not all(found):
        raise BraindecError(
            f"{runs[found.index(None)].path.name} has no desc-brain_mask", fix="name a mask: mask: path.nii.gz"
        )
    paths = tuple(dict.fromkeys(p for p in found if p is not None))
    if not paths or len([p for p in found if p]) < len(found):
        return None, ()
    masks = [_fit(open_image(p), first, p, False, said) != 0 for p in paths]
    shared = np.logical_and.reduce(masks)
    if len(masks) > 1 and shared.sum() < max(m.sum() for m in masks):
        said.append(
            f"the brain masks of {len(masks)} runs differ; the {int(shared.sum())} voxels that all share are used"
        )
    return _filled(shared, paths[0]), paths


def check_space(path: Path, run: Path) -> None:
    """Refuse a mask or parcellation whose name says another space (``space-``, ``tpl-``) than the name of the images.

    Grids can be equal by chance, and bringing an image to another grid does not bring it to another space.
    """
    mine, theirs = entities_of(run.name), entities_of(path.name)
    wanted, found = (_family(space) for space in (mine.get("space"), theirs.get("space") or theirs.get("tpl")))
    if wanted is not None and found is not None and wanted != found:
        raise BraindecError(
            f"{path.name} lies in another space than the images",
            found=f"space {found} against {wanted} of {run.name}",
            fix=f"use one in {wanted}, or transform it (antsApplyTransforms); resample: true changes the grid only",
        )


def _family(space: str | None) -> str | None:
    """fsaverage5 is fsaverage at another density: vertex counts tell these apart."""
    return None if space is None else re.sub(r"^fsaverage[3-6]$", "fsaverage", space)


def _from_intensities(image: Any, path: Path) -> np.ndarray:
    """The brain by its brightness (nilearn.masking.compute_epi_mask); on a coarse grid without erosion."""
    import warnings

    from nilearn.masking import compute_epi_mask

    for opening in (2, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a mask is empty is said below
            mask = np.asarray(compute_epi_mask(image, opening=opening).dataobj).astype(bool)
        if mask.any():
            return mask
    raise BraindecError(
        f"no brain can be told from the intensities of {path.name}",
        found="the computed mask is empty",
        fix="name one: mask: path.nii.gz",
    )


def _brain_mask(run: Run) -> Path | None:
    if not run.prepared:
        return None
    stem = run.path.name.removesuffix(".gz").removesuffix(".nii")
    for ending in (".nii.gz", ".nii"):
        path = run.path.with_name(stem.replace("_desc-preproc_bold", "_desc-brain_mask") + ending)
        if path.is_file():
            return path
    return None


def _fit(image: Any, like: Any, path: Path, resample: bool, said: list[str], *, labels: bool = False) -> np.ndarray:
    """Return the values of a mask or parcellation on the grid of ``like``, shape (x, y, z)."""
    shape = image.shape[:3] if len(image.shape) == 4 and image.shape[3] == 1 else image.shape
    same = shape == like.shape[:3] and np.allclose(image.affine, like.affine, atol=1e-2)
    if not same and resample and len(shape) == 3:
        from nilearn.image import resample_img

        image_values(image, path)  # nilearn would say less of a file that ends early
        image = resample_img(
            image,
            target_affine=like.affine,
            target_shape=like.shape[:3],
            interpolation="nearest",
            force_resample=True,
            copy_header=True,
        )
        said.append(f"{path.name} was resampled to the grid of the images (nearest voxel)")
        same = True
    if not same:
        raise BraindecError(
            f"{path.name} does not lie on the grid of the images",
            found=f"shape {tuple(shape)} against {tuple(like.shape[:3])}" + _affines(image.affine, like.affine),
            fix=f"use a {'parcellation' if labels else 'mask'} in the space of the images, or resample it: "
            "resample: true",
        )
    values = image_values(image, path).reshape(like.shape[:3])
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return values


def _filled(mask: np.ndarray, path: Path) -> np.ndarray:
    if not mask.any():
        raise BraindecError(
            f"the mask {path.name} is empty", found=f"no voxel of {mask.size} is above 0", fix="check the mask"
        )
    return mask


def named_path(root: Path, given: str | Path, run: Run) -> Path:
    """A path inside the folder (``{subject}`` and ``{session}`` are filled in), or an absolute one."""
    text = str(given)
    for key in ("subject", "session"):
        text = text.replace(f"{{{key}}}", str(run.entities.get(key) or ""))
    base = root if root.is_dir() else root.parent
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    if ".." in path.parts:
        raise BraindecError(
            f"the path {text!r} must stay inside the folder", fix="write it relative to root, or as an absolute path"
        )
    return base / path


def _affines(a: np.ndarray, b: np.ndarray) -> str:
    return (
        ""
        if np.allclose(a, b, atol=1e-2)
        else f"; affines {np.round(a[:3], 3).tolist()} and {np.round(b[:3], 3).tolist()}"
    )


def _no_mask(root: Path) -> BraindecError:
    base = root if root.is_dir() else root.parent
    near = sorted(p.relative_to(base).as_posix() for p in base.glob("**/*mask*.nii*"))[:5]
    return BraindecError(
        "which voxels? no mask and no parcellation are known",
        found=f"candidates in the folder: {', '.join(near)}" if near else None,
        fix="name one: mask: path.nii.gz, or atlas: path.nii.gz; mask: auto computes one from the intensities of "
        "the first run",
    )
