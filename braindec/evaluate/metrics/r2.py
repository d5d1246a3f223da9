"""R2: share of the variance of each output that is predicted, mean over outputs; negative when worse than the mean."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.metric import Metric

__all__ = ["r2"]


def _values(y_true: np.ndarray, prediction: np.ndarray) -> float:
    total = np.sum((y_true - y_true.mean(axis=0)) ** 2, axis=0)
    if (total <= 0).any():
        raise BraindecError(
            "r2 is not defined for an output that does not vary", found=f"{int((total <= 0).sum())} constant"
        )
    return float(np.mean(1 - np.sum((y_true - prediction) ** 2, axis=0) / total))


r2 = Metric("r2", "1", "values", lambda y_true, classes: 0.0, "share of variance predicted", values=_values,
            bounds=(-np.inf, 1.0))  # fmt: skip
