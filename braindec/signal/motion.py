"""Motion seen in the images: rigid-body displacement of each volume, to first order, where no realignment table is there.

A small displacement changes the image by its gradient times the displacement, so the six parameters (three in a single
slice) follow from least squares of (volume - mean volume) on the gradients of the mean volume, after the brightness of
each volume is taken out.

Source: Friston, Ashburner, Frith, Poline, Heather & Frackowiak 1995 (Human Brain Mapping 3), the linearised form of
realignment. Differs from the reference in: one step, no resampling; good for displacements well below a voxel.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Recording

__all__ = ["estimate_motion"]

_NAMES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
_ENOUGH = 50  # voxels with all neighbours


def estimate_motion(recording: Recording) -> tuple[np.ndarray, list[str]]:
    """Estimate the motion of each volume of a run of voxels.

    Parameters
    ----------
    recording : Recording
        Voxels with ``info`` grid and affine, before any step that removes the mean.

    Returns
    -------
    parameters : array of shape (n_times, n_parameters), float32
        mm and radians, against the run's mean volume. Directions in which the grid has one voxel only are left out, with
        the rotations that need them.
    names : list of str
        trans_x, ..., rot_z in the axes of the grid.

    Raises
    ------
    BraindecError
        If channels are not voxels on a grid, or too few voxels have neighbours.
    """
    grid, affine = recording.info.get("grid"), recording.info.get("affine")
    if grid is None or affine is None or not (recording.channels["type"] == "voxel").all():
        raise BraindecError(
            f"{recording.label}: motion can be seen only in voxels on a grid",
            found=f"channels of type {', '.join(recording.channels['type'].unique())}",
            fix="use a band of kind confounds or table instead",
        )
    place = _indices(recording)
    size = np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)  # mm
    if len(grid) != 3 or not (size > 0).all() or (place < 0).any() or (place >= np.asarray(grid)).any():
        raise BraindecError(
            f"{recording.label}: its voxels do not lie on its grid", found=f"grid {list(grid)}, indices {place.min(axis=0)} to "
            f"{place.max(axis=0)}, voxels of {np.round(size, 3).tolist()} mm",
        )  # fmt: skip
    data = np.asarray(recording.signal.read(), dtype=np.float64)  # (voxel, time)
    held = np.isfinite(data).all(axis=1)
    data, place = data[held], place[held]  # a voxel without numbers is as good as outside the brain
    if not (np.ptp(data, axis=1) > 0).any():
        raise BraindecError(
            f"{recording.label}: motion cannot be seen where no voxel ever changes",
            found=f"{int(held.sum())} voxels with numbers",
        )
    mean = data.mean(axis=1)
    volume = np.full(grid, np.nan)
    volume[tuple(place.T)] = mean
    columns, names = _basis(volume, place, size)
    kept = np.isfinite(columns).all(axis=1)
    if kept.sum() < _ENOUGH:
        raise BraindecError(
            f"{recording.label}: motion cannot be seen in so few voxels",
            found=f"{int(kept.sum())} voxels with all neighbours",
            allowed=f"{_ENOUGH} or more",
        )
    full = np.column_stack([columns[kept], mean[kept], np.ones(int(kept.sum()))])
    scale = np.linalg.norm(full, axis=0)
    fitted = np.linalg.lstsq(full / scale, data[kept] - mean[kept, None], rcond=None)[0] / scale[:, None]
    return np.ascontiguousarray(fitted[: len(names)].T, dtype=np.float32), names


def _indices(recording: Recording) -> np.ndarray:
    channels = recording.channels
    if {"i", "j", "k"} <= set(channels):
        return channels[["i", "j", "k"]].to_numpy(dtype=int)
    positions = recording.positions * 1e3
    if not np.isfinite(positions).all():
        raise BraindecError(
            f"{recording.label}: the voxels have no positions", fix="use a band of kind confounds or table"
        )
    inverse = np.linalg.inv(np.asarray(recording.info["affine"], dtype=float))
    return np.round(positions @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)


def _basis(volume: np.ndarray, place: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Change of each voxel for 1 mm or 1 radian, (n_voxels, n_parameters), and names."""
    moving = [axis for axis in range(3) if volume.shape[axis] > 2]
    gradient = {a: (-np.gradient(volume, size[a], axis=a))[tuple(place.T)] for a in moving}
    centred = (place - place.mean(axis=0)) * size
    columns, names = [gradient[a] for a in moving], [_NAMES[a] for a in moving]
    for turn, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):  # about x, y, z
        if a in gradient and b in gradient:
            columns.append(centred[:, a] * gradient[b] - centred[:, b] * gradient[a])
            names.append(_NAMES[3 + turn])
    return np.column_stack(columns), names
