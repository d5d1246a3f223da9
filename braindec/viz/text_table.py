"""Texts side by side: what was shown in the first column, what was said of it in the others."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import GRID, INK, MUTED, WIDE, canvas, styled

__all__ = ["text_table"]

_LINE, _PAD, _CHARACTER = 0.165, 0.09, 0.078  # inches


@styled
def text_table(
    cells: Sequence[Sequence[Any]], columns: Sequence[str], *, rows: Sequence[str] | None = None, title: str | None = None,
    ax: Axes | None = None,
) -> Figure:  # fmt: skip
    """Draw a table of texts; long ones are wrapped.

    Parameters
    ----------
    cells : sequence of columns, each a sequence of n texts
    columns : sequence of str
        Headings.
    rows : sequence of str, optional
        Short names before the first column.
    title : str, optional
    ax : Axes, optional

    Raises
    ------
    BraindecError
        If columns differ in length or in number from their headings.
    """
    texts = [[str(t) for t in column] for column in cells]
    lengths = {len(column) for column in texts}
    if not texts or len(lengths) != 1 or 0 in lengths or len(columns) != len(texts):
        raise BraindecError(
            "text_table needs columns of as many texts, and a heading each",
            found=f"columns of {sorted(lengths)} texts, {len(columns)} headings",
        )  # fmt: skip
    n = lengths.pop()
    if rows is not None and len(rows) != n:
        raise BraindecError("rows must name each row", found=f"{len(rows)} names, {n} rows")
    head = list(columns)
    if rows is not None:
        texts, head = [[str(r) for r in rows], *texts], ["", *head]
    longest = [min(max([len(h), *map(len, column)]), 60) for h, column in zip(head, texts, strict=True)]
    room = WIDE / _CHARACTER
    total = sum(longest) + 2 * len(longest)
    widths = [max(7, int(k * min(1.0, (room - 2 * len(longest)) / max(total, 1)))) for k in longest]
    wrapped = [[textwrap.wrap(t, w) or [""] for t in column] for column, w in zip(texts, widths, strict=True)]
    heights = [max(len(column[i]) for column in wrapped) for i in range(n)]
    inches = sum(heights) * _LINE + (n + 2) * 2 * _PAD + _LINE + (0.25 if title else 0)
    figure, ax = canvas(ax, width=WIDE, height=inches)
    ax.set_axis_off()
    ax.set_xlim(0, sum(widths) + 2 * len(widths))
    ax.set_ylim(inches - (0.25 if title else 0), 0)
    y = _PAD
    x = 0.0
    for h, w in zip(head, widths, strict=True):
        ax.text(x, y, "\n".join(textwrap.wrap(h, w)[:1]), va="top", fontsize=8.5, color=MUTED, fontweight="bold")
        x += w + 2
    y += _LINE + _PAD
    for i in range(n):
        ax.axhline(y, color=GRID, lw=0.8)
        x = 0.0
        for k, (column, w) in enumerate(zip(wrapped, widths, strict=True)):
            quiet = rows is not None and k == 0
            ax.text(
                x,
                y + _PAD,
                "\n".join(column[i]),
                va="top",
                fontsize=8.5,
                color=MUTED if quiet else INK,
                linespacing=1.25,
            )
            x += w + 2
        y += heights[i] * _LINE + 2 * _PAD
    if title:
        ax.set_title(title)
    return figure
