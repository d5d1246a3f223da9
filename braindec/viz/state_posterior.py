"""Probabilities of hidden states over time, stacked, with the true and the most likely path as strips above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from braindec.errors import BraindecError
from braindec.viz._style import INK, MUTED, WIDE, numbers, panes, plain_axes, styled, texts

__all__ = ["state_posterior"]

_FILL = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#8a97a3")


@styled
def state_posterior(
    posterior: Any,
    times: Any = None,
    *,
    true: Any = None,
    path: Any = None,
    labels: Sequence[str] | None = None,
    xlabel: str = "time (s)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the probabilities of states over time.

    Parameters
    ----------
    posterior : array of shape (n_bins, n_states)
        Rows add to 1.
    times : array of shape (n_bins,), optional
        s, rising.
    true, path : array of int, shape (n_bins,), optional
        The true states and the most likely path.
    labels : sequence of str, optional
        Names of the states.
    xlabel, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If rows are no probabilities, or times and states do not fit.
    """
    p = numbers("the posterior", posterior, ndim=2)
    if (p < -1e-6).any() or (np.abs(p.sum(axis=1) - 1) > 1e-3).any():
        raise BraindecError("rows of the posterior are probabilities that add to 1", found=f"sums {p.sum(axis=1)[:4]}")
    n_bins, n = p.shape
    x = np.arange(n_bins, dtype=float) if times is None else numbers("times", times, ndim=1, n=n_bins)
    if (np.diff(x) <= 0).any():
        raise BraindecError("times must rise", found=str(x[:4]))
    names = texts("labels", labels, n, "state ")
    strips = {}
    for name, states in (("true", true), ("likeliest", path)):
        if states is not None:
            values = numbers(f"{name} states", states, ndim=1, n=n_bins)
            if values.min() < 0 or values.max() >= n or (values != np.round(values)).any():
                raise BraindecError(
                    f"a {name} state has no column in the posterior", found=f"{values.max():g}", allowed=f"0 to {n - 1}"
                )
            strips[name] = values
    figure, axes = panes(ax, len(strips) + 1, 1, width=WIDE, height=2.2 + 0.28 * len(strips),
                         height_ratios=[*[0.13] * len(strips), 1.0])  # fmt: skip
    step = x[1] - x[0] if n_bins > 1 else 1.0
    edges = np.append(x, x[-1] + step)
    colours = [_FILL[i % len(_FILL)] for i in range(n)]
    for row, (name, values) in enumerate(strips.items()):
        strip = axes[row, 0]
        strip.pcolormesh(
            edges, [0, 1], values[None], cmap=ListedColormap(colours), vmin=-0.5, vmax=n - 0.5, rasterized=True
        )
        plain_axes(strip)
        strip.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8.5, color=INK)
        strip.set_xlim(edges[0], edges[-1])
    main = axes[-1, 0]
    heights = np.vstack([np.zeros(n_bins), np.cumsum(p, axis=1).T])
    for k in range(n):
        main.fill_between(edges, np.append(heights[k], heights[k, -1]), np.append(heights[k + 1], heights[k + 1, -1]),
                          step="post", color=colours[k], linewidth=0, rasterized=True)  # fmt: skip
    main.set_xlim(edges[0], edges[-1])
    main.set_ylim(0, 1)
    main.set_yticks([0, 0.5, 1])
    main.set_ylabel("probability")
    main.set_xlabel(xlabel)
    main.tick_params(colors=MUTED, labelcolor=INK)
    top = axes[0, 0]
    top.legend([Patch(color=c) for c in colours], names, loc="lower right", bbox_to_anchor=(1.0, 1.02), ncols=min(n, 8),
               borderaxespad=0.1, handlelength=1.0, handletextpad=0.4, columnspacing=1.0)  # fmt: skip
    if title:
        top.set_title(title)
    return figure
