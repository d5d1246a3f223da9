"""Ladder: how a measure of every voxel is distributed at each step of a sequence of models, medians joined by a line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, MUTED, RED, canvas, chance_line, grid, numbers, shorten, styled, texts

__all__ = ["ladder"]

_BINS = 80


@styled
def ladder(
    values: Any,
    names: Sequence[str],
    *,
    label: str = "reliability",
    low: Any = None,
    high: Any = None,
    n_joined: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a violin, the quartiles and the median of each step.

    Parameters
    ----------
    values : array of shape (n_steps, n_voxels)
        NaN is left out; the numbers that are left stand below the steps.
    names : sequence of str
        The steps, from the plainest model on.
    label, title : str
        For the axis and the picture.
    low, high : array of shape (n_steps,), optional
        Interval of the median.
    n_joined : int, optional
        How many steps, from the first on, build on one another and are joined by the line; all by default.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or a step has no finite value.
    """
    table = numbers("values", values, ndim=2, finite=False)
    steps = [shorten(name, 30) for name in texts("names", names, len(table))]
    parts = [row[np.isfinite(row)] for row in table]
    if empty := [steps[i] for i, part in enumerate(parts) if not len(part)]:
        raise BraindecError("a step of the ladder has no value that is finite", found=", ".join(empty))
    n = len(parts)
    figure, ax = canvas(ax, width=float(np.clip(1.2 + 1.15 * n, 4.8, 9.8)), height=3.6)
    medians = np.array([np.median(part) for part in parts])
    for i, part in enumerate(parts):
        _violin(ax, i, part)
        quarter = np.percentile(part, [25, 75])
        ax.vlines(i, *quarter, color=INK, linewidth=4, zorder=3)
    joined = n if n_joined is None else n_joined
    ax.plot(range(joined), medians[:joined], color=INK, linewidth=1.2, zorder=4)
    ax.scatter(range(n), medians, s=26, color="white", edgecolors=INK, linewidths=1.3, zorder=6)
    if low is not None and high is not None:
        ends = numbers("low", low, ndim=1, n=n, finite=False), numbers("high", high, ndim=1, n=n, finite=False)
        there = np.isfinite(ends[0]) & np.isfinite(ends[1])
        ax.vlines(np.flatnonzero(there), ends[0][there], ends[1][there], color=RED, linewidth=1.6, zorder=5)
        for end in ends:
            ax.hlines(end[there], np.flatnonzero(there) - 0.07, np.flatnonzero(there) + 0.07, color=RED, zorder=5)
    form = ".3f" if np.abs(medians).max() < 1 else ".3g"
    for i, median in enumerate(medians):
        ax.annotate(f"{median:{form}}", (i, median), xytext=(9, 4), textcoords="offset points", fontsize=8, zorder=7,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75})  # fmt: skip
    if min(part.min() for part in parts) < 0:
        chance_line(ax, 0.0, label=None)
    ax.set_xticks(range(n), [f"{_wrap(step)}\nn = {len(part):,}" for step, part in zip(steps, parts, strict=True)])
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, n - 0.4)
    ax.set_ylabel(label)
    words = "point: median, bar: quartiles, shape: middle 99 %" + (
        ", red: interval of the median" if low is not None else ""
    )
    ax.annotate(words, (0.0, 1.01), xycoords="axes fraction", va="bottom", fontsize=7.5, color=MUTED)
    grid(ax, "y")
    if title:
        ax.set_title(title, pad=20)
    return figure


def _violin(ax: Axes, place: int, part: np.ndarray) -> None:
    """Draw the distribution of one step: a histogram smoothed a little, as wide as 0.8 steps."""
    low, high = np.percentile(part, [0.5, 99.5])
    if high <= low:
        ax.hlines(part[0], place - 0.35, place + 0.35, color=BLUE, linewidth=2)
        return
    counts, edges = np.histogram(part, bins=_BINS, range=(low, high))
    width = np.clip(_BINS * 1.5 / len(part) ** 0.4, 1.0, 12.0)
    kernel = np.exp(-0.5 * (np.arange(-30, 31) / width) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="full")[30:-30]
    half = 0.4 * smooth / smooth.max()
    middle = (edges[:-1] + edges[1:]) / 2
    ax.fill_betweenx(middle, place - half, place + half, color=BLUE, alpha=0.35, linewidth=0, zorder=2)


def _wrap(text: str, n: int = 14) -> str:
    """Break a name into lines of about ``n`` letters at its spaces."""
    return "\n".join(textwrap.wrap(text, n)) or text
