"""Decoded score beside its control rows: bars that begin at chance, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import BLUE, CONTROL, INK, canvas, chance_line, grid, numbers, p_text, styled, texts

__all__ = ["score_bars"]


@styled
def score_bars(
    rows: Sequence[str],
    values: Any,
    *,
    chance: float,
    low: Any = None,
    high: Any = None,
    p: Any = None,
    n: Any = None,
    metric: str = "score",
    zero: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one horizontal bar a row, from the chance level to the score.

    Parameters
    ----------
    rows : sequence of str
        "decoded" and the names of controls; every row but "decoded..." is drawn light, and "decoded: name" is called by its name.
    values : array of shape (n_rows,)
        The scores.
    chance : float
        Chance level.
    low, high : array of shape (n_rows,), optional
        95 % intervals; NaN where there is none.
    p, n : array of shape (n_rows,), optional
        p-values and numbers of windows, written beside the bars.
    metric, title : str
        Names for the axis and the picture.
    zero : str, optional
        What the level is where bars begin, if it is not chance.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or a score is not finite.
    """
    values = numbers("values", values, ndim=1)
    k = len(values)
    names = texts("rows", rows, k)
    figure, ax = canvas(ax, height=1.05 + 0.38 * k)
    y = np.arange(k)[::-1]
    own = np.array([name.startswith("decoded") for name in names])
    ax.barh(y, values - chance, left=chance, height=0.56, color=np.where(own, BLUE, "#cdd5dc"), zorder=2)
    if low is not None and high is not None:
        ends = np.stack([numbers("low", low, n=k, finite=False), numbers("high", high, n=k, finite=False)])
        there = np.isfinite(ends).all(axis=0)
        for part, colour in ((own & there, INK), (~own & there, CONTROL)):
            ax.hlines(y[part], ends[0, part], ends[1, part], color=colour, linewidth=1.6, zorder=3)
    chance_line(ax, chance, label=None, vertical=True)
    ax.set_yticks(y, [name.removeprefix("decoded: ").replace("_", " ") for name in names])
    ax.tick_params(axis="y", length=0)
    counts = None if n is None else numbers("n", n, n=k, finite=False)
    levels = None if p is None else numbers("p", p, n=k, finite=False)
    for i in range(k):
        words = [
            f"{round(values[i], 3) + 0.0:.3f}".replace("-", "−"),
            p_text(None if levels is None else levels[i]),
            f"n = {int(counts[i]):,}" if counts is not None and np.isfinite(counts[i]) else "",
        ]
        ax.annotate(
            "   ".join(w for w in words if w),
            (1.02, y[i]),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=INK if own[i] else CONTROL,
            annotation_clip=False,
        )
    words = [f"dashed: {zero or f'chance {chance:.3g}'}"]
    words += ["lines: 95 % intervals"] if low is not None and high is not None and there.any() else []
    ax.set_xlabel(f"{metric}\n({'; '.join(words)})")
    grid(ax, "x")
    if title:
        ax.set_title(title)
    return figure
