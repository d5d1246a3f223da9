"""Words of captions: one tokenisation for every caption metric, n-grams, checks, the most central caption.

Tokenisation: Unicode NFKC, lower case; words are runs of letters and digits, an apostrophe or hyphen inside a word stays in it
("don't", "t-shirt"); all punctuation is dropped. Published tables used the PTB tokeniser of COCO, which also drops punctuation
but splits "don't" into two: figures can differ in the third decimal.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from braindec.errors import BraindecError

__all__ = ["central_caption", "checked_captions", "ngrams", "words_of"]

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
MOST = 500


def words_of(text: str) -> list[str]:
    """Return the words of a text; see the module."""
    return WORD.findall(unicodedata.normalize("NFKC", text).lower().replace("’", "'"))


def ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """Return how often each run of n words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def checked_captions(made: Any, true: Any, *, metric: str) -> tuple[list[str], list[list[str]]]:
    """Return made captions and the list of references of each.

    Raises
    ------
    BraindecError
        If they differ in number, something is no text, or a reference has no words. A made caption may be empty: it scores 0.
    """
    if isinstance(made, str) or isinstance(true, str):
        raise BraindecError(f"{metric} compares lists of captions", found="one text", fix="give [text]")
    made, true = list(made), list(true)
    if not made or len(made) != len(true):
        raise BraindecError(f"{metric} compares captions one to one", found=f"{len(made)} made, {len(true)} true")
    bad = [i for i, text in enumerate(made) if not isinstance(text, str)]
    if bad:
        raise BraindecError(
            f"{metric}: made captions must be texts", found=f"{type(made[bad[0]]).__name__} at row {bad[0]}",
            fix='give "" for an item without a caption: it counts as wrong',
        )  # fmt: skip
    references = []
    for i, given in enumerate(true):
        several = [given] if isinstance(given, str) else list(given) if hasattr(given, "__iter__") else [given]
        if not several or not all(isinstance(r, str) and words_of(r) for r in several):
            raise BraindecError(
                f"{metric}: each item needs at least one reference with words in it", found=f"{given!r} at row {i}"
            )
        references.append(several)
    return made, references


def central_caption(train: Sequence[Any]) -> str:
    """Return the training caption whose words overlap most with those of the others (mean unigram F1; the first if tied).

    Of items with several captions the first counts; of more than 500, every k-th.
    """
    first = [t if isinstance(t, str) else next(iter(t)) for t in train]
    first = first[:: max(1, -(-len(first) // MOST))]
    bags = [Counter(words_of(t)) for t in first]
    sizes = [sum(b.values()) for b in bags]
    total = [
        sum(2 * sum((a & b).values()) / max(1, sizes[i] + sizes[j]) for j, b in enumerate(bags) if i != j)
        for i, a in enumerate(bags)
    ]
    return first[max(range(len(first)), key=lambda i: (total[i], -i))]
