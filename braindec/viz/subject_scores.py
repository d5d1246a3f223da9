"""Score of each subject with its interval, the chance level, the control rows as light marks, and the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import (
    BLUE,
    CONTROL,
    INK,
    MARKERS,
    MUTED,
    canvas,
    chance_line,
    grid,
    legend_above,
    numbers,
    shorten,
    styled,
    texts,
)

__all__ = ["subject_scores"]


@styled
def subject_scores(
    units: Sequence[str],
    values: Any,
    *,
    chance: Any,
    low: Any = None,
    high: Any = None,
    above: Sequence[bool] | None = None,
    controls: Mapping[str, Any] | None = None,
    group: Sequence[float] | None = None,
    group_label: str = "mean",
    metric: str = "score",
    n: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one point a subject.

    Parameters
    ----------
    units : sequence of str
        Names of the subjects (or other units).
    values : array of shape (n_units,)
        The decoded scores.
    chance : float or array of shape (n_units,)
        Chance level, one for all or one each.
    low, high : array of shape (n_units,), optional
        95 % intervals.
    above : sequence of bool, optional
        Whether a score is above chance after correction: filled points, else open ones. All filled by default.
    controls : mapping of str to array of shape (n_units,), optional
        Control rows; NaN where a unit has none.
    group : (value, low, high) or (value,), optional
        The group's mean and its interval; the mean of ``values`` is drawn when it is left out and there are 2 or more.
    group_label, metric : str
        Names for the axes.
    n : array of shape (n_units,), optional
        Windows a unit, written below its name (up to 14 units).
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or a score is not finite.
    """
    values = numbers("values", values, ndim=1)
    k = len(values)
    names = texts("units", units, k)
    figure, ax = canvas(ax, width=float(np.clip(2.2 + 0.55 * k, 4.8, 9.8)), height=3.7)
    x = np.arange(k)
    levels = np.broadcast_to(numbers("chance", chance), (k,))
    if np.ptp(levels) < 1e-12:
        chance_line(ax, float(levels[0]), label=f"chance ({levels[0]:.3g})".replace("-", "−"))
    else:
        ax.hlines(levels, x - 0.42, x + 0.42, color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance (of each)")
    if low is not None and high is not None:
        ax.vlines(
            x,
            numbers("low", low, n=k),
            numbers("high", high, n=k),
            color=BLUE,
            linewidth=2.0 if k <= 40 else 1.2,
            label="95 % interval",
            zorder=3,
        )
    flags = np.ones(k, bool) if above is None else np.asarray(above, dtype=bool)
    size = 44 if k <= 40 else 18
    if flags.any():
        ax.scatter(
            x[flags], values[flags], s=size, color=BLUE, zorder=4, label="decoded" if above is None else "above chance"
        )
    if (~flags).any():
        ax.scatter(
            x[~flags],
            values[~flags],
            s=size,
            facecolor="white",
            edgecolor=BLUE,
            linewidth=1.5,
            zorder=4,
            label="not above chance",
        )
    _controls(ax, controls or {}, k)
    last = k - 1
    if k > 1 or group is not None:
        last = k + 0.4
        _group(ax, list(group) if group is not None else [float(values.mean())], last)
    _names(ax, names, None if n is None else numbers("n", n, n=k), (last, group_label) if last > k - 1 else None)
    ax.set_xlim(-0.7 if k > 1 else -1.6, last + (0.7 if k > 1 else 1.6))
    ax.set_ylabel(metric)
    grid(ax)
    legend_above(ax, title)
    return figure


def _controls(ax: Axes, controls: Mapping[str, Any], k: int) -> None:
    for i, (name, marks) in enumerate(sorted(controls.items())):
        marks = numbers(f"controls[{name!r}]", marks, ndim=1, n=k, finite=False)
        shift = 0.16 + 0.12 * (i % 3)
        ax.scatter(
            np.arange(k) + shift,
            marks,
            s=20 if k <= 40 else 9,
            marker=MARKERS[i % len(MARKERS)],
            facecolor="white",
            edgecolor=CONTROL,
            linewidth=1.1,
            zorder=2.5,
            label=f"control: {name.replace('_', ' ')}",
        )


def _group(ax: Axes, group: list[float], x: float) -> None:
    if len(group) == 3 and np.isfinite(group).all():
        ax.vlines(x, group[1], group[2], color=INK, linewidth=2.4, zorder=3)
    ax.scatter([x], [group[0]], s=64, marker="D", color=INK, zorder=4)
    ax.axvline(x - 0.7, color=MUTED, linewidth=0.6, alpha=0.5)


def _names(ax: Axes, names: list[str], n: np.ndarray | None, extra: tuple[float, str] | None) -> None:
    k = len(names)
    step = 1 if k <= 40 else int(np.ceil(k / 30))
    places: list[float] = list(range(0, k, step))
    words = [shorten(names[int(i)], 16) for i in places]
    if n is not None and k <= 14:
        words = [f"{w}\nn = {int(c):,}" for w, c in zip(words, n, strict=True)]
    if extra is not None:
        places, words = [*places, extra[0]], [*words, extra[1]]
    turned = k > 9
    ax.set_xticks(
        places,
        words,
        rotation=60 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
        fontsize=8.5 if k <= 9 else 7.5,
    )
