"""Calibration curve: how much data of a new subject is enough, adapted from others, from scratch, and by ridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import (
    CONTROL,
    MARKERS,
    SERIES,
    canvas,
    chance_line,
    grid,
    legend_above,
    numbers,
    styled,
    texts,
)

__all__ = ["calibration_curve"]

_LABELS = {"adapted": "adapted from other subjects", "scratch": "from scratch", "ridge": "ridge, this subject alone"}
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


@styled
def calibration_curve(
    amount: Any,
    value: Any,
    *,
    chance: float,
    conditions: Sequence[str] | None = None,
    low: Any = None,
    high: Any = None,
    unit: str = "trials",
    n_seeds: int | None = None,
    n_candidates: int | None = None,
    reference: float | None = None,
    metric: str = "top-1 retrieval",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the score of a new subject against the amount of its data, one line a condition.

    Parameters
    ----------
    amount : array of shape (n_amounts,)
        Trials or minutes of the new subject.
    value : array of shape (n_conditions, n_amounts)
        Mean score, 0 to 1.
    chance : float
        Chance level.
    conditions : list of str, optional
        Their names; "adapted", "scratch" and "ridge" are spelled out.
    low, high : array of shape (n_conditions, n_amounts), optional
        95 % interval, drawn as a band.
    unit : str
        Of ``amount``.
    n_seeds : int, optional
        Draws of the calibration data behind each point.
    n_candidates : int, optional
        Number of candidates, in the axis label.
    reference : float, optional
        Mean score of the subjects that the model was trained on, drawn as a line.
    metric, title : str
        Names for the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes differ or a value is not finite.
    """
    x = numbers("amount", amount, ndim=1)
    y = np.atleast_2d(numbers("value", value))
    numbers("value of a condition", y[0], n=len(x))
    names = texts("conditions", conditions, len(y), "condition ")
    order = np.argsort(x)
    figure, ax = canvas(ax, height=3.4)
    top = y.max()
    bands = None
    if low is not None and high is not None:
        bands = [
            np.atleast_2d(numbers(n, v, n=len(y) if np.ndim(v) > 1 else None))
            for n, v in (("low", low), ("high", high))
        ]
        top = max(top, bands[1].max())
    for k, name in enumerate(names):
        colour = SERIES[k % len(SERIES)]
        if bands is not None:
            ax.fill_between(x[order], bands[0][k][order], bands[1][k][order], color=colour, alpha=0.13, linewidth=0)
        ax.plot(x[order], y[k][order], color=colour, linestyle=_LINES[k % len(_LINES)], marker=("o", *MARKERS)[k % 9],
                markersize=5.5, label=_LABELS.get(name, name), zorder=3, clip_on=False)  # fmt: skip
    if reference is not None:
        ax.axhline(reference, color=CONTROL, linewidth=1.2, label="subjects it was trained on")
        top = max(top, reference)
    chance_line(ax, chance, label=f"chance ({100 * chance:.3g} %)")
    words = [f"{n_seeds} draws, 95 % interval"] if n_seeds and n_seeds > 1 and bands is not None else []
    words += [f"{int(n_candidates):,} candidates"] if n_candidates else []
    ax.set_xlabel(f"{unit} of the new subject" + (f"  ({', '.join(words)})" if words else ""))
    ax.set_ylabel(f"{metric} (%)")
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:g}")
    if len(x) > 1 and x.min() > 0 and x.max() / x.min() > 4:
        ax.set_xscale("log")
    ax.set_xticks(x if len(x) <= 8 else x[order][np.linspace(0, len(x) - 1, 8).round().astype(int)])
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:.3g}" if v < 1000 else f"{v:,.0f}")
    ax.set_ylim(0, min(max(1.1 * top, 2.2 * chance), 1.02) if top <= 1 else None)
    grid(ax)
    legend_above(ax, title)
    return figure
