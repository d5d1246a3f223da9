"""Raster and peri-stimulus time histogram of one unit, one above the other, by condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import MUTED, SERIES, grid, legend_above, numbers, panes, shorten, styled, texts

__all__ = ["psth"]

_LINES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (6, 1, 1.5, 1)))


@styled
def psth(
    spikes: Any,
    trial: Any,
    times: Any,
    rates: Any,
    *,
    conditions: Sequence[str] | None = None,
    low: Any = None,
    high: Any = None,
    labels: Sequence[str] | None = None,
    n_trials: int | None = None,
    shade: Sequence[float] | None = None,
    xlabel: str = "time from onset (s)",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the spikes of a unit by trial and its rate below.

    Parameters
    ----------
    spikes : array of shape (n_spikes,)
        s from the onset.
    trial : array of int, shape (n_spikes,)
        Trial of each spike, from 0.
    times : array of shape (n_bins,)
        Middle of each bin, s.
    rates : array of shape (n_bins,) or (n_conditions, n_bins)
        Hz.
    conditions : sequence of str, shape (n_trials,), optional
        Condition of each trial; trials of one condition stand together.
    low, high : array of the shape of ``rates``, optional
        Ends of intervals.
    labels : sequence of str, optional
        Conditions in the order of ``rates``; needed with several.
    n_trials : int, optional
        Also trials without spikes have a line; from ``conditions`` or the largest trial by default.
    shade : (float, float), optional
        A window that is shaded, s.
    xlabel, title : str, optional
    ax : Axes, optional
        Divided instead of a new figure; one that ``figure.subplots`` made.

    Raises
    ------
    BraindecError
        If shapes do not fit or a condition has no rate.
    """
    spikes = np.asarray(spikes, dtype=float) if not np.size(spikes) else numbers("spikes", spikes, ndim=1)
    trial = np.asarray(trial, dtype=int)
    times = numbers("times", times, ndim=1)
    lines = np.atleast_2d(numbers("rates", rates))
    if trial.shape != spikes.shape or lines.shape[1:] != times.shape or len(lines) > len(SERIES):
        raise BraindecError("spikes and trial must be of one length, rates (condition, bin), up to 7 conditions",
                            found=f"{spikes.shape}, {trial.shape}; {lines.shape} for {len(times)} bins")  # fmt: skip
    names = texts("labels", labels, len(lines)) if labels is not None else [""] * len(lines)
    count = n_trials or (len(conditions) if conditions is not None else int(trial.max(initial=0)) + 1)
    own = texts("conditions", conditions, count) if conditions is not None else [names[0]] * count
    if set(own) - set(names) or (len(trial) and (trial.min() < 0 or trial.max() >= count)):
        raise BraindecError("a trial has no rate to its condition, or a spike no trial", found=str(sorted(set(own) - set(names)))[:80] or f"{trial.max()}",
                            allowed=f"conditions {names}, trials 0 to {count - 1}")  # fmt: skip
    figure, axes = panes(ax, 2, 1, height=4.2, height_ratios=[1.1, 1.0])
    top, below = axes[0, 0], axes[1, 0]
    code = np.array([names.index(c) for c in own])
    place = np.empty(count, dtype=int)
    place[np.argsort(code, kind="stable")] = np.arange(count)
    size = float(np.clip(115 / count, 1.5, 9.0))
    for i, name in enumerate(names):
        mine = code[trial] == i if len(trial) else np.zeros(0, bool)
        words = f"{shorten(name)} ({int((code == i).sum())} trials)" if name else None
        top.plot(spikes[mine], place[trial[mine]], linestyle="none", marker="|", markersize=size, markeredgewidth=0.7, color=SERIES[i], label=words,
                 rasterized=len(spikes) > 4000)  # fmt: skip
        if low is not None and high is not None:
            ends = [np.atleast_2d(numbers(k, v, finite=False)) for k, v in (("low", low), ("high", high))]
            below.fill_between(times, ends[0][i], ends[1][i], color=SERIES[i], alpha=0.18, linewidth=0)
        below.plot(times, lines[i], color=SERIES[i], linestyle=_LINES[i % 4], linewidth=1.6)
    width = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    for part in (top, below):
        part.set_xlim(times[0] - width / 2, times[-1] + width / 2)
        if times[0] < 0 < times[-1]:
            part.axvline(0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0.5)
        if shade is not None:
            part.axvspan(*numbers("shade", shade, ndim=1, n=2), color=MUTED, alpha=0.13, linewidth=0, zorder=0)
    top.set_ylim(count - 0.4, -0.6)
    top.set_xticklabels([])
    top.set_ylabel("trial")
    below.set_ylim(bottom=0)
    below.set_xlabel(xlabel)
    below.set_ylabel("rate (Hz)")
    grid(below)
    legend_above(top, title)
    for handle in top.get_legend().legend_handles if top.get_legend() else []:
        handle.set_markersize(7)
        handle.set_markeredgewidth(1.5)
    return figure
