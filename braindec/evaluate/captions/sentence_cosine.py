"""Sentence cosine: cosine of the embedding of the made caption with that of its reference; the best over references.

Any function of a list of texts that returns (n, units) will do; by name: ``hashing`` and ``tfidf`` (built in, words only), or
``{"name": "transformers", "weights": "folder"}``, a sentence model on disk. What two unrelated captions score depends on the
model (.2 and more are common): read it beside :meth:`PictureMetric.exchanged` and the blind row.

Source: Reimers & Gurevych 2019 (EMNLP, "Sentence-BERT").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["sentence_cosine"]


def _cosine(made: Sequence[str], true: Sequence[Sequence[str]], *, network: Callable[..., Any]) -> np.ndarray:
    flat = [r for references in true for r in references]
    texts = [*made, *flat]
    vectors = np.asarray(network(texts), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise BraindecError(
            "a sentence network must return one finite vector a text",
            found=f"shape {vectors.shape} for {len(texts)} texts",
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    item = np.repeat(np.arange(len(made)), [len(r) for r in true])
    each = (vectors[: len(made)][item] * vectors[len(made) :]).sum(axis=1)
    best = np.full(len(made), -np.inf)
    np.maximum.at(best, item, each)
    return np.where(lengths[: len(made), 0] > 0, best, np.nan)


sentence_cosine = PictureMetric(
    name="sentence_cosine",
    versions={"strict": _cosine},
    describe="cosine of the sentence embedding of the made caption with that of its nearest reference",
    kind="captions",
    about={"strict": "the best over references; the embedding is named by the network"},
    needs=("network",),
    undefined_says="a caption without a word that the network knows",
    bounds=(-1.0, 1.0),
    blind_says="the most central training caption, the same for every item",
)
