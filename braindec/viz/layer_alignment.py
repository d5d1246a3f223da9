"""Score of each layer in each region, with untrained networks, nuisance, surrogates and the ceiling behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    BLUE,
    CONTROL,
    INK,
    MUTED,
    ORANGE,
    RED,
    WIDE,
    grid,
    numbers,
    panes,
    shorten,
    styled,
    texts,
)

__all__ = ["layer_alignment"]

_COLUMNS = 3


@styled
def layer_alignment(
    values: Any, layers: Sequence[str], *, regions: Sequence[str] | None = None, low: Any = None, high: Any = None,
    untrained_low: Any = None, untrained_high: Any = None, nuisance: Any = None, null_high: Any = None, ceiling: Any = None, chosen: Any = None,
    label: str = "score", title: str | None = None, ax: Axes | None = None,
) -> Figure:  # fmt: skip
    """Draw scores over layers, one small picture a region.

    Parameters
    ----------
    values : array of shape (n_regions, n_layers) or (n_layers,)
    layers : sequence of str
    regions : sequence of str, optional
    low, high : array of the shape of ``values``, optional
        Ends of the intervals.
    untrained_low, untrained_high : array of the shape of ``values``, optional
        Range of untrained networks.
    nuisance, null_high, ceiling : array of shape (n_regions,), optional
        Score of position, length and pace alone; 97.5 % of surrogates; largest score to be expected.
    chosen : array of shape (n_regions, n_layers), optional
        Share of the folds that chose each layer, dots along the foot.
    label, title : str
    ax : Axes, optional

    Raises
    ------
    BraindecError
        If shapes do not fit or no value is finite.
    """
    table = np.atleast_2d(numbers("values", values, finite=False))
    n_regions, n_layers = table.shape
    names, ticks = texts("regions", regions, n_regions, "region "), texts("layers", layers, n_layers)
    if not np.isfinite(table).any():
        raise BraindecError("no score is finite", found=f"{n_regions} regions, {n_layers} layers")
    like = {k: _like(k, v, table.shape) for k, v in (("low", low), ("high", high), ("untrained_low", untrained_low), ("untrained_high", untrained_high),
                                                     ("chosen", chosen))}  # fmt: skip
    lines = {
        k: None if v is None else numbers(k, v, ndim=1, n=n_regions, finite=False)
        for k, v in (("nuisance", nuisance), ("null_high", null_high), ("ceiling", ceiling))
    }
    n_columns = min(_COLUMNS, n_regions)
    n_rows = -(-n_regions // n_columns)
    figure, axes = panes(ax, n_rows, n_columns, width=min(WIDE, 2.0 + 2.7 * n_columns), height=0.7 + 2.2 * n_rows)
    bottom, top = _range(table, like, lines)
    x = np.arange(n_layers)
    for k, axis in enumerate(axes.ravel()):
        if k >= n_regions:
            axis.set_axis_off()
            continue
        _one(axis, x, k, table, like, lines, bottom)
        axis.set_ylim(bottom, top)
        axis.set_title(shorten(names[k], 28), fontsize=9)
        _ticks(axis, ticks)
        grid(axis, "y")
        if k + n_columns >= n_regions:
            axis.set_xlabel("layer")
        if k % n_columns == 0:
            axis.set_ylabel(label)
    handles, words = axes.ravel()[0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=min(6, max(1, len(words))), fontsize=7.5)
    if title:
        figure.suptitle(title, fontsize=9.5, fontweight="bold", x=0.01, ha="left")
    return figure


def _one(
    axis: Axes, x: np.ndarray, k: int, table: np.ndarray, like: dict[str, Any], lines: dict[str, Any], bottom: float
) -> None:
    ceiling, null, nuisance = (
        None if lines[n] is None or not np.isfinite(lines[n][k]) else float(lines[n][k])
        for n in ("ceiling", "null_high", "nuisance")
    )
    axis.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.5)
    if ceiling is not None:
        axis.axhspan(0.97 * ceiling, ceiling, color=CONTROL, alpha=0.5, linewidth=0, label="noise ceiling", zorder=1)
    if null is not None:
        axis.axhspan(
            min(0.0, bottom),
            null,
            color=CONTROL,
            alpha=0.14,
            linewidth=0,
            label="surrogates (up to 97.5 %)",
            zorder=0.5,
        )
    if like["untrained_low"] is not None and like["untrained_high"] is not None:
        axis.fill_between(
            x,
            like["untrained_low"][k],
            like["untrained_high"][k],
            color=ORANGE,
            alpha=0.4,
            linewidth=0,
            label="untrained (range)",
            zorder=2,
        )
        if len(x) == 1:
            axis.vlines(x, like["untrained_low"][k], like["untrained_high"][k], color=ORANGE, linewidth=5, alpha=0.6)
    if nuisance is not None:
        axis.axhline(nuisance, color=RED, linewidth=1.3, linestyle=(0, (1, 1)), label="nuisance alone", zorder=2.5)
    axis.plot(x, table[k], color=BLUE, marker="o", markersize=4, label="layer", zorder=4)
    if like["low"] is not None and like["high"] is not None:
        axis.vlines(x, like["low"][k], like["high"][k], color=BLUE, linewidth=1.1, zorder=3.5)
    if like["chosen"] is not None:
        share = like["chosen"][k]
        mine = np.flatnonzero(share > 0)
        axis.scatter(x[mine], np.full(len(mine), bottom), s=12 + 60 * share[mine], color=MUTED, marker="^", clip_on=False, zorder=5,
                     label="chosen on training folds (size: share)")  # fmt: skip
    axis.set_xlim(x[0] - 0.4, x[-1] + 0.4)


def _ticks(axis: Axes, ticks: Sequence[str]) -> None:
    step = max(1, -(-len(ticks) // 8))
    places = list(range(0, len(ticks), step))
    shown = [shorten(ticks[p], 14) for p in places]
    turned = sum(map(len, shown)) > 26
    axis.set_xticks(
        places,
        shown,
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )


def _range(table: np.ndarray, like: dict[str, Any], lines: dict[str, Any]) -> tuple[float, float]:
    parts = [
        table,
        *(v for k, v in like.items() if v is not None and k != "chosen"),
        *(v for v in lines.values() if v is not None),
    ]
    everything = np.concatenate([np.ravel(p) for p in parts])
    everything = everything[np.isfinite(everything)]
    low, high = min(0.0, float(everything.min())), max(0.0, float(everything.max()))
    room = 0.08 * max(high - low, 1e-6)
    return low - room, high + room


def _like(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if value is None:
        return None
    array = np.atleast_2d(numbers(name, value, finite=False))
    if array.shape != shape:
        raise BraindecError(f"{name} must have the shape of values", found=f"{array.shape}, values {shape}")
    return array
