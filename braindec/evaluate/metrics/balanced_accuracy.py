"""Balanced accuracy: the mean over classes of the share of its rows that were right (Brodersen et al. 2010, ICPR)."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.metric import Metric, per_class, weighted

__all__ = ["balanced_accuracy"]


def _counts(codes, prediction, n_classes, weights=None):
    right = np.asarray(codes == prediction)
    members = per_class(np.broadcast_to(codes, right.shape), n_classes)
    above = np.stack([weighted(right & m, weights) for m in members], axis=-1)
    return above, np.stack([weighted(m, weights) for m in members], axis=-1)


def _chance(y_true: np.ndarray, classes: np.ndarray) -> float:
    return 1.0 / len(classes)


balanced_accuracy = Metric(
    "balanced_accuracy", "1", "labels", _chance, "mean over classes of the share that was right", counts=_counts
)
