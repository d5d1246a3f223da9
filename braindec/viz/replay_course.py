"""Course of a replay: scores run by run in order of time, one line for each way of learning, sessions shaded in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    FAINT,
    MARKERS,
    MUTED,
    SERIES,
    WIDE,
    canvas,
    chance_line,
    grid,
    legend_above,
    numbers,
    styled,
    texts,
)

__all__ = ["replay_course"]


@styled
def replay_course(
    values: Any,
    *,
    low: Any = None,
    high: Any = None,
    labels: Sequence[str] | None = None,
    sessions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    chance: float | None = None,
    ylabel: str = "balanced accuracy",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the score of each run that was played.

    Parameters
    ----------
    values : array of shape (n_runs,) or (n_ways, n_runs)
        In order of time.
    low, high : array, the shape of ``values``, optional
        95 % intervals.
    labels : sequence of str, optional
        Names of the ways of learning.
    sessions, runs : sequence of shape (n_runs,), optional
        Session and run of each; a new session is shaded.
    chance : float, optional
    ylabel, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit.
    """
    lines = np.atleast_2d(numbers("values", values))
    n = lines.shape[1]
    ends = (
        None
        if low is None or high is None
        else [np.atleast_2d(numbers(k, v)) for k, v in (("low", low), ("high", high))]
    )
    if lines.ndim != 2 or (ends is not None and (ends[0].shape != lines.shape or ends[1].shape != lines.shape)):
        raise BraindecError("low and high must have the shape of values", found=f"{lines.shape}")
    names = texts("labels", labels, len(lines)) if labels is not None else [None] * len(lines)
    ticks = texts("runs", runs, n)
    figure, ax = canvas(ax, width=WIDE, height=3.0)
    place = np.arange(n)
    if sessions is not None:
        _shade(ax, texts("sessions", sessions, n))
    shift = 0.12 * (np.arange(len(lines)) - (len(lines) - 1) / 2)
    for k, line in enumerate(lines):
        colour = SERIES[k % len(SERIES)]
        if ends is not None:
            ax.vlines(place + shift[k], ends[0][k], ends[1][k], color=colour, alpha=0.45, linewidth=1.4)
        ax.plot(place + shift[k], line, color=colour, marker=MARKERS[k % len(MARKERS)], markersize=4.5, label=names[k])
    if chance is not None:
        chance_line(ax, chance, label=f"chance ({chance:.3g})")
    ax.set_xlim(-0.6, n - 0.4)
    if sessions is not None:
        low_end, high_end = ax.get_ylim()
        ax.set_ylim(low_end, high_end + 0.1 * (high_end - low_end))  # room for their names
    ax.set_xticks(place, ticks)
    ax.set_xlabel("run, in order of time" + ("; bars: 95 % interval over windows" if ends is not None else ""))
    ax.set_ylabel(ylabel)
    grid(ax)
    legend_above(ax, title)
    return figure


def _shade(ax: Axes, sessions: list[str]) -> None:
    starts = [i for i, s in enumerate(sessions) if i == 0 or s != sessions[i - 1]]
    for number, (a, b) in enumerate(zip(starts, [*starts[1:], len(sessions)], strict=True)):
        if number % 2:
            ax.axvspan(a - 0.5, b - 0.5, color=FAINT, linewidth=0, zorder=0)
        ax.text((a + b - 1) / 2, 0.985, f"session {sessions[a]}", transform=ax.get_xaxis_transform(), ha="center", va="top",
                color=MUTED, fontsize=8)  # fmt: skip
