"""How often each code of a quantiser is used: sorted shares beside those of equal use, with the perplexity."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, canvas, grid, legend_above, numbers, styled

__all__ = ["codebook_usage"]


@styled
def codebook_usage(counts: Any, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw the share of tokens of each code, the most frequent first.

    Parameters
    ----------
    counts : array of shape (n_codes,)
        How many tokens each code has.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If a count is below 0, or all are 0.
    """
    counts = numbers("counts", counts, ndim=1)
    if (counts < 0).any() or not counts.sum() > 0:
        raise BraindecError("counts are numbers of tokens", found=f"from {counts.min():g} to {counts.max():g}")
    share = np.sort(counts / counts.sum())[::-1]
    used = share[share > 0]
    perplexity = float(np.exp(-(used * np.log(used)).sum()))
    figure, ax = canvas(ax, height=2.6)
    ax.bar(np.arange(1, len(share) + 1), 100 * share, width=0.9, color=BLUE, label="share of tokens")
    ax.axhline(100 / len(share), color=INK, linestyle=(0, (4, 3)), linewidth=1.0, label="all alike")
    ax.set_xlabel(f"code, by frequency\n({len(used)} of {len(share)} used; perplexity {perplexity:.1f})")
    ax.set_ylabel("share (%)")
    ax.set_xlim(0.3, len(share) + 0.7)
    grid(ax)
    legend_above(ax, title)
    return figure
