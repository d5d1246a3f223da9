"""Bars of a score in each region, one or several series side by side, with intervals, subjects' points and ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    CONTROL,
    INK,
    SERIES,
    WIDE,
    canvas,
    chance_line,
    grid,
    legend_above,
    numbers,
    shorten,
    styled,
    texts,
)

__all__ = ["roi_bars"]


@styled
def roi_bars(
    values: Any,
    names: Sequence[str],
    *,
    low: Any = None,
    high: Any = None,
    series: Sequence[str] | None = None,
    points: Any = None,
    ceiling: Any = None,
    chance: float = 0.0,
    label: str = "r",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one bar a region (and series), from the chance level.

    Parameters
    ----------
    values : array of shape (n_regions,) or (n_series, n_regions)
        Scores; NaN is written as "no value".
    names : sequence of str
        The regions.
    low, high : array of the shape of ``values``, optional
        Ends of the intervals; NaN where there is none.
    series : sequence of str, optional
        Names of the series, for the legend.
    points : array of shape (n_points, n_regions) or (n_series, n_points, n_regions), optional
        Single subjects, drawn as dots on the bars; NaN is not drawn.
    ceiling : array of shape (n_regions,), optional
        Noise ceiling of each region in the units of ``values``, a grey band behind its bars.
    chance : float
        Where bars begin.
    label, title : str
        For the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or no value is finite.
    """
    table = _rows("values", values)
    n_series, n_regions = table.shape
    regions = [shorten(name, 26) for name in texts("names", names, n_regions)]
    labels = None if series is None else texts("series", series, n_series)
    if not np.isfinite(table).any():
        raise BraindecError("no region has a value that is finite", found=f"{n_regions} regions")
    figure, ax = canvas(ax, width=_width(n_series, n_regions), height=3.4)
    if ceiling is not None:
        _ceilings(ax, numbers("ceiling", ceiling, ndim=1, n=n_regions, finite=False), chance)
    thick = 0.78 / n_series
    ends = None if low is None or high is None else (_like("low", low, table), _like("high", high, table))
    dots = None if points is None else _points(points, table)
    for i in range(n_series):
        x = np.arange(n_regions) + (i - (n_series - 1) / 2) * thick
        there = np.isfinite(table[i])
        colour = SERIES[i % len(SERIES)]
        ax.bar(x[there], table[i, there] - chance, bottom=chance, width=0.9 * thick, color=colour, alpha=0.85, zorder=2,
               hatch="" if i < len(SERIES) else "///", edgecolor="white", linewidth=0.4,
               label=labels[i] if labels else None)  # fmt: skip
        for place in x[~there]:
            ax.annotate("no value", (place, chance), xytext=(0, 2), textcoords="offset points", rotation=90, ha="center",
                        va="bottom", color=colour, fontsize=6.5)  # fmt: skip
        if ends is not None:
            real = there & np.isfinite(ends[0][i]) & np.isfinite(ends[1][i])
            ax.vlines(x[real], ends[0][i, real], ends[1][i, real], color=INK, linewidth=1.2, zorder=4)
        if dots is not None:
            n = dots.shape[1]
            across = x[None, :] + 0.5 * thick * (np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1))[:, None]
            ax.scatter(across, dots[i], s=9, color="white", edgecolors=INK, linewidths=0.6, zorder=3)
    chance_line(ax, chance, label="chance" if chance else None)
    _name_regions(ax, regions, figure)
    ax.set_ylabel(label + (" (lines: 95 % intervals)" if ends is not None else ""))
    grid(ax, "y")
    legend_above(ax, title)
    return figure


def _width(n_series: int, n_regions: int) -> float:
    return float(np.clip(1.1 + n_regions * (0.3 + 0.14 * n_series), 4.8, WIDE))


def _rows(name: str, value: Any) -> np.ndarray:
    array = np.atleast_2d(numbers(name, value, finite=False))
    if array.ndim != 2:
        raise BraindecError(f"{name} must be (region) or (series, region)", found=f"shape {array.shape}")
    return array


def _like(name: str, value: Any, table: np.ndarray) -> np.ndarray:
    array = _rows(name, value)
    if array.shape != table.shape:
        raise BraindecError(f"{name} must have the shape of values", found=f"{array.shape}, values {table.shape}")
    return array


def _points(points: Any, table: np.ndarray) -> np.ndarray:
    """Return points as (series, point, region)."""
    array = numbers("points", points, finite=False)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or (array.shape[0], array.shape[2]) != table.shape:
        raise BraindecError(
            "points must be (point, region) for one series or (series, point, region)",
            found=f"{array.shape}, values {table.shape}",
        )
    return array


def _ceilings(ax: Axes, ceiling: np.ndarray, chance: float) -> None:
    """Draw a grey band up to the ceiling of each region, with a line at its top."""
    x = np.flatnonzero(np.isfinite(ceiling))
    ax.bar(x, ceiling[x] - chance, bottom=chance, width=0.92, color="#e6eaee", zorder=0.5, label="noise ceiling")
    ax.hlines(ceiling[x], x - 0.46, x + 0.46, color=CONTROL, linewidth=1.2, zorder=1)


def _name_regions(ax: Axes, regions: list[str], figure: Figure) -> None:
    """Write the names level where they fit, else turned."""
    room = figure.get_figwidth() * 0.8 * 72 / len(regions) / 5.2  # letters that fit below one region
    turned = max(map(len, regions)) > room
    ax.set_xticks(range(len(regions)), regions, rotation=40 if turned else 0, ha="right" if turned else "center",
                  rotation_mode="anchor" if turned else "default")  # fmt: skip
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, len(regions) - 0.4)
