"""Map of r-squared: which channels and frequencies tell two classes apart, as in the calibration of BCIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from braindec.errors import BraindecError
from braindec.viz._style import INK, WIDE, canvas, limits, numbers, styled, texts

__all__ = ["r2_map"]


@styled
def r2_map(
    r2: Any,
    freqs: Any,
    *,
    ch_names: Sequence[str] | None = None,
    selected: Any = None,
    label: str = "signed r²",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw r-squared of each channel (row) and frequency (column).

    Parameters
    ----------
    r2 : array of shape (n_channels, n_freqs)
        -1 to 1 when signed; positive where the first class is stronger.
    freqs : array of shape (n_freqs,)
        Hz, rising.
    ch_names : sequence of str, optional
    selected : array of shape (n_channels, n_freqs), optional
        How often each was chosen by a decoder (0 not at all): a frame is drawn around those that were.
    label, title : str
    ax : Axes, optional
        Drawn into instead of a new figure.

    Raises
    ------
    BraindecError
        If shapes do not fit, frequencies do not rise, or a value lies beyond -1 to 1.
    """
    values = numbers("r2", r2, ndim=2)
    freqs = numbers("freqs", freqs, ndim=1, n=values.shape[1])
    if np.abs(values).max() > 1 + 1e-9:
        raise BraindecError("r2 lies between -1 and 1", found=f"{values.min():.3g} to {values.max():.3g}")
    if len(freqs) > 1 and not np.diff(freqs).min() > 0:
        raise BraindecError("frequencies must rise", found=f"{freqs[:4]} ...")
    names = texts("ch_names", ch_names, len(values), "channel ")
    n = len(names)
    figure, ax = canvas(ax, width=WIDE if len(freqs) > 12 else 6.0, height=float(np.clip(1.2 + 0.13 * n, 2.6, 9.5)))
    half = 0.5 * float(np.diff(freqs).mean()) if len(freqs) > 1 else 0.5
    edges = np.concatenate([[freqs[0] - half], (freqs[1:] + freqs[:-1]) / 2, [freqs[-1] + half]])
    cmap, low, high = limits(values)
    image = ax.pcolormesh(edges, np.arange(n + 1) - 0.5, values, cmap=cmap, vmin=low, vmax=high)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_yticks(np.arange(n), names, fontsize=8.5 if n <= 24 else 6.0)
    ax.tick_params(axis="y", length=0)
    if selected is not None:
        chosen = numbers("selected", selected, ndim=2, n=n)
        if chosen.shape != values.shape:
            raise BraindecError(
                "selected has another shape than r2", found=f"{chosen.shape}", allowed=f"{values.shape}"
            )
        for row, column in np.argwhere(chosen > 0):
            ax.add_patch(Rectangle((edges[column], row - 0.5), edges[column + 1] - edges[column], 1.0, fill=False,
                                   edgecolor=INK, linewidth=1.2, zorder=3))  # fmt: skip
    ax.set_xlabel("frequency (Hz)" + ("    frames: chosen by the decoder" if selected is not None else ""))
    bar = figure.colorbar(image, ax=ax, shrink=0.8, aspect=24, pad=0.015)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if title:
        ax.set_title(title)
    return figure
