"""film_frames: the lightness of a film's pixels over time, frames averaged to a small size; the plainest model of what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.loaders._film_frames import open_film
from braindec.loaders.stimulus_series import make_series, stretches, to_rate
from braindec.stats.asked import whole
from braindec.types import Recording

__all__ = ["film_frames"]


def film_frames(
    film: Any, *, frame_rate: float | None = None, sfreq: float | None = None, size: int | tuple[int, int] = 16, method: str = "mean",
    blocks: Any = None,
) -> Recording:  # fmt: skip
    """Make a series of the pixels of a film.

    Parameters
    ----------
    film : path, Pictures of one film, or array (frame, height, width[, 1 or 3])
    frame_rate : float, optional
        Hz, for what does not say it: arrays and folders of frames.
    sfreq : float, optional
        Samples of the series a second, Hz; the frame rate without it.
    size : int or (int, int)
        Height and width to which frames are averaged.
    method : {"mean", "nearest", "linear"}
        How frames are brought to ``sfreq``, see :func:`braindec.loaders.stimulus_series.to_rate`.
    blocks : DataFrame or sequence of (start, stop), optional
        No sample of the series is an average across their edges (s).

    Returns
    -------
    Recording
        Units "y 0 x 0" ..., L* from 0 (black) to 100 (white).

    Raises
    ------
    BraindecError
        If the film cannot be used, or an option makes no sense.
    """
    frames = open_film(film, frame_rate=frame_rate)
    height, width = (whole(n, "size", least=1) for n in (size if isinstance(size, (tuple, list)) else (size, size)))
    parts = stretches(blocks, frames.duration, sfreq=frames.rate, name=frames.name)
    values = np.concatenate([batch.reshape(len(batch), -1) for batch in frames.lightness((height, width))]).T
    names = [f"y {i} x {j}" for i in range(height) for j in range(width)]
    made = make_series(values, frames.rate, names, feature="film_frames", stimulus=frames.name, path=frames.path, content=frames.content,
                       settings={"size": [height, width], "n_blocks": len(parts)})  # fmt: skip
    return made if sfreq is None else to_rate(made, sfreq, method=method, blocks=blocks)
