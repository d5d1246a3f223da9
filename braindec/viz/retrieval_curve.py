"""Retrieval against the number of averaged repetitions: how much a second look at the same picture helps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import BLUE, canvas, chance_line, grid, legend_above, numbers, styled

__all__ = ["retrieval_curve"]


@styled
def retrieval_curve(
    k: Any,
    top1: Any,
    *,
    chance: float,
    low: Any = None,
    high: Any = None,
    n: Any = None,
    n_candidates: int | None = None,
    metric: str = "top-1 retrieval",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the share of queries whose true candidate came first.

    Parameters
    ----------
    k : array of shape (n_k,)
        Number of averaged repetitions a query.
    top1 : array of shape (n_k,)
        Share of queries, 0 to 1.
    chance : float
        Chance level, 1 / number of candidates.
    low, high : array of shape (n_k,), optional
        95 % interval, drawn as a band.
    n : array of shape (n_k,) or int, optional
        Number of queries, written above the points or in the label.
    n_candidates : int, optional
        Number of candidates, in the axis label.
    metric, title : str
        Names for the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or a value is not finite.
    """
    x = numbers("k", k, ndim=1)
    y = numbers("top1", top1, ndim=1, n=len(x))
    order = np.argsort(x)
    x, y = x[order], y[order]
    figure, ax = canvas(ax, height=3.2)
    top = y.max()
    if low is not None and high is not None:
        below, above = (numbers(name, v, n=len(x))[order] for name, v in (("low", low), ("high", high)))
        ax.fill_between(x, below, above, color=BLUE, alpha=0.16, linewidth=0, label="95 % interval")
        if len(x) == 1:
            ax.vlines(x, below, above, color=BLUE, linewidth=2)
        top = max(top, above.max())
    ax.plot(x, y, marker="o", markersize=6, color=BLUE, label="decoded", zorder=3, clip_on=False)
    chance_line(ax, chance, label=f"chance ({100 * chance:.3g} %)")
    queries = None if n is None else np.broadcast_to(numbers("n", n), x.shape)[order if np.ndim(n) else slice(None)]
    words = []
    if queries is not None:
        same = np.ptp(queries) == 0
        words.append(
            f"n = {int(queries[0]):,} queries"
            if same
            else f"n = {int(queries.min()):,} to {int(queries.max()):,} queries"
        )
    if n_candidates:
        words.append(f"{int(n_candidates):,} candidates")
    ax.set_xlabel("repetitions averaged a query" + (f"  ({', '.join(words)})" if words else ""))
    ax.set_ylabel(f"{metric} (% of queries)")
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:g}")
    if x.min() > 0 and x.max() / x.min() > 12:
        ax.set_xscale("log", base=2)
    ax.set_xticks(x if len(x) <= 12 else x[np.linspace(0, len(x) - 1, 8).round().astype(int)])
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.set_ylim(0, min(max(1.12 * top, 2.2 * chance), 1.02) if top <= 1 else None)
    grid(ax)
    legend_above(ax, title)
    return figure
