"""Courses of factors over time, one colour each; what was planted as broken lines of the same colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import MUTED, SERIES, WIDE, canvas, grid, legend_above, numbers, styled, texts

__all__ = ["factor_courses"]


@styled
def factor_courses(
    times: Any,
    courses: Any,
    *,
    true: Any = None,
    labels: Sequence[str] | None = None,
    xlabel: str = "time (s)",
    ylabel: str = "strength (share of its largest)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how strong each factor is in each window.

    Parameters
    ----------
    times : array of shape (n_windows,)
        Rising.
    courses : array of shape (n_windows, n_factors)
        Not below 0; each is drawn relative to its largest value.
    true : array of shape (n_windows, n_factors), optional
        Planted courses, in the order of ``courses``; NaN where a factor has none.
    labels : sequence of str, optional
    xlabel, ylabel, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If times do not rise, or courses do not fit them.
    """
    x = numbers("times", times, ndim=1)
    values = numbers("courses", courses, ndim=2, n=len(x))
    if (np.diff(x) <= 0).any():
        raise BraindecError("times must rise", found=str(x[:4]))
    if (values < 0).any():
        raise BraindecError("courses of factors are not below 0", found=f"{values.min():g}")
    planted = None if true is None else numbers("true courses", true, ndim=2, n=len(x), finite=False)
    if planted is not None and planted.shape != values.shape:
        raise BraindecError("true courses have another shape", found=f"{planted.shape}", allowed=f"{values.shape}")
    names = texts("labels", labels, values.shape[1], "factor ")
    figure, place = canvas(ax, width=WIDE, height=2.6)
    for k, name in enumerate(names):
        colour = SERIES[k % len(SERIES)]
        place.plot(
            x, values[:, k] / max(values[:, k].max(), 1e-300), color=colour, marker="o", markersize=3.5, label=name
        )
        if planted is not None and np.isfinite(planted[:, k]).all():
            top = max(planted[:, k].max(), 1e-300)
            place.plot(x, planted[:, k] / top, color=colour, linestyle=(0, (4, 2)), linewidth=1.2, alpha=0.7)
    if planted is not None:
        place.plot([], [], color=MUTED, linestyle=(0, (4, 2)), linewidth=1.2, label="planted")
    place.set_ylim(-0.03, 1.08)
    place.set_xlabel(xlabel)
    place.set_ylabel(ylabel)
    grid(place)
    legend_above(place, title)
    return figure
