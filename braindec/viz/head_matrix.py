"""A number for each attention head: layers down, heads across, marked where a test says so."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from braindec.errors import BraindecError
from braindec.viz._style import INK, MUTED, canvas, limits, numbers, styled, texts

__all__ = ["head_matrix"]

_WRITTEN = 12  # up to so many layers and heads the numbers stand in the cells


@styled
def head_matrix(
    values: Any,
    *,
    layers: Any = None,
    marked: Any = None,
    mark: str = "marked",
    chance: float | None = None,
    label: str = "score",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw scores of heads.

    Parameters
    ----------
    values : array of shape (n_layers, n_heads)
        NaN where a layer has fewer heads: hatched.
    layers : sequence of int, optional
        Names of the rows; 0, 1, ... by default.
    marked : array of bool, shape (n_layers, n_heads), optional
        Framed.
    mark : str
        What the frame means.
    chance : float, optional
        A line on the colour bar.
    label, title : str
        For the colour bar and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or no value is finite.
    """
    table = numbers("the scores of heads", values, ndim=2, finite=False)
    n_layers, n_heads = table.shape
    if not np.isfinite(table).any():
        raise BraindecError("no head has a score that is finite", found=f"{n_layers} layers x {n_heads} heads")
    names = [str(k) for k in range(n_layers)] if layers is None else texts("layers", layers, n_layers)
    frames = None if marked is None else np.asarray(marked, dtype=bool)
    if frames is not None and frames.shape != table.shape:
        raise BraindecError("marked must have the shape of values", found=f"{frames.shape}, values {table.shape}")
    colours, low, high = limits(table)
    figure, ax = canvas(
        ax, width=float(np.clip(0.36 * n_heads + 2.0, 3.6, 9.0)), height=float(np.clip(0.3 * n_layers + 1.3, 2.4, 7.0))
    )
    shown = colours.copy()
    shown.set_bad(alpha=0.0)
    image = ax.imshow(table, cmap=shown, vmin=low, vmax=high, aspect="auto")
    for i, j in np.argwhere(~np.isfinite(table)):
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", edgecolor=MUTED, linewidth=0.0))
    if max(table.shape) <= _WRITTEN:
        _write(ax, table, image)
    for i, j in np.argwhere(frames) if frames is not None else ():
        ax.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor=INK, linewidth=1.6))
    step = max(1, n_layers // 16), max(1, n_heads // 16)
    ax.set_yticks(range(0, n_layers, step[0]), names[:: step[0]])
    ax.set_xticks(range(0, n_heads, step[1]))
    ax.tick_params(length=0)
    ax.set_ylabel("layer")
    counted = "" if frames is None else f"  (framed: {mark}, {int(frames.sum())} of {int(np.isfinite(table).sum())})"
    ax.set_xlabel(f"head{counted}")
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.9, aspect=18)
    inside = chance is not None and low <= chance <= high
    bar.set_label(label + (f" (dashed: chance, {chance:.2g})" if inside else ""))
    bar.outline.set_visible(False)
    if inside:
        bar.ax.axhline(chance, color="white", linewidth=2.6)
        bar.ax.axhline(chance, color=INK, linestyle=(0, (2, 1)), linewidth=1.2)
    if title:
        ax.set_title(title)
    return figure


def _write(ax: Axes, table: np.ndarray, image: Any) -> None:
    """Write each number into its cell, light on dark and dark on light."""
    known = table[np.isfinite(table)]
    spread = float(np.ptp(known)) if len(known) else 0.0
    places = (
        2 if spread >= 0.05 or spread == 0 else 3 if spread >= 0.005 else 4
    )  # numbers that differ must look different
    for i, j in np.argwhere(np.isfinite(table)):
        red, green, blue, _ = image.cmap(image.norm(table[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        ax.text(
            j,
            i,
            f"{table[i, j]:.{places}f}".replace("-", "−"),
            ha="center",
            va="center",
            fontsize=6.5,
            color="white" if dark else INK,
        )
