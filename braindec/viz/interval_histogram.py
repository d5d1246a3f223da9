"""Distribution of the intervals between spikes, with that of a Poisson process of the same rate and the refractory time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from braindec.errors import BraindecError
from braindec.viz._style import INK, MUTED, SERIES, canvas, legend_above, numbers, shorten, styled, texts

__all__ = ["interval_histogram"]


@styled
def interval_histogram(
    intervals: Any,
    *,
    labels: Sequence[str] | None = None,
    refractory: float | None = None,
    n_bins: int = 40,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the density of intervals on a logarithmic axis.

    Parameters
    ----------
    intervals : array, or sequence of arrays
        Intervals in s of one or several units or conditions; those of 0 s are left out.
    labels : sequence of str, optional
        Names of the series.
    refractory : float, optional
        Marked by a dashed line, s.
    n_bins : int
        Bins of equal ratio.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If a series has fewer than 2 intervals above 0 or there are more than 7.
    """
    series = _series(intervals)
    names = texts("labels", labels, len(series)) if labels is not None else [""] * len(series)
    low, high = min(s.min() for s in series), max(s.max() for s in series)
    edges = _edges(np.concatenate(series), low, high, int(n_bins))
    decades = np.diff(np.log10(edges))
    figure, ax = canvas(ax, height=2.9)
    for i, values in enumerate(series):
        share = np.histogram(values, edges)[0] / len(values) / decades
        words = f"{shorten(names[i])} (n = {len(values):,})" if names[i] else f"n = {len(values):,}"
        if len(series) == 1:
            ax.stairs(share, 1e3 * edges, fill=True, color=SERIES[0], alpha=0.85, label=words)
        else:
            ax.stairs(
                share,
                1e3 * edges,
                color=SERIES[i],
                linewidth=1.7,
                linestyle=("-", (0, (5, 1.5)), (0, (2, 1)))[i % 3],
                label=words,
            )
        if len(series) == 1:
            rate = 1 / values.mean()
            poisson = (np.exp(-rate * edges[:-1]) - np.exp(-rate * edges[1:])) / decades
            ax.plot(
                1e3 * np.sqrt(edges[:-1] * edges[1:]),
                poisson,
                color=INK,
                linewidth=1.2,
                linestyle=(0, (4, 2)),
                label="Poisson process of that rate",
            )
    if refractory is not None:
        ax.axvline(
            1e3 * refractory, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), label=f"{1e3 * refractory:g} ms"
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("interval (ms)")
    ax.set_ylabel("intervals (share per decade)")
    legend_above(ax, title)
    return figure


def _edges(every: np.ndarray, low: float, high: float, n: int) -> np.ndarray:
    """Edges of equal ratio; of times in whole ticks (spikes in bins) they lie between ticks, so that no bin is empty by that."""
    edges = np.geomspace(low * 0.95, high * 1.05, n + 1)
    steps = np.diff(np.unique(np.round(every, 7)))
    tick = float(steps.min()) if len(steps) else low
    if np.abs(every / tick - np.round(every / tick)).max() > 1e-2 or high < 3 * low:
        return edges
    between = (np.unique(np.floor(edges / tick)) + 0.5) * tick
    return between if len(between) > 3 else edges


def _series(intervals: Any) -> list[np.ndarray]:
    many = isinstance(intervals, (list, tuple)) and len(intervals) and np.ndim(intervals[0]) == 1
    found = [numbers("intervals", v, ndim=1) for v in (intervals if many else [intervals])]
    if any((v < 0).any() for v in found):
        raise BraindecError(
            "intervals are 0 s or longer", found=f"{min(v.min() for v in found):g} s", fix="sort the spike times first"
        )
    found = [v[v > 0] for v in found]
    if len(found) > len(SERIES) or any(len(v) < 2 for v in found):
        raise BraindecError(
            "a distribution needs 2 intervals or more, of up to 7 series", found=str([len(v) for v in found])[:80]
        )
    return found
