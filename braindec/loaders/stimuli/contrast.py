"""contrast: how much lightness differs within a film's frames over time, as a whole or in the cells of a grid.

Source: Peli 1990 (JOSA A 7:2032), root-mean-square contrast; of L* (CIE 1976) here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.loaders._film_frames import open_film, shrunk
from braindec.loaders.stimulus_series import make_series, stretches, to_rate
from braindec.stats.asked import whole
from braindec.types import Recording

__all__ = ["contrast"]


def contrast(
    film: Any, *, frame_rate: float | None = None, sfreq: float | None = None, grid: int = 1, blocks: Any = None
) -> Recording:
    """Compute the standard deviation of lightness in each frame.

    Parameters
    ----------
    film : path, Pictures of one film, or array (frame, height, width[, 1 or 3])
    frame_rate : float, optional
        Hz, for what does not say it: arrays and folders of frames.
    sfreq : float, optional
        Samples of the series a second, Hz, averaged; the frame rate without it.
    grid : int
        Cells in a row and in a column.
    blocks : DataFrame or sequence of (start, stop), optional
        No sample of the series is an average across their edges (s).

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
    found = []
    for batch in frames.lightness():
        batch = batch.astype(np.float64)
        middle = batch.mean(axis=(1, 2), keepdims=True)  # squares of small numbers lose nothing
        mean, square = (
            shrunk(v, (grid, grid)).reshape(len(batch), -1) for v in (batch - middle, (batch - middle) ** 2)
        )
        found.append(np.sqrt(np.maximum(square - mean**2, 0.0)))
    names = [f"row {i} column {j}" for i in range(grid) for j in range(grid)]
    made = make_series(np.concatenate(found).T.astype(np.float32), frames.rate, names, feature="contrast", stimulus=frames.name,
                       path=frames.path, content=frames.content, settings={"grid": grid, "n_blocks": len(parts)})  # fmt: skip
    return made if sfreq is None else to_rate(made, sfreq, method="mean", blocks=blocks)
