"""How far guidance raises a region's predicted activation, scale by scale: what the guide says, and what a judge says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, CONTROL, INK, ORANGE, WIDE, chance_line, grid, numbers, panes, styled, texts

__all__ = ["guidance_curve"]


@styled
def guidance_curve(
    scales: Any, judged: Any, names: Sequence[str] | None = None, *, low: Any = None, high: Any = None, guide: Any = None,
    wrong: Any = None, baseline: Any = None, ylabel: str = "predicted activation (SD)", title: str | None = None,
    ax: Axes | None = None,
) -> Figure:  # fmt: skip
    """Draw one panel a region: activation against the scale of guidance.

    Parameters
    ----------
    scales : array of shape (n_scales,)
        Rising; 0 is without guidance.
    judged : array of shape (n_regions, n_scales)
        Mean activation as an independent model predicts it.
    names : sequence of str of shape (n_regions,), optional
    low, high : array of the shape of ``judged``, optional
        Ends of its intervals.
    guide : array of the shape of ``judged``, optional
        What the guiding model itself predicts: grey, for it is no evidence.
    wrong : array of the shape of ``judged``, optional
        The judge's value for pictures that were guided to another region.
    baseline : array of shape (n_regions,), optional
        The judge's value for the best training pictures, a dashed line.
    ylabel, title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, or scales do not rise.
    """
    x = numbers("scales", scales, ndim=1)
    lines = {"judged": numbers("judged", judged, ndim=2)}
    for key, values in (("low", low), ("high", high), ("guide", guide), ("wrong", wrong)):
        if values is not None:
            lines[key] = numbers(key, values, ndim=2)
    if (np.diff(x) <= 0).any() or any(v.shape != (len(lines["judged"]), len(x)) for v in lines.values()):
        raise BraindecError("guidance_curve needs (region, scale) over rising scales",
                            found=", ".join(f"{k} {v.shape}" for k, v in lines.items()) + f", {len(x)} scales")  # fmt: skip
    n = len(lines["judged"])
    labels = texts("names", names, n, "region ")
    best = None if baseline is None else numbers("baseline", baseline, ndim=1, n=n)
    figure, axes = panes(ax, 1, n, width=min(WIDE, 1.2 + 2.5 * n), height=3.3)
    for k, pane in enumerate(axes[0]):
        if "guide" in lines:
            pane.plot(x, lines["guide"][k], color=CONTROL, linestyle=(0, (1, 1.2)), label="the guide itself")
        if "wrong" in lines:
            pane.plot(
                x,
                lines["wrong"][k],
                color=ORANGE,
                marker="^",
                markersize=4,
                linestyle=(0, (5, 1.5)),
                label="guided to another region",
            )
        if "low" in lines and "high" in lines:
            pane.fill_between(x, lines["low"][k], lines["high"][k], color=BLUE, alpha=0.18, linewidth=0)
        pane.plot(x, lines["judged"][k], color=BLUE, marker="o", markersize=4.5, label="independent judge")
        if best is not None:
            chance_line(pane, float(best[k]), label="best training pictures")
        pane.axhline(0, color=INK, linewidth=0.6, zorder=0.5)
        grid(pane)
        pane.set_xticks(x)
        pane.set_xticklabels([f"{v:g}" for v in x])
        pane.set_xlabel("scale of guidance")
        pane.set_title(labels[k], loc="center", fontsize=9)
        if k == 0:
            pane.set_ylabel(ylabel)
    handles, words = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=len(words))
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure
