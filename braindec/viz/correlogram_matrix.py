"""Synchrony of all pairs of units as a matrix; pairs that are significant are marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from braindec.errors import BraindecError
from braindec.viz._style import FAINT, INK, canvas, limits, numbers, shorten, styled, texts

__all__ = ["correlogram_matrix"]

_NAMED = 24  # units up to which the axes have names


@styled
def correlogram_matrix(
    values: Any,
    *,
    marked: Any = None,
    names: Sequence[str] | None = None,
    label: str = "synchrony (z)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a symmetric measure of all pairs.

    Parameters
    ----------
    values : array of shape (n_units, n_units)
        Symmetric; the diagonal is not drawn, NaN is left empty.
    marked : array of bool, shape (n_units, n_units), optional
        Pairs with a ring.
    names : sequence of str, optional
        Names of the units.
    label : str
        Of the colours.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If it is not square and symmetric, or has no pair.
    """
    matrix = numbers("values", values, ndim=2, finite=False)
    n = len(matrix)
    if matrix.shape != (n, n) or n < 2:
        raise BraindecError("values must be square, two units or more", found=f"shape {matrix.shape}")
    if not np.allclose(matrix, matrix.T, equal_nan=True):
        raise BraindecError("values must be symmetric", found="rows and columns differ")
    labels = texts("names", names, n)
    shown = np.where(np.eye(n, dtype=bool), np.nan, matrix)
    if not np.isfinite(shown).any():
        raise BraindecError("there is no finite value beside the diagonal")
    figure, ax = canvas(ax, width=4.8, height=3.9)
    colours, low, high = limits(shown)
    ax.set_facecolor(FAINT)
    picture = ax.imshow(shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    if marked is not None:
        ring = np.asarray(marked, dtype=bool)
        if ring.shape != (n, n):
            raise BraindecError("marked must have the shape of values", found=f"{ring.shape}")
        rows, columns = np.nonzero(ring & ~np.eye(n, dtype=bool))
        size = float(np.clip(190 / n, 2.0, 12.0))
        ax.plot(
            columns,
            rows,
            linestyle="none",
            marker="o",
            markerfacecolor="none",
            markeredgecolor=INK,
            markersize=size,
            markeredgewidth=1.3,
        )
    if n <= _NAMED:
        ax.set_xticks(range(n), [shorten(v, 12) for v in labels], rotation=90, fontsize=7 if n > 12 else 8)
        ax.set_yticks(range(n), [shorten(v, 12) for v in labels], fontsize=7 if n > 12 else 8)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set_xlabel("unit")
        ax.set_ylabel("unit")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(picture, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if title:
        ax.set_title(title)
    return figure
