"""The Porter stemmer: English words without their endings.

Source: Porter 1980 (Program 14, "An algorithm for suffix stripping"), steps 1a to 5b as printed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

__all__ = ["stem"]

STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "abli": "able", "alli": "al",
    "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al",
    "iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble",
}  # fmt: skip
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the stem of a lower-case word; words of one or two letters stay as they are."""
    if len(word) < 3:
        return word
    word = _step_1a(word)
    word = _step_1b(word)
    if word.endswith("y") and _vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(_replaced(word, STEP_2), STEP_3)
    word = _step_4(word)
    if word.endswith("e"):
        body = word[:-1]
        if _measure(body) > 1 or (_measure(body) == 1 and not _short(body)):
            word = body
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word


def _consonant(word: str, i: int) -> bool:
    if word[i] == "y":
        return i == 0 or not _consonant(word, i - 1)
    return word[i] not in "aeiou"


def _measure(body: str) -> int:
    """How often a run of vowels is followed by a run of consonants."""
    kinds = [_consonant(body, i) for i in range(len(body))]
    return sum(not a and b for a, b in pairwise(kinds))


def _vowel(body: str) -> bool:
    return not all(_consonant(body, i) for i in range(len(body)))


def _double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _consonant(word, len(word) - 1)


def _short(word: str) -> bool:
    """Ends in consonant, vowel, consonant, the last none of w, x, y."""
    n = len(word)
    return (
        n > 2
        and _consonant(word, n - 3)
        and not _consonant(word, n - 2)
        and _consonant(word, n - 1)
        and word[-1] not in "wxy"
    )


def _step_1a(word: str) -> str:
    for ending, new in (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")):
        if word.endswith(ending):
            return word[: -len(ending)] + new
    return word


def _step_1b(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        if word.endswith(ending):
            body = word[: -len(ending)]
            if not _vowel(body):
                return word
            if body.endswith(("at", "bl", "iz")):
                return body + "e"
            if _double(body) and body[-1] not in "lsz":
                return body[:-1]
            return body + "e" if _measure(body) == 1 and _short(body) else body
    return word


def _replaced(word: str, table: dict[str, str]) -> str:
    """Replace the longest ending of a table, if something with measure above 0 stands before it."""
    for ending in sorted(table, key=len, reverse=True):
        if word.endswith(ending):
            body = word[: -len(ending)]
            return body + table[ending] if _measure(body) > 0 else word
    return word


def _step_4(word: str) -> str:
    for ending in sorted(STEP_4, key=len, reverse=True):
        if word.endswith(ending):
            body = word[: -len(ending)]
            fits = _measure(body) > 1 and (ending != "ion" or body.endswith(("s", "t")))
            return body if fits else word
    return word
