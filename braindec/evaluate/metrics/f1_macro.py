"""F1, mean over classes: 2 TP / (2 TP + FP + FN). Chance is that of guessing with the classes' frequencies, 1 / K."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.metric import Metric, per_class, weighted

__all__ = ["f1_macro"]


def _counts(codes, prediction, n_classes, weights=None):
    codes, prediction = np.broadcast_arrays(codes, prediction)
    above, below = [], []
    for true, given in zip(per_class(codes, n_classes), per_class(prediction, n_classes), strict=True):
        above.append(2 * weighted(true & given, weights))
        below.append(weighted(true, weights) + weighted(given, weights))
    return np.stack(above, axis=-1), np.stack(below, axis=-1)


def _chance(y_true: np.ndarray, classes: np.ndarray) -> float:
    return 1.0 / len(classes)


f1_macro = Metric("f1_macro", "1", "labels", _chance, "mean over classes of F1", counts=_counts)
