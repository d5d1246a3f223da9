"""luminance: how light a film is over time, as a whole or in the cells of a grid; and how much of it changes.

Source: CIE 1976 for L*, the lightness that is seen (0 is black, 100 is white).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.loaders._film_frames import open_film, shrunk
from braindec.loaders.stimulus_series import make_series, stretches, to_rate
from braindec.stats.asked import whole
from braindec.types import Recording

__all__ = ["luminance"]


def luminance(
    film: Any, *, frame_rate: float | None = None, sfreq: float | None = None, grid: int = 1, change: bool = False, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Average the lightness of each frame.

    Parameters
    ----------
    film : path, Pictures of one film, or array (frame, height, width[, 1 or 3])
    frame_rate : float, optional
        Hz, for what does not say it: arrays and folders of frames.
    sfreq : float, optional
        Samples of the series a second, Hz, averaged; the frame rate without it.
    grid : int
        Cells in a row and in a column.
    change : bool
        The mean absolute change of lightness since the frame before, a pixel, instead of the lightness: cuts and motion.
    blocks : DataFrame or sequence of (start, stop), optional
        The first frame of each block (s) has no frame before it, so its change is 0.

    Returns
    -------
    Recording
        Units "row 0 column 0" ...

    Raises
    ------
    BraindecError
        If the film cannot be used, or an option makes no sense.
    """
    frames = open_film(film, frame_rate=frame_rate)
    grid = whole(grid, "grid", least=1)
    parts = stretches(blocks, frames.duration, sfreq=frames.rate, name=frames.name)
    found, before = [], None
    for batch in frames.lightness():
        values = batch
        if change:
            earlier = np.concatenate([batch[:1] if before is None else before, batch[:-1]])
            before, values = batch[-1:], np.abs(batch - earlier)
        found.append(shrunk(values, (grid, grid)).reshape(len(values), -1))
    series = np.concatenate(found).T
    if change:
        series[:, [part.first for part in parts]] = 0.0
    names = [f"row {i} column {j}" for i in range(grid) for j in range(grid)]
    made = make_series(series, frames.rate, names, feature="luminance", stimulus=frames.name, path=frames.path, content=frames.content,
                       settings={"grid": grid, "change": change, "n_blocks": len(parts)})  # fmt: skip
    return made if sfreq is None else to_rate(made, sfreq, method="mean", blocks=blocks)
