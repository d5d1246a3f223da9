"""Where sensors lie on a flat page: a sphere fitted to their positions, and a map of one value a sensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Circle

from braindec.viz._style import INK, MUTED, plain_axes

_MIN_SENSORS = 12  # fewer do not cover a head: a smooth map between them would be made up


def sphere_of(positions: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Fit a sphere by least squares.

    Parameters
    ----------
    positions : array of shape (n, 3)
        Positions in m.

    Returns
    -------
    centre : array of shape (3,)
        In m.
    radius : float
        In m.
    error : float
        Root mean square distance from the sphere, as a share of the radius; infinite when no sphere fits.
    """
    if len(positions) < 5:
        return positions.mean(axis=0), 0.0, float("inf")
    design = np.column_stack([2 * positions, np.ones(len(positions))])
    solution, _, rank, _ = np.linalg.lstsq(design, (positions**2).sum(axis=1), rcond=None)
    centre, square = solution[:3], solution[3] + (solution[:3] ** 2).sum()
    if rank < 4 or square <= 0:
        return positions.mean(axis=0), 0.0, float("inf")
    radius = float(np.sqrt(square))
    distances = np.linalg.norm(positions - centre, axis=1)
    return centre, radius, float(np.sqrt(np.mean((distances - radius) ** 2)) / radius)


def on_a_head(positions: np.ndarray) -> bool:
    """Whether sensors cover a head well enough for a smooth map: enough of them, on one sphere of a head's size."""
    known = positions[np.isfinite(positions).all(axis=1)]
    if len(known) < _MIN_SENSORS:
        return False
    _, radius, error = sphere_of(known)
    return 0.04 < radius < 0.25 and error < 0.15


def one_each(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average sensors of one place (the two gradiometers and the magnetometer of a triplet), to the mm."""
    _, first, place = np.unique(np.round(positions, 3), axis=0, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), *values.shape[1:]))
    np.add.at(sums, place.ravel(), values)
    counts = np.bincount(place.ravel(), minlength=len(first)).reshape(-1, *[1] * (values.ndim - 1))
    return sums / counts, positions[first]


def head_map(ax: Axes, values: np.ndarray, positions: np.ndarray, *, cmap: Colormap, low: float, high: float) -> Any:
    """Draw values (n,) of sensors at positions (n, 3) m on a head seen from above; returns what a colour bar needs."""
    if on_a_head(positions):
        return _smooth(ax, values, positions, cmap, low, high)
    return sensor_dots(ax, values, positions, cmap=cmap, low=low, high=high)


def _smooth(ax: Axes, values: np.ndarray, positions: np.ndarray, cmap: Colormap, low: float, high: float) -> Any:
    import mne

    values, positions = one_each(values, positions)
    centre, radius, _ = sphere_of(positions)
    info = mne.create_info([str(i) for i in range(len(values))], 1.0, "eeg", verbose="error")
    for channel, place in zip(info["chs"], positions - centre, strict=True):
        channel["loc"][:3] = place
    image, _ = mne.viz.plot_topomap(
        values,
        info,
        axes=ax,
        show=False,
        sphere=(0.0, 0.0, 0.0, radius),
        cmap=cmap,
        vlim=(low, high),
        contours=0,
        res=96,
        sensors="k.",
        extrapolate="head",
        outlines="head",
    )
    return image


def flat(positions: np.ndarray) -> np.ndarray:
    """Project sensors of a head to a plane as seen from above: (n, 3) m -> (n, 2).

    Distances from the top are kept; the rim of the drawn head (1) is the equator of the fitted sphere.
    """
    centre, radius, error = sphere_of(positions)
    if not np.isfinite(error) or not 0.04 < radius < 0.25:
        shifted = positions[:, :2] - positions[:, :2].mean(axis=0)
        reach = np.abs(shifted).max()
        return 0.8 * shifted / (reach if reach > 0 else 1.0)
    arrow = (positions - centre) / np.linalg.norm(positions - centre, axis=1, keepdims=True)
    angle = np.arccos(np.clip(arrow[:, 2], -1, 1)) / (np.pi / 2)
    side = np.hypot(arrow[:, 0], arrow[:, 1])
    return angle[:, None] * arrow[:, :2] / np.where(side > 0, side, 1)[:, None]


def sensor_dots(ax: Axes, values: np.ndarray, positions: np.ndarray, *, cmap: Colormap, low: float, high: float) -> Any:
    """Draw sensors as filled dots on an outline: when they are too few for a smooth map."""
    places = flat(positions)
    reach = max(1.0, float(np.linalg.norm(places, axis=1).max()))
    outline(ax, 1.0)
    size = float(np.clip(1600 / len(values), 14, 170))
    dots = ax.scatter(
        *places.T, c=values, s=size, cmap=cmap, norm=Normalize(low, high), edgecolor=INK, linewidth=0.7, zorder=3
    )
    ax.set_xlim(-1.22 * reach, 1.22 * reach)
    ax.set_ylim(-1.18 * reach, 1.26 * reach)
    return dots


def outline(ax: Axes, radius: float) -> None:
    """Draw a head seen from above: a circle, the nose up."""
    plain_axes(ax)
    ax.set_aspect("equal")
    ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor=MUTED, linewidth=1.1, zorder=1))
    ax.plot(
        [-0.12 * radius, 0, 0.12 * radius],
        [0.993 * radius, 1.14 * radius, 0.993 * radius],
        color=MUTED,
        linewidth=1.1,
        zorder=1,
    )
