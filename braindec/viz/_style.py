"""How every picture looks: one palette, legible sizes, figures built without pyplot, small checks of arguments.

Colours are those of Okabe and Ito (2008), told apart with any kind of colour vision; shapes and line styles carry
the same meaning, so that a grey print can be read too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from braindec.errors import BraindecError

INK, MUTED, GRID, FAINT = "#1c2733", "#5b6875", "#dfe5ea", "#eef1f4"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#AA4499", "#56B4E9"
CONTROL = "#8a97a3"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, INK)
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">")
SINGLE, WIDE = 4.8, 9.8  # inches; a page of the report holds two single pictures side by side

_RC = {
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 8.0, "axes.labelsize": 9.0, "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5, "legend.fontsize": 8.5, "legend.frameon": False, "text.color": INK, "axes.labelcolor": INK,
    "axes.titlecolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.8, "axes.grid": False, "grid.color": GRID, "grid.linewidth": 0.8, "lines.linewidth": 1.8,
    "axes.axisbelow": True, "figure.facecolor": "white", "savefig.facecolor": "white", "image.interpolation": "nearest",
    "text.parse_math": False, "axes.unicode_minus": True, "axes.formatter.useoffset": False, "svg.fonttype": "path",
    "svg.hashsalt": "braindec",
}  # fmt: skip


_LOOKS = {"axes", "font", "figure", "lines", "patch", "xtick", "ytick", "legend", "grid", "image", "savefig", "svg",
          "text", "hist", "hatch", "path", "scatter", "errorbar"}  # fmt: skip


def style() -> Any:
    """Return a context in which figures are made, or written, in the house style, whatever the user's settings."""
    plain = {k: v for k, v in matplotlib.rcParamsDefault.items() if k.split(".")[0] in _LOOKS}
    return matplotlib.rc_context({**plain, **_RC})


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a drawing function in the house style; the user's own matplotlib settings stay as they are."""

    @wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return wrapped


def canvas(ax: Axes | None, *, width: float = SINGLE, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return a new figure of ``width`` x ``height`` inches with one axes, or the figure of ``ax`` and ``ax``."""
    if ax is not None:
        return root(ax), ax
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def panes(
    ax: Axes | None, n_rows: int, n_columns: int, *, width: float = SINGLE, height: float = 3.2, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes, shape (n_rows, n_columns); a given ``ax`` is divided among them."""
    if ax is None:
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(n_rows, n_columns, squeeze=False, gridspec_kw=options)
    place = ax.get_subplotspec()
    if place is None:
        raise BraindecError(
            "this picture has several parts and cannot be drawn into a free axes",
            fix="give an axes that figure.subplots made, or none",
        )
    ax.set_axis_off()
    grid = place.subgridspec(n_rows, n_columns, **options)
    made = [[ax.figure.add_subplot(grid[r, c]) for c in range(n_columns)] for r in range(n_rows)]
    return root(ax), np.array(made, dtype=object).reshape(n_rows, n_columns)


def root(ax: Axes) -> Figure:
    """Return the figure that holds ``ax``, also when that is part of a sub-figure."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def numbers(name: str, value: Any, *, ndim: int | None = None, n: int | None = None, finite: bool = True) -> np.ndarray:
    """Return ``value`` as an array of float.

    Raises
    ------
    BraindecError
        If it holds no numbers, is empty, has another shape, or (with ``finite``) holds NaN or infinity.
    """
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise BraindecError(f"{name} must hold numbers", found=f"{type(value).__name__} {str(value)[:60]!r}") from None
    if ndim is not None and array.ndim != ndim:
        raise BraindecError(f"{name} must have {ndim} dimensions", found=f"shape {array.shape}")
    if not array.size:
        raise BraindecError(f"{name} is empty", found=f"shape {array.shape}")
    if n is not None and array.shape[:1] != (n,):
        raise BraindecError(f"{name} must have {n} rows", found=f"shape {array.shape}")
    if finite and not np.isfinite(array).all():
        raise BraindecError(
            f"{name} holds values that are not finite", found=f"{int((~np.isfinite(array)).sum())} of {array.size}"
        )
    return array


def texts(name: str, value: Sequence[Any] | None, n: int, prefix: str = "") -> list[str]:
    """Return ``n`` labels as text; numbered ones when there are none."""
    if value is None:
        return [f"{prefix}{i + 1}" for i in range(n)]
    labels = [str(v) for v in np.asarray(value, dtype=object).ravel()]
    if len(labels) != n:
        raise BraindecError(f"{name} must have {n} entries", found=f"{len(labels)}: {labels[:6]}")
    return labels


def shorten(text: str, n: int = 22) -> str:
    """Cut a long label in the middle, so that both its ends can be read."""
    return text if len(text) <= n else f"{text[: n // 2]}…{text[-(n - n // 2 - 1) :]}"


def grid(ax: Axes, axis: str = "y") -> None:
    """Draw light lines at the ticks of one axis."""
    ax.grid(True, axis=axis)


def chance_line(ax: Axes, chance: float, *, label: str | None = "chance", vertical: bool = False) -> None:
    """Draw the chance level as a dashed line."""
    draw = ax.axvline if vertical else ax.axhline
    draw(chance, color=INK, linestyle=(0, (4, 3)), linewidth=1.0, zorder=1.5, label=label)


def legend_above(ax: Axes, title: str | None) -> None:
    """Put the legend between the title and the axes, where it hides nothing, in as many columns as fit."""
    handles, words = ax.get_legend_handles_labels()
    unique = dict(zip(words, handles, strict=True))
    if not unique:
        if title:
            ax.set_title(title)
        return
    room = 13.5 * root(ax).get_figwidth() * ax.get_position().width / 0.775  # letters that stand side by side
    columns = int(np.clip(room // (max(map(len, unique)) + 5), 1, len(unique)))
    rows = -(-len(unique) // columns)
    ax.legend(
        list(unique.values()),
        list(unique),
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.3,
        labelspacing=0.3,
    )
    if title:
        ax.set_title(title, pad=10 + 13.5 * rows)


def sequential() -> LinearSegmentedColormap:
    """Colours for amounts: white to dark blue, even steps of lightness."""
    return LinearSegmentedColormap.from_list(
        "braindec-amount", ["#ffffff", "#cfe3f1", "#7fb5d8", "#2f7fb8", "#0b4f80", "#062f50"]
    )


def diverging() -> LinearSegmentedColormap:
    """Colours for signed values: blue below zero, white at zero, red-brown above."""
    return LinearSegmentedColormap.from_list(
        "braindec-signed", ["#0b4f80", "#3f8fc4", "#b5d4e8", "#ffffff", "#f6cdb0", "#dd7a35", "#8f3b00"]
    )


def limits(values: np.ndarray) -> tuple[LinearSegmentedColormap, float, float]:
    """Return colours and their range for ``values``: symmetric about zero when both signs occur."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 < high:
        top = max(-low, high)
        return diverging(), -top, top
    if low == high:
        low, high = (low - 0.5, high + 0.5) if low == 0 else (min(0.0, low), max(0.0, high))
    return sequential(), low, high


def p_text(p: float | None) -> str:
    """Return a p-value as text, e.g. "p = 0.012" or "p < 0.001"; empty when there is none."""
    if p is None or not np.isfinite(p):
        return ""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def plain_axes(ax: Axes) -> None:
    """Take away ticks and frame: for pictures and maps."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
