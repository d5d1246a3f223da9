"""Peak signal-to-noise ratio, dB: 10 log10(1 / mean squared error). Identical pictures get 100 dB, not infinity.

Source: ITU-T definition with peak 1. Differs from the reference in: the mean squared error is at least 1e-10.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.pictures.mse import squared_errors

__all__ = ["psnr"]

FLOOR = 1e-10


def _psnr(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    return -10 * np.log10(np.maximum(squared_errors(made, true), FLOOR))


psnr = PictureMetric(
    name="psnr",
    versions={"strict": _psnr},
    describe="peak signal-to-noise ratio in dB of all pixels; identical pictures count 100 dB",
    about={"strict": "all pixels and channels, in the size of the pictures, per item; the mean is over items' dB"},
    by_frame=True,
    bounds=(0.0, 100.0),
)
