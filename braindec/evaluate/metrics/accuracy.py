"""Accuracy: the share of rows that were right. Chance is the share of the most frequent class: the best blind guess."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.metric import Metric, weighted

__all__ = ["accuracy"]


def _counts(codes, prediction, n_classes, weights=None):
    right = np.asarray(codes == prediction)
    return weighted(right, weights)[..., None], weighted(np.ones_like(right), weights)[..., None]


def _chance(y_true: np.ndarray, classes: np.ndarray) -> float:
    return float(max(np.mean(np.asarray(y_true) == c) for c in classes))


accuracy = Metric("accuracy", "1", "labels", _chance, "share of rows that were right", counts=_counts)
