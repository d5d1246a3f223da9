"""Sensors on a flat page: azimuthal equidistant projection of their directions, scaled to the unit square.

Source: Snyder 1987 (Map Projections, USGS 1395, ch. 25) for the projection; the top of the head is the centre, and a
sensor's distance from it is the angle between them, so that sensors below the equator keep apart.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Recording, Windows

__all__ = ["flat_positions"]


def flat_positions(recording: Recording | Windows | np.ndarray) -> np.ndarray:
    """Return places of sensors on the unit square.

    Parameters
    ----------
    recording : Recording, Windows, or array of shape (n_channels, 3)
        Positions in m (right, front, up); NaN where unknown.

    Returns
    -------
    array of shape (n_channels, 2)
        x to the right and y to the front, each from 0 to 1 over the known sensors; NaN where unknown.

    Raises
    ------
    BraindecError
        If fewer than two sensors have a position.
    """
    points = (
        np.asarray(recording, dtype=float)
        if isinstance(recording, np.ndarray)
        else recording.channels[["x", "y", "z"]].to_numpy(dtype=float)
    )
    known = np.isfinite(points).all(axis=1)
    if known.sum() < 2:
        name = "" if isinstance(recording, np.ndarray) else f" ({', '.join(recording.ch_names[:4])}, ...)"
        raise BraindecError(
            f"sensors{name} have no positions", found=f"{int(known.sum())} of {len(points)} are known", allowed="two or more",
            fix="give the recording a montage (reader option montage=..., or an electrodes table)",
        )  # fmt: skip
    rays = points[known] - _centre(points[known])
    length = np.linalg.norm(rays, axis=1, keepdims=True)
    rays = np.divide(rays, length, out=np.zeros_like(rays), where=length > 0)
    angle = np.arccos(np.clip(rays[:, 2], -1, 1))
    flat = angle[:, None] * _directions(rays)
    low, span = flat.min(axis=0), np.ptp(flat, axis=0)
    out = np.full((len(points), 2), np.nan)
    out[known] = np.where(span > 0, (flat - low) / np.where(span > 0, span, 1.0), 0.5)
    return out


def _directions(rays: np.ndarray) -> np.ndarray:
    """Unit vectors in the plane, zero at the pole."""
    along = rays[:, :2]
    size = np.linalg.norm(along, axis=1, keepdims=True)
    return np.divide(along, size, out=np.zeros_like(along), where=size > 1e-12)


def _centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere that fits best; the mean, a little below, where no sphere fits."""
    if len(points) >= 5:
        design = np.column_stack([2 * points, np.ones(len(points))])
        solution, _, rank, _ = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)
        radius = solution[3] + (solution[:3] ** 2).sum()
        if rank == 4 and 0.03 < np.sqrt(max(radius, 0)) < 0.5:
            return solution[:3]
    return points.mean(axis=0) - np.array([0.0, 0.0, 0.05])
