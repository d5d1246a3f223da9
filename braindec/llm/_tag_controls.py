"""Sentences dealt anew: the controls of frequency tagging, as functions of lists of units.

:mod:`braindec.llm.tag_stimuli` says what each keeps and what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from braindec.errors import BraindecError

__all__ = ["CONTROLS", "Sentences", "nonsense", "phrase_shuffle", "reverse", "slot_shuffle", "within_sentence_shuffle"]

Sentences = Sequence[Sequence[str]]
_TRIES = 2000


def slot_shuffle(sentences: Sentences, *, seed: int = 0) -> list[list[str]]:
    """Deal the words of each slot anew: same words in each slot, no two words of a new sentence from one sentence.

    Raises
    ------
    BraindecError
        If there are fewer sentences than slots.
    """
    length = _same_length(sentences)
    n = len(sentences)
    if n < length:
        raise BraindecError(
            f"sentences of {length} units need at least {length} of them to be dealt anew", found=f"{n}"
        )
    rng = np.random.default_rng([seed, 402])
    order, shifts = rng.permutation(n), rng.permutation(n)[:length]
    return [[sentences[order[(i + s) % n]][slot] for slot, s in enumerate(shifts)] for i in range(n)]


def within_sentence_shuffle(sentences: Sentences, *, seed: int = 0) -> list[list[str]]:
    """Reorder the words of each sentence so that no two neighbours were neighbours in this order before.

    Raises
    ------
    BraindecError
        If a sentence has no such order (one unit, or the same words again).
    """
    rng = np.random.default_rng([seed, 403])
    out = []
    for units in sentences:
        units = list(units)
        before = set(pairwise(units))
        for _ in range(_TRIES):
            new = [units[k] for k in rng.permutation(len(units))]
            if not before & set(pairwise(new)):
                break
        else:
            raise BraindecError(
                f"no order of {' '.join(units)!r} is free of its own neighbours", fix="leave the sentence out"
            )  # fmt: skip
        out.append(new)
    return out


def nonsense(sentences: Sentences, *, seed: int = 0) -> list[list[str]]:
    """Deal all words of all sentences anew to all slots; no two neighbours of a sentence were neighbours before.

    Raises
    ------
    BraindecError
        If no such deal is found (very few words).
    """
    length = _same_length(sentences)
    rng = np.random.default_rng([seed, 404])
    words = [u for units in sentences for u in units]
    before = {pair for units in sentences for pair in pairwise(units)}
    order = rng.permutation(len(words))
    for _ in range(_TRIES):
        dealt = np.array(words, dtype=object)[order]
        bad = [k for k in range(len(words) - 1) if (k + 1) % length and (dealt[k], dealt[k + 1]) in before]
        if not bad:
            return [dealt[i : i + length].tolist() for i in range(0, len(words), length)]
        for k in bad:  # trade the second of a surviving pair for any other word
            other = int(rng.integers(len(words)))
            order[[k + 1, other]] = order[[other, k + 1]]
    raise BraindecError(
        "these words cannot be dealt without a pair of neighbours that was there before", found=f"{len(words)} words"
    )


def reverse(sentences: Sentences, *, seed: int = 0) -> list[list[str]]:
    """Turn each sentence back to front (``seed`` changes nothing)."""
    return [list(units)[::-1] for units in sentences]


def phrase_shuffle(sentences: Sentences, *, seed: int = 0, span: int = 2) -> list[list[str]]:
    """Deal whole phrases of ``span`` units anew to all places of all sentences.

    Raises
    ------
    BraindecError
        If phrases do not tile the sentence.
    """
    length = _same_length(sentences)
    if span < 1 or length % span:
        raise BraindecError(
            f"phrases of {span} units do not tile sentences of {length}", allowed="a divisor of the sentence length"
        )
    phrases = [list(units[i : i + span]) for units in sentences for i in range(0, length, span)]
    order = np.random.default_rng([seed, 406]).permutation(len(phrases))
    per = length // span
    return [[u for k in order[i : i + per] for u in phrases[k]] for i in range(0, len(phrases), per)]


CONTROLS: dict[str, Callable[..., list[list[str]]]] = {
    "slot_shuffle": slot_shuffle,
    "within_sentence_shuffle": within_sentence_shuffle,
    "reverse": reverse,
    "phrase_shuffle": phrase_shuffle,
    "nonsense": nonsense,
}


def _same_length(sentences: Sentences) -> int:
    lengths = {len(s) for s in sentences}
    if len(lengths) != 1 or 0 in lengths:
        raise BraindecError("sentences must all have the same number of units", found=f"lengths {sorted(lengths)[:8]}")
    return lengths.pop()
