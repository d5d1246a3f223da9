"""Bars of models with intervals, the band of the noise ceiling, and marks between models that differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import (
    BLUE,
    CONTROL,
    FAINT,
    INK,
    MUTED,
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

__all__ = ["model_bars"]

_ALPHA = 0.05
_MOST = 12  # marks in one picture


@styled
def model_bars(
    values: Any,
    names: Sequence[str],
    *,
    low: Any = None,
    high: Any = None,
    points: Any = None,
    ceiling: Any = None,
    p: Any = None,
    differences: Any = None,
    controls: Sequence[str] = (),
    chance: float = 0.0,
    label: str = "similarity to the data",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one bar a model, from the chance level.

    Parameters
    ----------
    values : array of shape (n_models,)
        Scores.
    names : sequence of str
        The models.
    low, high : array of shape (n_models,), optional
        Ends of the intervals; NaN where there is none.
    points : array of shape (n_subjects, n_models), optional
        Scores of single subjects, drawn as dots.
    ceiling : (lower, upper), optional
        Noise ceiling, drawn as a band; NaN for an end that is not known.
    p : array of shape (n_models,), optional
        Corrected p-values: a star below the bar of what is at most 0.05.
    differences : array of shape (n_models, n_models), optional
        Corrected p-values of differences: a line joins models whose p is at most 0.05, the smallest p first, up to 12.
    controls : sequence of str
        Names of models that are drawn in grey.
    chance : float
        Where bars begin.
    label, title : str
        For the axis and the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit.
    """
    values = numbers("values", values, ndim=1)
    n = len(values)
    names = texts("names", names, n)
    figure, ax = canvas(ax, width=float(np.clip(1.4 + 0.62 * n, 4.8, WIDE)), height=3.6)
    grey = np.array([name in set(controls) for name in names])
    x = np.arange(n)
    if ceiling is not None:
        _band(ax, numbers("ceiling", ceiling, ndim=1, n=2, finite=False))
    for mine, colour, what in ((~grey, BLUE, "model"), (grey, CONTROL, "control")):
        ax.bar(x[mine], values[mine] - chance, bottom=chance, width=0.68, color=colour, alpha=0.85, zorder=2,
               label=what if grey.any() and mine.any() else None)  # fmt: skip
    tops = np.maximum(values, chance)
    if low is not None and high is not None:
        low, high = (numbers(k, v, ndim=1, n=n, finite=False) for k, v in (("low", low), ("high", high)))
        ax.vlines(x, low, high, color=INK, linewidth=1.2, zorder=4)
        tops = np.fmax(tops, high)
    if points is not None:
        dots = numbers("points", points, ndim=2, finite=False)
        if dots.shape[1] != n:
            raise BraindecError("points need one column a model", found=f"shape {dots.shape}, {n} models")
        across = x + 0.4 * (np.linspace(-0.5, 0.5, len(dots)) if len(dots) > 1 else np.zeros(1))[:, None]
        ax.scatter(across, dots, s=9, color="white", edgecolors=INK, linewidths=0.6, zorder=3)
        tops = np.fmax(tops, np.nanmax(dots, axis=0))
    chance_line(ax, chance, label="chance" if chance else None)
    stars = np.zeros(n, dtype=bool) if p is None else numbers("p", p, ndim=1, n=n, finite=False) <= _ALPHA
    shown = [f"{shorten(name, 24)}{' *' if star else ''}" for name, star in zip(names, stars, strict=True)]
    turned = max(map(len, shown)) > 9
    ax.set_xticks(x, shown, rotation=40 if turned else 0, ha="right" if turned else "center",
                  rotation_mode="anchor" if turned else "default")  # fmt: skip
    ax.tick_params(axis="x", length=0)
    ax.set_xlim(-0.6, n - 0.4)
    if differences is not None:
        if ceiling is not None:
            tops = np.fmax(tops, np.nanmax([*np.asarray(ceiling, dtype=float), -np.inf]))
        _marks(ax, numbers("differences", differences, ndim=2, n=n, finite=False), tops)
    ax.set_ylabel(label + (" (lines: 95 %)" if high is not None else ""))
    grid(ax, "y")
    legend_above(ax, title)
    return figure


def _band(ax: Axes, ceiling: np.ndarray) -> None:
    lower, upper = ceiling
    if np.isfinite(lower) and np.isfinite(upper):
        ax.axhspan(lower, upper, facecolor=FAINT, edgecolor=MUTED, linewidth=0.5, zorder=0, label="noise ceiling")
    elif np.isfinite(ceiling).any():
        ax.axhline(float(np.nanmax(ceiling)), color=MUTED, linewidth=1.0, zorder=0, label="noise ceiling")


def _marks(ax: Axes, p: np.ndarray, tops: np.ndarray) -> None:
    """Lines between models that differ, each on the lowest level where it crosses no other."""
    first, second = np.triu_indices(len(p), 1)
    found = sorted((float(p[i, j]), int(i), int(j)) for i, j in zip(first, second, strict=True) if p[i, j] <= _ALPHA)
    bottom, top = ax.get_ylim()
    step = 0.055 * (top - bottom)
    levels: list[list[tuple[int, int]]] = []
    start = max(float(np.nanmax(tops)), top - step) + 0.4 * step
    for _, i, j in sorted(found[:_MOST], key=lambda f: f[2] - f[1]):
        level = next((k for k, used in enumerate(levels) if all(j < a or i > b for a, b in used)), len(levels))
        if level == len(levels):
            levels.append([])
        levels[level].append((i, j))
        height = start + level * step
        ax.plot(
            [i, i, j, j],
            [height - 0.25 * step, height, height, height - 0.25 * step],
            color=INK,
            linewidth=0.8,
            zorder=4,
        )
    more = len(found) - _MOST
    if levels:
        ax.set_yticks([t for t in ax.get_yticks() if bottom <= t <= start])  # above that there is no scale, only marks
        ax.set_ylim(bottom, start + (len(levels) + 1.2 * (more > 0)) * step)
    if more > 0:
        ax.annotate(f"{more} more pair{'s' * (more > 1)} differ{'s' * (more == 1)}", (1, 1), xycoords="axes fraction", xytext=(0, -1),
                    textcoords="offset points", ha="right", va="top", fontsize=7.5, color=MUTED)  # fmt: skip
