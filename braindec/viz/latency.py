"""Latency of live decisions: how long after the event each came, and the measured time of computing it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, ORANGE, WIDE, grid, legend_above, numbers, panes, styled

__all__ = ["latency"]


@styled
def latency(
    wait: Any, compute: Any, *, window_end: float | None = None, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw two histograms.

    Parameters
    ----------
    wait : array of shape (n,)
        From the event to the arrival of the last sample that was used, s.
    compute : array of shape (n,)
        Measured time of the steps of the last chunk and the decision, s.
    window_end : float, optional
        Last sample of the window after the event, s: the part that cannot be shortened by faster computing.
    title : str, optional
    ax : Axes, optional
        Divided into two.

    Raises
    ------
    BraindecError
        If lengths differ, or a time is negative.
    """
    wait, compute = numbers("wait", wait, ndim=1), numbers("compute", compute, ndim=1)
    if len(wait) != len(compute) or compute.min() < 0:
        raise BraindecError("wait and compute are one time each for every decision, compute not below 0",
                            found=f"{len(wait)} and {len(compute)}, from {compute.min():.3g} s")  # fmt: skip
    figure, axes = panes(ax, 1, 2, width=WIDE, height=2.6)
    left, right = axes[0]
    total = 1000 * (wait + compute)
    span = max(float(np.ptp(total)), 1e-3)
    left.hist(
        total,
        bins=np.linspace(total.min() - 0.02 * span, total.max() + 0.02 * span, 30),
        color=BLUE,
        edgecolor="white",
        linewidth=0.6,
    )
    if window_end is not None:
        left.axvline(
            1000 * window_end,
            color=INK,
            linewidth=1.2,
            linestyle=(0, (4, 3)),
            label=f"last sample of the window ({1000 * window_end:.0f} ms)",
        )
    left.set_xlabel(f"from event to decision, computing included (ms); median {np.median(total):.0f}")
    left.set_ylabel("decisions")
    cut = max(float(np.quantile(compute, 0.99)), 1e-5)
    right.hist(1000 * np.minimum(compute, cut), bins=30, color=ORANGE, edgecolor="white", linewidth=0.6)
    right.set_xlabel(f"time of computing (ms); median {_ms(np.median(compute))}, longest {_ms(compute.max())}")
    for each in (left, right):
        grid(each)
    legend_above(left, title)
    return figure


def _ms(seconds: float) -> str:
    value = 1000 * float(seconds)
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
