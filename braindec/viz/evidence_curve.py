"""Evidence over repeats: share of right selections and bits a minute against the number of repeats."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, RED, WIDE, chance_line, grid, legend_above, numbers, panes, styled

__all__ = ["evidence_curve"]


@styled
def evidence_curve(
    repeats: Any,
    accuracy: Any,
    bits: Any,
    *,
    low: Any = None,
    high: Any = None,
    chance: float | None = None,
    early: tuple[float, float, float] | None = None,
    n: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw accuracy and information rate side by side.

    Parameters
    ----------
    repeats : array of shape (n_repeats,)
        Rising.
    accuracy : array of shape (n_repeats,)
        Share of right selections.
    bits : array of shape (n_repeats,)
        Bits a minute.
    low, high : array of shape (n_repeats,), optional
        95 % interval of the accuracy.
    chance : float, optional
    early : (repeats, accuracy, bits), optional
        What stopping early reached: mean number of repeats, share right, bits a minute.
    n : int, optional
        Number of selections.
    title : str, optional
    ax : Axes, optional
        Divided into two.

    Raises
    ------
    BraindecError
        If lengths differ, or repeats do not rise.
    """
    x, share, rate = (numbers(k, v, ndim=1) for k, v in (("repeats", repeats), ("accuracy", accuracy), ("bits", bits)))
    if not len(x) == len(share) == len(rate):
        raise BraindecError(
            "repeats, accuracy and bits must have one length", found=f"{len(x)}, {len(share)}, {len(rate)}"
        )
    if (np.diff(x) <= 0).any():
        raise BraindecError("repeats must rise", found=", ".join(f"{v:g}" for v in x[:8]))
    figure, axes = panes(ax, 1, 2, width=WIDE, height=2.8)
    left, right = axes[0]
    if low is not None and high is not None:
        left.fill_between(
            x, numbers("low", low, n=len(x)), numbers("high", high, n=len(x)), color=BLUE, alpha=0.16, linewidth=0
        )
    left.plot(x, share, color=BLUE, marker="o", markersize=4, label="fixed number of repeats")
    right.plot(x, rate, color=BLUE, marker="o", markersize=4)
    if early is not None:
        mean, hit, gained = (float(v) for v in early)
        left.plot([mean], [hit], color=RED, marker="D", markersize=7, linestyle="none", label="stopped early")
        right.plot([mean], [gained], color=RED, marker="D", markersize=7, linestyle="none")
    if chance is not None:
        chance_line(left, chance, label=f"chance ({chance:.3g})")
    left.set_ylim(0, 1.03)
    top = max(float(rate.max()), 0.0 if early is None else float(early[2]), 1e-9)
    right.set_ylim(0, 1.08 * top)
    for each, name in ((left, "right selections"), (right, "bits a minute")):
        each.set_xlabel("repeats" + (f"  (n = {n:,} selections)" if n is not None and each is left else ""))
        each.set_ylabel(name)
        each.set_xticks(x)
        grid(each)
    legend_above(left, title)
    return figure
