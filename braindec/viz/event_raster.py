"""Trials at a glance: each event a tick in time, one line a run, coloured by class; blocked designs show at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.viz._style import CONTROL, SERIES, canvas, numbers, shorten, styled, texts

__all__ = ["event_raster"]


@styled
def event_raster(
    onset: Any, label: Any, run: Any = None, *, title: str | None = None, max_runs: int = 40, ax: Axes | None = None
) -> Figure:
    """Draw the events of each run over time.

    Parameters
    ----------
    onset : array of shape (n,)
        s from the start of the recording.
    label : sequence of str, shape (n,)
        Class of each event.
    run : sequence of str, shape (n,), optional
        Run of each event; one line each.
    title : str, optional
        Above the picture.
    max_runs : int
        Later runs are left out and counted in the axis label.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or an onset is not finite.
    """
    onset = numbers("onset", onset, ndim=1)
    labels = np.array(texts("label", label, len(onset)), dtype=object)
    runs = np.array(texts("run", run, len(onset)) if run is not None else ["all"] * len(onset), dtype=object)
    names = list(dict.fromkeys(runs))
    shown = names[:max_runs]
    classes = sorted(set(labels))
    many = len(classes) > len(SERIES)
    figure, ax = canvas(ax, height=float(np.clip(1.3 + 0.26 * len(shown), 1.9, 6.0)))
    share = 1 / (1 if many else len(classes))
    for i, name in enumerate(classes):
        here = labels == name
        lines = [onset[here & (runs == r)] for r in shown]
        level = np.arange(len(shown)) + (0.0 if many else ((i + 0.5) * share - 0.5) * 0.8)
        ax.eventplot(
            lines,
            lineoffsets=level,
            linelengths=0.8 * share,
            linewidths=0.9,
            colors=CONTROL if many else SERIES[i],
            label=None if many else f"{shorten(name)} (n = {int(here.sum()):,})",
        )
    ax.set_yticks(range(len(shown)), [shorten(str(r), 14) for r in shown], fontsize=8 if len(shown) <= 16 else 6)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    left = f"; {len(names) - len(shown)} more runs not drawn" if len(names) > len(shown) else ""
    ax.set_xlabel(f"onset in the run (s)  (n = {len(onset):,} events{left})")
    ax.set_ylabel("run")
    if title:
        ax.set_title(title)
    if many:
        ax.set_title(f"{title + ': ' if title else ''}{len(classes)} classes", fontsize=9)
    else:
        handles, words = ax.get_legend_handles_labels()
        unique = dict(zip(words, handles, strict=True))
        figure.legend(
            unique.values(), unique.keys(), loc="outside lower center", ncols=min(3, len(unique)), handlelength=1.2
        )
    return figure
