"""Dissimilarity matrices side by side: conditions in groups, one colour scale or one a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import GRID, INK, SINGLE, WIDE, limits, numbers, panes, sequential, shorten, styled, texts

__all__ = ["rdm_matrix"]

_MOST_LABELS = 40


@styled
def rdm_matrix(
    rdms: Any,
    conditions: Sequence[Any] | None = None,
    *,
    groups: Sequence[Any] | None = None,
    names: Sequence[Any] | None = None,
    label: str = "dissimilarity",
    ranks: bool = False,
    one_scale: bool = True,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw dissimilarity matrices.

    Parameters
    ----------
    rdms : array of shape (n_rdm, n_pairs), (n_pairs,), (n_rdm, n, n) or (n, n)
        Cells above the diagonal row by row, or full matrices. Missing cells (NaN) are grey, as the diagonal is.
    conditions : sequence of str, shape (n,), optional
        Names, written when there are at most 40.
    groups : sequence of str, shape (n,), optional
        Conditions are sorted by group, in order of first appearance, with lines and names between groups.
    names : sequence of str, shape (n_rdm,), optional
        Above each matrix.
    label : str
        What a cell is.
    ranks : bool
        Show the rank of each cell from 0 to 1, so that a few large cells do not hide the rest.
    one_scale : bool
        One colour scale for all matrices; else each has its own.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or every cell is missing.
    """
    square = _square(numbers("rdms", rdms, finite=False))
    k, n = square.shape[:2]
    named = texts("conditions", conditions, n)
    heads = texts("names", names, k) if names is not None else [""] * k
    if not np.isfinite(square).any():
        raise BraindecError("every cell of the matrices is missing", found=f"{k} matrices of {n} conditions")
    order, parts = _grouped(groups, n)
    square = square[:, order][:, :, order]
    if ranks:
        square, label, one_scale = np.stack([_ranked(one) for one in square]), f"rank of {label}", True
    columns = min(k, 4)
    rows = -(-k // columns)
    write = conditions is not None and n <= _MOST_LABELS
    width = SINGLE if k == 1 else WIDE
    side = 0.85 * width / columns + (0.4 if write else 0.0)
    figure, axes = panes(ax, rows, columns, width=width, height=min(0.94 * side * rows + 0.5, 12.0))
    scale = _colours(square)
    images = []
    for i, place in enumerate(axes.flat):
        if i >= k:
            place.set_visible(False)
            continue
        colours, low, high = scale if one_scale else _colours(square[i])
        image = place.imshow(square[i], cmap=colours, vmin=low, vmax=high, aspect="equal")
        images.append(image)
        place.set_facecolor(GRID)
        _label_conditions(place, [named[j] for j in order] if write else None, parts, n, first=i % columns == 0)
        if heads[i]:
            place.set_title(shorten(heads[i], 12 + 60 // columns))
        for spine in place.spines.values():
            spine.set_visible(False)
        if not one_scale:
            _bar(figure, image, place, label)
    if one_scale:
        _bar(figure, images[0], [a for a in axes.flat if a.get_visible()], label)
    if title and not any(heads):
        axes.flat[0].set_title(title)
    elif title and ax is None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold", color=INK)
    return figure


def _square(values: np.ndarray) -> np.ndarray:
    """Full matrices (k, n, n) of whatever form was given."""
    if values.ndim == 3 or _is_full(values):
        square = values[None] if values.ndim == 2 else values
        if square.shape[1] != square.shape[2] or square.shape[1] < 2:
            raise BraindecError("full dissimilarity matrices are square", found=f"shape {values.shape}")
        return np.where(np.eye(square.shape[1], dtype=bool), np.nan, square)
    cells = np.atleast_2d(values)
    n = int((1 + np.sqrt(1 + 8 * cells.shape[-1])) / 2)
    if cells.ndim != 2 or n * (n - 1) // 2 != cells.shape[1]:
        raise BraindecError("cells of dissimilarity matrices fill an upper triangle", found=f"shape {values.shape}",
                            allowed="1, 3, 6, 10, 15, ... cells a matrix")  # fmt: skip
    square = np.full((len(cells), n, n), np.nan)
    rows, columns = np.triu_indices(n, 1)
    square[:, rows, columns] = square[:, columns, rows] = cells
    return square


def _colours(square: np.ndarray) -> tuple[Any, float, float]:
    """Colours and their range: signed ones only when cells are far below zero, not for noise around it."""
    finite = square[np.isfinite(square)]
    if not finite.size:
        return sequential(), 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if -low > 0.3 * high or low == high:
        return limits(finite)
    return sequential(), min(low, 0.0), high


def _is_full(values: np.ndarray) -> bool:
    """Whether a table is one symmetric matrix with an empty diagonal, not a list of cells."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    slack = 1e-9 * np.nanmax(np.abs(values), initial=0.0)
    empty = np.nan_to_num(np.abs(np.diagonal(values))).max() <= slack
    return bool(empty and np.allclose(values, values.T, rtol=0, atol=slack, equal_nan=True))


def _grouped(groups: Sequence[Any] | None, n: int) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Order of the conditions, and (name, start, stop) of each group."""
    if groups is None:
        return np.arange(n), []
    labels = texts("groups", groups, n)
    unique = list(dict.fromkeys(labels))
    order = np.array(sorted(range(n), key=lambda i: unique.index(labels[i])))
    counts = [labels.count(one) for one in unique]
    stops = np.cumsum(counts)
    return order, [(one, int(stop - count), int(stop)) for one, count, stop in zip(unique, counts, stops, strict=True)]


def _ranked(square: np.ndarray) -> np.ndarray:
    """Ranks of the cells above the diagonal, 0 to 1, ties in the middle; missing cells stay missing."""
    rows, columns = np.triu_indices(len(square), 1)
    cells = square[rows, columns]
    known = np.isfinite(cells)
    unique, place, counts = np.unique(cells[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    out = np.full_like(square, np.nan)
    ranks = np.full(len(cells), np.nan)
    ranks[known] = (middle[place.reshape(-1)] if len(unique) else []) / max(int(known.sum()) - 1, 1)
    out[rows, columns] = out[columns, rows] = ranks
    return out


def _label_conditions(
    ax: Axes, named: list[str] | None, parts: list[tuple[str, int, int]], n: int, *, first: bool
) -> None:
    """Write conditions or groups beside a matrix, and lines between groups."""
    for _, _, stop in parts[:-1]:
        ax.axhline(stop - 0.5, color="white", linewidth=1.6)
        ax.axvline(stop - 0.5, color="white", linewidth=1.6)
    size = 8.0 if n <= 12 else 6.5 if n <= 24 else 5.0
    if parts:
        middles, words, size = [(a + b - 1) / 2 for _, a, b in parts], [shorten(g, 16) for g, _, _ in parts], 8.0
    elif named is not None:
        middles, words = list(range(n)), [shorten(one, 14) for one in named]
    else:
        ax.set_xticks([])
        ax.set_yticks([])
        return
    ax.set_xticks(middles, words, rotation=45, rotation_mode="anchor", ha="right")
    ax.set_yticks(middles, words if first else [""] * len(words))
    ax.tick_params(length=0, labelsize=size)


def _bar(figure: Figure, image: Any, axes: Any, label: str) -> None:
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=22)
    bar.set_label(label)
    bar.outline.set_visible(False)
