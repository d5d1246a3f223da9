"""Receiver operating characteristic: hits against false alarms as the threshold moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, canvas, grid, numbers, styled

__all__ = ["roc"]


@styled
def roc(
    scores: Any, is_target: Any, *, target: str = "target", title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw the curve of a two-class decoder and name its area.

    Parameters
    ----------
    scores : array of shape (n,)
        Decision values, larger for the target class.
    is_target : array of bool, shape (n,)
        The truth.
    target, title : str
        Name of the target class; title of the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or only one class is there.
    """
    scores = numbers("scores", scores, ndim=1)
    truth = numbers("is_target", is_target, ndim=1, n=len(scores)) > 0.5
    n_target, n_other = int(truth.sum()), int((~truth).sum())
    if not n_target or not n_other:
        raise BraindecError("a ROC curve needs both classes", found=f"{n_target} targets, {n_other} others")
    hits, alarms = curve(scores, truth)
    area = float(np.sum(np.diff(alarms) * (hits[1:] + hits[:-1]) / 2))
    figure, ax = canvas(ax, width=4.4, height=4.0)
    ax.plot([0, 1], [0, 1], color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance (area 0.5)")
    ax.plot(alarms, hits, color=BLUE, label=f"decoded (area {area:.3f})")
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.01)
    ax.set_aspect("equal")
    ax.set_xlabel(f"false alarms (share of n = {n_other:,} others)")
    ax.set_ylabel(f"hits (share of n = {n_target:,} {target})")
    grid(ax, "both")
    if title:
        ax.set_title(title)
    ax.legend(loc="lower right")
    return figure


def curve(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hits and false alarms (shares, from 0 to 1); equal scores make one step, so that ties cost nothing."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits, alarms = np.cumsum(truth[order])[ends], np.cumsum(~truth[order])[ends]
    return np.append(0, hits / truth.sum()), np.append(0, alarms / (~truth).sum())
