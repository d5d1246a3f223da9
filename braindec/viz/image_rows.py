"""Rows of pictures under one another: what was shown above what was read, with a number below each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import MUTED, WIDE, numbers, panes, plain_axes, styled, texts

__all__ = ["image_rows"]


@styled
def image_rows(
    rows: Sequence[Any], names: Sequence[str] | None = None, *, notes: Any = None, title: str | None = None, ax: Axes | None = None
) -> Figure:  # fmt: skip
    """Draw pictures in rows.

    Parameters
    ----------
    rows : sequence of arrays of shape (n, height, width) or (n, height, width, 3)
        Values of 0 to 1; each row has as many pictures.
    names : sequence of str, optional
        Of the rows.
    notes : array of shape (n,), optional
        A number below each column.
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If rows differ in number, or values leave 0 to 1.
    """
    pictures = [numbers("rows", row) for row in rows]
    shapes = {p.shape[0] for p in pictures}
    if not pictures or len(shapes) != 1 or any(p.ndim not in (3, 4) for p in pictures):
        raise BraindecError(
            "image_rows needs rows of as many pictures", found=", ".join(str(p.shape) for p in pictures) or "no row"
        )
    if any(p.min() < -1e-6 or p.max() > 1 + 1e-6 for p in pictures):
        raise BraindecError(
            "pictures hold values of 0 to 1",
            found=f"{min(p.min() for p in pictures):.3g} to {max(p.max() for p in pictures):.3g}",
        )
    n = shapes.pop()
    labels = texts("names", names, len(pictures))
    below = None if notes is None else numbers("notes", notes, ndim=1, n=n)
    figure, axes = panes(ax, len(pictures), n, width=WIDE, height=len(pictures) * WIDE / max(n, 6) + 0.35)
    for i, (row, label) in enumerate(zip(pictures, labels, strict=True)):
        for k, cell in enumerate(axes[i]):
            cell.imshow(row[k], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            plain_axes(cell)
            cell.set_xticks([])
            cell.set_yticks([])
            if k == 0:
                cell.set_ylabel(label, fontsize=8.5)
            if below is not None and i == len(pictures) - 1:
                cell.set_xlabel(f"{below[k]:.2f}", fontsize=8, color=MUTED)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure
