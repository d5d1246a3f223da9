"""Word pairs of known relations, and years and numbers, for scores of single units."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._language_words import NOUNS, plural
from braindec.stats.asked import seed_of, whole

__all__ = ["RELATIONS", "make_word_pairs", "make_years"]

RELATIONS: dict[str, tuple[str, str]] = {
    "opposite": ("the opposite of {0} is {1}",
                 "hot cold/big small/old young/light dark/open closed/early late/fast slow/high low/rich poor/strong weak/wet dry/full empty/"
                 "hard soft/long short/loud quiet/clean dirty/happy sad/thick thin/near far/right wrong"),
    "young": ("the young of a {0} is a {1}",
              "dog puppy/cat kitten/cow calf/horse foal/sheep lamb/pig piglet/hen chick/goat kid/bear cub/lion cub/duck duckling/goose gosling/"
              "deer fawn/frog tadpole/fox kit/swan cygnet/owl owlet/eagle eaglet/kangaroo joey/butterfly caterpillar"),
    "workplace": ("a {0} works in a {1}",
                  "teacher school/doctor hospital/farmer field/judge court/chef kitchen/pilot plane/sailor ship/actor theater/miner mine/"
                  "clerk office/monk abbey/baker bakery/butcher shop/gardener garden/professor university/waiter restaurant/"
                  "mechanic garage/scientist laboratory/librarian library/banker bank"),
    "part": ("a part of a {0} is its {1}",
             "car wheel/tree branch/house roof/bird wing/ship sail/book page/flower petal/hand finger/knife blade/shirt sleeve/fish fin/"
             "table leg/clock dial/shoe sole/door handle/guitar string/bicycle pedal/lamp bulb/plane engine/castle tower"),
    "colour": ("the colour of {0} is {1}",
               "grass green/snow white/blood red/coal black/milk white/lemons yellow/oranges orange/chocolate brown/ashes grey/sapphires blue/"
               "tar black/mud brown/emeralds green/salt white/strawberries red/bananas yellow/ravens black/frogs green/flamingos pink/plums purple"),
    "maker": ("a {1} is what a {0} makes",
              "baker cake/tailor suit/potter vase/poet poem/painter portrait/composer symphony/brewer beer/cobbler shoe/carpenter table/weaver rug/"
              "mason wall/writer novel/architect plan/jeweller ring/barber haircut/programmer program/sculptor statue/chef meal/"
              "photographer picture/journalist article"),
}  # fmt: skip


def make_word_pairs(n: int = 20, seed: int = 0, *, relations: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return word pairs of known relations with a sentence for each, and plural pairs of the vocabulary.

    Parameters
    ----------
    n : int
        Pairs a relation, at most 20.
    seed : int
        Chooses the pairs and their order.
    relations : tuple of str, optional
        Some of "opposite", "young", "workplace", "part", "colour", "maker", "plural"; all by default.

    Returns
    -------
    DataFrame
        stimulus_id, relation, word1, word2, concept (group of word1 where it is known, else "n/a"), text (the
        sentence), prompt (the sentence without its last word where that is word2, else the sentence).
    """
    rng = np.random.default_rng([seed_of(seed), 65])
    sets = {
        name: (frame, [tuple(pair.split()) for pair in pairs.split("/")]) for name, (frame, pairs) in RELATIONS.items()
    }
    nouns = [noun for group in NOUNS.values() for noun in group]
    chosen = [nouns[k] for k in rng.permutation(len(nouns))[:20]]
    sets["plural"] = ("one {0} and two {1}", [(noun, plural(noun)) for noun in chosen])
    whole(n, "n")
    if relations is not None and (isinstance(relations, str) or not isinstance(relations, (tuple, list))):
        raise BraindecError(f"relations={relations!r} are no list of names", allowed=", ".join(sets))
    unknown = [name for name in relations or () if name not in sets]
    if unknown or not 1 <= n <= 20:
        raise BraindecError(
            "no such word pairs", found=f"n={n}, relations {', '.join(relations or ('all',))}", allowed=f"n from 1 to 20, {', '.join(sets)}"
        )  # fmt: skip
    kinds = {noun: kind for kind, group in NOUNS.items() for noun in group}
    rows = []
    for name in relations or tuple(sets):
        frame, pairs = sets[name]
        for k in rng.permutation(len(pairs))[:n]:
            first, second = pairs[k]
            text = frame.format(first, second)
            prompt = text.rsplit(" ", 1)[0] if text.endswith(f" {second}") else text
            rows.append((f"{name}-{first}-{second}", name, first, second, kinds.get(first, "n/a"), text, prompt))
    return pd.DataFrame(rows, columns=["stimulus_id", "relation", "word1", "word2", "concept", "text", "prompt"])


def make_years(
    n: int = 100, seed: int = 0, *, first: int = 1525, last: int = 2524, kind: str = "year", frame: str | None = None
) -> pd.DataFrame:
    """Return years (or plain numbers) evenly spread over a span, for probes of number and time.

    Parameters
    ----------
    n : int
        How many, at most all of the span.
    seed : int
        Order of the items.
    first, last : int
        The span, both included.
    kind : {"year", "number"}
        Decides on the sentence around the number.
    frame : str, optional
        A sentence of your own with ``{0}``.

    Returns
    -------
    DataFrame
        stimulus_id ("year-1525"), text, value (int), kind.
    """
    frames = {"year": "in the year {0}", "number": "the number {0}"}
    for name, value in (("n", n), ("first", first), ("last", last)):
        whole(value, name)
    if kind not in frames or not 2 <= n <= last - first + 1:
        raise BraindecError(
            "no such numbers",
            found=f"kind={kind!r}, n={n}, {first} to {last}",
            allowed="kind year or number; n from 2 to the span",
        )
    values = np.round(np.linspace(first, last, n)).astype(int)
    values = values[np.random.default_rng([seed_of(seed), 66]).permutation(n)]
    frame = frames[kind] if frame is None else frame
    if not isinstance(frame, str) or "{0}" not in frame:
        raise BraindecError("the frame has no place for the number", found=repr(frame), fix='"in the year {0}"')
    return pd.DataFrame({
        "stimulus_id": [f"{kind}-{v}" for v in values], "text": [frame.format(v) for v in values], "value": values, "kind": kind,
    })  # fmt: skip
