"""Voxel map: one value a voxel on slices through the voxels' own positions, with no template brain needed.

Where only the indices of the voxels are known (no affine), ``axes="indices"`` names the axes i, j, k instead of the sides
of a brain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._brain import NOTHING, colour_bar, colours, heading
from braindec.viz._style import MUTED, SINGLE, WIDE, numbers, panes, plain_axes, styled

__all__ = ["voxel_map"]

_ACROSS = {"x": (1, 2), "y": (0, 2), "z": (0, 1)}  # axes to the right and up in a slice
_ENDS = ("left – right", "back – front", "down – up")


@styled
def voxel_map(
    values: Any,
    positions: Any,
    *,
    axis: str = "z",
    axes: str = "brain",
    n_slices: int = 10,
    background: Any = None,
    label: str = "weight",
    unit: str = "",
    top: float | None = None,
    strongest: Any = None,
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
    axes : {"brain", "indices"}
        What positions are: places in m, or indices i, j, k of the voxels times 0.001, where no affine is known.
    n_slices : int
        At most so many slices; those with the largest absolute values are kept, drawn in order.
    background : array of shape (n, 3), optional
        Positions of more voxels, drawn grey (the whole brain mask).
    label, unit, title : str
        For the colour bar and the picture.
    top : float, optional
        Where the colours end, for maps that are compared; the largest absolute value by default.
    strongest : array of shape (n_voxels,), optional
        Slices are chosen by these values instead, so that maps that are compared show the same slices.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, positions are not finite, or no value is.
    """
    values = numbers("values", values, ndim=1, finite=False)
    places = numbers("positions", positions, ndim=2, n=len(values))
    if places.shape[1] != 3 or axis not in _ACROSS or axes not in ("brain", "indices"):
        raise BraindecError(
            "voxel_map needs positions (voxel, 3), an axis, and what the axes are",
            found=f"{places.shape}, axis={axis!r}, axes={axes!r}",
            allowed="axis: x, y, z; axes: brain, indices",
        )
    if not np.isfinite(values).any():
        raise BraindecError("no voxel has a value that is finite", found=f"{len(values)} voxels")
    everything = places if background is None else np.concatenate([places, numbers("background", background, ndim=2)])
    step = np.full(3, 1e-3) if axes == "indices" else voxel_size(everything)
    origin = everything.min(axis=0)
    cells, grey = (np.round((p - origin) / step).astype(int) for p in (places, everything))
    across, (right, up) = "xyz".index(axis), _ACROSS[axis]
    by = values if strongest is None else numbers("strongest", strongest, ndim=1, n=len(values), finite=False)
    kept = _strongest(by, cells[:, across], n_slices)
    shape = grey.max(axis=0) + 1
    ratio = shape[up] * step[up] / (shape[right] * step[right])
    figure, grid = _grid(ax, len(kept), ratio)
    shades = colours(values, top)
    for cell, layer in zip(grid.ravel(), kept, strict=False):
        back = np.full((shape[up], shape[right]), np.nan)
        front = back.copy()
        here = grey[:, across] == layer
        back[grey[here, up], grey[here, right]] = 1.0
        here = cells[:, across] == layer
        front[cells[here, up], cells[here, right]] = values[here]
        aspect = step[up] / step[right]
        cell.imshow(back, origin="lower", cmap=ListedColormap([NOTHING]), aspect=aspect)
        cell.imshow(front, origin="lower", cmap=shades.cmap, norm=shades.norm, aspect=aspect)
        plain_axes(cell)
        cell.set_title(_place(origin + layer * step, across, axes), loc="center", fontsize=8, fontweight="normal")
    for cell in grid.ravel()[len(kept) :]:
        cell.set_axis_off()
    ends = _ENDS if axes == "brain" else [f"{name} (voxels)" for name in "ijk"]
    grid[-1, 0].set_xlabel(ends[right], fontsize=7.5, color=MUTED)
    grid[-1, 0].set_ylabel(ends[up], fontsize=7.5, color=MUTED)
    layers = len(np.unique(grey[:, across]))
    words = f"n = {int(np.isfinite(values).sum()):,} voxels"
    words += f",\n{len(kept)} of {layers} slices" if len(kept) < layers else ""
    colour_bar(figure, grid.ravel(), shades, label, unit=unit, below=words)
    heading(figure, title)
    return figure


def _grid(ax: Axes | None, n: int, ratio: float) -> tuple[Figure, np.ndarray]:
    """Return a figure with room for ``n`` slices, ``ratio`` times as high as wide, five a row."""
    columns = min(n, 5)
    rows = -(-n // columns)
    width = WIDE if columns > 2 else SINGLE
    tall = (width - 1.1) / columns * ratio
    height = float(np.clip(rows * (min(tall, 3.6) + 0.3), 1.6, 8.5)) + 0.45
    return panes(ax, rows, columns, width=width, height=height)


def _place(corner: np.ndarray, across: int, axes: str) -> str:
    """Say where a slice lies: in mm, or as an index."""
    where = round(1000 * float(corner[across]) + 0.0)
    return f"{'xyz'[across]} = {where} mm".replace("-", "−") if axes == "brain" else f"{'ijk'[across]} = {where}"


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
