"""ROUGE: overlap of words with the reference; ROUGE-L by the longest common subsequence, ROUGE-1 by single words.

Source: Lin 2004 (ACL workshop), sections 2 and 3. ``strict`` is ROUGE-L with equal weight on precision and recall, the best
over references; ``coco-2015`` weighs recall 1.2 times and takes the best precision and the best recall over references apart,
as the COCO caption evaluation does (Chen et al. 2015, arXiv 1504.00325).
Differs from the reference in: nothing is stemmed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braindec.evaluate._caption_words import ngrams, words_of
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["rouge", "common_subsequence"]


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = 0
        for j, other in enumerate(b, start=1):
            before, row[j] = row[j], before + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def _f(precision: float, recall: float, beta: float = 1.0) -> float:
    below = recall + beta**2 * precision
    return (1 + beta**2) * precision * recall / below if below else 0.0


def _parts(words: list[str], reference: list[str], *, longest: bool) -> tuple[float, float]:
    if longest:
        hits = common_subsequence(words, reference)
    else:
        hits = sum((ngrams(words, 1) & ngrams(reference, 1)).values())
    return hits / max(1, len(words)), hits / len(reference)


def _best(made: Sequence[str], true: Sequence[Sequence[str]], *, longest: bool) -> np.ndarray:
    return np.array([
        max(_f(*_parts(words_of(text), words_of(r), longest=longest)) for r in references)
        for text, references in zip(made, true)
    ])  # fmt: skip


def _rouge_l(made: Sequence[str], true: Sequence[Sequence[str]]) -> np.ndarray:
    return _best(made, true, longest=True)


def _rouge_1(made: Sequence[str], true: Sequence[Sequence[str]]) -> np.ndarray:
    return _best(made, true, longest=False)


def _coco(made: Sequence[str], true: Sequence[Sequence[str]]) -> np.ndarray:
    values = []
    for text, references in zip(made, true):
        parts = np.array([_parts(words_of(text), words_of(r), longest=True) for r in references])
        values.append(_f(*parts.max(axis=0), beta=1.2))
    return np.array(values)


rouge = PictureMetric(
    name="rouge",
    versions={"strict": _rouge_l, "rouge-1": _rouge_1, "coco-2015": _coco},
    describe="overlap of words with the reference, in order (longest common subsequence)",
    kind="captions",
    about={
        "strict": "ROUGE-L, F1, the best over references, no stemming",
        "rouge-1": "single words, F1, the best over references, no stemming",
        "coco-2015": "ROUGE-L, recall weighs 1.2 times, best precision and best recall over references",
    },
    blind_says="the most central training caption, the same for every item",
)
