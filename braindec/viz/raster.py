"""Raster: a dot for each spike, one line a unit, coloured by group; of many spikes a part is drawn, and that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from braindec.errors import BraindecError
from braindec.viz._style import MUTED, SERIES, canvas, legend_above, numbers, shorten, styled, texts

__all__ = ["raster"]

_MANY_UNITS, _MANY_SPIKES = 400, 30_000  # what a page can show
_TICKS = 60  # units up to which spikes are upright lines


@styled
def raster(
    times: Any,
    unit: Any,
    *,
    groups: Sequence[str] | None = None,
    events: Any = None,
    limits: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    ylabel: str = "unit",
    xlabel: str = "time (s)",
    title: str | None = None,
    max_units: int = _MANY_UNITS,
    ax: Axes | None = None,
) -> Figure:
    """Draw spike times by unit.

    Parameters
    ----------
    times : array of shape (n_spikes,)
        s.
    unit : array of int, shape (n_spikes,)
        Which unit fired, from 0; the line it is drawn on.
    groups : sequence of str, shape (n_units,), optional
        Population of each unit. Units of one group stand together, groups in the order of their first unit, and have one
        colour. Without it, and without ``names``, there are as many units as the largest number in ``unit`` says.
    events : array or mapping of str to array, optional
        Times in s marked by upright lines; with names, one line style each.
    limits : (float, float), optional
        Part of the time that is drawn, s.
    names : sequence of str, shape (n_units,), optional
        Names of the lines, shown up to 24 of them.
    ylabel, xlabel, title : str, optional
    max_units : int
        With more units, as many of them evenly spaced are drawn, of each group its share; so are the spikes of long
        stretches (the first part of the time). The axis label says so.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ, a unit is no whole number from 0 on, or limits are empty.
    """
    times, unit = _checked(times, unit)
    told = groups if groups is not None else names
    n_units = len(told) if told is not None else (int(unit.max()) + 1 if len(unit) else 1)
    if len(unit) and unit.max() >= n_units:
        raise BraindecError(
            "a spike names a unit that has no group or name", found=f"{unit.max()}", allowed=f"0 to {n_units - 1}"
        )
    labels = texts("groups", groups, n_units) if groups is not None else [""] * n_units
    lines = texts("names", names, n_units) if names is not None else None
    low, high = _span(times, limits)
    inside = (times >= low) & (times <= high)
    times, unit = times[inside], unit[inside]
    order, kept = _lines(np.array(labels, dtype=object), int(max_units))
    place = np.full(n_units, -1)
    place[order] = np.arange(len(order))
    shown = place[unit] >= 0
    times, unit = times[shown], unit[shown]
    cut = high
    if len(times) > _MANY_SPIKES:
        cut = float(np.partition(times, _MANY_SPIKES)[_MANY_SPIKES])
        times, unit = times[times <= cut], unit[times <= cut]
    figure, ax = canvas(ax, width=7.2, height=float(np.clip(1.4 + 0.05 * len(order), 2.3, 4.4)))
    _mark(ax, events, low, cut)
    row, few = place[unit], len(order) <= _TICKS
    room = figure.get_figheight() * 72 * 0.62 / max(len(order), 1)  # points a line has
    size = (
        float(np.clip(0.85 * room, 2.0, 14.0)) if few else float(np.clip(180 / np.sqrt(max(len(times), 1)), 1.1, 3.0))
    )
    for i, name in enumerate(dict.fromkeys(labels)):
        mine = np.array([labels[u] == name for u in range(n_units)])[unit] if len(unit) else np.zeros(0, bool)
        count = sum(label == name for label in labels)
        ax.plot(times[mine], row[mine], linestyle="none", marker="|" if few else "o", markersize=size, markeredgewidth=0.8 if few else 0,
                color=SERIES[i % len(SERIES)], label=f"{shorten(name)} ({count:,})" if name else None, rasterized=len(times) > 4000)  # fmt: skip
    ax.set_xlim(low, cut)
    ax.set_ylim(len(order) - 0.4, -0.6)
    _axes(ax, order, lines, kept=kept, n_units=n_units, low=low, cut=cut, high=high, xlabel=xlabel, ylabel=ylabel)
    legend_above(ax, title)
    legend = ax.get_legend()
    for handle in legend.legend_handles if legend is not None and not few else []:
        if isinstance(handle, Line2D) and handle.get_marker() == "o":
            handle.set_markersize(5)
    return figure


def _checked(times: Any, unit: Any) -> tuple[np.ndarray, np.ndarray]:
    times = np.asarray(times, dtype=float) if np.size(times) == 0 else numbers("times", times, ndim=1)
    unit = np.asarray(unit, dtype=float) if np.size(unit) == 0 else numbers("unit", unit, ndim=1)
    if times.shape != unit.shape:
        raise BraindecError("times and unit must be of one length", found=f"{times.shape} and {unit.shape}")
    if len(unit) and (unit.min() < 0 or (unit != np.round(unit)).any()):
        raise BraindecError("unit must hold whole numbers from 0 on", found=f"{unit.min():g} to {unit.max():g}")
    return times, unit.astype(int)


def _span(times: np.ndarray, limits: Sequence[float] | None) -> tuple[float, float]:
    if limits is not None:
        ends = numbers("limits", limits, ndim=1, n=2)
        if not ends[0] < ends[1]:
            raise BraindecError("limits must be (from, to) in s", found=f"{ends.tolist()}")
        return float(ends[0]), float(ends[1])
    if not len(times):
        return 0.0, 1.0
    low, high = float(times.min()), float(times.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _lines(labels: np.ndarray, most: int) -> tuple[np.ndarray, bool]:
    """Units in the order they are drawn, group by group, thinned evenly; whether all of them are."""
    together = np.concatenate([np.flatnonzero(labels == name) for name in dict.fromkeys(labels)])
    if len(together) <= most:
        return together, True
    return together[np.unique(np.linspace(0, len(together) - 1, most).round().astype(int))], False


def _mark(ax: Axes, events: Any, low: float, high: float) -> None:
    if events is None:
        return
    named: Mapping[str, Any] = events if isinstance(events, Mapping) else {"": events}
    styles = ("-", (0, (4, 2)), (0, (1, 1.5)))
    for k, (name, when) in enumerate(named.items()):
        at = np.asarray(when, dtype=float).ravel()
        at = at[(at >= low) & (at <= high)]
        for j, t in enumerate(at[:200].tolist()):
            ax.axvline(t, color=MUTED, linewidth=0.7, alpha=0.8, linestyle=styles[k % 3], zorder=0.5,
                       label=str(name) if name and j == 0 else None)  # fmt: skip


def _axes(
    ax: Axes, order: np.ndarray, lines: list[str] | None, *, kept: bool, n_units: int, low: float, cut: float, high: float,
    xlabel: str, ylabel: str,
) -> None:  # fmt: skip
    if lines is not None and len(order) <= 24:
        ax.set_yticks(
            range(len(order)), [shorten(lines[u], 16) for u in order], fontsize=8 if len(order) <= 16 else 6.5
        )
        ax.tick_params(axis="y", length=0)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        if not kept:
            ax.set_yticks([])
    left = f"; the first {cut - low:.3g} of {high - low:.3g} s are drawn" if cut < high else ""
    ax.set_xlabel(f"{xlabel}{left}")
    ax.set_ylabel(ylabel if kept else f"{len(order):,} of {n_units:,} {ylabel}s")
