"""Scores from the first layer to the last: one line a model or score, with intervals, controls in grey, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braindec.errors import BraindecError
from braindec.viz._style import (
    CONTROL,
    MARKERS,
    SERIES,
    canvas,
    chance_line,
    grid,
    legend_above,
    numbers,
    shorten,
    styled,
    texts,
)

__all__ = ["layer_curves"]


@styled
def layer_curves(
    values: Any,
    *,
    names: Sequence[str] | None = None,
    layers: Any = None,
    low: Any = None,
    high: Any = None,
    band: str = "95 % interval",
    controls: Any = None,
    control: str = "untrained",
    chance: float | None = None,
    label: str = "score",
    log: bool = False,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one line a series over layers.

    Parameters
    ----------
    values : array of shape (n_layers,) or (n_series, n_layers)
        NaN leaves a gap.
    names : sequence of str, optional
        Names of the series.
    layers : sequence of int, optional
        0, 1, ... by default.
    low, high : array of the shape of ``values``, optional
        Ends of a band around each line.
    band : str
        What the band is.
    controls : array of shape (n_controls, n_layers), optional
        Thin grey lines, such as untrained models.
    control : str
        What they are.
    chance : float, optional
        A dashed line.
    label, title : str
        For the axis and the picture.
    log : bool
        Logarithmic axis, for values above 0.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, nothing is finite, or a logarithmic axis meets values that are not above 0.
    """
    table = np.atleast_2d(numbers("values", values, finite=False))
    if table.ndim != 2 or not np.isfinite(table).any():
        raise BraindecError("values must be (series, layer), some of them finite", found=f"shape {table.shape}")
    if log and not (table[np.isfinite(table)] > 0).all():
        raise BraindecError("a logarithmic axis needs values above 0", found=f"{np.nanmin(table):g}")
    n_series, n_layers = table.shape
    x = np.arange(n_layers) if layers is None else numbers("layers", layers, ndim=1, n=n_layers)
    labels = [None] * n_series if names is None else [shorten(t, 32) for t in texts("names", names, n_series)]
    figure, ax = canvas(ax, height=3.0)
    if controls is not None:
        for k, row in enumerate(_like("controls", controls, n_layers)):
            ax.plot(
                x,
                row,
                color=CONTROL,
                linewidth=0.9,
                marker=".",
                markersize=4,
                zorder=1.8,
                label=control if k == 0 else None,
            )
    if low is not None and high is not None:
        ends = _like("low", low, n_layers, n_series), _like("high", high, n_layers, n_series)
        for i in range(n_series):
            colour = SERIES[i % len(SERIES)]
            ax.fill_between(
                x, ends[0][i], ends[1][i], color=colour, alpha=0.15, linewidth=0, label=band if i == 0 else None
            )
    for i in range(n_series):
        colour, marker = SERIES[i % len(SERIES)], ("o", *MARKERS)[i % (len(MARKERS) + 1)]
        ax.plot(x, table[i], color=colour, marker=marker, markersize=4.5, label=labels[i], zorder=3)
    if chance is not None:
        chance_line(ax, chance, label=f"chance ({chance:.3g})")
    if log:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(10, n_layers + 1)))
    ax.set_xlim(x.min() - 0.3, x.max() + 0.3)
    ax.set_xlabel("layer")
    ax.set_ylabel(label)
    grid(ax)
    legend_above(ax, title)
    return figure


def _like(name: str, value: Any, n_layers: int, n_rows: int | None = None) -> np.ndarray:
    table = np.atleast_2d(numbers(name, value, finite=False))
    if table.ndim != 2 or table.shape[1] != n_layers or (n_rows is not None and len(table) != n_rows):
        raise BraindecError(f"{name} must be (row, layer) like values", found=f"{table.shape}, {n_layers} layers")
    return table
