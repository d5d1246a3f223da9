"""Text for frequency tagging: trials of disjoint sentences, and control conditions that keep what must be kept.

A language model answers the same text with the same numbers, so a sentence that is used in two trials makes them
dependent: every sentence goes into one trial only, and every trial is a text with a context of its own. Text is joined as
it is written (words by spaces, characters by nothing) and never marked up for the tokenizer.

Controls, from the one that keeps most to the one that keeps least:

* ``slot_shuffle``: each word stays in its slot, but the words of a new sentence come from different sentences. Word classes
  at their places, word lengths and frequencies are kept; the sentences are not. *The* control for tags of sentence structure.
* ``within_sentence_shuffle``: words stay in their sentence, in an order in which no two neighbours were neighbours before.
  Word classes leave their slots: a unit that follows word classes differs from this control too.
* ``reverse``: every sentence back to front. A unit that follows single words tags alike in magnitude (not in phase), whatever
  their classes, so compare with ``statistic="stronger"``; one that follows order does not.
* ``phrase_shuffle``: phrases stay whole and are dealt anew to all places: phrases without sentences.
* ``nonsense``: all words dealt anew to all slots.
* an untrained network (:func:`braindec.llm.tiny.untrained`) on the same text.

A control is made of *other* sentences than the condition (:func:`tag_conditions`): made of the same ones its mean response
is alike by construction, and a test between them finds less than its level.

Source: Ding et al. 2016 (Nat Neurosci 19:158); Frank & Yang 2018 (PLoS ONE 13:e0197304) for the need of class-preserving
controls.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.llm._check import whole
from braindec.llm._tag_controls import (
    CONTROLS,
    Sentences,
    nonsense,
    phrase_shuffle,
    reverse,
    slot_shuffle,
    within_sentence_shuffle,
)
from braindec.llm.words import tokens_of_words, words_table
from braindec.stats.tagging import Design

__all__ = [
    "CONTROLS",
    "TagTrials",
    "design",
    "nonsense",
    "phrase_shuffle",
    "reverse",
    "sharing_note",
    "slot_shuffle",
    "tag_conditions",
    "tag_trials",
    "tag_words",
    "token_sharing",
    "within_sentence_shuffle",
]


def design(
    sentence: int = 4, *, phrases: Mapping[str, int] | None = None, n_sentences: int = 9, unit_rate: float = 4.0, drop: int = 1,
    unit: str = "word",
) -> Design:  # fmt: skip
    """Return a design, with a warning for each thing that limits what it can show.

    Parameters
    ----------
    sentence : int
        Units of a sentence.
    phrases : mapping of str to int, optional
        Spans of levels between the unit and the sentence, e.g. ``{"phrase": 2}`` (the default for 4 units), or
        ``{"phrase2": 2, "phrase4": 4}`` for 8. Any hierarchy; spans that do not tile the sentence are warned of.
    n_sentences : int
        Sentences of a trial, the dropped ones included.
    unit_rate : float
        Units a second, Hz.
    drop : int
        Sentences dropped at the onset.
    unit : str
        Name of the fastest level: "word" or "character".

    Raises
    ------
    BraindecError
        If a level is off-bin (with the numbers of sentences that fit) or the levels make no hierarchy.
    """
    if phrases is not None and not isinstance(phrases, Mapping):
        raise BraindecError("phrases are named with their spans", found=repr(phrases), allowed='e.g. {"phrase": 2}')
    between = dict(phrases) if phrases is not None else ({"phrase": 2} if sentence == 4 else {})
    whole(sentence, "sentence", least=2)
    if twice := [name for name in between if name in (unit, "sentence")] or ([unit] if unit == "sentence" else []):
        raise BraindecError(f"two levels are called {twice[0]!r}", fix="give each level a name of its own")
    if wide := [name for name, span in between.items() if isinstance(span, (int, float)) and span >= sentence]:
        raise BraindecError(
            f"{wide[0]} spans {between[wide[0]]} units, as many as the sentence or more", found=f"sentences of {sentence} units",
            allowed=f"spans from 2 to {sentence - 1}",
        )  # fmt: skip
    made = Design({unit: 1, **between, "sentence": sentence}, n_sentences=n_sentences, unit_rate=unit_rate, drop=drop)
    for note in made.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return made


@dataclass(frozen=True)
class TagTrials:
    """Trials of one condition as text.

    Parameters
    ----------
    condition : str
    design : Design
    trials : list of list of str
        Units of each trial, in order.
    sources : list of list of int
        Which sentences of the corpus each trial holds.
    unit : {"word", "character"}
    notes : list of str
    """

    condition: str
    design: Design
    trials: list[list[str]]
    sources: list[list[int]]
    unit: str = "word"
    notes: list[str] = field(default_factory=list)

    @property
    def separator(self) -> str:
        """What stands between units."""
        return " " if self.unit == "word" else ""

    @property
    def texts(self) -> dict[str, str]:
        """Name -> text of each trial, e.g. "sentence-003"."""
        return {f"{self.condition}-{k:03d}": self.separator.join(units) for k, units in enumerate(self.trials)}

    def words(self) -> pd.DataFrame:
        """Return the words table (see :mod:`braindec.llm.words`) with the columns ``condition`` and ``position``."""
        return tag_words([self])

    def __len__(self) -> int:
        return len(self.trials)


def tag_words(conditions: Sequence[TagTrials] | Mapping[str, TagTrials]) -> pd.DataFrame:
    """Return one words table of several conditions, ready for ``extract(lm, table, pool="word")``.

    Columns: text_id (the trial), word_index, word, start, stop (characters of the text), stimulus_id, condition, position
    (unit within its sentence); ``attrs["texts"]`` holds the texts.
    """
    made = list(conditions.values() if isinstance(conditions, Mapping) else conditions)
    if len({m.unit for m in made}) != 1:
        raise BraindecError(
            "one table holds conditions of one kind of unit", found=", ".join(m.unit for m in made) or "none"
        )
    names = [name for m in made for name in m.texts]
    if len(set(names)) < len(names):
        raise BraindecError("two conditions have one name", found=", ".join(m.condition for m in made))
    units = dict(zip(names, (u for m in made for u in m.trials), strict=True))
    table = words_table(units, separator=made[0].separator)
    spans = {m.condition: m.design.sentence for m in made}
    kept, table.attrs = table.attrs, {}  # pandas would copy the texts at each step
    condition = table["text_id"].str.rsplit("-", n=1).str[0]
    table = table.assign(condition=condition, position=table["word_index"] % condition.map(spans))
    table.attrs = kept
    return table


def tag_trials(
    sentences: Sentences,
    design: Design,
    *,
    condition: str = "sentence",
    unit: Literal["word", "character"] = "word",
    seed: int = 0,
) -> TagTrials:
    """Deal sentences into trials, each sentence into one trial at most, in random order.

    Parameters
    ----------
    sentences : sequence of sequence of str
        Units of each sentence; no sentence may stand there twice.
    design : Design
    condition : str
        Name.
    unit : {"word", "character"}
    seed : int

    Raises
    ------
    BraindecError
        If a sentence comes twice, has another length than the design says, or there are too few for two trials.
    """
    _check(sentences, design, unit)
    n = len(sentences) // design.n_sentences
    if n < 2:
        raise BraindecError(
            f"{len(sentences)} sentences do not make 2 trials of {design.n_sentences} sentences each, none used twice",
            allowed=f"at least {2 * design.n_sentences} sentences, or trials of at most {len(sentences) // 2} sentences",
            fix="more sentences, or a shorter trial: design(..., n_sentences=...)",
        )
    order = np.random.default_rng([seed, 401]).permutation(len(sentences))[: n * design.n_sentences].reshape(n, -1)
    trials = [[u for k in row for u in sentences[k]] for row in order]
    left = len(sentences) - order.size
    notes = (
        [f"{condition}: {n} trials of {design.n_sentences} sentences; {left} sentences are left over."] if left else []
    )
    return TagTrials(condition, design, trials, order.tolist(), unit, notes)


def token_sharing(tokenizer: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Return how the tokenizer cuts the units of each condition, one row a condition.

    A token that spans two units (a Chinese word of two characters) is there where the two stand together, so it marks real
    sentences against controls: units of untrained networks are then tagged too (13 % at a nominal 5 %, in a network whose
    vocabulary was learned from the sentences), and no statistics can tell. Compare conditions only where they share alike.

    Parameters
    ----------
    tokenizer : a fast tokenizer of Hugging Face
    table : DataFrame
        Of :func:`tag_words`.

    Returns
    -------
    DataFrame
        condition, shared (share of units that have a token in common with the unit before), tokens (mean number a unit).
    """
    rows, texts = [], table.attrs["texts"]
    bare = pd.DataFrame(
        {c: table[c].to_numpy() for c in ("text_id", "start", "stop", "condition")}
    )  # pandas copies attrs at each step
    for name, part in bare.groupby("text_id", sort=False):
        coded = tokenizer(texts[name], add_special_tokens=False, return_offsets_mapping=True)
        place = tokens_of_words(np.array(coded["offset_mapping"]), part[["start", "stop"]].to_numpy())
        shared = place[1:, 0] < place[:-1, 1]
        rows.append((part["condition"].iloc[0], shared.mean(), np.diff(place, axis=1).mean()))
    found = pd.DataFrame(rows, columns=["condition", "shared", "tokens"])
    return found.groupby("condition", sort=False, as_index=False).mean()


def sharing_note(sharing: pd.DataFrame, *, apart: float = 0.02) -> list[str]:
    """Say where conditions of :func:`token_sharing` differ by more than ``apart`` in the share of units that share tokens."""
    shares = sharing.set_index("condition")["shared"]
    if shares.max() - shares.min() <= apart:
        return []
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return [f"Tokens span several units more often in some conditions than in others ({told}): the tokenizer itself marks what stands together, and "
            "units of untrained networks are tagged by it. Use a tokenizer with a token a unit, or read no tag beyond those of untrained networks."]  # fmt: skip


def tag_conditions(
    sentences: Sentences, design: Design, *, controls: Sequence[str] = ("slot_shuffle",), unit: Literal["word", "character"] = "word",
    seed: int = 0,
) -> dict[str, TagTrials]:  # fmt: skip
    """Make a condition and its controls of two disjoint halves of the sentences.

    Parameters
    ----------
    sentences : sequence of sequence of str
    design : Design
    controls : sequence of str
        Of :data:`CONTROLS`; all are made of the half that the condition does not use.
    unit : {"word", "character"}
    seed : int

    Returns
    -------
    dict of str to TagTrials
        "sentence" first, then the controls.

    Raises
    ------
    BraindecError
        If a control is unknown, or there are too few sentences.
    """
    controls = [controls] if isinstance(controls, str) else list(dict.fromkeys(controls))
    for name in controls:
        if name not in CONTROLS:
            raise BraindecError(
                f"there is no control {name!r}{did_you_mean(name, CONTROLS)}", allowed=", ".join(CONTROLS)
            )
    _check(sentences, design, unit)
    if "phrase_shuffle" in controls and not any(1 < s < design.sentence for s in design.levels.values()):
        raise BraindecError(
            "phrase_shuffle deals phrases anew, and the design has none", found=f"levels {', '.join(design.levels)}",
            fix="a level between unit and sentence, e.g. {'phrase': 2}; or the control 'nonsense'",
        )  # fmt: skip
    needed = 4 * design.n_sentences
    if len(sentences) < needed:
        raise BraindecError(
            f"two disjoint halves with 2 trials of {design.n_sentences} sentences each need {needed} sentences",
            found=f"{len(sentences)}", fix=f"trials of at most {len(sentences) // 4} sentences, or more sentences",
        )  # fmt: skip
    order = np.random.default_rng([seed, 405]).permutation(len(sentences))
    half = len(sentences) // 2
    mine, others = sorted(order[:half].tolist()), sorted(order[half : 2 * half].tolist())
    made = {"sentence": tag_trials([sentences[k] for k in mine], design, unit=unit, seed=seed)}
    for name in controls:
        spans = [s for s in design.levels.values() if 1 < s < design.sentence]
        more = {"span": min(spans, default=1)} if name == "phrase_shuffle" else {}
        dealt = CONTROLS[name]([sentences[k] for k in others], seed=seed, **more)
        made[name] = tag_trials(_apart(dealt, name), design, condition=name, unit=unit, seed=seed + 1)
    return made


def _apart(dealt: list[list[str]], name: str) -> list[list[str]]:
    """Sentences dealt anew may come out alike by accident; the second one goes."""
    return [list(units) for units in dict.fromkeys(map(tuple, dealt))]


def _check(sentences: Sentences, design: Design, unit: str) -> None:
    if not isinstance(design, Design):
        raise BraindecError("trials are made by a design", found=type(design).__name__, fix="design(4, n_sentences=9)")
    if not isinstance(sentences, Sequence):
        raise BraindecError("sentences must stand in a list", found=type(sentences).__name__, fix="read_corpus(path)")
    length = design.sentence
    if unit not in ("word", "character"):
        raise BraindecError(f"no unit {unit!r}", allowed="word, character")
    wrong = next(
        (k for k, s in enumerate(sentences) if isinstance(s, str) or not isinstance(s, Sequence) or len(s) != length),
        None,
    )
    if wrong is not None:
        raise BraindecError(
            f"sentence {wrong} does not have {length} units", found=repr(sentences[wrong]),
            fix="give lists of units: read_corpus does that for files",
        )  # fmt: skip
    place: dict[tuple[str, ...], int] = {}
    for k, units in enumerate(sentences):
        if odd := [u for u in units if not isinstance(u, str)]:
            raise BraindecError(f"sentence {k} has a unit that is not text", found=repr(odd[0]))
        if any(not u or u != u.strip() or (unit == "word" and " " in u) for u in units):
            raise BraindecError(f"sentence {k} has an empty unit, or one with spaces", found=repr(list(units)))
        first = place.setdefault(tuple(units), k)
        if first != k:
            raise BraindecError(
                f"sentences {first} and {k} are the same; trials made of them would depend on one another",
                found=" ".join(units), fix="keep one of them",
            )  # fmt: skip
