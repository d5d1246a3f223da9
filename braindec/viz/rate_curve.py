"""Rates over time: a line a unit or condition with its interval, events marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    CONTROL,
    MUTED,
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

__all__ = ["rate_curve"]

_LINES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1, 1.5, 1)))


@styled
def rate_curve(
    times: Any,
    values: Any,
    *,
    low: Any = None,
    high: Any = None,
    labels: Sequence[str] | None = None,
    unit: str = "Hz",
    ylabel: str = "rate",
    xlabel: str = "time (s)",
    events: Any = None,
    reference: float | None = None,
    zero: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one or several rates over time.

    Parameters
    ----------
    times : array of shape (n_times,)
        s, rising.
    values : array of shape (n_times,) or (n_series, n_times)
        NaN leaves a gap. More than 7 series are drawn thin and grey with their mean in colour.
    low, high : array of the shape of ``values``, optional
        Ends of intervals, drawn as bands.
    labels : sequence of str, optional
        Names of the series.
    unit : str
        Unit of the values, in brackets after ``ylabel``.
    ylabel, xlabel, title : str, optional
    events : array or mapping of str to array, optional
        Times marked by upright lines.
    reference : float, optional
        A level marked by a dashed line.
    zero : bool
        Begin the axis at 0 where no value lies below.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or times do not rise.
    """
    times = numbers("times", times, ndim=1)
    lines = np.atleast_2d(numbers("values", values, finite=False))
    if lines.shape[1:] != times.shape or (np.diff(times) <= 0).any():
        raise BraindecError(
            "values must be (series, time) over rising times", found=f"{lines.shape}, {len(times)} times"
        )
    if not np.isfinite(lines).any():
        raise BraindecError("there is no finite value to draw", found=f"{lines.size} values")
    names = texts("labels", labels, len(lines)) if labels is not None else [""] * len(lines)
    band = None
    if low is not None and high is not None:
        band = [np.atleast_2d(numbers(k, v, finite=False)) for k, v in (("low", low), ("high", high))]
        if any(e.shape != lines.shape for e in band):
            raise BraindecError("low and high must have the shape of values", found=f"{band[0].shape}, {band[1].shape}")
    figure, ax = canvas(ax, height=2.9)
    _mark(ax, events, float(times[0]), float(times[-1]))
    if reference is not None:
        chance_line(ax, reference, label=None)
    if len(lines) > len(SERIES):
        for line in lines[:60]:
            ax.plot(times, line, color=CONTROL, linewidth=0.6, alpha=0.6)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(lines).sum(axis=0)
            mean = np.divide(np.nansum(lines, axis=0), known, out=np.full(len(times), np.nan), where=known > 0)
        ax.plot(times, mean, color=SERIES[0], linewidth=2, label=f"mean of {len(lines):,}")
    else:
        for i, line in enumerate(lines):
            if band is not None:
                ax.fill_between(times, band[0][i], band[1][i], color=SERIES[i], alpha=0.18, linewidth=0)
            ax.plot(
                times,
                line,
                color=SERIES[i],
                linestyle=_LINES[i % 4],
                linewidth=1.5,
                marker="o" if len(times) == 1 else None,  # a line of one point cannot be seen
                label=shorten(names[i]) if names[i] else None,
            )
    if len(times) > 1:
        ax.set_xlim(times[0], times[-1])
    if zero and np.nanmin(lines) >= 0:
        ax.set_ylim(bottom=0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(f"{ylabel} ({unit})" if unit else ylabel)
    grid(ax)
    legend_above(ax, title)
    return figure


def _mark(ax: Axes, events: Any, low: float, high: float) -> None:
    if events is None:
        return
    named: Mapping[str, Any] = events if isinstance(events, Mapping) else {"": events}
    for k, (name, when) in enumerate(named.items()):
        at = np.asarray(when, dtype=float).ravel()
        for j, t in enumerate(at[(at >= low) & (at <= high)][:200].tolist()):
            ax.axvline(
                t,
                color=MUTED,
                linewidth=0.8,
                linestyle=_LINES[k % 4],
                zorder=0.5,
                label=str(name) if name and j == 0 else None,
            )
