"""Squared Euclidean distance of two patterns divided by the number of units: the mean squared difference.

Differs from the textbook in: squared, and divided by the number of units, as in Nili et al. 2014 (PLoS Comput Biol
10:e1003553) and rsatoolbox, so that regions of different size are on one scale.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure, squared_distances

__all__ = ["squared_euclidean"]


def _kernel(patterns: np.ndarray) -> np.ndarray:
    away = patterns - patterns.mean(axis=-2, keepdims=True)  # distances do not change, rounding errors do
    return away @ away.swapaxes(-1, -2)


squared_euclidean = Measure("squared_euclidean", "1", "mean over units of the squared difference", "units² of the data",
                            _kernel, squared_distances)  # fmt: skip
