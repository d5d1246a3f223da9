"""Weights of synapses before and after: one outline a state, the share of synapses at each weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.stats.asked import whole
from braindec.viz._style import CONTROL, SERIES, canvas, grid, legend_above, numbers, styled

__all__ = ["weight_histogram"]


@styled
def weight_histogram(
    weights: Mapping[str, Any],
    *,
    bins: int = 40,
    limits: tuple[float, float] | None = None,
    unit: str = "",
    log: bool = False,
    xlabel: str = "weight",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the distribution of weights in one or several states.

    Parameters
    ----------
    weights : mapping of str to array of shape (n_synapses,)
        Weights of each state, e.g. "before" and "after"; the first is filled, the others are outlines.
    bins : int
        Number of bins over all states.
    limits : (low, high), optional
        Bounds that a rule keeps, marked by upright lines; the bins cover them.
    unit : str
        Of the weights, for the axis.
    log : bool
        Shares on a logarithmic scale.
    xlabel, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If there is no state, weights are not finite, or limits are in the wrong order.
    """
    if not isinstance(weights, Mapping) or not weights:
        raise BraindecError("weights must be named arrays, one a state", found=type(weights).__name__)
    values = {str(k): numbers(f"weights {k!r}", v, ndim=1) for k, v in weights.items()}
    whole(bins, "bins", least=1)
    ends = [float(e) for v in values.values() for e in (v.min(), v.max())]
    if limits is not None:
        low, high = numbers("limits", limits, ndim=1, n=2).tolist()
        if not low < high:
            raise BraindecError("limits must be (low, high)", found=f"{low:g} and {high:g}")
        ends += [low, high]
    low, high = min(ends), max(ends)
    if low == high:
        low, high = low - 0.5 * max(abs(low), 1e-12), high + 0.5 * max(abs(high), 1e-12)
    edges = np.linspace(low, high, bins + 1)
    figure, ax = canvas(ax, height=3.1)
    for i, (name, v) in enumerate(values.items()):
        share = np.histogram(v, edges)[0] / len(v)
        label = f"{name} (mean {v.mean():.3g}{f' {unit}' if unit else ''}, n = {len(v):,})"
        if i == 0:
            ax.stairs(share, edges, fill=True, color="#c3ccd4", label=label)
        else:
            ax.stairs(share, edges, color=SERIES[(i - 1) % len(SERIES)], linewidth=1.8, label=label)
    if limits is not None:
        for end in limits:
            ax.axvline(float(end), color=CONTROL, linewidth=0.9, linestyle=(0, (3, 2)), zorder=0)
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(f"{xlabel} ({unit})" if unit else xlabel)
    ax.set_ylabel("share of synapses")
    grid(ax)
    legend_above(ax, title)
    return figure
