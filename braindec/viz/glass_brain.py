"""Glass brain: the largest value along each line of sight, inside outlines of the MNI brain from three sides.

The outlines are the drawings that nilearn bundles (BSD licence; nilearn/plotting/glass_brain_files), placed in MNI space
at the scales that nilearn uses for them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.path import Path

from braindec.errors import BraindecError
from braindec.viz._brain import above, bundled, colour_bar, colours, heading, metres
from braindec.viz._style import INK, MUTED, WIDE, numbers, panes, plain_axes, styled
from braindec.viz.voxel_map import voxel_size

__all__ = ["glass_brain"]

# view: drawing, axis across, axis up, mm per unit of the drawing, mm of its lower left corner
_VIEWS = {
    "sagittal": ("side", 1, 2, (0.38, 0.38), (-108.0, -70.0)),
    "coronal": ("back", 0, 2, (0.39, 0.39), (-73.0, -73.0)),
    "axial": ("top", 0, 1, (0.36, 0.37), (-71.0, -107.0)),
}
_LIMITS = {
    "sagittal": ((-112, -76), (81, 87)), "coronal": ((-77, -76), (77, 87)), "axial": ((-77, -111), (77, 81)),
}  # mm: the outlines and a margin  # fmt: skip
_DISC = 7.0  # mm, the size of electrodes and parcels


@styled
def glass_brain(
    values: Any,
    positions: Any,
    *,
    label: str = "r",
    unit: str = "",
    top: float | None = None,
    title: str | None = None,
    threshold: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw values at places of MNI space as seen through a glass brain, from the side, from behind and from above.

    Each cell shows the value with the largest absolute value along the line of sight, with its sign.

    Parameters
    ----------
    values : array of shape (n,)
        One value a voxel, parcel or electrode; NaN is not drawn.
    positions : array of shape (n, 3)
        MNI coordinates in m (x to the right, y to the front, z up). Positions on a regular grid are drawn as cells of
        the size of the voxels, others as discs; rows with NaN are left out and counted.
    label, unit : str
        For the colour bar.
    top : float, optional
        Where the colours end, for maps that are compared; the largest absolute value by default.
    title : str, optional
        Above the picture.
    threshold : float, optional
        Values with a smaller absolute value are not drawn.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, no value is finite, or positions are not in m.
    """
    values = numbers("values", values, ndim=1, finite=False)
    places = metres(positions, len(values))
    known = np.isfinite(places).all(axis=1)
    if not (np.isfinite(values) & known).any():
        raise BraindecError("no place has a value that is finite", found=f"{len(values)} values")
    shades = colours(values[known], top)
    kept = above(values, threshold)
    drawn = np.isfinite(kept) & known
    step = _grid_step(places[known])
    figure, axes = panes(ax, 1, 3, width=WIDE, height=2.9, width_ratios=[185, 146, 143])
    for cell, (view, (drawing, right, up, scale, corner)) in zip(axes[0], _VIEWS.items(), strict=True):
        _outline(cell, drawing, scale, corner)
        mm = 1000 * places[drawn][:, [right, up]]
        if step is None:
            _discs(cell, mm, kept[drawn], shades)
        elif drawn.any():
            _cells(cell, mm, kept[drawn], 1000 * step[[right, up]], shades)
        _frame(cell, view, mm)
    words = [f"n = {int(np.isfinite(values[known]).sum()):,}"]
    if threshold is not None:
        words.append(f"{int(drawn.sum()):,} at |{label}| ≥ {threshold:g}")
    if not known.all():
        words.append(f"{int((~known).sum()):,} without position")
    colour_bar(figure, axes.ravel(), shades, label, unit=unit, below="\n".join(words))
    heading(figure, title)
    return figure


def _frame(cell: Axes, view: str, mm: np.ndarray) -> None:
    """Set the limits to the whole brain (and what lies outside it) and mark left and right."""
    plain_axes(cell)
    cell.set_aspect("equal")
    low, high = (np.array(corner) for corner in _LIMITS[view])
    if len(mm):
        low, high = np.minimum(low, mm.min(axis=0) - 5), np.maximum(high, mm.max(axis=0) + 5)
    cell.set_xlim(low[0], high[0])
    cell.set_ylim(low[1], high[1])
    cell.set_title(view, loc="center", fontsize=8.5, fontweight="normal")
    words = ("back", "front") if view == "sagittal" else ("L", "R")
    look: dict[str, Any] = {"fontsize": 7.5, "color": MUTED} if view == "sagittal" else {"fontsize": 8.5, "color": INK}
    for x, side, word in zip((0.0, 1.0), ("left", "right"), words, strict=True):
        cell.text(x, 0.0, word, transform=cell.transAxes, ha=side, va="bottom", **look)


def _cells(cell: Axes, mm: np.ndarray, values: np.ndarray, step: np.ndarray, shades: ScalarMappable) -> None:
    """Draw the largest absolute value of each cell of the grid; ``mm`` (n, 2), ``step`` (2,) in mm."""
    origin = mm.min(axis=0)
    at = np.round((mm - origin) / step).astype(int)
    image = np.full(at.max(axis=0)[::-1] + 1, np.nan)
    order = np.argsort(np.abs(values), kind="stable")
    image[at[order, 1], at[order, 0]] = values[order]  # the last written is the largest
    edge = origin - step / 2
    far = edge + step * image.shape[::-1]
    extent = (edge[0], far[0], edge[1], far[1])
    low, high = shades.get_clim()
    cell.imshow(image, origin="lower", extent=extent, cmap=shades.cmap, vmin=low, vmax=high, zorder=1)


def _discs(cell: Axes, mm: np.ndarray, values: np.ndarray, shades: ScalarMappable) -> None:
    """Draw discs, the largest absolute values on top; ``mm`` (n, 2)."""
    order = np.argsort(np.abs(values), kind="stable")
    few = len(order) < 400
    edge = MUTED if few else "none"  # a pale disc is seen by its rim
    size = np.full(len(order), _DISC if few else 0.6 * _DISC)
    discs = EllipseCollection(
        size, size, np.zeros(len(order)), units="xy", offsets=mm[order], offset_transform=cell.transData,
        array=values[order], cmap=shades.cmap, norm=shades.norm, edgecolors=edge, linewidths=0.4, zorder=3 if few else 1,
    )  # fmt: skip
    cell.add_collection(discs)


def _outline(cell: Axes, drawing: str, scale: tuple[float, float], corner: tuple[float, float]) -> None:
    """Draw the outlines of the brain from one side, in mm."""
    paths, edges, widths = _drawing(drawing)
    moved = [Path(np.asarray(path.vertices) * scale + corner, path.codes) for path in paths]
    cell.add_collection(
        PathCollection(moved, facecolors="none", edgecolors=edges, linewidths=0.6 * np.array(widths), zorder=2)
    )


@cache
def _drawing(name: str) -> tuple[list[Path], list[str], list[float]]:
    """Read one drawing: its curves, those of one look joined, their colours and their widths in points."""
    file = bundled("plotting", "glass_brain_files", f"brain_schematics_{name}.json")
    curves: dict[tuple[str, float], list[Path]] = {}
    for group in json.loads(file.read_text(encoding="utf-8"))["paths"]:
        colour = "#2f3a45" if group["edgecolor"] in ("#000000", "#000") else "#a3adb6"
        for item in group["items"]:
            curve = {2: Path.LINETO, 3: Path.CURVE3, 4: Path.CURVE4}[len(item["pts"])]
            path = Path(item["pts"], [Path.MOVETO] + [curve] * (len(item["pts"]) - 1))
            curves.setdefault((colour, float(group["linewidth"])), []).append(path)
    joined = [Path.make_compound_path(*paths) for paths in curves.values()]
    return joined, [colour for colour, _ in curves], [width for _, width in curves]


def _grid_step(places: np.ndarray) -> np.ndarray | None:
    """Return the size of the voxels in m, shape (3,); None where the places are no regular grid along the axes."""
    if len(places) < 8:
        return None
    step = voxel_size(places)
    cells = (places - places.min(axis=0)) / step
    even = np.abs(cells - np.round(cells)).max() < 0.1
    room = np.prod(np.round(cells).max(axis=0) + 1)
    return step if even and step.max() < 0.012 and room < 2000 * len(places) else None
