"""Affinities of units as matrices sorted by community, communities framed; the planted ones as a strip beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from braindec.errors import BraindecError
from braindec.viz._style import INK, SERIES, SINGLE, WIDE, numbers, panes, root, sequential, styled, texts

__all__ = ["community_matrix"]


@styled
def community_matrix(
    affinity: Any,
    labels: Any,
    *,
    true: Any = None,
    names: Sequence[str] | None = None,
    label: str = "affinity",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one matrix or several, each sorted by its own communities.

    Parameters
    ----------
    affinity : array of shape (n_units, n_units) or (n_matrices, n_units, n_units)
        Symmetric, not below 0.
    labels : array of int, shape (n_units,) or (n_matrices, n_units)
        Community of each unit.
    true : array of int of the same shape, optional
        The communities that were planted; units of one have one colour in the strip on the left. NaN where a matrix has
        none.
    names : sequence of str, optional
        Of the matrices.
    label, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If matrices are not square, or labels do not fit them.
    """
    matrices, groups = numbers("affinity", affinity), numbers("labels", labels)
    matrices = matrices[None] if matrices.ndim == 2 else matrices
    groups = groups[None] if groups.ndim == 1 else groups
    if matrices.ndim != 3 or matrices.shape[1] != matrices.shape[2] or groups.shape != matrices.shape[:2]:
        raise BraindecError(
            "affinities are square matrices with a community for each unit",
            found=f"{matrices.shape} and {groups.shape}",
        )
    planted = None
    if true is not None:
        planted = numbers("true communities", true, finite=False)
        planted = planted[None] if planted.ndim == 1 else planted
        if planted.shape != groups.shape:
            raise BraindecError(
                "true communities have another shape", found=f"{planted.shape}", allowed=f"{groups.shape}"
            )
    heads = texts("names", names, len(matrices)) if names is not None else [""] * len(matrices)
    n_units = matrices.shape[1]
    width = min(WIDE, max(SINGLE, 3.0 * len(matrices) + 0.9))
    figure, axes = panes(ax, 1, len(matrices), width=width, height=(width - 0.9) / len(matrices) + 0.45)
    strip = max(0.6, 0.035 * n_units)
    for k, place in enumerate(axes[0]):
        # inside a community the most connected first
        order = np.lexsort((-matrices[k].sum(axis=1), groups[k]))
        top = float(np.quantile(matrices[k][~np.eye(n_units, dtype=bool)], 0.99)) or 1.0
        image = place.imshow(matrices[k][np.ix_(order, order)], cmap=sequential(), vmin=0, vmax=top)
        edges = np.append(0, np.cumsum(np.unique(groups[k], return_counts=True)[1])) - 0.5
        for a, b in pairwise(edges):
            place.add_patch(
                Rectangle((a, a), b - a, b - a, fill=False, edgecolor=SERIES[1], linewidth=1.4, clip_on=False)
            )
        if planted is not None and np.isfinite(planted[k]).all():
            codes = np.unique(planted[k], return_inverse=True)[1].reshape(-1)[order]
            for row, code in enumerate(codes):
                place.add_patch(Rectangle((-0.5 - 1.6 * strip, row - 0.5), strip, 1, color=SERIES[(code + 2) % len(SERIES)],
                                          linewidth=0, clip_on=False))  # fmt: skip
            place.set_ylabel("planted", labelpad=14 if k == 0 else 12, fontsize=8, color=INK)
        place.set_xticks([])
        place.set_yticks([])
        place.set_xlabel(f"{n_units} units, {len(edges) - 1} communities", fontsize=8.5)
        place.set_title(heads[k], fontsize=8.5, fontweight="normal", loc="center")
        for spine in place.spines.values():
            spine.set_visible(False)
    bar = root(axes[0, 0]).colorbar(image, ax=list(axes[0]), shrink=0.7, pad=0.02, aspect=20)
    bar.outline.set_visible(False)
    bar.set_label(label)
    bar.set_ticks([0, image.norm.vmax], labels=["0", "high"])
    if title and ax is None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    elif title:
        axes[0, 0].set_title(title)
    return figure
