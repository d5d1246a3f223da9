"""Within-category identification: two-way identification among stimuli of one category, where knowing the category wins nothing.

Source: two-way identification (see ``two_way``) restricted to distractors of the item's own category; Shirakawa et al. 2024
(arXiv 2405.10078) on why identification over all items is inflated by category.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.picture_network import features_of
from braindec.evaluate.pictures.two_way import feature_correlations, identified

__all__ = ["within_category"]


def _within(
    made: np.ndarray,
    true: np.ndarray,
    *,
    network: Any,
    labels: np.ndarray,
    layer: str | None = None,
    ties: str = "half",
) -> np.ndarray:
    if np.unique(labels, return_counts=True)[1].max() < 2:
        raise BraindecError(
            "within_category needs two items of a category", found=f"{len(labels)} items, each of a category of its own",
            fix="use two_way, or labels of fewer categories",
        )  # fmt: skip
    similarity = feature_correlations(*(features_of(network, v, layer=layer) for v in (made, true)))
    return identified(similarity, ties=ties, within=labels)


within_category = PictureMetric(
    name="within_category",
    versions={"strict": _within, "mindeye-2023": partial(_within, ties="lose")},
    describe="two-way identification among stimuli of the item's own category",
    about={"strict": "ties count one half", "mindeye-2023": "ties lose"},
    needs=("network", "labels"),
    chance_level=lambda n, labels, **_: 0.5,
    undefined=0.5,
    undefined_says="alone in its category",
    blind_says="the mean training picture for every item: .5 by symmetry",
)
