"""Rate of one or several units by condition, with intervals; directions also as a curve that closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    MARKERS,
    MUTED,
    SERIES,
    canvas,
    grid,
    legend_above,
    numbers,
    p_text,
    shorten,
    styled,
    texts,
)

__all__ = ["tuning_curve"]


@styled
def tuning_curve(
    conditions: Sequence[Any],
    values: Any,
    *,
    low: Any = None,
    high: Any = None,
    labels: Sequence[str] | None = None,
    p: Any = None,
    points: Any = None,
    unit: str = "Hz",
    xlabel: str = "condition",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw rates by condition.

    Parameters
    ----------
    conditions : sequence, shape (n_conditions,)
        Names, or numbers (directions, amounts), which are then placed to scale.
    values : array of shape (n_conditions,) or (n_units, n_conditions)
        Rates.
    low, high : array of the shape of ``values``, optional
        Ends of intervals.
    labels : sequence of str, optional
        Names of the units.
    p : array of shape (n_units,), optional
        Said after the name of each unit.
    points : sequence of arrays, shape (n_conditions,), optional
        Single trials of one unit, drawn behind it.
    unit, xlabel, title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or there are more than 7 units.
    """
    lines = np.atleast_2d(numbers("values", values))
    places, names = _places(conditions, lines.shape[1])
    if len(lines) > len(SERIES):
        raise BraindecError("a picture holds up to 7 units", found=f"{len(lines)}", fix="choose some")
    series = texts("labels", labels, len(lines)) if labels is not None else [""] * len(lines)
    chances = np.full(len(lines), np.nan) if p is None else numbers("p", np.atleast_1d(p), n=len(lines), finite=False)
    ends = None
    if low is not None and high is not None:
        ends = [np.atleast_2d(numbers(k, v, finite=False)) for k, v in (("low", low), ("high", high))]
        if any(e.shape != lines.shape for e in ends):
            raise BraindecError("low and high must have the shape of values", found=f"{ends[0].shape}, {ends[1].shape}")
    figure, ax = canvas(ax, height=3.0)
    step = float(np.diff(np.sort(places)).min()) if len(places) > 1 else 1.0
    if points is not None:
        _dots(ax, places, points, step)
    for i, line in enumerate(lines):
        shift = (i - (len(lines) - 1) / 2) * 0.08 * step
        error = None if ends is None else np.maximum([line - ends[0][i], ends[1][i] - line], 0.0)
        words = ", ".join(w for w in (shorten(series[i]), p_text(float(chances[i]))) if w)
        ax.errorbar(places + shift, line, yerr=error, color=SERIES[i], marker=MARKERS[i], markersize=6, linewidth=1.4, elinewidth=1.6, capsize=3,
                    label=words or None, zorder=3)  # fmt: skip
    if names is not None:
        ax.set_xticks(places, [shorten(n, 16) for n in names], rotation=0 if sum(map(len, names)) < 50 else 30)
    ax.set_xlim(places.min() - 0.5 * step, places.max() + 0.5 * step)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(f"rate ({unit})")
    grid(ax)
    legend_above(ax, title)
    return figure


def _places(conditions: Sequence[Any], n: int) -> tuple[np.ndarray, list[str] | None]:
    if len(conditions) != n:
        raise BraindecError("conditions and values must be of one length", found=f"{len(conditions)} and {n}")
    values = np.asarray(conditions)
    if values.dtype.kind in "iuf" and np.isfinite(values.astype(float)).all() and len(set(values.tolist())) == n:
        return values.astype(float), None
    return np.arange(n, dtype=float), texts("conditions", conditions, n)


def _dots(ax: Axes, places: np.ndarray, points: Any, step: float) -> None:
    if len(points) != len(places):
        raise BraindecError(
            "points need one array for each condition", found=f"{len(points)}", allowed=f"{len(places)}"
        )
    for x, mine in zip(places, points, strict=True):
        y = numbers("points", mine, ndim=1)
        spread = (
            (np.argsort(np.argsort(y, kind="stable")) * 0.618 % 1 - 0.5) * 0.25 * step
        )  # apart, the same every time
        ax.plot(
            x + spread,
            y,
            linestyle="none",
            marker="o",
            markersize=3,
            color=MUTED,
            alpha=0.45,
            markeredgewidth=0,
            zorder=2,
        )
