"""Observed score against the scores of permuted labels: the picture of a permutation test."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import BLUE, canvas, chance_line, grid, legend_above, numbers, p_text, styled

__all__ = ["null_histogram"]

_NARROW = 0.06  # share of the axis


@styled
def null_histogram(
    observed: float,
    null: Any,
    *,
    chance: float | None = None,
    p: float | None = None,
    label: str = "score",
    kind: str = "labels permuted",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the null distribution as a histogram and the observed score as a line.

    Parameters
    ----------
    observed : float
        The score with the true labels.
    null : array of shape (n_permutations,)
        Scores with permuted labels.
    chance : float, optional
        Chance level.
    p : float, optional
        p-value; (1 + number of null scores at least as large) / (1 + number of permutations) when it is left out.
    label, title : str
        Names for the axis and the picture.
    kind : str
        What the null is, for the legend.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If the null is empty or not finite.
    """
    null = numbers("null", null, ndim=1)
    observed = float(numbers("observed", observed))
    if p is None:
        p = (1 + int((null >= observed - 1e-12).sum())) / (1 + len(null))
    figure, ax = canvas(ax, height=3.0)
    bins = int(np.clip(np.sqrt(len(null)) * 1.5, 8, 40))
    low, high = min(null.min(), observed), max(null.max(), observed)
    narrow = np.ptp(null) < _NARROW * (high - low)  # far from the observed score: few bins, wide enough to be seen
    if narrow:
        middle, half = float(np.mean((null.min(), null.max()))), _NARROW / 2 * (high - low)
        bins = np.linspace(middle - half, middle + half, 4)
    edge = {"edgecolor": "#8d99a3" if narrow else "white", "linewidth": 0.6}
    ax.hist(null, bins=bins, color="#c3ccd4", label=f"{kind} (n = {len(null):,})", **edge)
    ax.axvline(observed, color=BLUE, linewidth=2.4, label=f"observed {observed:.3f}, {p_text(p)}")
    if chance is not None:
        chance_line(ax, chance, label=f"chance ({chance:.3g})", vertical=True)
    ax.set_xlabel(label)
    ax.set_ylabel("count")
    grid(ax)
    legend_above(ax, title)
    return figure
