"""Where electrodes of a kind are: dots on three views of the brain, those of no kind small and grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._brain import heading, metres
from braindec.viz._style import BLUE, CONTROL, FAINT, INK, MARKERS, ORANGE, RED, WIDE, grid, panes, styled, texts
from braindec.viz.glass_brain import _VIEWS, _frame, _outline

__all__ = ["site_map"]

_COLOURS = (RED, BLUE, ORANGE, "#009E73", "#AA4499", "#56B4E9")
_SHAPES = ("o", *MARKERS)
_AXES = ("left – right, x", "back – front, y", "down – up, z")


@styled
def site_map(
    positions: Any,
    groups: Sequence[str],
    *,
    template: bool = True,
    none: str = "no site",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw electrodes by what they were found to be, from the side, from behind and from above.

    Parameters
    ----------
    positions : array of shape (n, 3)
        m (x to the right, y to the front, z up); rows with NaN are left out and counted.
    groups : sequence of str, length n
        What each electrode is; "" for those of no kind, which are drawn small and grey, behind the others.
    template : bool
        Positions are in MNI space: outlines of the brain are drawn. False: axes in cm.
    none : str
        Name of those of no kind, for the legend.
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ, no electrode has a position, or positions are not in m.
    """
    labels = texts("groups", groups, len(groups))
    places = metres(positions, len(labels))
    kinds = ["" if k in ("nan", "None") else k for k in labels]
    known = np.isfinite(places).all(axis=1)
    figure, axes = panes(ax, 1, 3, width=WIDE, height=3.4, width_ratios=[185, 146, 143])
    names = sorted(set(kinds) - {""}, key=lambda k: (-kinds.count(k), k))
    for cell, (view, (drawing, right, up, scale, corner)) in zip(axes[0], _VIEWS.items(), strict=True):
        mm = 1000 * places[:, [right, up]]
        if template:
            _outline(cell, drawing, scale, corner)
        for k, name in enumerate(["", *names]):
            mine = known & np.array([kind == name for kind in kinds])
            look = {"s": 12, "color": FAINT, "edgecolors": CONTROL, "marker": "o", "zorder": 3} if k == 0 else {
                "s": 34, "color": _COLOURS[(k - 1) % len(_COLOURS)], "edgecolors": INK, "marker": _SHAPES[(k - 1) % len(_SHAPES)], "zorder": 4}  # fmt: skip
            label = f"{name or none} ({kinds.count(name)})"
            if mine.any() or (cell is axes[0][0] and name in kinds):
                cell.scatter(mm[mine, 0], mm[mine, 1], linewidths=0.6, label=label, **look)
        if template:
            _frame(cell, view, mm[known])
        else:
            cell.set_aspect("equal", adjustable="datalim")
            cell.set_xlabel(f"{_AXES[right]} (mm)")
            cell.set_ylabel(f"{_AXES[up]} (mm)")
            grid(cell, "both")
    handles, words = axes[0][0].get_legend_handles_labels()
    missing = f"{int((~known).sum())} without position" if not known.all() else None
    legend = figure.legend if ax is None else axes[0][1].legend
    legend(handles, words, loc="outside lower center" if ax is None else "upper center", ncols=min(4, len(words)),
           title=missing, title_fontsize=8.5, **({} if ax is None else {"bbox_to_anchor": (0.5, -0.02)}))  # fmt: skip
    heading(figure, title)
    return figure
