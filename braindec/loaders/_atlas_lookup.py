"""The label of each channel of a recording: by grid, by vertex, or by position when that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.loaders._atlas import Atlas, need_space
from braindec.loaders._atlas_files import _values
from braindec.loaders._cifti_labels import CiftiLabels
from braindec.loaders._cifti_model import BrainModel
from braindec.loaders._fmri_signal import open_image
from braindec.loaders._fmri_tables import space_of
from braindec.types import Recording

__all__ = ["labels_of", "rois_of", "sizes_on"]


def labels_of(
    recording: Recording,
    atlas: Atlas,
    *,
    resample: str | bool | None = None,
    space: str | None = None,
    said: list[str] | None = None,
) -> np.ndarray:
    """Return the label of each channel, shape (n_channels,), int32; 0 where there is none.

    Parameters
    ----------
    recording : Recording
        Of voxels, vertices or grayordinates.
    atlas : Atlas
        A volume is looked up at voxels, labels of a surface or CIFTI at vertices and grayordinates.
    resample : "nearest" or bool, optional
        Look voxels up by position when they lie on another grid of the same space: each takes the label of the voxel that
        its centre lies in. Without it another grid is an error.
    space : str, optional
        Space of the recording, where it does not say one or a wrong one.
    said : list of str, optional
        Is told what was taken on trust.

    Raises
    ------
    BraindecError
        If grids, surfaces or spaces differ (both are named), or no channel has a label.
    """
    said = [] if said is None else said
    space = space if space is not None else recording.info.get("space")
    atlas.need_labels()
    if atlas.kind == "volume":
        found = _from_volume(recording, atlas, resample, space, said)
    else:
        found = _from_model(recording, atlas, space, said)
    if not found.any():
        raise BraindecError(
            f"no channel of {recording.label} lies in a region of {atlas.name}", found=f"{recording.n_channels} channels",
            fix="check that both cover the same part of the brain",
        )  # fmt: skip
    return found


def rois_of(
    recording: Recording,
    masks: Mapping[str, str | Path],
    *,
    resample: str | bool | None = None,
    space: str | None = None,
    mask_space: str | None = None,
    allow_empty: bool = False,
    said: list[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return the channels that lie in each of several binary masks: {name: bool (n_channels,)}; masks may overlap.

    Parameters
    ----------
    recording : Recording
        Of voxels.
    masks : dict of str to path
        NIfTI volumes; what is not 0 is inside.
    resample, space, said
        As in :func:`labels_of`.
    mask_space : str, optional
        Space of the masks, where their headers do not say it.
    allow_empty : bool
        Keep a region that no channel lies in (all False) instead of refusing it.

    Raises
    ------
    BraindecError
        If a mask is empty, lies on another grid or in another space, or no channel lies in it.
    """
    if not masks:
        raise BraindecError("no masks are named", allowed="{'V1': 'v1.nii.gz', ...}")
    found, nothing = {}, []
    for name, path in masks.items():
        image = open_image(path)
        inside = _values(image, Path(path)) != 0
        inside = inside[..., 0] if inside.ndim == 4 and inside.shape[3] == 1 else inside
        if inside.ndim != 3 or not inside.any():
            raise BraindecError(
                f"the mask {name} ({path}) is empty or no volume",
                found=f"shape {inside.shape}, {int(inside.sum())} voxels",
            )
        one = Atlas(
            str(name), "volume", mask_space or space_of(image), {1: str(name)}, inside.astype(np.int32), image.affine
        )
        own_space = space if space is not None else recording.info.get("space")
        found[str(name)] = _from_volume(recording, one, resample, own_space, [] if said is None else said) == 1
        if not found[str(name)].any():
            nothing.append(str(name))
    if nothing and not allow_empty:
        raise BraindecError(
            f"no channel of {recording.label} lies in {', '.join(nothing)}", found=f"{recording.n_channels} channels",
            fix="leave it out, or allow_empty=True",
        )  # fmt: skip
    if nothing and said is not None:
        said.append(f"no channel lies in {', '.join(nothing)}")
    return found


def sizes_on(recording: Recording, atlas: Atlas) -> dict[int, float]:
    """Return how many channels of the recording's grid (or surface) each whole region would fill.

    For voxels of another size the counts of the atlas are scaled by the volumes; they are the reference of
    ``min_coverage`` in :func:`braindec.signal.parcels.parcellate`.
    """
    sizes = {k: float(n) for k, n in atlas.sizes.items()}
    affine = recording.info.get("affine")
    if atlas.affine is None or affine is None:
        return sizes
    ratio = abs(np.linalg.det(atlas.affine[:3, :3]) / np.linalg.det(np.asarray(affine, dtype=float)[:3, :3]))
    return {k: n * float(ratio) for k, n in sizes.items()}


def _from_volume(
    recording: Recording, atlas: Atlas, resample: str | bool | None, space: str | None, said: list[str]
) -> np.ndarray:
    if resample not in (None, True, False, "nearest"):
        raise BraindecError(f"resample={resample!r} is unknown", allowed="nearest (or true), or nothing")
    labels = atlas.need_labels()
    info, affine = recording.info, recording.info.get("affine")
    mine = None if affine is None else np.asarray(affine, dtype=float)
    grid = tuple(int(n) for n in info.get("grid") or ())
    voxels = _voxels(recording, mine)
    centres = recording.positions * 1000 if mine is None else voxels @ mine[:3, :3].T + mine[:3, 3]
    there = np.isfinite(centres).all(axis=1)
    if not there.any():
        raise BraindecError(
            f"{recording.label} has no voxels with a place, and {atlas.name} labels voxels",
            found="no grid with an affine, and no positions", fix="for vertices use labels of their surface",
        )  # fmt: skip
    same = mine is not None and grid == labels.shape and np.allclose(mine, atlas.affine, atol=1e-2)
    if not same and not resample:
        own = f"grid {grid or 'unknown'}, affine {'unknown' if mine is None else np.round(mine[:3], 2).tolist()}"
        raise BraindecError(
            f"{recording.label} does not lie on the grid of {atlas.name}",
            found=f"{own} against {labels.shape}, {np.round(np.asarray(atlas.affine)[:3], 2).tolist()}",
            fix="when both are in the same space: resample='nearest'",
        )
    need_space(atlas, space, recording.label, said, trust=True)
    if not same:
        back = np.linalg.inv(np.asarray(atlas.affine))
        voxels = centres @ back[:3, :3].T + back[:3, 3]
        said.append(f"{atlas.name} was looked up at the centres of the voxels of {recording.label} (nearest)")
    at = np.zeros((len(voxels), 3), dtype=np.int64)
    at[there] = np.floor(voxels[there] + 0.5).astype(np.int64)
    there &= ((at >= 0) & (at < labels.shape)).all(axis=1)
    found = np.zeros(recording.n_channels, dtype=np.int32)
    found[there] = labels[tuple(at[there].T)]
    return found


def _voxels(recording: Recording, affine: np.ndarray | None) -> np.ndarray:
    """Voxel indices of the channels, shape (n, 3); NaN for those that are no voxels."""
    channels = recording.channels
    if {"i", "j", "k"} <= set(channels):
        voxels = channels[["i", "j", "k"]].to_numpy(dtype=float)
        return np.where((voxels >= 0).all(axis=1, keepdims=True), voxels, np.nan)
    if affine is None:
        return np.full((len(channels), 3), np.nan)
    back = np.linalg.inv(affine)
    return recording.positions * 1000 @ back[:3, :3].T + back[:3, 3]


def _from_model(recording: Recording, atlas: Atlas, space: str | None, said: list[str]) -> np.ndarray:
    assert atlas.model is not None
    channels: Any = recording.channels
    if not {"structure", "vertex"} <= set(channels):
        raise BraindecError(
            f"{recording.label} has no vertices, and {atlas.name} labels {atlas.model.describe()}",
            fix="use a label volume for voxels, or a recording on a surface (readers cifti, gifti)",
        )
    model, order = BrainModel.from_channels(channels, recording.info)
    need_space(atlas, space, recording.label, said, trust=True)
    laid = CiftiLabels(atlas.model, atlas.need_labels(), channels.iloc[:0], atlas.name, atlas.path or atlas.name)
    found = np.zeros(len(channels), dtype=np.int32)
    found[order] = laid.on(model, recording.label)
    return found
