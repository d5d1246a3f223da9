"""End-point error: distance between the optical flow of the made film and that of the film shown, pixels; lower is better.

Mean over pixels and pairs of frames. A film without motion scores the mean speed of the true film: the blind predictor's
figure says how little that can be.

Source: Otte & Nagel 1994 / Baker et al. 2011 (IJCV 92), end-point error; flow by :mod:`braindec.evaluate.optical_flow`
(published film decoders took Farneback's).
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.optical_flow import film_flows
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["end_point_error"]


def _error(made: np.ndarray, true: np.ndarray, *, window: float = 3.0) -> np.ndarray:
    difference = film_flows(made, window=window) - film_flows(true, window=window)
    return np.linalg.norm(difference, axis=-1).reshape(len(made), -1).mean(axis=1)


end_point_error = PictureMetric(
    name="end_point_error",
    versions={"strict": _error},
    describe="distance between the optical flow of the made film and that of the film shown, in pixels a frame; lower is better",
    kind="films",
    about={"strict": "pyramidal Lucas-Kanade flow of all channels; mean over pixels and pairs of frames"},
    higher_is_better=False,
    bounds=(0.0, float("inf")),
    blind_says="the mean training film, in which hardly anything moves",
)
