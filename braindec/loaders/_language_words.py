"""The words of the made-up stimuli: a few hundred common English words with their classes, and a small grammar of them.

Which verb takes which subject and object is fixed (people and animals act; food is eaten, things are handled, places
are visited), so that the next word can be learned, by a model and by a brain that was planted to follow one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["CLASSES", "NOUNS", "NUMBERS", "VERBS", "clause", "plural", "sentence", "subject_of", "words_of"]

NOUNS: dict[str, tuple[str, ...]] = {
    "person": tuple("teacher doctor farmer nurse baker driver painter singer soldier student writer sailor lawyer gardener king queen "
                    "brother sister uncle hunter dancer pilot miner tailor butcher poet clerk judge guard girl boy".split()),
    "animal": tuple("dog cat horse bird cow bear rabbit duck goat pig lion tiger frog monkey snake fox hen lamb eagle crow turtle "
                    "spider whale shark beaver".split()),
    "food": tuple("soup cake apple cheese salad egg pie carrot potato tomato lemon pear bean onion cookie biscuit plum sausage "
                  "pancake noodle melon".split()),
    "thing": tuple("hammer rope bag box table chair lamp door window book letter bottle cup spoon clock key basket shirt coat shoe hat "
                   "blanket mirror pencil bell candle drum ladder bucket needle".split()),
    "place": tuple("garden river forest village kitchen market bridge field harbor school road mountain island farm station castle "
                   "valley office theater museum hotel tower lake desert street".split()),
    "vehicle": tuple("boat train truck wagon bicycle ship plane car tractor taxi".split()),
}  # fmt: skip

# verb in the past -> (who does it, to what)
VERBS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
for _verbs, _who, _what in (
    ("ate tasted smelled wanted", ("person", "animal"), ("food",)),
    ("cooked baked served sliced boiled", ("person",), ("food",)),
    ("carried lifted cleaned bought sold fixed painted opened packed borrowed counted", ("person",), ("thing",)),
    ("found lost hid dropped moved", ("person", "animal"), ("thing",)),
    ("chased saw feared followed watched heard liked", ("person", "animal"), ("person", "animal")),
    ("helped thanked called taught greeted", ("person",), ("person",)),
    ("left reached crossed visited entered explored loved", ("person", "animal"), ("place",)),
    ("drove stopped parked steered repaired", ("person",), ("vehicle",)),
):
    for _verb in _verbs.split():
        VERBS[_verb] = (_who, _what)

ADJECTIVES: dict[str, tuple[str, ...]] = {
    "alive": tuple("small old young quiet brave happy tired hungry clever lazy friendly angry proud shy busy wild calm strong lonely "
                   "nervous".split()),
    "dead": tuple("red blue green heavy light clean broken new round cheap bright dark warm cold soft dry large little white black "
                  "strange famous".split()),
    "food": tuple("sweet fresh hot cold warm salty sour small large soft dry green red brown".split()),
}  # fmt: skip
ADVERBS = tuple("slowly quickly quietly often never always carefully suddenly gladly again today yesterday".split())
PREPOSITIONS = tuple("in near behind beside across under outside through".split())
CONJUNCTIONS = tuple("because while before after when until".split())
DETERMINERS = tuple("the a every this".split())
PRONOUNS = tuple("he she it they we".split())
NUMBERS = tuple("one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty".split())

CLASSES: dict[str, tuple[str, ...]] = {
    "noun": tuple(word for group in NOUNS.values() for word in group),
    "verb": tuple(VERBS),
    "adjective": tuple(dict.fromkeys(word for group in ADJECTIVES.values() for word in group)),
    "adverb": ADVERBS,
    "preposition": PREPOSITIONS,
    "conjunction": CONJUNCTIONS,
    "determiner": DETERMINERS,
    "pronoun": PRONOUNS,
    "number": NUMBERS,
}

Tagged = list[tuple[str, str]]  # (word, class)


def plural(noun: str) -> str:
    """Return the regular plural."""
    if noun.endswith(("s", "x", "ch", "sh")) or noun in ("potato", "tomato"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def words_of() -> set[str]:
    """Return all words that the stimuli can hold, plurals included."""
    singular = {word for group in CLASSES.values() for word in group}
    return singular | {plural(noun) for noun in CLASSES["noun"]}


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def adjectives_of(kind: str) -> tuple[str, ...]:
    """Return the adjectives that fit a group of nouns."""
    return ADJECTIVES["alive" if kind in ("person", "animal") else "food" if kind == "food" else "dead"]


def subject_of(verb: str, rng: np.random.Generator, *, nouns: dict[str, tuple[str, ...]] = NOUNS) -> tuple[str, str]:
    """Draw who does it: (group, noun)."""
    groups = [kind for kind in VERBS[verb][0] if nouns.get(kind)]
    kind = _pick(rng, groups)
    return kind, _pick(rng, nouns[kind])


def object_of(verb: str, rng: np.random.Generator, *, nouns: dict[str, tuple[str, ...]] = NOUNS, but: str = "") -> tuple[str, str]:  # fmt: skip
    """Draw to what it is done: (group, noun), not ``but``."""
    groups = [kind for kind in VERBS[verb][1] if any(word != but for word in nouns.get(kind, ()))]
    kind = _pick(rng, groups)
    return kind, _pick(rng, [word for word in nouns[kind] if word != but])


def _phrase(kind: str, noun: str, adjective: bool, rng: np.random.Generator) -> Tagged:
    middle = [(_pick(rng, adjectives_of(kind)), "adjective")] if adjective else []
    article = _pick(rng, ("the", "the", "the", "every", "this", "a"))
    following = (middle[0][0] if middle else noun)[0]
    if article == "a" and following in "aeiou":
        article = "the"
    return [(article, "determiner"), *middle, (noun, "noun")]


def clause(
    rng: np.random.Generator,
    *,
    adjectives: tuple[bool, bool] = (False, False),
    adverb: bool = False,
    place: bool = False,
    nouns: dict[str, tuple[str, ...]] = NOUNS,
    verbs: Sequence[str] | None = None,
) -> Tagged:
    """Draw subject, verb and object: 5 words, one more for each adjective and an adverb, three more for a place."""
    usable = [v for v in verbs or VERBS if any(nouns.get(k) for k in VERBS[v][0]) and any(nouns.get(k) for k in VERBS[v][1])]  # fmt: skip
    verb = _pick(rng, usable)
    who = subject_of(verb, rng, nouns=nouns)
    what = object_of(verb, rng, nouns=nouns, but=who[1])
    words = _phrase(*who, adjectives[0], rng)
    words += [(_pick(rng, ADVERBS[:9]), "adverb")] if adverb else []
    words += [(verb, "verb"), *_phrase(*what, adjectives[1], rng)]
    if place:
        places = [p for p in nouns.get("place") or NOUNS["place"] if p != what[1]] or NOUNS["place"]
        words += [(_pick(rng, PREPOSITIONS), "preposition"), ("the", "determiner"), (_pick(rng, places), "noun")]
    return words


def sentence(rng: np.random.Generator, *, n_words: int, nouns: dict[str, tuple[str, ...]] = NOUNS) -> Tagged:
    """Draw a sentence of ``n_words`` (5 to 16) words: one clause, or two joined by a conjunction (11 words and more)."""
    if n_words >= 11:  # two clauses of at least 5 words and the word between them
        spare = n_words - 11
        flags = np.zeros(6, dtype=bool)
        flags[rng.permutation(6)[: min(spare, 6)]] = True
        first = clause(rng, adjectives=(bool(flags[0]), bool(flags[1])), adverb=bool(flags[2]), nouns=nouns)
        second = clause(rng, adjectives=(bool(flags[3]), bool(flags[4])), adverb=bool(flags[5]), nouns=nouns)
        return [*first, (_pick(rng, CONJUNCTIONS), "conjunction"), *second]
    place = n_words >= 8 and (n_words > 8 or bool(rng.integers(2)))
    spare = n_words - 5 - 3 * place
    flags = np.zeros(3, dtype=bool)
    flags[rng.permutation(3)[: min(spare, 3)]] = True
    return clause(rng, adjectives=(bool(flags[0]), bool(flags[1])), adverb=bool(flags[2]), place=place, nouns=nouns)
