"""A score of every unit, layer by layer, with the selected units marked and their share; t of two halves against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from braindec.errors import BraindecError
from braindec.viz._style import CONTROL, INK, RED, SINGLE, WIDE, grid, legend_above, numbers, panes, styled

__all__ = ["layer_units"]

_MANY = 4000  # units drawn of a layer, the selected ones always


@styled
def layer_units(
    values: Any,
    layers: Any,
    *,
    selected: Any = None,
    halves: Any = None,
    label: str = "t",
    kind: str = "selected",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the score of each unit by layer, the share of selected units of each layer, and how halves agree.

    Parameters
    ----------
    values : array of shape (n_units,)
        NaN is not drawn; how many there are is said.
    layers : array of int, shape (n_units,)
    selected : array of bool, shape (n_units,), optional
        Marked in colour; adds the share by layer.
    halves : array of shape (2, n_units), optional
        The score in two halves of the stimuli: adds a scatter of one against the other.
    label, kind, title : str
        Of the score; of the selected units; of the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or nothing is finite.
    """
    values = numbers("values", values, ndim=1, finite=False)
    layers = np.asarray(layers).astype(int)
    known = np.isfinite(values)
    if layers.shape != values.shape or not known.any():
        raise BraindecError(
            "every unit needs a layer, and some of them a value",
            found=f"{values.shape}, {layers.shape}, {int(known.sum())} finite",
        )
    chosen = np.zeros(len(values), bool) if selected is None else np.asarray(selected).astype(bool)
    if chosen.shape != values.shape:
        raise BraindecError("selected must be one value a unit", found=f"{chosen.shape} for {values.shape}")
    several = 1 + (selected is not None) + (halves is not None)
    figure, axes = panes(ax, 1, several, width=WIDE if several > 1 else SINGLE, height=3.1,
                         width_ratios=[1.7, *([0.8] if selected is not None else []), *([1.2] if halves is not None else [])])  # fmt: skip
    rest = list(axes[0])
    first = rest.pop(0)
    _strips(first, values, layers, chosen & known, known, label, kind)
    legend_above(first, title)
    if selected is not None:
        _shares(rest.pop(0), layers, chosen, kind)
    if halves is not None:
        _scatter(rest.pop(0), numbers("halves", halves, ndim=2, n=2, finite=False), chosen, label)
    return figure


def _strips(
    ax: Axes, values: np.ndarray, layers: np.ndarray, chosen: np.ndarray, known: np.ndarray, label: str, kind: str
) -> None:
    rng = np.random.default_rng(0)  # sideways scatter only
    for number, layer in enumerate(np.unique(layers)):
        mine = np.flatnonzero((layers == layer) & known & ~chosen)
        mine = mine if len(mine) <= _MANY else rng.choice(mine, _MANY, replace=False)
        marked = np.flatnonzero((layers == layer) & chosen)
        for rows, colour, size, name in ((mine, CONTROL, 4, "other units"), (marked, RED, 11, kind)):
            if len(rows) or number == 0:
                ax.scatter(layer + rng.uniform(-0.32, 0.32, len(rows)), values[rows], s=size, color=colour, linewidths=0,
                           alpha=0.85 if colour == RED else 0.5, label=name if number == 0 and (len(rows) or chosen.any()) else None,
                           rasterized=True)  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8)
    missing = int((~known).sum())
    ax.set_xlabel("layer" + (f"  ({missing:,} units without a value)" if missing else ""))
    ax.set_ylabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    grid(ax)


def _shares(ax: Axes, layers: np.ndarray, chosen: np.ndarray, kind: str) -> None:
    names = np.unique(layers)
    share = [chosen[layers == layer].mean() for layer in names]
    ax.bar(names, share, color=RED, width=0.7)
    ax.set_ylim(0, max(0.01, 1.1 * max(share)))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if max(share) > 0.05 else 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("layer")
    ax.set_ylabel(f"{kind} units")
    grid(ax)


def _scatter(ax: Axes, halves: np.ndarray, chosen: np.ndarray, label: str) -> None:
    known = np.isfinite(halves).all(axis=0)
    for rows, colour, size in ((known & ~chosen, CONTROL, 4), (known & chosen, RED, 9)):
        ax.scatter(halves[0, rows], halves[1, rows], s=size, color=colour, linewidths=0, alpha=0.6, rasterized=True)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_xlabel(f"{label}, odd stimuli")
    ax.set_ylabel(f"{label}, even stimuli")
