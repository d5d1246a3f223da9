"""Confusion matrix: how often each class was taken for each other, as a share of its true windows and as counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import INK, canvas, numbers, sequential, shorten, styled, texts

__all__ = ["confusion"]


@styled
def confusion(
    matrix: Any,
    labels: Sequence[Any] | None = None,
    *,
    title: str | None = None,
    chance: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """Draw a confusion matrix; colour is the share of a row, text the share and the count.

    Parameters
    ----------
    matrix : array of shape (n_true, n_predicted)
        Counts of windows.
    labels : sequence of str, optional
        Names of the classes.
    title : str, optional
        Above the picture.
    chance : bool
        Mark the share that guessing evenly among the classes would give on the colour bar.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If the matrix is not square or holds negative counts.
    """
    counts = numbers("the confusion matrix", matrix, ndim=2)
    n = len(counts)
    if counts.shape[1] != n or (counts < 0).any():
        raise BraindecError(
            "a confusion matrix is square and holds counts", found=f"shape {counts.shape}, least {counts.min():g}"
        )
    names = texts("labels", labels, n, "class ")
    rows = counts.sum(axis=1)
    share = np.divide(counts, rows[:, None], out=np.zeros_like(counts), where=rows[:, None] > 0)
    side = float(np.clip(0.55 * n + 1.6, 3.2, 6.4))
    figure, ax = canvas(ax, width=max(side + 0.9, 4.4), height=side)
    image = ax.imshow(share, cmap=sequential(), vmin=0, vmax=max(float(share.max()), min(1.0, 2 / n)), aspect="equal")
    cut = 18 if n <= 10 else 12
    if n <= 40:
        ax.set_xticks(
            range(n),
            [shorten(t, cut) for t in names],
            rotation=0 if n <= 3 else 45,
            rotation_mode="anchor",
            ha="center" if n <= 3 else "right",
        )
        ax.set_yticks(
            range(n),
            [
                f"{shorten(t, cut)}\nn = {int(r):,}" if n <= 10 else shorten(t, cut)
                for t, r in zip(names, rows, strict=True)
            ],
        )
        ax.tick_params(length=0, labelsize=8.5 if n <= 12 else 6.5)
    if n <= 12:
        _write(ax, share, counts, image)
    ax.set_xlabel("decoded class")
    ax.set_ylabel(f"true class (n = {int(rows.sum()):,} windows)")
    if title:
        ax.set_title(title)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.8, aspect=22, format=lambda v, _: f"{100 * v:.0f} %")
    bar.set_label("share of the true class" + (f" (dashed: 1 / {n})" if chance else ""))
    bar.outline.set_visible(False)
    ax.set_anchor(
        "W"
    )  # a colour bar pulls the square to its side, and the labels on the other out of the space kept for them
    if chance:
        bar.ax.axhline(1 / n, color="white", linewidth=2.6)
        bar.ax.axhline(1 / n, color=INK, linestyle=(0, (2, 1)), linewidth=1.2)
    return figure


def _write(ax: Axes, share: np.ndarray, counts: np.ndarray, image: Any) -> None:
    """Write share and count into each cell, light on dark and dark on light."""
    n = len(share)
    size = 9.0 if n <= 4 else 8.0 if n <= 8 else 6.5
    for i, j in np.ndindex(share.shape):
        red, green, blue, _ = image.cmap(image.norm(share[i, j]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        text = f"{100 * share[i, j]:.0f} %\n{int(counts[i, j]):,}" if n <= 8 else f"{100 * share[i, j]:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if dark else INK, linespacing=1.25)
