"""Masks and label images of volumes of betas: found, checked against the grid, turned into a table of voxels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._fmri_signal import image_values, open_image

__all__ = ["colour_table", "open_labels", "voxel_table"]


def open_labels(
    path: Path, *, grid: tuple[int, ...] | None = None, of: str = "the betas"
) -> tuple[np.ndarray, np.ndarray]:
    """Read a mask, label image or map.

    Parameters
    ----------
    path : Path
        NIfTI, one volume.
    grid : tuple of int, optional
        The shape (x, y, z) it must have.
    of : str
        What lies on that grid, for the message.

    Returns
    -------
    values : array of shape (x, y, z)
    affine : array of shape (4, 4)

    Raises
    ------
    BraindecError
        If it lies on another grid.
    """
    image = open_image(path)
    values = image_values(image, path)
    values = values.reshape(values.shape[:3]) if values.ndim == 4 and values.shape[3] == 1 else values
    if values.ndim != 3 or (grid is not None and values.shape != tuple(grid)):
        raise BraindecError(
            f"{path.name} does not lie on the grid of {of}", found=f"shape {values.shape}",
            allowed=f"(x, y, z) = {tuple(grid)}" if grid is not None else "one volume (x, y, z)",
            fix="use a mask in the space of the betas (for func1pt8mm betas one of func1pt8mm/roi)",
        )  # fmt: skip
    return values, np.asarray(image.affine, dtype=float)


def voxel_table(mask: np.ndarray, affine: np.ndarray | None, *, unit: str = "n/a") -> tuple[np.ndarray, pd.DataFrame]:
    """Return the voxels of a mask and their channel table.

    Parameters
    ----------
    mask : array of bool, shape (x, y, z)
    affine : array of shape (4, 4), mm, or None
        Positions are NaN without it.

    Returns
    -------
    voxels : array of int
        Places in a volume stored as (z, y, x), flattened in C order: x runs fastest, as in NIfTI files.
    channels : DataFrame
        name ("i-j-k"), type, unit, x, y, z in m, i, j, k.

    Raises
    ------
    BraindecError
        If the mask is empty.
    """
    if not mask.any():
        raise BraindecError("the mask is empty", found=f"no voxel of {mask.size}", fix="choose another mask")
    voxels = np.flatnonzero(mask.ravel(order="F"))
    ijk = np.stack(np.unravel_index(voxels, mask.shape, order="F"), axis=1)
    xyz = np.full(ijk.shape, np.nan) if affine is None else (ijk @ affine[:3, :3].T + affine[:3, 3]) / 1000.0
    channels = pd.DataFrame(
        {"name": [f"{i:03d}-{j:03d}-{k:03d}" for i, j, k in ijk.tolist()], "type": "voxel", "unit": unit}
    )
    for place, (index, axis) in enumerate(zip("ijk", "xyz", strict=True)):
        channels[index], channels[axis] = ijk[:, place], xyz[:, place]
    return voxels, channels


def name_regions(channels: pd.DataFrame, labels: Mapping[str, tuple[np.ndarray, Mapping[int, str]]]) -> pd.DataFrame:
    """Add one column a label image (name of the label, "n/a" outside) and ``region``: the first label that a voxel has.

    Parameters
    ----------
    channels : DataFrame
        With i, j, k.
    labels : mapping
        name -> (values (x, y, z), {number: name}); numbers above 0 are labels.
    """
    ijk = tuple(channels[c].to_numpy() for c in "ijk")
    region = np.full(len(channels), "n/a", dtype=object)
    for name, (values, names) in labels.items():
        numbers = np.round(values[ijk]).astype(np.int64)
        called = np.array([names.get(int(n), f"{name}-{n}") if n > 0 else "n/a" for n in numbers], dtype=object)
        channels = channels.assign(**{name: called})
        region = np.where(region == "n/a", called, region)
    return channels.assign(region=region)


def colour_table(path: Path) -> dict[int, str]:
    """Read the numbers and names of a FreeSurfer colour table (.ctab): one label a line, number and name first."""
    names: dict[int, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UnreadableError(f"{path} is no colour table", found=str(error)[:200], fix="download it again") from error
    for line in lines:
        parts = line.split()
        if len(parts) >= 2 and parts[0].lstrip("-").isdigit():
            names[int(parts[0])] = parts[1]
    return names


def space_info(mask: np.ndarray, affine: np.ndarray | None, space: str | None) -> dict[str, Any]:
    """Return ``grid``, ``affine`` (mm) and ``space`` for ``info``, from which maps are written back."""
    info: dict[str, Any] = {"grid": [int(n) for n in mask.shape], "space": space}
    return info if affine is None else {**info, "affine": np.asarray(affine, dtype=float).tolist()}
