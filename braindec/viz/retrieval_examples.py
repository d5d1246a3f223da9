"""Example retrievals: the picture that was seen, then the best candidates for the brain signal, the true one framed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from braindec.errors import BraindecError
from braindec.viz._style import GREEN, INK, MUTED, numbers, panes, plain_axes, shorten, styled, texts

__all__ = ["retrieval_examples"]


@styled
def retrieval_examples(
    shown: Any,
    retrieved: Any,
    hit: Any = None,
    *,
    rank: Any = None,
    n_candidates: int | None = None,
    labels: Sequence[str] | None = None,
    retrieved_labels: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one row a query.

    Parameters
    ----------
    shown : array of shape (n_queries, height, width[, 3]), uint8 or float 0 to 1
        What was seen.
    retrieved : array of shape (n_queries, n_best, height, width[, 3])
        The best candidates, best first.
    hit : array of bool, shape (n_queries, n_best), optional
        Which of them is the true one; it gets a frame and a tick.
    rank : array of shape (n_queries,), optional
        Rank of the true candidate among all (1 is best; halves where candidates tie), written beside the query.
    n_candidates : int, optional
        How many candidates there were.
    labels : sequence of str, shape (n_queries,), optional
        Written below the pictures that were seen.
    retrieved_labels : array of str, shape (n_queries, n_best), optional
        Written below the candidates.
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit or values are no pictures.
    """
    seen = _pictures("shown", shown)
    best = np.asarray(retrieved)
    if best.ndim < 4 or len(best) != len(seen) or not best.size:
        raise BraindecError(
            "retrieved must be (query, best, height, width, 3)", found=f"{best.shape}; shown {np.shape(shown)}"
        )
    n_rows, n_best = best.shape[:2]
    best = _pictures("retrieved", best.reshape(-1, *best.shape[2:])).reshape(n_rows, n_best, *best.shape[2:4], 3)
    true = np.zeros((n_rows, n_best), bool) if hit is None else np.asarray(hit, dtype=bool)
    if true.shape != (n_rows, n_best):
        raise BraindecError("hit must be (query, best)", found=f"{true.shape}, retrieved {best.shape[:2]}")
    names = texts("labels", labels, n_rows) if labels is not None else None
    others = texts("retrieved_labels", retrieved_labels, n_rows * n_best) if retrieved_labels is not None else None
    ranks = None if rank is None else numbers("rank", rank, ndim=1, n=n_rows)
    side = min(0.98, 8.4 / (n_best + 1.5))
    tall = side * seen.shape[1] / seen.shape[2] + (0.2 if names or others else 0.05)
    figure, axes = panes(
        ax,
        n_rows,
        n_best + 2,
        width=side * (n_best + 1.35) + 0.95,
        height=n_rows * tall + 0.42 + (0.25 if title else 0),
        width_ratios=[1, 0.24, *[1] * n_best],
    )
    for row in range(n_rows):
        axes[row, 1].set_axis_off()
        _show(axes[row, 0], seen[row], names[row] if names else None)
        if ranks is not None:
            axes[row, 0].set_ylabel(
                f"rank {ranks[row]:,g}" + (f"\nof {n_candidates:,}" if n_candidates else ""),
                fontsize=8,
                rotation=0,
                ha="right",
                va="center",
                labelpad=6,
                color=INK,
            )
        for j in range(n_best):
            cell = axes[row, j + 2]
            _show(cell, best[row, j], others[row * n_best + j] if others else None)
            if true[row, j]:
                cell.add_patch(
                    Rectangle(
                        (0, 0), 1, 1, transform=cell.transAxes, fill=False, edgecolor=GREEN, linewidth=4, clip_on=False
                    )
                )
                cell.text(
                    0.93,
                    0.93,
                    "✓",
                    transform=cell.transAxes,
                    ha="right",
                    va="top",
                    fontsize=9,
                    color="white",
                    fontweight="bold",
                    bbox={"boxstyle": "square,pad=0.15", "facecolor": GREEN, "edgecolor": "none"},
                )
    axes[0, 0].set_title("seen", loc="center", fontsize=8.5)
    for j in range(n_best):
        axes[0, j + 2].set_title(f"{j + 1}" if j else "1 (best)", loc="center", fontsize=8.5, fontweight="normal")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def _pictures(name: str, pictures: Any) -> np.ndarray:
    """Return pictures as uint8 of (n, height, width, 3)."""
    images = np.asarray(pictures)
    if images.ndim not in (3, 4) or not images.size or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4)):
        raise BraindecError(
            f"{name}: pictures must be (..., height, width, 3) or (..., height, width)", found=f"shape {images.shape}"
        )
    if images.dtype.kind not in "fiub":
        raise BraindecError(f"{name}: pictures must hold numbers", found=f"{images.dtype}")
    images = images[..., None] if images.ndim == 3 else images[..., :3]
    if images.dtype != np.uint8:
        if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
            raise BraindecError(
                f"{name}: pictures must be uint8, or float from 0 to 1",
                found=f"{images.dtype}, {images.min():g} to {images.max():g}",
            )
        images = (images * 255).round().astype(np.uint8)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _show(ax: Axes, picture: np.ndarray, name: str | None) -> None:
    ax.imshow(picture, interpolation="antialiased")
    plain_axes(ax)
    if name:
        ax.set_xlabel(shorten(name, 16), fontsize=7, color=MUTED, labelpad=2)
