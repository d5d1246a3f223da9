"""Two-way identification: is the made picture's description nearer to that of its own stimulus than to that of another?

For each item the share of other stimuli whose features correlate less with the features of the made picture than its own
stimulus's do. Chance is one half; a decoder that knows nothing but one of K categories scores 1 - 1 / (2 K), so
``within_category`` should stand beside it.

Source: Ozcelik & VanRullen 2023 (Scientific Reports 13) and Scotti et al. 2023 (NeurIPS), two-way identification.
Differs from the reference in: ties count one half in ``strict`` (correlations are compared to nine decimals) and lose in the
historical versions. A prediction whose features are constant correlates with nothing: all ties, .5 in ``strict``, 0 in
``mindeye-2023`` and ``braindiffuser-2023``. One picture for all items scores .5 on average in every version.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.identification import identification_scores
from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.picture_network import features_of

__all__ = ["two_way", "feature_correlations", "identified"]


def feature_correlations(made: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pearson correlation of each made description (row) with each true one (column), 0 where one is constant."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (made, true))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    tiny = 1e-12 * max(1.0, float(np.abs(made).max()), float(np.abs(true).max())) ** 2
    return np.divide(a @ b.T, lengths, out=np.zeros(lengths.shape), where=lengths > tiny)


def identified(similarity: np.ndarray, *, ties: str, within: np.ndarray | None = None) -> np.ndarray:
    """Return the share of distractors that each item beats; ``ties`` count "half" or "lose"; NaN without a distractor."""
    if ties == "half":
        return identification_scores(np.round(similarity, 9), within=within)
    n = len(similarity)
    others = ~np.eye(n, dtype=bool)
    if within is not None:
        others &= np.asarray(within)[:, None] == np.asarray(within)
    count = others.sum(axis=1)
    beaten = ((similarity < np.diag(similarity)[:, None]) & others).sum(axis=1)
    return np.divide(beaten, count, out=np.full(n, np.nan), where=count > 0)


def _two_way(
    made: np.ndarray,
    true: np.ndarray,
    *,
    network: Any,
    layer: str | None = None,
    ties: str = "half",
    resize: int | None = None,
) -> np.ndarray:
    if len(true) < 2:
        raise BraindecError("two_way needs distractors", found=f"{len(true)} item", allowed="at least two items")
    similarity = feature_correlations(*(features_of(network, v, layer=layer, resize=resize) for v in (made, true)))
    return identified(similarity, ties=ties)


two_way = PictureMetric(
    name="two_way",
    versions={
        "strict": _two_way,
        "mindeye-2023": partial(_two_way, ties="lose"),
        "braindiffuser-2023": partial(_two_way, ties="lose", resize=224),
    },
    describe="share of other stimuli whose network features correlate less with those of the made picture than its own stimulus's",
    about={
        "strict": "ties count one half; pictures go to the network in their own size",
        "mindeye-2023": "ties lose; the network scales pictures to its own size",
        "braindiffuser-2023": "ties lose; pictures are scaled to 224 pixels for every network",
    },
    needs=("network",),
    chance_level=lambda n, labels, **_: 0.5,
    blind_says="the mean training picture for every item: .5 by symmetry",
)
