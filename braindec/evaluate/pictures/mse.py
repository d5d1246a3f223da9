"""Mean squared error of pixels, on the scale of 0 to 1; lower is better."""

from __future__ import annotations

import numpy as np

from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["mse", "squared_errors"]


def squared_errors(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of each item over all pixels and channels."""
    return ((made.astype(np.float64) - true) ** 2).reshape(len(made), -1).mean(axis=1)


def _mse(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    return squared_errors(made, true)


mse = PictureMetric(
    name="mse",
    versions={"strict": _mse},
    describe="mean squared difference of pixels (0 to 1); the mean training picture is hard to beat",
    about={"strict": "all pixels and channels, in the size of the pictures"},
    higher_is_better=False,
    by_frame=True,
)
