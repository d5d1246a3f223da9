"""Stacked bars of the variance that each band of features explains in each region; negative shares lie below zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import INK, SERIES, canvas, chance_line, grid, legend_above, numbers, shorten, styled, texts
from braindec.viz.roi_bars import _name_regions, _width

__all__ = ["band_shares"]
_HATCHES = ("", "///", "...", "xxx")


@styled
def band_shares(
    shares: Any,
    names: Sequence[str],
    bands: Sequence[str],
    *,
    label: str = "R²",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the shares of the bands stacked in each region, and their sum as a mark.

    Parameters
    ----------
    shares : array of shape (n_bands, n_regions)
        Variance of each band (for example the product measure, which sums to the R² of all bands). NaN: no bar.
    names : sequence of str
        The regions.
    bands : sequence of str
        The bands, from zero outwards.
    label, title : str
        For the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or no share is finite.
    """
    table = numbers("shares", shares, ndim=2, finite=False)
    words = texts("bands", bands, len(table))
    regions = [shorten(name, 26) for name in texts("names", names, table.shape[1])]
    if not np.isfinite(table).any():
        raise BraindecError("no share is finite", found=f"shape {table.shape}")
    figure, ax = canvas(ax, width=_width(1, len(regions)), height=3.4)
    x = np.arange(len(regions))
    filled = np.nan_to_num(table)
    tops = {sign: np.zeros(len(regions)) for sign in (1, -1)}
    for i, word in enumerate(words):
        for sign in (1, -1):
            part = np.where(np.sign(filled[i]) == sign, filled[i], 0.0)
            ax.bar(x, part, bottom=tops[sign], width=0.7, color=SERIES[i % len(SERIES)], edgecolor="white", linewidth=0.5,
                   hatch=_HATCHES[i // len(SERIES) % 4], zorder=2, label=word if sign == 1 else None)  # fmt: skip
            tops[sign] = tops[sign] + part
    there = np.isfinite(table).any(axis=0)
    if len(words) > 1:
        ax.errorbar(x[there], filled.sum(axis=0)[there], fmt="D", markersize=4.5, markerfacecolor="white",
                    markeredgecolor=INK, markeredgewidth=1.1, zorder=4, label="sum")  # fmt: skip
    for place in x[~there]:
        ax.annotate("no value", (place, 0), rotation=90, ha="center", va="bottom", fontsize=7.5, color=INK)
    chance_line(ax, 0.0, label=None)
    _name_regions(ax, regions, figure)
    ax.set_ylabel(label)
    grid(ax, "y")
    legend_above(ax, title)
    return figure
