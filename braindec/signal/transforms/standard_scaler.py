"""Standardisation: (x - mean) / standard deviation of each channel, over windows and time."""

from __future__ import annotations

import numpy as np

from braindec.signal.transforms._affine import AffineTransform

__all__ = ["StandardScaler"]


class StandardScaler(AffineTransform):
    """(x - mean) / standard deviation for each channel, fitted on training windows.

    Parameters
    ----------
    clamp : float or None
        Values are limited to -clamp .. clamp after scaling; not at all by default.

    Attributes
    ----------
    centre_, spread_ : dict of group -> array of shape (n_channels,)
        Mean and standard deviation; a deviation of 0 counts as 1.
    fitted_on_ : FitRecord
    """

    def __init__(self, *, clamp: float | None = None) -> None:
        self.clamp = clamp

    def _estimate(self, values: np.ndarray) -> tuple[float, float]:
        return values.mean(), values.std()
