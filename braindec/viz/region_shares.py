"""How many of the electrodes (units, voxels) of each region are of a kind: horizontal bars with counts and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.stats.binomial import clopper_pearson
from braindec.viz._style import BLUE, INK, canvas, grid, numbers, shorten, styled, texts

__all__ = ["region_shares"]


@styled
def region_shares(
    counts: Any,
    totals: Any,
    names: Sequence[str],
    *,
    label: str = "share of electrodes",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one bar a region, the first region on top.

    Parameters
    ----------
    counts, totals : array of shape (n_regions,)
        How many are of the kind, and how many there are.
    names : sequence of str
        The regions.
    label, title : str
        For the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ, or more are of the kind than there are.
    """
    k = numbers("counts", counts, ndim=1)
    n = numbers("totals", totals, ndim=1, n=len(k))
    regions = [shorten(name, 34) for name in texts("names", names, len(k))]
    if (k < 0).any() or (k > n).any() or (n < 1).any() or (k % 1).any() or (n % 1).any():
        raise BraindecError("counts are whole numbers from 0 to the totals", found=f"counts {k[:6]}, totals {n[:6]}")
    figure, ax = canvas(ax, height=0.95 + 0.36 * len(k))
    y = np.arange(len(k))[::-1]
    ends = np.array([clopper_pearson(int(a), int(b)) for a, b in zip(k, n, strict=True)])
    ax.barh(y, k / n, height=0.58, color=BLUE, alpha=0.85, zorder=2)
    ax.hlines(y, ends[:, 0], ends[:, 1], color=INK, linewidth=1.3, zorder=3)
    for place, a, b in zip(y, k, n, strict=True):
        ax.annotate(f"{int(a)} of {int(b)}", (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8,
                    annotation_clip=False)  # fmt: skip
    ax.set_yticks(y, regions)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, min(1.0, 1.08 * float(ends[:, 1].max())))
    ax.set_xlabel(f"{label} (lines: 95 % intervals)")
    grid(ax, "x")
    if title:
        ax.set_title(title)
    return figure
