"""Pearson's correlation of each output with its prediction, mean over outputs; blind to scale and offset."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.metric import Metric

__all__ = ["pearson"]


def _values(y_true: np.ndarray, prediction: np.ndarray) -> float:
    a, b = y_true - y_true.mean(axis=0), prediction - prediction.mean(axis=0)
    length = np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0))
    if (length <= 1e-300).any():
        raise BraindecError(
            "a correlation is not defined for an output or a prediction that does not vary",
            found=f"{int((length <= 1e-300).sum())} of {len(length)} constant",
        )
    return float(np.mean(np.sum(a * b, axis=0) / length))


pearson = Metric("pearson", "1", "values", lambda y_true, classes: 0.0, "correlation with the truth", values=_values,
                 bounds=(-1.0, 1.0))  # fmt: skip
