"""What the pictures of brains share: colours of a value a place, a colour bar, files that nilearn bundles."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from braindec.errors import BraindecError
from braindec.viz._style import numbers

NOTHING = "#c5cbd1"  # places without a value


def colours(values: np.ndarray, top: float | None = None) -> ScalarMappable:
    """Return the colours of ``values``: around zero when some are negative, else from zero up; they end at ``top``.

    Zero is a light grey-blue rather than white, so that places with a value of zero can be told from places without.
    """
    finite = values[np.isfinite(values)]
    top = float(top) if top else float(np.abs(finite).max()) if finite.size else 1.0
    top = top if top > 0 else 1.0
    if finite.size and finite.min() < 0:
        cmap = LinearSegmentedColormap.from_list(
            "braindec-brain-signed", ["#083a63", "#2f7fb8", "#a9cde6", "#eceef0", "#f7c08f", "#dd6f22", "#7d2f00"]
        )
        return ScalarMappable(Normalize(-top, top), cmap)
    cmap = LinearSegmentedColormap.from_list(
        "braindec-brain-amount", ["#e6eef2", "#bbdedb", "#7cc0cf", "#3c8fc0", "#24589c", "#1b2a63"]
    )
    return ScalarMappable(Normalize(0.0, top), cmap)


def colour_bar(
    figure: Figure, axes: Iterable[Axes], shades: ScalarMappable, label: str, *, unit: str = "", below: str = ""
) -> Any:
    """Draw the colour bar of ``axes`` on their right: its quantity and unit, and a second line of small print."""
    bar = figure.colorbar(shades, ax=list(axes), shrink=0.8, aspect=16, pad=0.015, fraction=0.06)
    bar.set_label((f"{label} ({unit})" if unit else label) + (f"\n{below}" if below else ""), linespacing=1.5)
    bar.outline.set_visible(False)
    bar.locator = _few()
    bar.update_ticks()
    return bar


def heading(figure: Figure, title: str | None) -> None:
    """Write the title of a picture of several parts."""
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")


def above(values: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return a copy of ``values`` with NaN where the absolute value is below ``threshold``."""
    if threshold is None:
        return values.copy()
    if not np.isfinite(threshold) or threshold < 0:
        raise BraindecError("the threshold of a map is an absolute value", found=f"{threshold!r}", allowed="0 or more")
    return np.where(np.abs(values) >= threshold, values, np.nan)


def metres(positions: Any, n: int) -> np.ndarray:
    """Return positions in m, shape (n, 3); rows may hold NaN.

    Raises
    ------
    BraindecError
        If the shape differs, no row is finite, or the numbers can only be mm.
    """
    places = numbers("positions", positions, ndim=2, n=n, finite=False)
    if places.shape[1] != 3:
        raise BraindecError("positions must be (n, 3) in m", found=f"shape {places.shape}")
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        raise BraindecError("no value has a position", found=f"{n} positions, all NaN")
    if np.abs(places[known]).max() > 1:
        raise BraindecError(
            "positions must be in m of MNI space",
            found=f"coordinates up to {np.abs(places[known]).max():.4g}",
            fix="divide positions in mm by 1000; voxel indices are drawn by voxel_map(..., axes='indices')",
        )
    return places


@cache
def bundled(*parts: str) -> Path:
    """Return a file that nilearn brings along, without importing nilearn (which takes seconds).

    Raises
    ------
    BraindecError
        If nilearn is not installed or has moved the file.
    """
    spec = find_spec("nilearn")
    where = Path(spec.origin).parent.joinpath(*parts) if spec and spec.origin else None
    if where is None or not where.is_file():
        raise BraindecError(
            f"the installed nilearn has no file {'/'.join(parts)}", found=str(where), fix="pip install 'nilearn>=0.10'"
        )
    return where


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
