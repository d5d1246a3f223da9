"""PixCorr: correlation of the pixels of a picture with those of the one shown, over all positions and channels.

Source: Takagi & Nishimoto 2023 (CVPR) and Scotti et al. 2023 (NeurIPS, "MindEye"), pixel correlation.
Differs from the reference in: ``strict`` compares pictures in their own size; a constant picture has no correlation and
counts 0 (there: NaN in the mean). The sign is kept: the absolute value that one captioning system takes rewards a negative.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from braindec.evaluate._made_and_true import sizes_then
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["pixcorr", "correlations"]


def correlations(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pearson correlation of row i with row i, NaN where one is constant."""
    a, b = (np.asarray(v, dtype=np.float64).reshape(len(v), -1) for v in (made, true))
    flat = (np.ptp(a, axis=1) == 0) | (np.ptp(b, axis=1) == 0)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    known = (lengths > 0) & ~flat
    return np.divide((a * b).sum(axis=1), lengths, out=np.full(len(a), np.nan), where=known)


def _pixcorr(made: np.ndarray, true: np.ndarray, *, resize: tuple[int, ...] | None = None) -> np.ndarray:
    return sizes_then(correlations, made, true, resize)


pixcorr = PictureMetric(
    name="pixcorr",
    versions={
        "strict": _pixcorr,
        "mindeye-2023": partial(_pixcorr, resize=(256, 425)),
        "braindiffuser-2023": partial(_pixcorr, resize=(425,)),
    },
    describe="correlation of all pixels and channels of each picture with the one shown; mean over items",
    about={
        "strict": "in the size of the pictures",
        "mindeye-2023": "scaled to 256 (antialias), then to 425 pixels",
        "braindiffuser-2023": "scaled to 425 pixels",
    },
    undefined=0.0,
    undefined_says="a constant picture has no correlation",
    by_frame=True,
    bounds=(-1.0, 1.0),
)
