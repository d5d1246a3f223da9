"""Decoded against every control, metric by metric: nulls on a shaded ground, apart from simpler decoders and limits."""

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
    ORANGE,
    SINGLE,
    WIDE,
    grid,
    numbers,
    panes,
    styled,
    texts,
)

_NULLS = ("shuffled_brain", "noise_brain", "mean_brain", "prior_only")
_NAMES = {"two_way": "two-way identification", "within_category": "within a category", "pixcorr": "PixCorr", "ssim": "SSIM",
          "frame_ssim": "SSIM of frames", "psnr": "PSNR (dB)", "category_oracle": "same category, random",
          "nearest_training": "nearest training item", "mean_picture": "mean training picture"}  # fmt: skip

__all__ = ["control_bars"]


@styled
def control_bars(
    rows: Sequence[str],
    metrics: Sequence[str],
    values: Any,
    *,
    low: Any = None,
    high: Any = None,
    chance: Any = None,
    better: Sequence[bool] | None = None,
    nulls: Sequence[str] = _NULLS,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one pane a metric and one bar a row; the dashed line is the best null.

    Parameters
    ----------
    rows : sequence of str of shape (n_rows,)
        "decoded", and names of controls.
    metrics : sequence of str of shape (n_metrics,)
    values : array of shape (n_rows, n_metrics)
        NaN where a row has no score.
    low, high : arrays of shape (n_rows, n_metrics), optional
        95 % intervals.
    chance : array of shape (n_rows, n_metrics), optional
        Level of chance of each row, a tick across its bar.
    better : sequence of bool of shape (n_metrics,), optional
        Whether higher is better; True by default.
    nulls : sequence of str
        Rows that know nothing of the item: drawn together on a shaded ground.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If numbers do not fit or there is no decoded row.
    """
    values = numbers("values", values, ndim=2, finite=False)
    names, heads = texts("rows", rows, values.shape[0]), texts("metrics", metrics, values.shape[1])
    ends = [
        None if v is None else numbers(w, v, ndim=2, n=len(names), finite=False)
        for w, v in (("low", low), ("high", high))
    ]
    ticks = None if chance is None else numbers("chance", chance, ndim=2, n=len(names), finite=False)
    for what, other in (("low", ends[0]), ("high", ends[1]), ("chance", ticks)):
        if other is not None and other.shape != values.shape:
            raise BraindecError(f"{what} must have the shape of values", found=f"{other.shape} and {values.shape}")
    upward = [True] * len(heads) if better is None else [bool(b) for b in better]
    if len(upward) != len(heads):
        raise BraindecError("better must have one entry a metric", found=f"{len(upward)} and {len(heads)}")
    if "decoded" not in names or not np.isfinite(values[names.index("decoded")]).any():
        raise BraindecError('control_bars needs a row "decoded" with a score', found=", ".join(names))
    order = sorted(range(len(names)), key=lambda i: (names[i] != "decoded", names[i] not in nulls))
    n_null = sum(n in nulls for n in names)
    y = np.arange(len(names), dtype=float)[::-1] - 0.25 * np.array([(k > 0) + (k > n_null) for k in range(len(names))])
    columns = min(4, len(heads))
    lines = -(-len(heads) // columns)
    figure, axes = panes(
        ax, lines, columns, width=min(WIDE, max(SINGLE, 1.5 + 2.1 * columns)), height=lines * (1.0 + 0.23 * len(names))
    )
    for m, pane in enumerate(axes.ravel()):
        if m >= len(heads):
            pane.set_axis_off()
            continue
        sides = [None if e is None else e[order, m] for e in ends]
        _pane(
            pane,
            y,
            [names[i] for i in order],
            values[order, m],
            sides,
            None if ticks is None else ticks[order, m],
            n_null,
            upward[m],
            set(nulls),
        )
        pane.set_title(_NAMES.get(heads[m], heads[m].replace("_", " ")), fontsize=9)
        pane.set_yticks(
            y,
            [_NAMES.get(names[i], names[i].replace("_", " ")) for i in order]
            if m % columns == 0
            else [""] * len(order),
        )
        pane.tick_params(axis="y", length=0)
        pane.set_xlabel(f"{'higher' if upward[m] else 'lower'} is better", fontsize=8, color=MUTED)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def _pane(
    pane: Axes, y: np.ndarray, names: Sequence[str], values: np.ndarray, ends: Sequence[np.ndarray | None], ticks: np.ndarray | None, n_null: int,
    upward: bool, nulls: set[str],
) -> None:  # fmt: skip
    colours = [BLUE if n == "decoded" else CONTROL if n in nulls else ORANGE for n in names]
    known = np.isfinite(values)
    lows = [float(np.nanmin(e[known])) for e in ends[:1] if e is not None and np.isfinite(e[known]).any()]
    floor = 0.0 if values[known].min() >= 0 else float(min([*lows, values[known].min()]))
    if n_null:
        pane.axhspan(y[n_null] - 0.5, y[1] + 0.5, color=FAINT, zorder=0, linewidth=0)
    pane.barh(
        y[known], values[known] - floor, left=floor, height=0.62, color=np.array(colours)[known], alpha=0.9, zorder=2
    )
    if ends[0] is not None and ends[1] is not None:
        there = known & np.isfinite(ends[0]) & np.isfinite(ends[1])
        pane.hlines(y[there], ends[0][there], ends[1][there], color=INK, linewidth=1.4, zorder=3)
    if ticks is not None:
        there = known & np.isfinite(ticks)
        pane.vlines(
            ticks[there], y[there] - 0.4, y[there] + 0.4, color=INK, linewidth=0.9, linestyle=(0, (1.5, 1)), zorder=3.5
        )
    of_nulls = values[1 : 1 + n_null][known[1 : 1 + n_null]]
    if len(of_nulls):
        pane.axvline(
            of_nulls.max() if upward else of_nulls.min(), color=INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1.5
        )
    top = max(
        float(values[known].max()),
        *(float(np.nanmax(e[known])) for e in ends if e is not None and np.isfinite(e[known]).any()),
        floor,
    )
    room = (top - floor) * 0.2 or 0.2
    pane.set_xlim(floor - (room if floor < 0 else 0), top + room)
    for k in np.flatnonzero(known):
        at = max([values[k], *(e[k] for e in ends if e is not None and np.isfinite(e[k]))])
        pane.annotate(f"{round(values[k], 2) + 0.0:.2f}".replace("-", "−"), (max(at, floor), y[k]), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5, color=INK if names[k] == "decoded" else MUTED)  # fmt: skip
    grid(pane, "x")
