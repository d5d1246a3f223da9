"""METEOR: words aligned with the reference, exact first and then by stem, less a penalty for alignments in pieces.

Words are aligned one to one, in stages: the same word; the same Porter stem; (``wordnet-2005`` only) a WordNet synonym. Each
stage aligns as many of the words left as it can; among alignments with as many words the one in the fewest pieces (chunks) is
taken. F = P R / (alpha P + (1 - alpha) R), score = F (1 - gamma (chunks / matches)^beta); the best over references.

Source: Banerjee & Lavie 2005 (ACL workshop), with alpha .9, beta 3, gamma .5; Denkowski & Lavie 2014 for versions after it,
whose paraphrase tables are not used. Which stages run is part of the version's name: ``strict`` is exact + stem everywhere,
because the synonym stage needs WordNet's data beside nltk.
Differs from the reference in: the fewest pieces are found by a search that keeps the 64 best partial alignments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from braindec.errors import BraindecError, MissingExtraError
from braindec.evaluate._caption_words import words_of
from braindec.evaluate._porter import stem
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["meteor", "align_words"]

KEEP = 64
Same = Callable[[str, str], bool]
State = tuple[tuple[int, ...], int, tuple[tuple[int, int], ...], frozenset[int]]


def align_words(made: Sequence[str], reference: Sequence[str], stages: Sequence[Same]) -> list[tuple[int, int]]:
    """Return pairs (place in made, place in reference), in order of the first.

    As many pairs of the first stage as can be, then of the second, and so on; then the fewest chunks: a beam search over the
    places of the made caption.
    """
    none = (0,) * len(stages)
    beam: list[State] = [(none, 0, (), frozenset())]
    for i, word in enumerate(made):
        options = [(j, first) for j, other in enumerate(reference) if (first := _first_stage(word, other, stages)) >= 0]
        grown = list(beam)
        for counts, chunks, pairs, used in beam:
            for j, stage in options:
                if j not in used:
                    more = tuple(c + (s == stage) for s, c in enumerate(counts))
                    goes_on = bool(pairs) and pairs[-1] == (i - 1, j - 1)
                    grown.append((more, chunks + (not goes_on), (*pairs, (i, j)), used | {j}))
        grown.sort(key=lambda state: ([-c for c in state[0]], state[1]))
        beam = _varied(grown)
    return list(beam[0][2])


def _first_stage(word: str, other: str, stages: Sequence[Same]) -> int:
    return next((s for s, same in enumerate(stages) if same(word, other)), -1)


def _varied(states: list[State]) -> list[State]:
    """Keep the best of each set of used places and last pair, and of those the best few."""
    kept: dict[tuple, State] = {}
    for state in states:
        kept.setdefault((state[3], state[2][-1:]), state)
    return list(kept.values())[:KEEP]


def _meteor(
    made: Sequence[str],
    true: Sequence[Sequence[str]],
    *,
    alpha: float = 0.9,
    beta: float = 3.0,
    gamma: float = 0.5,
    wordnet: bool = False,
) -> np.ndarray:
    stages: list[Same] = [lambda a, b: a == b, lambda a, b: stem(a) == stem(b)]
    if wordnet:
        stages.append(_synonyms())
    return np.array([
        max(_score(words_of(text), words_of(r), stages, alpha, beta, gamma) for r in references)
        for text, references in zip(made, true)
    ])  # fmt: skip


def _score(
    words: list[str], reference: list[str], stages: Sequence[Same], alpha: float, beta: float, gamma: float
) -> float:
    pairs = align_words(words, reference, stages)
    if not pairs:
        return 0.0
    precision, recall = len(pairs) / len(words), len(pairs) / len(reference)
    f = precision * recall / (alpha * precision + (1 - alpha) * recall)
    chunks = 1 + sum(b != (a[0] + 1, a[1] + 1) for a, b in pairwise(pairs))
    return f * (1 - gamma * (chunks / len(pairs)) ** beta)


def _synonyms() -> Same:
    try:
        from nltk.corpus import wordnet
    except ImportError as error:
        raise MissingExtraError.of("nltk", "captions", "the synonym stage of METEOR") from error
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise BraindecError(
            "the synonym stage of METEOR needs the data of WordNet", found="nltk without its corpus 'wordnet'",
            fix="python -m nltk.downloader wordnet, or use version 'strict' (exact + stem)",
        ) from error  # fmt: skip
    known: dict[str, set[str]] = {}

    def of(word: str) -> set[str]:
        if word not in known:
            known[word] = {n for s in wordnet.synsets(word) for n in s.lemma_names() if "_" not in n}
        return known[word]

    return lambda a, b: b in of(a) or a in of(b)


meteor = PictureMetric(
    name="meteor",
    versions={"strict": _meteor, "wordnet-2005": partial(_meteor, wordnet=True)},
    describe="words aligned with the reference (exact, then by stem), less a penalty for alignments in pieces",
    kind="captions",
    about={
        "strict": "exact and stem stages, no synonyms; alpha .9, beta 3, gamma .5; the best over references",
        "wordnet-2005": "exact, stem and WordNet synonym stages (needs nltk and its data)",
    },
    blind_says="the most central training caption, the same for every item",
)
