"""Course of a session: how well a decoder that goes on learning does, block by block, beside its static twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import MARKERS, SERIES, canvas, chance_line, grid, legend_above, numbers, styled, texts

__all__ = ["adaptation_course"]


@styled
def adaptation_course(
    trials: Any,
    values: Any,
    *,
    chance: float,
    low: Any = None,
    high: Any = None,
    labels: Sequence[str] | None = None,
    metric: str = "accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one line a decoder.

    Parameters
    ----------
    trials : array of shape (n_blocks,)
        Last trial of each block, counted from the beginning of the session.
    values : array of shape (n_decoders, n_blocks)
        Score in each block.
    chance : float
    low, high : array of shape (n_decoders, n_blocks), optional
        Intervals, drawn as bands.
    labels : sequence of str, optional
        Names of the decoders.
    metric, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or trials do not rise.
    """
    trials = numbers("trials", trials, ndim=1)
    values = numbers("values", values, ndim=2)
    if values.shape[1] != len(trials):
        raise BraindecError("values need one column a block", found=f"{values.shape} for {len(trials)} blocks")
    if len(trials) > 1 and not np.diff(trials).min() > 0:
        raise BraindecError("trials must rise", found=f"{trials[:4]} ...")
    names = texts("labels", labels, len(values), "decoder ")
    figure, ax = canvas(ax, height=3.2)
    for i, (name, course) in enumerate(zip(names, values, strict=True)):
        colour = SERIES[i % len(SERIES)]
        ax.plot(trials, course, color=colour, marker=MARKERS[i % len(MARKERS)], markersize=4.5, label=name,
                linestyle="-" if i == 0 else (0, (5, 1.5)))  # fmt: skip
        if low is not None and high is not None:
            ends = [numbers(n, v, ndim=2, n=len(values)) for n, v in (("low", low), ("high", high))]
            ax.fill_between(trials, ends[0][i], ends[1][i], color=colour, alpha=0.13, linewidth=0)
    chance_line(ax, float(chance), label=f"chance ({chance:.3g})")
    ax.set_xlim(0, float(trials[-1]) * 1.04)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("trials since the session began")
    ax.set_ylabel(metric)
    grid(ax)
    legend_above(ax, title)
    return figure
