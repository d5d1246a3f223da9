"""Where and when: one value a channel and time (importance, pattern) as maps of the head and a course over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._head import head_map, on_a_head
from braindec.viz._style import BLUE, CONTROL, INK, RED, WIDE, grid, legend_above, limits, numbers, panes, styled, texts

__all__ = ["topomap_times"]


@styled
def topomap_times(
    values: Any,
    positions: Any,
    times: Any,
    *,
    at: Sequence[float] | None = None,
    n_maps: int = 5,
    ch_names: Sequence[str] | None = None,
    label: str = "importance",
    unit: str = "a.u.",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw maps at a few times above the course of the channels.

    Parameters
    ----------
    values : array of shape (n_channels, n_times)
        Importance, pattern, or any value of channels over time.
    positions : array of shape (n_channels, 3)
        Positions in m; channels with NaN are left out of the maps (and counted).
    times : array of shape (n_times,)
        s relative to onset.
    at : sequence of float, optional
        Times of the maps, s; by default ``n_maps`` in even steps, one of them at the strongest time.
    n_maps : int
        How many maps.
    ch_names : sequence of str, optional
        The strongest channel is named.
    label, unit, title : str
        Name and unit of the values ("" for none), and of the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit.

    Notes
    -----
    A smooth map (:func:`mne.viz.plot_topomap`) is drawn for 12 or more sensors that lie on a head; for fewer, or for
    electrodes inside it, dots: a smooth map between them would be made up.
    """
    values = numbers("values", values, ndim=2)
    places = numbers("positions", positions, ndim=2, n=len(values), finite=False)
    times = numbers("times", times, ndim=1, n=values.shape[1])
    if places.shape[1] != 3:
        raise BraindecError("positions must be (channel, 3) in m", found=f"shape {places.shape}")
    labels = texts("ch_names", ch_names, len(values), "channel ")
    known = np.isfinite(places).all(axis=1)
    chosen = _moments(values, times, at, n_maps)
    cmap, low, high = limits(values)
    figure, axes = panes(
        ax,
        2 if known.any() else 1,
        len(chosen),
        width=WIDE,
        height=4.3 if known.any() else 2.6,
        **({"height_ratios": [1.0, 1.05]} if known.any() else {}),
    )
    for cell in axes[-1]:
        cell.set_axis_off()
    course = figure.add_subplot(axes[-1, 0].get_subplotspec().get_gridspec()[-1, :])
    _course(course, values, times, times[chosen], labels)
    words = f"{label} ({unit})" if unit else label
    course.set_ylabel(words)
    if known.any():
        image = None
        for cell, sample in zip(axes[0], chosen, strict=True):
            image = head_map(cell, values[known, sample], places[known], cmap=cmap, low=low, high=high)
            cell.set_title(f"{1000 * times[sample]:.0f} ms", loc="center", fontsize=8.5)
        bar = figure.colorbar(image, ax=list(axes[0]), shrink=0.75, aspect=14, pad=0.02)
        bar.set_label(words)
        bar.outline.set_visible(False)
    kind = "" if on_a_head(places) or not known.any() else "; dots: sensors, nothing between them is known"
    missing = f"; {int((~known).sum())} without position" if (~known).any() else ""
    course.set_xlabel(f"time from onset (s)    {len(values)} channels{missing}{kind}")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def _moments(values: np.ndarray, times: np.ndarray, at: Sequence[float] | None, n_maps: int) -> np.ndarray:
    """Samples at which maps are drawn."""
    if at is not None:
        return np.unique([int(np.abs(times - t).argmin()) for t in at])
    peak = int((values**2).mean(axis=0).argmax())
    step = max(1, len(times) // max(1, n_maps))
    samples = np.arange(peak % step, len(times), step)
    while len(samples) > n_maps:  # drop the end that is farther from the peak
        samples = samples[1:] if peak - samples[0] > samples[-1] - peak else samples[:-1]
    return samples


def _course(ax: Axes, values: np.ndarray, times: np.ndarray, marks: np.ndarray, labels: list[str]) -> None:
    best = int(np.abs(values).max(axis=1).argmax())
    others = [i for i in range(len(values)) if i != best]
    mark = "o" if len(times) == 1 else None
    if others:
        ax.plot(
            times,
            values[others].T,
            color=CONTROL,
            linewidth=0.7,
            alpha=float(np.clip(12 / len(others), 0.18, 0.8)),
            marker=mark,
        )
    ax.plot(
        times,
        np.sqrt((values**2).mean(axis=0)),
        color=INK,
        linewidth=2,
        label="root mean square of all channels",
        marker=mark,
    )
    ax.plot(times, values[best], color=BLUE, linewidth=1.8, label=f"strongest channel: {labels[best]}", marker=mark)
    if times[0] < 0 < times[-1]:
        ax.axvline(0, color=INK, linewidth=0.8)
    for moment in marks:
        ax.axvline(moment, color=RED, linewidth=0.9, linestyle=(0, (1, 2)))
    if len(times) > 1:
        ax.set_xlim(times[0], times[-1])
    grid(ax)
    legend_above(ax, None)
