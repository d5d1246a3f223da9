"""The words that the planted model knows: classes of English words and as many made-up ones, each one token."""

from __future__ import annotations

import numpy as np

__all__ = ["CLASSES", "GRAMMARS", "NONWORDS", "nonwords", "phrases_of"]

CLASSES: dict[str, tuple[str, ...]] = {
    "adjective": tuple("small old angry quiet brave young happy clever gentle hungry lazy proud silent strange tired warm wild "
                       "bright calm eager famous lonely noisy polite".split()),
    "noun": tuple("dogs cats farmers teachers sailors birds horses doctors singers children lions nurses bakers painters "
                  "soldiers foxes pilots dancers bears writers guards students hunters ducks".split()),
    "verb": tuple("run sing walk dance laugh sleep swim travel whisper listen shout wander climb argue wait smile jump cry "
                  "rest work talk march read cook".split()),
    "adverb": tuple("slowly loudly often today quickly badly daily softly together alone early twice again gladly nearby "
                    "outside always rarely weekly kindly late sometimes upstairs abroad".split()),
    "determiner": tuple("the a this that every some our their my your each any".split()),
    "preposition": tuple("toward behind near beside past without around after before under above against".split()),
    "name": tuple("anna peter maria oscar julia simon clara victor emma hugo laura martin nina felix sara paul helen adam "
                  "eva leon rosa david irene max".split()),
}  # fmt: skip

# one class a slot, no class twice: the class of a word says where in its sentence it stands
GRAMMARS: dict[int, tuple[str, ...]] = {
    4: ("adjective", "noun", "verb", "adverb"),
    6: ("determiner", "adjective", "noun", "verb", "preposition", "name"),
}


def phrases_of(n: int) -> tuple[tuple[int, int], ...]:
    """(start, stop) of the two phrases of a sentence of ``n`` words: its halves."""
    return (0, n // 2), (n // 2, n)


def nonwords(n: int) -> tuple[str, ...]:
    """``n`` pronounceable made-up words, always the same, none of them a word of :data:`CLASSES` or the start of one."""
    rng = np.random.default_rng(1947)
    onsets, vowels, codas = "b bl d dr f fl g gr k kl m n p pl s sk sn t tr v z".split(), "a e i o u oo ee".split(), "b d f g k l m n p rf st x z".split()  # fmt: skip
    known = {w for words in CLASSES.values() for w in words}
    made: dict[str, None] = {}
    while len(made) < n:
        word = "".join(rng.choice(part) for part in (onsets, vowels, codas, vowels, codas))
        if not any(k.startswith(word) or word.startswith(k) for k in known):
            made[word] = None
    return tuple(made)


NONWORDS = nonwords(96)
