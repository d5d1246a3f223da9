"""Voxel map: one value a voxel on slices through the voxels' own positions, with no template brain needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import FAINT, MUTED, SINGLE, WIDE, limits, numbers, panes, plain_axes, styled

__all__ = ["voxel_map"]

_ACROSS = {
    "x": (1, 2, "left / right", ("posterior", "anterior")),
    "y": (0, 2, "front / back", ("left", "right")),
    "z": (0, 1, "down / up", ("left", "right")),
}


@styled
def voxel_map(
    values: Any,
    positions: Any,
    *,
    axis: str = "z",
    n_slices: int = 10,
    background: Any = None,
    label: str = "weight",
    unit: str = "",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw slices of a value a voxel.

    Parameters
    ----------
    values : array of shape (n_voxels,)
        NaN is drawn as background.
    positions : array of shape (n_voxels, 3)
        Centres of the voxels in m (x to the right, y to the front, z up).
    axis : {"x", "y", "z"}
        Slices are taken across this axis.
    n_slices : int
        At most so many slices; those with the largest absolute values are kept, drawn in order.
    background : array of shape (n, 3), optional
        Positions of more voxels, drawn grey (the whole brain mask).
    label, unit, title : str
        For the colour bar and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, positions are not finite, or no value is.
    """
    values = numbers("values", values, ndim=1, finite=False)
    places = numbers("positions", positions, ndim=2, n=len(values))
    if places.shape[1] != 3 or axis not in _ACROSS:
        raise BraindecError(
            "voxel_map needs positions (voxel, 3) and an axis",
            found=f"{places.shape}, axis={axis!r}",
            allowed="x, y, z",
        )
    if not np.isfinite(values).any():
        raise BraindecError("no voxel has a value that is finite", found=f"{len(values)} voxels")
    everything = places if background is None else np.concatenate([places, numbers("background", background, ndim=2)])
    step = voxel_size(everything)
    origin = everything.min(axis=0)
    cells, grey = (np.round((p - origin) / step).astype(int) for p in (places, everything))
    across, (right, up) = "xyz".index(axis), _ACROSS[axis][:2]
    kept = _strongest(values, cells[:, across], n_slices)
    columns = min(len(kept), 5)
    rows = -(-len(kept) // columns)
    shape = grey.max(axis=0) + 1
    tall = (WIDE - 1.1) / 5 * shape[up] * step[up] / (shape[right] * step[right])
    width = WIDE if columns > 2 else SINGLE
    figure, axes = panes(
        ax,
        rows,
        columns,
        width=width,
        height=float(np.clip(rows * (tall + 0.3) * (1 if columns > 2 else 1.6), 1.9, 8.5)) + 0.35,
    )
    cmap, low, high = limits(values)
    image = None
    for cell, place in zip(axes.ravel(), kept, strict=False):
        back = np.full((shape[up], shape[right]), np.nan)
        front = back.copy()
        here = grey[:, across] == place
        back[grey[here, up], grey[here, right]] = 1.0
        here = cells[:, across] == place
        front[cells[here, up], cells[here, right]] = values[here]
        aspect = step[up] / step[right]
        cell.imshow(back, origin="lower", cmap=ListedColormap(["#cfd6dc"]), aspect=aspect)
        image = cell.imshow(front, origin="lower", cmap=cmap, vmin=low, vmax=high, aspect=aspect)
        plain_axes(cell)
        cell.set_facecolor(FAINT)
        cell.set_title(
            f"{axis} = {1000 * (origin[across] + place * step[across]):.0f} mm",
            loc="center",
            fontsize=8,
            fontweight="normal",
        )
    for cell in axes.ravel()[len(kept) :]:
        cell.set_axis_off()
    ends = _ACROSS[axis][3]
    axes[-1, 0].set_xlabel(f"{ends[0]} – {ends[1]}", fontsize=7.5, color=MUTED)
    bar = figure.colorbar(image, ax=list(axes.ravel()), shrink=0.8, aspect=18, pad=0.02)
    bar.set_label((f"{label} ({unit})" if unit else label) + f"\nn = {int(np.isfinite(values).sum()):,} voxels")
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def voxel_size(positions: np.ndarray) -> np.ndarray:
    """Return the distance of neighbouring voxels along x, y and z in m, shape (3,).

    On a grid along the axes it is the smallest step of each coordinate; on a turned grid, the distance to the nearest
    other voxel, for all three. An axis with one layer gets the smallest of the others.
    """
    steps = np.full(3, np.nan)
    for k in range(3):
        unique = np.unique(np.round(positions[:, k], 6))
        gaps = np.diff(unique)
        gaps = gaps[gaps > 1e-5]
        if len(gaps):
            steps[k] = gaps.min()
    known = steps[np.isfinite(steps)]
    if not len(known):
        return np.full(3, 1e-3)
    steps = np.where(np.isfinite(steps), steps, known.min())
    if np.prod(np.ptp(positions, axis=0) / steps + 1) > 400 * len(
        positions
    ):  # far finer than the voxels: a turned grid
        from scipy.spatial import cKDTree

        sample = positions[:: max(1, len(positions) // 2000)]
        steps = np.full(3, float(np.median(cKDTree(positions).query(sample, k=2)[0][:, 1])))
    return steps


def _strongest(values: np.ndarray, layer: np.ndarray, n: int) -> np.ndarray:
    """The layers with the largest absolute values, in order of place."""
    layers = np.unique(layer)
    if len(layers) <= n:
        return layers
    size = np.nan_to_num(np.abs(values))
    strength = np.array([size[layer == place].sum() for place in layers])
    return np.sort(layers[np.argsort(-strength, kind="stable")[:n]])
