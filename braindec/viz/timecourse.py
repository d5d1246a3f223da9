"""Course over time: scores or signals against time from onset, with intervals, chance and stretches above chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import INK, SERIES, canvas, chance_line, grid, legend_above, numbers, styled, texts

__all__ = ["timecourse"]

_STROKES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))


@styled
def timecourse(
    times: Any,
    values: Any,
    *,
    low: Any = None,
    high: Any = None,
    chance: float | None = None,
    significant: Any = None,
    labels: Sequence[str] | None = None,
    ylabel: str = "score",
    n: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one or several courses.

    Parameters
    ----------
    times : array of shape (n_times,)
        s relative to onset.
    values : array of shape (n_times,) or (n_courses, n_times)
        What is drawn.
    low, high : array, the shape of ``values``, optional
        95 % intervals, drawn as bands.
    chance : float, optional
        Chance level.
    significant : array of bool, shape (n_times,), optional
        Marked by a bar below the courses.
    labels : sequence of str, optional
        Names of the courses.
    ylabel, title : str
        Names, with the unit.
    n : int, optional
        Number of windows or subjects.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit.
    """
    times = numbers("times", times, ndim=1)
    lines = np.atleast_2d(numbers("values", values))
    if lines.shape[1:] != times.shape:
        raise BraindecError("values must be (course, time)", found=f"{lines.shape}, {len(times)} times")
    names = texts("labels", labels, len(lines)) if labels is not None else [None] * len(lines)
    figure, ax = canvas(ax, height=3.0)
    bands = None
    if low is not None and high is not None:
        bands = [np.atleast_2d(numbers(k, v)) for k, v in (("low", low), ("high", high))]
        if bands[0].shape != lines.shape or bands[1].shape != lines.shape:
            raise BraindecError(
                "low and high must have the shape of values", found=f"{bands[0].shape}, {bands[1].shape}, {lines.shape}"
            )
    for i, line in enumerate(lines):
        colour = SERIES[i % len(SERIES)]
        if bands is not None:
            ax.fill_between(
                times,
                bands[0][i],
                bands[1][i],
                color=colour,
                alpha=0.16,
                linewidth=0,
                label="95 % interval" if i == 0 else None,
            )
        ax.plot(times, line, color=colour, linestyle=_STROKES[(i // len(SERIES)) % len(_STROKES)], label=names[i])
    if chance is not None:
        chance_line(ax, chance, label=f"chance ({chance:.3g})")
    if times[0] < 0 < times[-1]:
        ax.axvline(0, color=INK, linewidth=0.8)
    if significant is not None:
        _stretches(ax, times, np.asarray(significant, dtype=bool))
    if len(times) > 1:
        ax.set_xlim(times[0], times[-1])
    ax.set_xlabel("time from onset (s)" + (f"  (n = {n:,})" if n is not None else ""))
    ax.set_ylabel(ylabel)
    grid(ax)
    legend_above(ax, title)
    return figure


def _stretches(ax: Axes, times: np.ndarray, mask: np.ndarray) -> None:
    """A bar at the foot of the picture where ``mask`` (n_times,) is true."""
    if mask.shape != times.shape:
        raise BraindecError("significant must be one value a time", found=f"{mask.shape}, {len(times)} times")
    half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    for i, (start, stop) in enumerate(edges.reshape(-1, 2)):
        ax.plot(
            [times[start] - half, times[stop - 1] + half],
            [0.02, 0.02],
            transform=ax.get_xaxis_transform(),
            color=INK,
            linewidth=4,
            solid_capstyle="butt",
            label="above chance (corrected)" if i == 0 else None,
        )
