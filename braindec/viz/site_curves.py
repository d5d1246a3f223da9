"""Course of r of several models at the best electrodes: one small picture an electrode, the same scale for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._brain import heading
from braindec.viz._style import CONTROL, INK, SERIES, WIDE, grid, numbers, panes, shorten, styled, texts

__all__ = ["site_curves"]

_STROKES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MOST = 9


@styled
def site_curves(
    times: Any,
    values: Any,
    *,
    models: Sequence[str],
    names: Sequence[str] | None = None,
    marked: Any = None,
    reference: str | None = None,
    label: str = "held-out r",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the courses of all models at each electrode; the first model is drawn thick.

    Parameters
    ----------
    times : array of shape (n_times,)
        s from onset.
    values : array of shape (n_electrodes, n_models, n_times)
        NaN is not drawn; at most 9 electrodes.
    models : sequence of str
        Names, for the legend.
    names : sequence of str, optional
        Titles of the small pictures.
    marked : array of bool, shape (n_electrodes, n_times), optional
        Times that are marked below the courses.
    reference : str, optional
        The model that is drawn grey.
    label, title : str
        Of the axis, above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, or there are more than 9 electrodes.
    """
    times = numbers("times", times, ndim=1)
    lines = numbers("values", values, ndim=3, finite=False)
    n, n_models, _ = lines.shape
    if lines.shape[2] != len(times) or n > _MOST:
        raise BraindecError(f"values must be (electrode, model, time), at most {_MOST} electrodes", found=f"{lines.shape}, {len(times)} times")  # fmt: skip
    words, heads = texts("models", models, n_models), texts("names", names, n, "electrode ")
    stretches = np.zeros((n, len(times)), dtype=bool) if marked is None else np.asarray(marked, dtype=bool)
    if reference is not None and reference not in words:
        raise BraindecError(f"no model is called {reference!r}", allowed=", ".join(words))
    if stretches.shape != (n, len(times)):
        raise BraindecError("marked must be (electrode, time)", found=f"{stretches.shape}, {n} electrodes, {len(times)} times")  # fmt: skip
    columns = min(n, 3)
    rows = -(-n // columns)
    figure, axes = panes(ax, rows, columns, width=WIDE if columns > 1 else 5.6, height=0.9 + 2.2 * rows)
    finite = lines[np.isfinite(lines)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = 0.08 * max(high - low, 1e-9)
    for i, cell in enumerate(axes.ravel()):
        if i >= n:
            cell.set_axis_off()
            continue
        for k in range(n_models):
            grey = words[k] == reference
            cell.plot(
                times, lines[i, k], label=words[k] if i == 0 else None, color=CONTROL if grey else SERIES[k % len(SERIES)],
                linestyle=_STROKES[k % len(_STROKES)], linewidth=2.4 if k == 0 else 1.4, zorder=4 if k == 0 else 3,
            )  # fmt: skip
        half = (times[1] - times[0]) / 2 if len(times) > 1 else 0.1
        edges = np.flatnonzero(np.diff(np.concatenate([[False], stretches[i], [False]]).astype(int))).reshape(-1, 2)
        for a, b in edges:
            cell.plot([times[a] - half, times[b - 1] + half], [0.02, 0.02], transform=cell.get_xaxis_transform(), color=INK,
                      linewidth=4, solid_capstyle="butt")  # fmt: skip
        cell.axhline(0, color=INK, linewidth=0.6)
        if times[0] < 0 < times[-1]:
            cell.axvline(0, color=INK, linewidth=0.6)
        cell.set_ylim(min(low, 0) - 2 * room, high + room)
        cell.set_title("\n".join(shorten(part, 40) for part in heads[i].split("\n")), fontsize=8.5, fontweight="normal")
        if i + columns >= n:
            cell.set_xlabel("time from onset (s)")
        if i % columns == 0:
            cell.set_ylabel(label)
        grid(cell)
    handles, labels = axes.ravel()[0].get_legend_handles_labels()
    if ax is None:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    else:
        axes.ravel()[0].legend(handles, labels, fontsize=7)
    heading(figure, title)
    return figure
