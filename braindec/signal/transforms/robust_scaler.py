"""Robust scaling: (x - median) / interquartile range of each channel, limited to +-20, as is usual for MEG and EEG.

Source: Defossez, Caucheteux, Rapin, Kabeli & King (2023, Nature Machine Intelligence 5), Methods, preprocessing.
Differs from the reference in: all training windows are used, not a sample of 200 a recording; one scale for all recordings
unless ``groups`` are given.
"""

from __future__ import annotations

import numpy as np

from braindec.signal.transforms._affine import AffineTransform

__all__ = ["RobustScaler"]


class RobustScaler(AffineTransform):
    """(x - median) / (75th - 25th percentile) for each channel, fitted on training windows.

    Parameters
    ----------
    clamp : float or None
        Values are limited to -clamp .. clamp after scaling.

    Attributes
    ----------
    centre_, spread_ : dict of group -> array of shape (n_channels,)
        Median and interquartile range; a range of 0 counts as 1.
    fitted_on_ : FitRecord
    """

    def __init__(self, *, clamp: float | None = 20.0) -> None:
        self.clamp = clamp

    def _estimate(self, values: np.ndarray) -> tuple[float, float]:
        low, middle, high = np.percentile(values, [25, 50, 75])
        return middle, high - low
