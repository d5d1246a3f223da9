"""Coherence (or consistency, or power) over frequency with the level of chance; where it is above for good is marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import CONTROL, SERIES, canvas, grid, legend_above, numbers, shorten, styled, texts

__all__ = ["coherence_spectrum"]

_LINES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1, 1.5, 1)))


@styled
def coherence_spectrum(
    frequencies: Any,
    values: Any,
    *,
    level: Any = None,
    low: Any = None,
    high: Any = None,
    significant: Any = None,
    labels: Sequence[str] | None = None,
    ylabel: str = "coherence",
    chance: str = "95 % of exchanged trials",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw measures over frequency.

    Parameters
    ----------
    frequencies : array of shape (n_frequencies,)
        Hz, rising.
    values : array of shape (n_frequencies,) or (n_units, n_frequencies)
        Measure of up to 7 units.
    level : array of shape (n_frequencies,), optional
        Level that chance stays below.
    low, high : array of the shape of ``values``, optional
        Ends of intervals.
    significant : array of bool of the shape of ``values``, optional
        Marked by dots below the curves.
    labels : sequence of str, optional
        Names of the units.
    ylabel, chance, title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or frequencies do not rise.
    """
    frequencies = numbers("frequencies", frequencies, ndim=1)
    lines = np.atleast_2d(numbers("values", values, finite=False))
    if lines.shape[1:] != frequencies.shape or (np.diff(frequencies) <= 0).any() or len(lines) > len(SERIES):
        raise BraindecError("values must be (unit, frequency) over rising frequencies, up to 7 units",
                            found=f"{lines.shape}, {len(frequencies)} frequencies")  # fmt: skip
    names = texts("labels", labels, len(lines)) if labels is not None else [""] * len(lines)
    figure, ax = canvas(ax, height=2.9)
    if level is not None:
        height = numbers("level", level, ndim=1, n=len(frequencies))
        ax.fill_between(
            frequencies, min(0.0, float(np.nanmin(lines))), height, color=CONTROL, alpha=0.22, linewidth=0, label=chance
        )
    for i, line in enumerate(lines):
        if low is not None and high is not None:
            ends = [np.atleast_2d(numbers(k, v, finite=False)) for k, v in (("low", low), ("high", high))]
            ax.fill_between(frequencies, ends[0][i], ends[1][i], color=SERIES[i], alpha=0.18, linewidth=0)
        ax.plot(
            frequencies,
            line,
            color=SERIES[i],
            linestyle=_LINES[i % 4],
            linewidth=1.5,
            label=shorten(names[i]) if names[i] else None,
        )
    if significant is not None:
        found = np.atleast_2d(np.asarray(significant, dtype=bool))
        if found.shape != lines.shape:
            raise BraindecError("significant must have the shape of values", found=f"{found.shape}")
        bottom, top = float(min(0.0, np.nanmin(lines))), float(np.nanmax(lines))
        for i, mine in enumerate(found):
            ax.plot(frequencies[mine], np.full(mine.sum(), bottom - (0.04 + 0.035 * i) * (top - bottom)), linestyle="none", marker="s", markersize=3,
                    color=SERIES[i])  # fmt: skip
    ax.set_xlim(frequencies[0], frequencies[-1])
    if significant is None and np.nanmin(lines) >= 0:
        ax.set_ylim(bottom=0)
    ax.set_xlabel("frequency (Hz)")
    ax.set_ylabel(ylabel)
    grid(ax)
    legend_above(ax, title)
    return figure
