"""Stimulus, decoded and each control under one another: best, middle and worst items, never only the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import BLUE, INK, MUTED, WIDE, numbers, panes, plain_axes, styled, texts

_LABEL, _HEAD, _LARGEST = 1.15, 0.62, 0.92  # inches: names of rows, labels of columns, one picture
_METRICS = {"pixcorr": "PixCorr", "ssim": "SSIM", "frame_ssim": "SSIM of frames", "psnr": "PSNR"}

__all__ = ["picture_grid"]


@styled
def picture_grid(
    pictures: Any,
    names: Sequence[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    scores: Any = None,
    metric: str = "",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one row of pictures for the stimulus, one for what was decoded, and one for each control.

    Parameters
    ----------
    pictures : array of shape (n_rows, n_items, [n_frames,] height, width, channel)
        uint8, or floats of 0 to 1; one channel (grey) or three. Frames of films stand side by side.
    names : sequence of str of shape (n_rows,), optional
        Of the rows; the row "decoded" is set in bold.
    labels : sequence of str of shape (n_items,), optional
        Above the columns: "best", "median", "worst", ...
    scores : array of shape (n_items,), optional
        Decoded score of each item, below its label.
    metric : str
        Name of the score.
    title : str, optional
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If pictures have another shape, values leave 0 to 1, or numbers do not fit.
    """
    given = np.asarray(pictures)
    values = numbers("pictures", given / 255 if given.dtype == np.uint8 else given)
    if values.ndim not in (5, 6) or values.shape[-1] not in (1, 3):
        raise BraindecError(
            "picture_grid needs (row, item, height, width, channel), films (row, item, frame, height, width, channel)",
            found=f"shape {values.shape}", allowed="1 channel (grey) or 3 (red, green, blue), last",
        )  # fmt: skip
    if values.min() < -1e-6 or values.max() > 1 + 1e-6:
        raise BraindecError("pictures hold values of 0 to 1", found=f"{values.min():.3g} to {values.max():.3g}")
    n_rows, n_items = values.shape[:2]
    strips = np.clip(_strips(values), 0, 1)
    names = texts("names", names, n_rows)
    heads = [""] * n_items if labels is None else texts("labels", labels, n_items)
    numbers_below = None if scores is None else numbers("scores", scores, ndim=1, n=n_items, finite=False)
    height, width = strips.shape[2:4]
    cell = min(_LARGEST * max(1.0, width / height), (WIDE - _LABEL) / n_items)
    figure, axes = panes(
        ax, n_rows, n_items, width=max(3.2, _LABEL + n_items * cell), height=_HEAD + n_rows * (cell * height / width + 0.05), wspace=0.04, hspace=0.04
    )  # fmt: skip
    for r in range(n_rows):
        for k in range(n_items):
            pane = axes[r, k]
            pane.imshow(
                strips[r, k] if strips.shape[-1] == 3 else strips[r, k, :, :, 0],
                cmap="gray",
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            plain_axes(pane)
            if r == 0:
                score = (
                    ""
                    if numbers_below is None or not np.isfinite(numbers_below[k])
                    else f"{round(numbers_below[k], 2) + 0.0:.2f}".replace("-", "−")
                )
                pane.set_title("\n".join(filter(None, [_broken(heads[k], cell), score])), fontsize=8, fontweight="normal", loc="center", pad=3, color=INK)  # fmt: skip
        own = names[r] == "decoded"
        axes[r, 0].set_ylabel(
            names[r], rotation=0, ha="right", va="center", fontsize=8.5, labelpad=5, color=BLUE if own else INK if r == 0 else MUTED,
            fontweight="bold" if own else "normal",
        )  # fmt: skip
    said = (
        f"{_METRICS.get(metric, metric.replace('_', ' '))} of what was decoded above each column"
        if metric and scores is not None
        else ""
    )
    if title or said:
        figure.suptitle(
            title or said, x=0.01, ha="left", fontsize=9.5 if title else 8, fontweight="bold" if title else "normal"
        )
    return figure


def _strips(values: np.ndarray) -> np.ndarray:
    """Put frames side by side with a white line between, (row, item, height, width, channel)."""
    if values.ndim == 5:
        return values
    line = np.ones((*values.shape[:2], values.shape[3], max(1, values.shape[4] // 24), values.shape[-1]))
    parts: list[np.ndarray] = []
    for f in range(values.shape[2]):
        parts += [values[:, :, f], *([line] if f + 1 < values.shape[2] else [])]
    return np.concatenate(parts, axis=3)


def _broken(text: str, width: float) -> str:
    """Break a label of several words where it is wider than its column."""
    if len(text) <= 13 * width or " " not in text:
        return text
    words = text.split()
    half = min(range(1, len(words)), key=lambda k: abs(len(" ".join(words[:k])) - len(" ".join(words[k:]))))
    return " ".join(words[:half]) + "\n" + " ".join(words[half:])
