"""BLEU: clipped precision of runs of 1 to 4 words, with a penalty for captions shorter than the reference.

One value an item: geometric mean of the precisions, those of two words and more with one added above and below (so a caption
without a run of four in common does not count 0), times the brevity penalty against the reference nearest in length (the
shorter if tied). The mean over items is not the corpus BLEU of published tables: :func:`corpus_bleu` is that one.

Source: Papineni, Roukos, Ward & Zhu 2002 (ACL), sections 2.1 to 2.3; smoothing of Lin & Och 2004 (COLING).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from math import exp, log
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._caption_words import checked_captions, ngrams, words_of
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["bleu", "corpus_bleu"]


def corpus_bleu(made: Sequence[str], true: Sequence[Any], *, max_n: int = 4) -> float:
    """Return BLEU of the whole list: counts are summed over items before they are divided; nothing is smoothed.

    Parameters
    ----------
    made : sequence of str
    true : sequence of str, or of sequences of str
        One reference an item, or several.
    max_n : int
        Longest run of words: BLEU-1 to BLEU-4.
    """
    made, true = checked_captions(made, true, metric="bleu")
    if max_n < 1:
        raise BraindecError("bleu counts runs of at least one word", found=f"max_n={max_n}")
    total = np.zeros((2, max_n))
    lengths = np.zeros(2)
    for text, references in zip(made, true):
        hits, length = _counts(text, references, max_n)
        total, lengths = total + hits, lengths + length
    if not total[0].all():
        return 0.0
    return float(np.exp(np.log(total[0] / total[1]).mean())) * _brevity(*lengths)


def _counts(text: str, references: Sequence[str], max_n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hits and tries of each length of run, (2, max_n); length of the caption and of its nearest reference."""
    words, others = words_of(text), [words_of(r) for r in references]
    counts = np.zeros((2, max_n))
    for n in range(1, max_n + 1):
        seen, most = ngrams(words, n), Counter()
        for other in others:
            most |= ngrams(other, n)
        counts[:, n - 1] = sum((seen & most).values()), sum(seen.values())
    nearest = min((abs(len(o) - len(words)), len(o)) for o in others)[1]
    return counts, np.array([len(words), nearest], dtype=float)


def _brevity(made: float, reference: float) -> float:
    return 1.0 if made >= reference else exp(1 - reference / made) if made else 0.0


def _bleu(made: Sequence[str], true: Sequence[Sequence[str]], *, max_n: int = 4) -> np.ndarray:
    if max_n < 1:
        raise BraindecError("bleu counts runs of at least one word", found=f"max_n={max_n}")
    values = []
    for text, references in zip(made, true):
        (hits, tries), lengths = _counts(text, references, max_n)
        if not hits[0]:
            values.append(0.0)
            continue
        precisions = [hits[0] / tries[0], *((hits[1:] + 1) / (tries[1:] + 1))]
        values.append(exp(sum(log(p) for p in precisions) / max_n) * _brevity(*lengths))
    return np.array(values)


bleu = PictureMetric(
    name="bleu",
    versions={"strict": _bleu, **{f"bleu-{n}": partial(_bleu, max_n=n) for n in (1, 2, 3, 4)}},
    describe="clipped precision of runs of up to four words, with a penalty for brevity; mean over items, smoothed",
    kind="captions",
    about={
        "strict": "BLEU-4 of each item, one added to runs of two and more; not the corpus BLEU (corpus_bleu)",
        **{f"bleu-{n}": f"runs of up to {n} words, smoothed in the same way" for n in (1, 2, 3, 4)},
    },
    blind_says="the most central training caption, the same for every item",
)
