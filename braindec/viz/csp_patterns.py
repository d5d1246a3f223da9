"""Spatial patterns of filters: one head a component, with the share of its variance that falls to its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._head import head_map, on_a_head
from braindec.viz._style import WIDE, diverging, numbers, panes, styled, texts

_COLUMNS = 6

__all__ = ["csp_patterns"]


@styled
def csp_patterns(
    patterns: Any,
    positions: Any,
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw what a unit of each component looks like at the sensors; each map has its own range, its sign is arbitrary.

    Parameters
    ----------
    patterns : array of shape (n_channels, n_components)
        Patterns, not filters: weights of a filter do not show where its signal comes from.
    positions : array of shape (n_channels, 3)
        m; channels with NaN are left out of the maps (and counted).
    names : sequence of str, optional
        Written above the heads, such as "left hand 0.71".
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, or no channel has a position.

    Notes
    -----
    A smooth map is drawn for 12 or more sensors that lie on a head, dots otherwise.
    """
    patterns = numbers("patterns", patterns, ndim=2)
    places = numbers("positions", positions, ndim=2, n=len(patterns), finite=False)
    if places.shape[1] != 3:
        raise BraindecError("positions must be (channel, 3) in m", found=f"shape {places.shape}")
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        raise BraindecError("no channel has a position: patterns cannot be drawn on a head", found=f"{len(known)} channels",
                            fix="give the recordings a montage")  # fmt: skip
    n = patterns.shape[1]
    labels = texts("names", names, n, "component ")
    columns = min(n, _COLUMNS)
    rows = -(-n // columns)
    figure, axes = panes(ax, rows, columns, width=min(WIDE, 1.6 * columns + 0.9), height=1.75 * rows + 0.35)
    for cell, label, pattern in zip(axes.flat, labels, patterns.T, strict=False):
        top = float(np.abs(pattern[known]).max()) or 1.0
        head_map(cell, pattern[known] / top, places[known], cmap=diverging(), low=-1.0, high=1.0)
        cell.set_title(label, loc="center", fontsize=8.5)
    for cell in axes.flat[n:]:
        cell.set_axis_off()
    missing = f"{int((~known).sum())} channels without position left out" if (~known).any() else ""
    dots = "" if on_a_head(places) else "dots: sensors, nothing between them is known"
    words = "; ".join(t for t in (missing, dots) if t)
    if words:
        figure.supxlabel(words, fontsize=8)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure
