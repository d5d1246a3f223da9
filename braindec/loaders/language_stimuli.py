"""Language stimuli: sentences, non-words, corpora for frequency tagging, stories, languages, word pairs; made up or from files.

``make_*`` draw stimuli from a small grammar of a few hundred common English words that ships with the package: nothing
is downloaded, word classes are known, and the same seed gives the same text. ``read_*`` read the files of published
stimulus sets that you have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._language_files import read_corpus, read_localizer, read_word_pairs
from braindec.loaders._language_items import make_word_pairs, make_years
from braindec.loaders._language_nonwords import Nonwords, make_language
from braindec.loaders._language_words import NOUNS, VERBS, adjectives_of, plural, sentence
from braindec.stats.asked import number, seed_of, whole

__all__ = [
    "TaggedCorpus",
    "make_languages",
    "make_localizer",
    "make_stories",
    "make_tagged_corpus",
    "make_word_classes",
    "make_word_pairs",
    "make_years",
    "read_corpus",
    "read_localizer",
    "read_word_pairs",
    "story_words",
]

_TOPICS: tuple[tuple[str, dict[str, tuple[str, ...]]], ...] = (
    ("kitchen", {"person": ("baker", "butcher", "brother", "sister"), "food": ("soup", "cake", "pie", "onion", "egg", "sausage"),
                 "thing": ("spoon", "cup", "table", "blanket"), "place": ("kitchen", "market", "hotel")}),
    ("farm", {"person": ("farmer", "gardener", "boy"), "animal": ("cow", "horse", "pig", "goat", "hen", "lamb"),
              "food": ("bean", "carrot", "potato", "apple"), "thing": ("bucket", "rope", "ladder"), "place": ("farm", "field", "valley"),
              "vehicle": ("tractor", "wagon")}),
    ("sea", {"person": ("sailor", "pilot", "guard"), "animal": ("whale", "shark", "turtle", "crow"), "thing": ("rope", "lamp", "bell", "box"),
             "place": ("harbor", "island", "bridge", "lake"), "vehicle": ("boat", "ship")}),
    ("school", {"person": ("teacher", "student", "writer", "girl", "boy"), "thing": ("book", "pencil", "letter", "chair", "clock", "drum"),
                "food": ("apple", "cookie", "biscuit"), "place": ("school", "theater", "museum", "office")}),
    ("wood", {"person": ("hunter", "painter", "poet"), "animal": ("bear", "fox", "eagle", "rabbit", "beaver", "snake"),
              "thing": ("basket", "coat", "candle", "hammer"), "place": ("forest", "river", "mountain"), "food": ("plum", "pear", "melon")}),
    ("court", {"person": ("king", "queen", "judge", "guard", "soldier", "dancer"), "animal": ("lion", "dog", "horse"),
               "thing": ("mirror", "door", "key", "bell", "candle"), "place": ("castle", "tower", "garden", "theater"), "food": ("cake", "pear")}),
    ("town", {"person": ("driver", "clerk", "lawyer", "nurse", "tailor"), "thing": ("shirt", "shoe", "hat", "box", "letter"),
              "place": ("station", "street", "hotel", "office", "road"), "vehicle": ("taxi", "car", "truck", "train"), "food": ("cookie", "noodle")}),
    ("village", {"person": ("doctor", "miner", "uncle", "singer"), "animal": ("cat", "duck", "spider", "frog", "monkey"),
                 "thing": ("bottle", "needle", "lamp", "window"), "place": ("village", "market", "road", "river"), "food": ("cheese", "salad", "tomato")}),
)  # fmt: skip


class TaggedCorpus(list):
    """Sentences of equally many units (``list[list[str]]``) of one structure, for frequency tagging.

    Attributes
    ----------
    classes : tuple of str
        Word class of each slot: "modifier", "noun", "verb", "object", "determiner".
    phrases : tuple of (start, stop)
        Slots of each phrase.
    """

    def __init__(self, sentences: Sequence[Sequence[str]], classes: Sequence[str], phrases: Sequence[tuple[int, int]]):
        super().__init__([list(units) for units in sentences])
        self.classes, self.phrases = tuple(classes), tuple(phrases)

    @property
    def n_units(self) -> int:
        """Units a sentence."""
        return len(self.classes)


# slots of a sentence, and where its two phrases are
_FRAMES: dict[int, tuple[str, tuple[tuple[int, int], ...]]] = {
    3: ("noun verb object", ((0, 1), (1, 3))),
    4: ("modifier noun verb object", ((0, 2), (2, 4))),
    5: ("modifier noun verb modifier object", ((0, 2), (2, 5))),
    6: ("determiner modifier noun verb modifier object", ((0, 3), (3, 6))),
    7: ("determiner modifier noun verb determiner modifier object", ((0, 3), (3, 7))),
    8: ("determiner modifier modifier noun verb determiner modifier object", ((0, 4), (4, 8))),
}


def make_localizer(n: int = 240, seed: int = 0, *, n_words: int = 12) -> pd.DataFrame:
    """Draw sentences and lists of non-words for the contrast that localizes language.

    Each list has the lengths, letter by letter, of the words of one sentence; non-words are made of letter triples of
    English words, so that they can be pronounced.

    Parameters
    ----------
    n : int
        Items a condition.
    seed : int
    n_words : int
        Words an item, 5 to 17.

    Returns
    -------
    DataFrame
        2 n rows in random order: stimulus_id, text, condition ("sentence" or "nonword"), words (list of str), n_words,
        pair (items of one number have the same lengths), run and set (text; two runs, one set).
    """
    n, n_words = whole(n, "n"), whole(n_words, "n_words")
    if n < 1 or not 5 <= n_words <= 17:
        raise BraindecError(
            "a localizer needs at least one item a condition, of 5 to 17 words", found=f"n={n}, n_words={n_words}"
        )
    rng = np.random.default_rng([seed_of(seed), 61])
    nonwords, texts = Nonwords(), set()
    rows: list[dict[str, Any]] = []
    while len(texts) < n:
        words = [word for word, _ in sentence(rng, n_words=n_words)]
        if " ".join(words) in texts:
            continue
        pair = len(texts)
        texts.add(" ".join(words))
        other = [nonwords.draw(len(word), rng) for word in words]
        for condition, units in (("sentence", words), ("nonword", other)):
            rows.append({"stimulus_id": f"{condition}-{pair:03d}", "text": " ".join(units), "condition": condition,
                         "words": units, "n_words": n_words, "pair": pair, "set": "1"})  # fmt: skip
    table = pd.DataFrame(rows).iloc[rng.permutation(2 * n)].reset_index(drop=True)
    half = table.groupby("condition").cumcount() < (n + 1) // 2
    return table.assign(run=np.where(half, "1", "2").astype(object))


def make_tagged_corpus(n: int = 50, words_per_sentence: int = 4, seed: int = 0) -> TaggedCorpus:
    """Draw sentences of two phrases, [modifier noun][verb object], no sentence twice.

    Parameters
    ----------
    n : int
        Sentences.
    words_per_sentence : int
        3 to 8: 4 has phrases of 2 + 2 units (the phrase rate is a harmonic of the sentence rate), 5 of 2 + 3, ...
    seed : int

    Returns
    -------
    TaggedCorpus
        A list of sentences, each a list of words, with ``classes`` (of the slots) and ``phrases``.

    Examples
    --------
    >>> corpus = make_tagged_corpus(2, seed=1)
    >>> corpus.classes, corpus.phrases
    (('modifier', 'noun', 'verb', 'object'), ((0, 2), (2, 4)))
    """
    if words_per_sentence not in _FRAMES:
        raise BraindecError(
            f"no sentence of {words_per_sentence} words",
            allowed=", ".join(map(str, _FRAMES)),
            fix="words_per_sentence=4",
        )
    if not isinstance(n, int) or n < 1:
        raise BraindecError(f"n={n!r} sentences cannot be made", allowed="a whole number from 1 on")
    slots, phrases = _FRAMES[words_per_sentence]
    rng = np.random.default_rng([seed_of(seed), 62, words_per_sentence])
    found: dict[tuple[str, ...], None] = {}
    tries = 0
    while len(found) < n:
        found[tuple(_tagged(slots.split(), rng))] = None
        tries += 1
        if tries > 50 * n + 1000:
            raise BraindecError(f"there are fewer than {n} such sentences", found=str(len(found)), fix="ask for fewer")
    return TaggedCorpus([list(units) for units in found], slots.split(), phrases)


def _tagged(slots: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One sentence; nouns are plural where they have no determiner."""
    verbs = list(VERBS)
    verb = verbs[int(rng.integers(len(verbs)))]
    who = VERBS[verb][0][int(rng.integers(len(VERBS[verb][0])))]
    what = VERBS[verb][1][int(rng.integers(len(VERBS[verb][1])))]
    place = slots.index("verb")
    subject = NOUNS[who][int(rng.integers(len(NOUNS[who])))]
    others = [word for word in NOUNS[what] if word != subject]
    target = others[int(rng.integers(len(others)))]
    units: list[str] = []
    for k, slot in enumerate(slots):
        kind = who if k < place else what
        single = "determiner" in (slots[:place] if k < place else slots[place:])
        if slot == "verb":
            units.append(verb)
        elif slot == "determiner":
            units.append(("the", "this", "every")[int(rng.integers(3))])
        elif slot == "modifier":
            fitting = [a for a in adjectives_of(kind) if a not in units]
            units.append(fitting[int(rng.integers(len(fitting)))])
        else:
            noun = subject if slot == "noun" else target
            units.append(noun if single else plural(noun))
    return units


def make_stories(
    n: int = 24, seed: int = 0, *, n_sentences: int = 4, n_words: tuple[int, int] = (6, 13), rate: float = 2.5
) -> pd.DataFrame:
    """Draw short stories, each of several sentences on one topic; a few topics are shared between stories.

    Parameters
    ----------
    n : int
        Stories.
    seed : int
    n_sentences : int
        Sentences a story.
    n_words : (int, int)
        Fewest and most words a sentence, between 5 and 17.
    rate : float
        Words a second of the made-up onsets.

    Returns
    -------
    DataFrame
        One row a sentence: stimulus_id ("story-01-1"), text_id ("story-01"), concept_id (the same), topic, position (in the
        story, from 0), text, words, word_class (lists of str), n_words, n_letters, onset and duration (s from the story's
        beginning). :func:`story_words` has one row a word.
    """
    n, n_sentences, (low, high) = whole(n, "n"), whole(n_sentences, "n_sentences"), _span(n_words)
    number(rate, "rate", unit="words a second")
    if n < 1 or n_sentences < 1 or not 5 <= low <= high <= 17 or not rate > 0:
        raise BraindecError(
            "stories need a sentence of 5 to 17 words, and a rate above 0",
            found=f"n={n}, n_sentences={n_sentences}, n_words={n_words}, rate={rate}",
        )
    rng = np.random.default_rng([seed_of(seed), 63])
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for story in range(n):
        topic, nouns = _TOPICS[story % len(_TOPICS)]
        onset, text_id = 0.0, f"story-{story + 1:02d}"
        for position in range(n_sentences):
            for _ in range(50):  # the same sentence in two stories would tie training to test
                tagged = sentence(rng, n_words=int(rng.integers(low, high + 1)), nouns=nouns)
                text = " ".join(word for word, _ in tagged)
                if text not in seen:
                    break
            seen.add(text)
            words = [word for word, _ in tagged]
            rows.append({
                "stimulus_id": f"{text_id}-{position + 1}", "text_id": text_id, "concept_id": text_id, "topic": topic, "position": position,
                "text": text, "words": words, "word_class": [kind for _, kind in tagged], "n_words": len(words),
                "n_letters": sum(map(len, words)), "onset": onset, "duration": len(words) / rate,
            })  # fmt: skip
            onset += len(words) / rate + 0.6
    return pd.DataFrame(rows)


def story_words(stories: pd.DataFrame) -> pd.DataFrame:
    """Return the words of :func:`make_stories`, one row a word, in the form of a words table.

    Returns
    -------
    DataFrame
        text_id, word_index, word, word_class, sentence, topic, start, stop (characters of the story's text), stimulus_id
        ("story-01/0" is its first word), onset and duration (s). ``attrs["texts"]`` has the text of each story.
    """
    rows, texts = [], {}
    for text_id, part in stories.groupby("text_id", sort=False):
        start = index = 0
        for line in part.itertuples():
            step = line.duration / len(line.words)
            for k, (word, kind) in enumerate(zip(line.words, line.word_class, strict=True)):
                rows.append((text_id, index, word, kind, line.position, line.topic, start, start + len(word),
                             f"{text_id}/{index}", line.onset + k * step, step))  # fmt: skip
                start, index = start + len(word) + 1, index + 1
        texts[str(text_id)] = " ".join(word for words in part["words"] for word in words)
    columns = [
        "text_id",
        "word_index",
        "word",
        "word_class",
        "sentence",
        "topic",
        "start",
        "stop",
        "stimulus_id",
        "onset",
        "duration",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs["texts"] = texts
    return table


def make_word_classes(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Draw sentences and return their words with classes (noun, verb, adjective, ...), in the form of a words table.

    Parameters
    ----------
    n : int
        Sentences, each a text of its own.
    seed : int

    Returns
    -------
    DataFrame
        As :func:`story_words`.
    """
    stories = make_stories(n, seed=seed, n_sentences=1, n_words=(9, 16))
    return story_words(stories.assign(text_id=[f"sentence-{k:03d}" for k in range(len(stories))]))


def _span(n_words: Any) -> tuple[int, int]:
    """The smallest and the largest number of words of a sentence."""
    if not isinstance(n_words, (tuple, list)) or len(n_words) != 2:
        raise BraindecError(f"n_words={n_words!r} does not work", allowed="(smallest, largest), e.g. (5, 9)")
    return whole(n_words[0], "the smallest of n_words"), whole(n_words[1], "the largest of n_words")


def make_languages(
    n_languages: int = 4, n: int = 60, seed: int = 0, *, n_words: tuple[int, int] = (5, 9)
) -> dict[str, list[str]]:
    """Draw texts of made-up languages that differ in alphabet, syllables, words and word order.

    The texts of all languages say the same things in the same order, so that only the language differs.

    Parameters
    ----------
    n_languages : int
    n : int
        Sentences a language.
    seed : int
    n_words : (int, int)
        Fewest and most words a sentence, at least 3.

    Returns
    -------
    dict
        Name ("language-1", ...) -> list of n sentences.
    """
    n_languages, n, n_words = whole(n_languages, "n_languages"), whole(n, "n"), _span(n_words)
    if n_languages < 1 or n < 1 or not 3 <= n_words[0] <= n_words[1]:
        raise BraindecError("languages need sentences of at least 3 words", found=f"{n_languages}, {n}, {n_words}")
    rng = np.random.default_rng([seed_of(seed), 64])
    meanings = []  # (subject, verb, object, others): numbers of meanings; rare ones are drawn less often
    for _ in range(n):
        extra = int(rng.integers(n_words[0], n_words[1] + 1)) - 3
        meanings.append(([*_zipf(rng, 30, 1), *(30 + k for k in _zipf(rng, 20, 1)), *_zipf(rng, 30, 1)], [50 + k for k in _zipf(rng, 40, extra)]))  # fmt: skip
    found = {}
    for place in range(n_languages):
        language = make_language(place, n_meanings=90, seed=seed)
        order = ["svo".index(role) for role in language.order]
        found[language.name] = [
            " ".join(language.lexicon[k] for k in [*(core[role] for role in order), *others])
            for core, others in meanings
        ]
    return found


def _zipf(rng: np.random.Generator, size: int, n: int) -> list[int]:
    weight = 1 / np.arange(1, size + 1)
    return [int(k) for k in rng.choice(size, size=n, p=weight / weight.sum())]
