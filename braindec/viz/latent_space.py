"""Latents as clouds of points in two or three dimensions, coloured by a label; angles have colours that go around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import MUTED, SERIES, WIDE, numbers, panes, plain_axes, root, styled, texts

__all__ = ["latent_space"]

_VIEW = (-0.9, 0.45)  # rad: turned about the third axis, tilted towards the reader
_ROUND = ("#0072B2", "#7A5BBE", "#AA4499", "#D55E00", "#E69F00", "#9AAF2B", "#009E73", "#2C93A8", "#0072B2")


@styled
def latent_space(
    points: Any,
    colour: Any,
    *,
    names: Sequence[str] | None = None,
    cyclic: bool = False,
    classes: Sequence[str] | None = None,
    label: str = "label",
    columns: int = 4,
    max_points: int = 1500,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one cloud or several.

    Parameters
    ----------
    points : array of shape (n, d) or (n_clouds, n, d)
        ``d`` is 2 or 3; rows of NaN are left out (clouds may differ in size). Three dimensions are drawn from the side,
        with a small tripod of the axes.
    colour : array of shape (n,) or (n_clouds, n)
        The label of each point; an angle in rad with ``cyclic``, a code from 0 with ``classes``.
    names : sequence of str, optional
        Of the clouds.
    cyclic : bool
    classes : sequence of str, optional
    label : str
    columns : int
        Clouds side by side.
    max_points : int
        Of a cloud; more are thinned evenly.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If points have other than 2 or 3 dimensions, or labels do not fit.
    """
    clouds, values = numbers("points", points, finite=False), numbers("colour", colour, finite=False)
    clouds = clouds[None] if clouds.ndim == 2 else clouds
    values = values[None] if values.ndim == 1 else values
    if clouds.ndim != 3 or clouds.shape[2] not in (2, 3) or clouds.shape[:2] != values.shape:
        raise BraindecError(
            "points are (point, 2 or 3) or (cloud, point, 2 or 3), with one colour each",
            found=f"{clouds.shape} and {values.shape}",
        )
    known = np.isfinite(clouds).all(axis=2) & np.isfinite(values)
    if not known.any(axis=1).all():
        raise BraindecError("a cloud has no point", found=f"number {int(np.flatnonzero(~known.any(axis=1))[0]) + 1}")
    heads = texts("names", names, len(clouds)) if names is not None else [""] * len(clouds)
    colours, scale = _colours(values[known], cyclic, classes)
    across = min(columns, len(clouds))
    down = -(-len(clouds) // across)
    figure, axes = panes(ax, down, across, width=min(WIDE, 2.5 * across + 1.1), height=2.45 * down + 0.25)
    for k, place in enumerate(axes.flat):
        plain_axes(place)
        if k >= len(clouds):
            continue
        own = np.flatnonzero(known[k])
        own = own[:: max(1, -(-len(own) // max_points))]
        flat, depth, axes_seen = _seen(clouds[k][own])
        order = np.argsort(depth, kind="stable")
        place.scatter(flat[order, 0], flat[order, 1], c=values[k][own][order], cmap=colours, norm=scale, s=7, alpha=0.8,
                      linewidths=0, rasterized=True)  # fmt: skip
        place.set_aspect("equal", adjustable="datalim")
        place.set_title(heads[k], fontsize=8.5, fontweight="normal", loc="center", pad=3)
        _tripod(place, axes_seen)
    _legend(root(axes[0, 0]), axes, colours, scale, cyclic, classes, label)
    if title and ax is None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    elif title:
        axes[0, 0].set_title(title)
    return figure


def _colours(values: np.ndarray, cyclic: bool, classes: Sequence[str] | None) -> tuple[Colormap, Normalize]:
    if classes is not None:
        n = len(classes)
        if values.min() < 0 or values.max() >= n or (values % 1).any():
            raise BraindecError(
                "colours of classes are codes", found=f"{values.min():g} to {values.max():g}", allowed=f"0 to {n - 1}"
            )
        return ListedColormap([SERIES[i % len(SERIES)] for i in range(n)]), Normalize(-0.5, n - 0.5)
    if cyclic:
        if np.abs(values).max() > 2 * np.pi + 1e-6:
            raise BraindecError("cyclic labels are angles in rad", found=f"up to {np.abs(values).max():g}")
        low = -np.pi if values.min() < 0 else 0.0
        return LinearSegmentedColormap.from_list("braindec-round", _ROUND), Normalize(low, low + 2 * np.pi)
    low, high = np.quantile(values, [0.01, 0.99])
    return LinearSegmentedColormap.from_list(
        "braindec-range", ["#0b4f80", "#56B4E9", "#b9c2c9", "#E69F00", "#8f3b00"]
    ), Normalize(low, high if high > low else low + 1)


def _seen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Places on paper, depth, and where the axes point."""
    if points.shape[1] == 2:
        return points, np.zeros(len(points)), None
    turn, tilt = _VIEW
    across = np.array([np.cos(turn), -np.sin(turn), 0.0])
    up = np.array([np.sin(turn) * np.sin(tilt), np.cos(turn) * np.sin(tilt), np.cos(tilt)])
    back = np.cross(across, up)
    view = np.stack([across, up], axis=1)
    return points @ view, points @ back, view


def _tripod(place: Axes, view: np.ndarray | None) -> None:
    arms = np.eye(2) if view is None else view
    for k, (dx, dy) in enumerate(arms):
        start, end = (0.06, 0.06), (0.06 + 0.11 * dx, 0.06 + 0.11 * dy)
        place.annotate("", end, start, xycoords="axes fraction",
                       arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.9})  # fmt: skip
        place.text(
            0.06 + 0.15 * dx,
            0.06 + 0.15 * dy,
            str(k + 1),
            transform=place.transAxes,
            fontsize=6.5,
            color=MUTED,
            ha="center",
            va="center",
        )


def _legend(
    figure: Figure,
    axes: np.ndarray,
    colours: Colormap,
    scale: Normalize,
    cyclic: bool,
    classes: Sequence[str] | None,
    label: str,
) -> None:
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(axes.flat), shrink=0.75, pad=0.015, aspect=22)
    bar.outline.set_visible(False)
    bar.set_label(label)
    if classes is not None:
        bar.set_ticks(range(len(classes)), labels=[str(c) for c in classes])
    elif cyclic:
        low, high = float(scale.vmin or 0), float(scale.vmax or 0)
        words = {-np.pi: "−π", 0.0: "0", np.pi: "π", 2 * np.pi: "2π"}
        ticks = [low, (low + high) / 2, high]
        bar.set_ticks(ticks, labels=[words[v] for v in ticks])
