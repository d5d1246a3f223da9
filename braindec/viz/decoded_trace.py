"""Decoded trace: a variable and what was decoded of it over time, held-out blocks side by side, with r and R2."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import FAINT, INK, RED, WIDE, canvas, grid, legend_above, numbers, styled

__all__ = ["decoded_trace"]


@styled
def decoded_trace(
    times: Any,
    true: Any,
    decoded: Any,
    *,
    edges: Any = None,
    label: str = "target",
    seconds: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a variable and its decoded course.

    Parameters
    ----------
    times : array of shape (n,)
        s from the beginning of the recording, rising.
    true, decoded : array of shape (n,)
        The variable and its held-out prediction, in one unit.
    edges : array, optional
        Times at which a new held-out block begins, s: blocks are shaded in turn.
    label : str
        Name of the variable, with its unit.
    seconds : float, optional
        Draw only so many s from the beginning.
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ, or times do not rise.
    """
    times, true, decoded = (numbers(k, v, ndim=1) for k, v in (("times", times), ("true", true), ("decoded", decoded)))
    if not len(times) == len(true) == len(decoded) or len(times) < 2:
        raise BraindecError(
            "times, true and decoded must have one length", found=f"{len(times)}, {len(true)}, {len(decoded)}"
        )
    if np.any(np.diff(times) <= 0):
        raise BraindecError("times must rise", found=f"a step of {np.diff(times).min():g} s")
    keep = times <= times[0] + (np.inf if seconds is None else seconds)
    r2 = 1 - np.sum((true - decoded) ** 2) / max(np.sum((true - true.mean()) ** 2), 1e-300)
    r = np.corrcoef(true, decoded)[0, 1] if np.ptp(true) and np.ptp(decoded) else np.nan
    figure, ax = canvas(ax, width=WIDE, height=2.7)
    marks = [] if edges is None else numbers("edges", edges, ndim=1).tolist()
    for number, (a, b) in enumerate(zip([times[0], *marks], [*marks, times[-1]], strict=True)):
        if number % 2 and a < times[keep][-1]:
            ax.axvspan(a, min(b, times[keep][-1]), color=FAINT, linewidth=0, zorder=0)
    binary = len(np.unique(true)) == 2
    ax.plot(
        times[keep], true[keep], color=INK, linewidth=1.1, drawstyle="steps-mid" if binary else "default", label="true"
    )
    ax.plot(times[keep], decoded[keep], color=RED, linewidth=1.3, label="decoded (held out)")
    ax.set_xlim(times[keep][0], times[keep][-1])
    ax.set_xlabel("time (s)" + ("; shading: test blocks in turn" if marks else ""))
    ax.set_ylabel(label)
    grid(ax)
    legend_above(ax, title if title is not None else (None if binary else f"r = {r:.2f}, R² = {r2:.2f}"))
    return figure
