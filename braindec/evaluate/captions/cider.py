"""CIDEr: do captions share the runs of words that are rare in the collection?

Cosine of tf-idf vectors of runs of n words, mean over references and over n = 1 to 4. Rarity is counted over the items'
references: in how many items a run occurs in at least one reference; so the score of an item depends on the collection, and a
single item has none. ``cider-d`` clips repeated words, penalises a difference in length (Gaussian, sigma 6 words) and is
multiplied by ten, as in the COCO evaluation.

Source: Vedantam, Zitnick & Parikh 2015 (CVPR), equations 1 to 5.
Differs from the reference in: words are not stemmed unless ``stem=True`` (the COCO server does not stem either).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from math import exp, log, sqrt
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._caption_words import ngrams, words_of
from braindec.evaluate._porter import stem as porter
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["cider"]

SIGMA = 6.0
Vectors = list[dict[tuple[str, ...], float]]


def _cider(
    made: Sequence[str],
    true: Sequence[Sequence[str]],
    *,
    clipped: bool = False,
    stem: bool = False,
    collection: Sequence[Any] | None = None,
) -> np.ndarray:
    """``collection``: references that rarity is counted over instead of the items' own (one entry an item)."""
    of = [[r] if isinstance(r, str) else list(r) for r in (true if collection is None else collection)]
    if len(of) < 2:
        raise BraindecError(
            "cider weighs words by how rare they are in a collection", found=f"{len(of)} item",
            fix="score at least two items, or give collection=[...] of references",
        )  # fmt: skip
    known: dict[str, list[str]] = {}

    def words(text: str) -> list[str]:
        if text not in known:
            known[text] = [porter(w) for w in words_of(text)] if stem else words_of(text)
        return known[text]

    frequency: Counter[tuple[str, ...]] = Counter()
    for references in of:
        frequency.update({g for r in references for n in (1, 2, 3, 4) for g in ngrams(words(r), n)})
    weigh = partial(_vectors, frequency=frequency, n_items=len(of))
    values = []
    for text, references in zip(made, true):
        own = weigh(words(text))
        each = [
            _similarity(own, weigh(words(r)), clipped=clipped, difference=len(words(text)) - len(words(r)))
            for r in references
        ]
        values.append((10.0 if clipped else 1.0) * float(np.mean(each)))
    return np.array(values)


def _vectors(words: Sequence[str], *, frequency: Counter[tuple[str, ...]], n_items: int) -> Vectors:
    """Counts times log inverse frequency, one vector a length of run."""
    return [
        {g: count * log(n_items / max(1, frequency[g])) for g, count in ngrams(words, n).items()} for n in (1, 2, 3, 4)
    ]


def _similarity(a: Vectors, b: Vectors, *, clipped: bool, difference: int) -> float:
    total = 0.0
    for x, y in zip(a, b):
        length = sqrt(sum(v * v for v in x.values()) * sum(v * v for v in y.values()))
        if length:
            total += sum((min(x[g], y[g]) if clipped else x[g]) * y[g] for g in x.keys() & y.keys()) / length
    return total / 4 * (exp(-(difference**2) / (2 * SIGMA**2)) if clipped else 1.0)


cider = PictureMetric(
    name="cider",
    versions={"strict": _cider, "cider-d": partial(_cider, clipped=True)},
    describe="cosine of runs of up to four words, weighted by how rare they are among the references of all items",
    kind="captions",
    about={
        "strict": "CIDEr of the paper, 0 to 1, no stemming",
        "cider-d": "CIDEr-D: clipped counts, penalty on length, times ten; no stemming",
    },
    bounds=(0.0, 10.0),
    blind_says="the most central training caption, the same for every item",
)
