"""Models against regions: a score in each cell, what it may be called, and the ceiling of each region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import INK, MUTED, WIDE, canvas, limits, numbers, sequential, shorten, styled, texts

__all__ = ["alignment_matrix"]

_WORDS = "** beyond nuisance and untrained networks   * above chance only   no star: not above chance"


@styled
def alignment_matrix(
    values: Any, models: Sequence[str], regions: Sequence[str], *, stars: Any = None, ceiling: Any = None, label: str = "score",
    words: str | None = None, title: str | None = None, ax: Axes | None = None,
) -> Figure:  # fmt: skip
    """Draw a matrix of models (rows) by regions (columns).

    Parameters
    ----------
    values : array of shape (n_models, n_regions)
        Scores; NaN is left empty.
    models, regions : sequence of str
    stars : array of int, shape (n_models, n_regions), optional
        Stars written beside a score: 2 beyond all controls, 1 above chance only, 0 neither.
    ceiling : array of shape (n_regions,), optional
        In the units of ``values``, written below the columns.
    label : str
        Of the colours.
    words : str, optional
        What the stars mean.
    title : str, optional
    ax : Axes, optional

    Raises
    ------
    BraindecError
        If shapes do not fit or no value is finite.
    """
    table = np.atleast_2d(numbers("values", values, finite=False))
    n_models, n_regions = table.shape
    rows, columns = texts("models", models, n_models), [shorten(r, 18) for r in texts("regions", regions, n_regions)]
    if not np.isfinite(table).any():
        raise BraindecError("no score is finite", found=f"{n_models} models, {n_regions} regions")
    marks = np.zeros(table.shape, dtype=int) if stars is None else np.atleast_2d(numbers("stars", stars)).astype(int)
    if marks.shape != table.shape:
        raise BraindecError("stars must have the shape of values", found=f"{marks.shape}, values {table.shape}")
    figure, ax = canvas(
        ax,
        width=float(np.clip(2.2 + 0.85 * n_regions, 4.8, WIDE)),
        height=float(np.clip(1.6 + 0.36 * n_models, 2.1, 7.0)),
    )
    high = float(np.nanmax(table))
    colours, low, high = (sequential(), 0.0, high) if high > 0 else limits(table)  # below 0 is as white as 0
    image = ax.imshow(table, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for i in range(n_models):
        for k in range(n_regions):
            if np.isfinite(table[i, k]):
                shade = colours(float(np.clip((table[i, k] - low) / max(high - low, 1e-12), 0, 1)))
                dark = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] < 0.55
                ax.text(k, i, f"{round(table[i, k], 2) + 0.0:.2f}{'*' * int(marks[i, k])}".replace("-", "\u2212"), ha="center", va="center", fontsize=8.5,
                        color="white" if dark else INK)  # fmt: skip
    names = list(columns)
    if ceiling is not None:
        top = numbers("ceiling", ceiling, ndim=1, n=n_regions, finite=False)
        names = [f"{c}\n(ceiling {v:.2f})" if np.isfinite(v) else c for c, v in zip(columns, top, strict=True)]
    turned = n_regions > 5 or max(map(len, columns)) > 14
    ax.set_xticks(
        range(n_regions),
        names,
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
    )
    ax.set_yticks(range(n_models), [shorten(r, 30) for r in rows])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, aspect=16, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if stars is not None:
        told = words or _WORDS
        narrow = figure.get_figwidth() < 0.062 * len(told)  # inches that a character takes
        figure.supxlabel(told.replace("   ", "\n") if narrow else told, fontsize=7.5, color=MUTED)
    if title:
        ax.set_title(title)
    return figure
