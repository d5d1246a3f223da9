"""Held-out correlation of every voxel against the best it could be, the square root of its noise ceiling."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import INK, MUTED, RED, canvas, numbers, styled

__all__ = ["score_ceiling"]

_CELLS = 60
_TICKS = [m * 10**e for e in range(6) for m in (1, 2, 5)]


@styled
def score_ceiling(
    score: Any,
    ceiling: Any,
    *,
    label: str = "r",
    what: str = "voxels",
    chosen: Any = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how many voxels have each pair of score and ceiling, on a logarithmic scale of colours.

    Parameters
    ----------
    score : array of shape (n_voxels,)
        Held-out correlation.
    ceiling : array of shape (n_voxels,)
        Noise ceiling as a share of variance; its square root is the highest correlation that a perfect model reaches.
        Estimates below zero are drawn at zero.
    label : str
        Name of the score.
    what : str
        What one count is: "voxels", "vertices", ...
    chosen : array of bool of shape (n_voxels,), optional
        Voxels drawn in colour, the others grey (for example those with a ceiling that is high enough).
    title : str, optional
        Above the picture.
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If lengths differ or no voxel has both numbers.
    """
    score = numbers("score", score, ndim=1, finite=False)
    ceiling = numbers("ceiling", ceiling, ndim=1, n=len(score), finite=False)
    both = np.isfinite(score) & np.isfinite(ceiling)
    if not both.any():
        raise BraindecError("no voxel has a score and a ceiling", found=f"{len(score):,} {what}")
    if ceiling[both].max() > 1 + 1e-6:
        raise BraindecError(
            "the ceiling must be a share of variance", found=f"up to {ceiling[both].max():.3g}", allowed="at most 1",
            fix="divide a ceiling in percent by 100",
        )  # fmt: skip
    own = np.ones(len(score), bool) if chosen is None else numbers("chosen", chosen, ndim=1, n=len(score)).astype(bool)
    best = np.sqrt(np.clip(ceiling, 0, 1))
    figure, ax = canvas(ax, width=4.8, height=3.9)
    right = 1.001 * max(float(best[both].max()), 0.1)
    low, high = min(0.0, float(score[both].min())), 1.02 * max(float(score[both].max()), right)
    edges = np.linspace(0, right, _CELLS + 1), np.linspace(low, high, _CELLS + 1)
    counts = [np.histogram2d(best[part], score[part], bins=edges)[0].T for part in (both & ~own, both & own)]
    norm = LogNorm(1, max(2.0, float(max(c.max() for c in counts))))
    for count, cmap in zip(counts, (_greys(), _blues()), strict=True):
        if count.any():
            mesh = ax.pcolormesh(*edges, np.ma.masked_equal(count, 0), cmap=cmap, norm=norm, rasterized=True, zorder=2)
    ax.plot([0, right], [0, right], color=RED, linewidth=1.2, zorder=3)
    ax.axhline(0, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, zorder=2.5)
    ax.set_xlim(0, right)
    ax.set_ylim(low, high)
    ax.annotate("score = ceiling", (right, right), xytext=(0, 3), textcoords="offset points", ha="right", va="bottom",
                color=RED, fontsize=8, annotation_clip=False)  # fmt: skip
    ax.annotate(_words(score, ceiling, both, own, chosen is not None, what), (0.03, 0.97), xycoords="axes fraction", va="top",
                fontsize=8, color=MUTED, linespacing=1.4)  # fmt: skip
    ax.set_xlabel("square root of the noise ceiling")
    ax.set_ylabel(f"held-out {label}")
    bar = figure.colorbar(mesh, ax=ax, aspect=18, pad=0.02)
    bar.set_label(f"{what} a square" + (" (chosen)" if chosen is not None and counts[1].any() else ""))
    bar.set_ticks([t for t in _TICKS if norm.vmin <= t <= norm.vmax], minor=False)
    bar.ax.yaxis.set_major_formatter("{x:,.0f}")
    bar.minorticks_off()
    bar.outline.set_visible(False)
    if title:
        ax.set_title(title)
    return figure


def _words(score: np.ndarray, ceiling: np.ndarray, both: np.ndarray, own: np.ndarray, chosen: bool, what: str) -> str:
    """Say how many voxels are drawn and how many are not, and why."""
    lines = [f"n = {int(both.sum()):,} {what}"]
    if chosen:
        lines[0] += f", {int((both & own).sum()):,} chosen"
    for what, values in (("score", score), ("ceiling", ceiling)):
        if missing := int((~np.isfinite(values)).sum()):
            lines.append(f"{missing:,} without {what}")
    if below := int((ceiling[both] <= 0).sum()):
        lines.append(f"{below:,} with a ceiling of 0 or below")
    return "\n".join(lines)


def _greys() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("braindec-grey", ["#e4e8ec", "#aab4bd", "#6c7883"])


def _blues() -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("braindec-count", ["#c9e0ef", "#7fb5d8", "#2f7fb8", "#0b4f80", "#062f50"])
