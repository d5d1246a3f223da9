"""Cross-correlogram of one pair of units with what surrogates expect at all lags at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, MUTED, RED, canvas, legend_above, numbers, styled

__all__ = ["correlogram"]


@styled
def correlogram(
    lags: Any,
    values: Any,
    *,
    expected: Any = None,
    low: Any = None,
    high: Any = None,
    first: str = "first unit",
    second: str = "second unit",
    ylabel: str = "pairs of spikes",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the correlogram of a pair.

    Parameters
    ----------
    lags : array of shape (n_bins,)
        Middle of each bin, s, rising; second unit less first.
    values : array of shape (n_bins,)
        Counts, rates or coefficients.
    expected, low, high : array of shape (n_bins,), optional
        Mean of surrogates and the band they stay in; bins outside of it are coloured.
    first, second : str
        Names of the units.
    ylabel, title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or lags do not rise.
    """
    lags = numbers("lags", lags, ndim=1)
    values = numbers("values", values, ndim=1, n=len(lags))
    if len(lags) < 2 or (np.diff(lags) <= 0).any():
        raise BraindecError("lags must rise, two or more", found=f"{lags[:4].tolist()}")
    mean, below, above = (
        None if v is None else numbers(k, v, ndim=1, n=len(lags))
        for k, v in (("expected", expected), ("low", low), ("high", high))
    )
    figure, ax = canvas(ax, height=2.7)
    milliseconds, width = 1e3 * lags, 1e3 * float(np.median(np.diff(lags)))
    outside = np.zeros(len(lags), bool)
    if below is not None and above is not None:
        outside = (values > above) | (values < below)
        ax.fill_between(
            milliseconds,
            below,
            above,
            step="mid",
            color=MUTED,
            alpha=0.25,
            linewidth=0,
            zorder=3,
            label="95 % of surrogates, all lags",
        )
    ax.bar(milliseconds, values, width=0.92 * width, color=np.where(outside, RED, BLUE), zorder=2)
    if mean is not None:
        ax.plot(milliseconds, mean, color=INK, linewidth=1.1, drawstyle="steps-mid", zorder=4, label="expected")
    ax.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    ax.set_xlim(milliseconds[0] - width / 2, milliseconds[-1] + width / 2)
    ax.set_xlabel(f"lag of {second} after {first} (ms)")
    ax.set_ylabel(ylabel)
    legend_above(ax, title)
    return figure
