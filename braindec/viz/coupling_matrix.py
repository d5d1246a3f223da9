"""Couplings between units as signed matrices, one a state, target by source; with the planted ones below where known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import SINGLE, WIDE, diverging, numbers, panes, root, styled, texts

__all__ = ["coupling_matrix"]


@styled
def coupling_matrix(
    couplings: Any,
    *,
    true: Any = None,
    labels: Sequence[str] | None = None,
    label: str = "coupling",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw signed couplings: orange excites, blue inhibits.

    Parameters
    ----------
    couplings : array of shape (n_units, n_units) or (n_states, n_units, n_units)
        [state, target, source].
    true : array of the same shape, optional
        The couplings that were planted, in a second row with its own range of colours.
    labels : sequence of str, optional
        Names of the states.
    label, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If matrices are not square or the true ones have another shape.
    """
    found = numbers("couplings", couplings)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1] != found.shape[2]:
        raise BraindecError("couplings are (state, target, source) of the same units", found=f"shape {found.shape}")
    rows = [(f"{label}", found)]
    if true is not None:
        planted = numbers("true couplings", true)
        planted = planted[None] if planted.ndim == 2 else planted
        if planted.shape != found.shape:
            raise BraindecError("true couplings have another shape", found=f"{planted.shape}", allowed=f"{found.shape}")
        rows.append(("planted", planted))
    n_states, n_units = found.shape[:2]
    names = texts("labels", labels, n_states, "state ") if labels is not None or n_states > 1 else [""]
    width = min(WIDE, max(SINGLE, 2.1 * n_states + 1.2))
    side = (width - 1.2) / n_states
    figure, axes = panes(ax, len(rows), n_states, width=width, height=min(side, 3.4) * len(rows) + 0.9)
    for r, (what, matrices) in enumerate(rows):
        top = float(np.abs(matrices).max()) or 1.0
        for s in range(n_states):
            place = axes[r, s]
            image = place.imshow(matrices[s], cmap=diverging(), vmin=-top, vmax=top)
            ticks = [0, n_units - 1] if n_units > 1 else [0]
            place.set_xticks(ticks, [str(t + 1) for t in ticks])
            place.set_yticks(ticks if s == 0 else [], [str(t + 1) for t in ticks] if s == 0 else [])
            place.tick_params(length=0)
            if r == 0:
                place.set_title(names[s], fontsize=9)
            if r == len(rows) - 1:
                place.set_xlabel("source unit")
        axes[r, 0].set_ylabel(f"{what}\ntarget unit" if len(rows) > 1 else "target unit")
        bar = root(axes[r, 0]).colorbar(image, ax=list(axes[r]), shrink=0.8, pad=0.02, aspect=18)
        bar.set_label(what)
        bar.outline.set_visible(False)
    if title and ax is None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    elif title:
        axes[0, 0].set_title(title)
    return figure
