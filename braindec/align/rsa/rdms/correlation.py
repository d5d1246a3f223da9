"""Correlation distance: 1 minus the Pearson correlation of two patterns over units."""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure

__all__ = ["correlation"]


def _kernel(patterns: np.ndarray) -> np.ndarray:
    return patterns @ patterns.swapaxes(-1, -2)


def _distances(kernel: np.ndarray, n_units: int) -> np.ndarray:
    norm = np.sqrt(np.diagonal(kernel, axis1=-2, axis2=-1))
    return 1.0 - kernel / norm[..., :, None] / norm[..., None, :]


correlation = Measure("correlation", "1", "1 minus the correlation of two patterns over units", "1 - r",
                      _kernel, _distances, centred=True)  # fmt: skip
