"""Temporal consistency: correlation of the network features of adjacent frames of the made film.

A film that stands still scores 1, so the figure says how smooth a film is, not how right: ``matched`` asks instead how near
the consistency is to that of the film shown (1 less the absolute difference).

Source: Wu et al. 2023 ("Tune-A-Video"), frame consistency, there with CLIP and cosine.
Differs from the reference in: Pearson correlation; no item is set to 0 because another metric found it poor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.picture_network import features_of
from braindec.evaluate.pictures.pixcorr import correlations

__all__ = ["temporal_consistency", "adjacent_correlation"]


def adjacent_correlation(films: np.ndarray, *, network: Any, layer: str | None = None) -> np.ndarray:
    """Return the mean correlation of the features of neighbouring frames, (n,); NaN where all features are constant."""
    n, n_frames = films.shape[:2]
    if n_frames < 2:
        raise BraindecError("temporal_consistency needs films of at least two frames", found=f"{n_frames} frame")
    if getattr(network, "films", False):
        raise BraindecError("temporal_consistency needs a network of pictures", found="a network of whole films")
    features = features_of(network, films.reshape(n * n_frames, *films.shape[2:]), layer=layer).reshape(n, n_frames, -1)
    units = features.shape[-1]
    each = correlations(features[:, :-1].reshape(-1, units), features[:, 1:].reshape(-1, units)).reshape(n, -1)
    known = np.isfinite(each)
    total = np.where(known, each, 0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(n, np.nan), where=known.any(axis=1))


def _made(made: np.ndarray, true: np.ndarray, *, network: Any, layer: str | None = None) -> np.ndarray:
    return adjacent_correlation(made, network=network, layer=layer)


def _matched(made: np.ndarray, true: np.ndarray, *, network: Any, layer: str | None = None) -> np.ndarray:
    a, b = (adjacent_correlation(v, network=network, layer=layer) for v in (made, true))
    return 1 - np.abs(a - b)


temporal_consistency = PictureMetric(
    name="temporal_consistency",
    versions={"strict": _made, "matched": _matched},
    describe="correlation of network features of adjacent frames of the made film; a film that stands still scores 1",
    kind="films",
    about={
        "strict": "of the made film alone: smoothness, not rightness",
        "matched": "1 less the absolute difference from the consistency of the film shown",
    },
    needs=("network",),
    undefined_says="constant features have no correlation",
    bounds=(-1.0, 1.0),
    blind_says="the mean training film, the same for every item",
)
