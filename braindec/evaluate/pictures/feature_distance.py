"""Feature distance: one minus the correlation of network features of a made picture with those of the one shown.

Source: Ozcelik & VanRullen 2023 (Scientific Reports 13), average correlation distance of EfficientNet-B1 and SwAV-ResNet50
features. Differs from the reference in: constant features have no correlation; their distance is 1 (there: NaN).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.picture_network import features_of
from braindec.evaluate.pictures.pixcorr import correlations

__all__ = ["feature_distance"]


def _distance(
    made: np.ndarray, true: np.ndarray, *, network: Any, layer: str | None = None, resize: int | None = None
) -> np.ndarray:
    return 1 - correlations(*(features_of(network, v, layer=layer, resize=resize) for v in (made, true)))


feature_distance = PictureMetric(
    name="feature_distance",
    versions={
        "strict": _distance,
        "mindeye-2023": _distance,
        "braindiffuser-2023": partial(_distance, resize=224),
    },
    describe="one minus the correlation of network features with those of the picture shown; lower is better",
    about={
        "strict": "pictures go to the network in their own size",
        "mindeye-2023": "the same: the network scales pictures to its own size",
        "braindiffuser-2023": "pictures are scaled to 224 pixels for every network",
    },
    higher_is_better=False,
    needs=("network",),
    undefined=1.0,
    undefined_says="constant features have no correlation",
    bounds=(0.0, 2.0),
)
