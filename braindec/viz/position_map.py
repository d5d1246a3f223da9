"""Where the channels are, from above and from the right; a wrong unit or a turned head shows at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, RED, grid, numbers, panes, styled, texts

__all__ = ["position_map"]


@styled
def position_map(
    positions: Any,
    names: Sequence[str] | None = None,
    *,
    status: Sequence[str] | None = None,
    space: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw channel positions in cm, from above (x, y) and from the right (y, z).

    Parameters
    ----------
    positions : array of shape (n_channels, 3)
        m; channels with NaN are left out and counted.
    names : sequence of str, optional
        Written beside the dots (up to 70 channels).
    status : sequence of str, optional
        "good" or "bad".
    space : str, optional
        Name of the coordinate system, in the axis label.
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If no position is known.
    """
    places = numbers("positions", positions, ndim=2, finite=False)
    if places.shape[1] != 3:
        raise BraindecError("positions must be (channel, 3) in m", found=f"shape {places.shape}")
    labels = texts("names", names, len(places), "")
    bad = np.array(
        [s == "bad" for s in (texts("status", status, len(places)) if status is not None else [""] * len(places))]
    )
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        raise BraindecError("no channel has a position", found=f"{len(places)} channels")
    centimetres = 100 * places
    figure, axes = panes(ax, 1, 2, width=7.2, height=3.7)
    for cell, (across, up, view) in zip(axes[0], ((0, 1, "from above"), (1, 2, "from the right")), strict=True):
        for mask, colour, marker in ((known & ~bad, BLUE, "o"), (known & bad, RED, "x")):
            cell.scatter(
                centimetres[mask, across],
                centimetres[mask, up],
                s=22 if len(places) <= 128 else 6,
                color=colour,
                marker=marker,
                label="bad" if marker == "x" and mask.any() else None,
                zorder=3,
            )
        if names is not None and known.sum() <= 70:
            for i in np.flatnonzero(known):
                cell.annotate(
                    labels[i],
                    (centimetres[i, across], centimetres[i, up]),
                    xytext=(3, 3),
                    textcoords="offset points",
                    fontsize=6,
                    color=INK,
                )
        cell.set_aspect("equal", adjustable="datalim")
        cell.set_xlabel(("left – right, x", "back – front, y")[across] + " (cm)")
        cell.set_ylabel(("", "back – front, y", "down – up, z")[up] + " (cm)")
        cell.set_title(view, fontweight="normal", fontsize=8.5)
        grid(cell, "both")
        if (known & bad).any():
            cell.legend(loc="best")
    missing = f", {int((~known).sum())} without position" if (~known).any() else ""
    words = f"{int(known.sum())} channels{missing}" + (f", space: {space}" if space else "")
    figure.suptitle(
        f"{title}  ({words})" if title else words,
        x=0.01,
        ha="left",
        fontsize=9.5,
        fontweight="bold" if title else "normal",
    )
    return figure
