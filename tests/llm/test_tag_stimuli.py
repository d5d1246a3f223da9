"""Trials of disjoint sentences, controls that keep what they say they keep, words that the tokenizer sees as they are."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from braindec.align.tagging import tag
from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.tag_stimuli import (
    CONTROLS,
    design,
    nonsense,
    phrase_shuffle,
    reverse,
    sharing_note,
    slot_shuffle,
    tag_conditions,
    tag_trials,
    tag_words,
    token_sharing,
    within_sentence_shuffle,
)
from braindec.llm.tiny import tiny_model, untrained
from braindec.loaders.language_stimuli import make_tagged_corpus, read_corpus
from braindec.stats.tagging import Design

CORPUS = make_tagged_corpus(96, seed=3)
SHORT = Design(n_sentences=6)


def test_slots_keep_their_words_and_sentences_do_not():
    new = slot_shuffle(CORPUS, seed=1)
    for slot in range(4):
        assert Counter(s[slot] for s in new) == Counter(s[slot] for s in CORPUS)
    numbered = [[f"{i}.{slot}" for slot in range(4)] for i in range(96)]  # every word tells where it comes from
    for units in slot_shuffle(numbered, seed=1):
        assert [u.split(".")[1] for u in units] == ["0", "1", "2", "3"] and len({u.split(".")[0] for u in units}) == 4
    assert new == slot_shuffle(CORPUS, seed=1) != slot_shuffle(CORPUS, seed=2)


def test_no_pair_of_neighbours_survives():
    new = within_sentence_shuffle(CORPUS, seed=1)
    for old, mine in zip(CORPUS, new, strict=True):
        assert sorted(old) == sorted(mine) and not set(pairwise(old)) & set(pairwise(mine))
    dealt = nonsense(CORPUS, seed=1)
    pairs = {p for s in CORPUS for p in pairwise(s)}
    assert not pairs & {p for s in dealt for p in pairwise(s)}
    assert Counter(u for s in dealt for u in s) == Counter(u for s in CORPUS for u in s)
    with pytest.raises(BraindecError, match="no order"):
        within_sentence_shuffle([["a", "a", "b"], ["a", "a", "a"]])
    with pytest.raises(BraindecError, match="cannot be dealt"):
        nonsense([["a", "a"], ["a", "a"]])


def test_phrases_stay_whole_and_sentences_turn():
    new = phrase_shuffle(CORPUS, seed=1, span=2)
    phrases = Counter(tuple(s[i : i + 2]) for s in CORPUS for i in (0, 2))
    assert Counter(tuple(s[i : i + 2]) for s in new for i in (0, 2)) == phrases and new != [list(s) for s in CORPUS]
    assert reverse([["a", "b", "c"]]) == [["c", "b", "a"]]
    with pytest.raises(BraindecError, match="do not tile"):
        phrase_shuffle(CORPUS, span=3)


def test_no_sentence_is_used_twice():
    made = tag_trials(CORPUS, Design(n_sentences=9), seed=2)
    used = [k for row in made.sources for k in row]
    assert len(made) == 10 and len(set(used)) == len(used) == 90 and "6 sentences are left over" in made.notes[0]
    for units, row in zip(made.trials, made.sources, strict=True):
        assert units == [u for k in row for u in CORPUS[k]]
    with pytest.raises(BraindecError, match="sentences 0 and 96 are the same"):
        tag_trials([*CORPUS, CORPUS[0]], Design(n_sentences=9))
    with pytest.raises(BraindecError, match="at least 18 sentences"):
        tag_trials(CORPUS[:17], Design(n_sentences=9))


def test_condition_and_controls_share_no_sentence():
    made = tag_conditions(CORPUS, SHORT, controls=list(CONTROLS), seed=1)
    assert list(made) == ["sentence", *CONTROLS] and {len(v) for v in made.values()} == {8}
    mine = {u for t in made["sentence"].trials for u in zip(*[iter(t)] * 4, strict=True)}
    slots = [Counter(u[k] for u in CORPUS if tuple(u) not in mine) for k in range(4)]
    control = [u for t in made["slot_shuffle"].trials for u in zip(*[iter(t)] * 4, strict=True)]
    assert all(Counter(u[k] for u in control) <= slots[k] for k in range(4)) and not mine & set(control)
    with pytest.raises(BraindecError, match="did you mean 'nonsense'"):
        tag_conditions(CORPUS, SHORT, controls=("nonsens",))
    with pytest.raises(BraindecError, match="trials of at most 5 sentences"):
        tag_conditions(CORPUS[:20], SHORT)


@pytest.mark.parametrize(
    "sentences, message",
    [(["a b c d"] * 20, "does not have 4 units"), ([["a", "b", "c"]] * 20, "does not have 4 units"), ([["a", "b c", "d", "e"]] * 20, "with spaces"),
     ([["a", "", "d", "e"]] * 20, "empty unit")],
)  # fmt: skip
def test_sentences_that_do_not_fit(sentences, message):
    with pytest.raises(BraindecError, match=message):
        tag_trials(sentences, SHORT)


def test_a_design_warns_of_harmonics():
    with pytest.warns(UserWarning, match="harmonic 2 of sentence"):
        made = design(4)
    assert made.rates == {"word": 4.0, "phrase": 2.0, "sentence": 1.0}
    with pytest.warns(UserWarning, match="does not tile"):
        assert design(5, phrases={"two": 2}, n_sentences=5).levels == {"word": 1, "two": 2, "sentence": 5}


def test_words_lie_where_the_text_has_them():
    made = tag_conditions(CORPUS, SHORT, seed=1)
    table = tag_words(made)
    texts = table.attrs["texts"]
    assert all(
        texts[t][a:b] == w
        for t, a, b, w in zip(table["text_id"], table["start"], table["stop"], table["word"], strict=True)
    )
    assert set(texts) == {*made["sentence"].texts, *made["slot_shuffle"].texts} and set(table["position"]) == {
        0,
        1,
        2,
        3,
    }
    assert table.groupby("text_id").size().eq(24).all() and table["condition"].value_counts().eq(8 * 24).all()
    with pytest.raises(BraindecError, match="one name"):
        tag_words([made["sentence"], made["sentence"]])


@pytest.mark.parametrize(
    "folder, name, unit",
    [
        ("hftp_syntactic_corpora", "English_syntactic_corpus", "word"),
        ("hftp_syntactic_corpora", "Chinese_syntactic_corpus", "character"),
        ("language-stimuli", "hftp_english_four_word_sentences", "word"),
    ],
)
def test_the_published_corpora(shared, folder, name, unit):
    sentences = read_corpus(shared(folder) / f"{name}.csv", unit=unit)
    assert len(sentences) == 50 and {len(s) for s in sentences} == {4}
    made = tag_conditions(
        sentences, Design(n_sentences=5), controls=("slot_shuffle", "within_sentence_shuffle"), unit=unit, seed=1
    )
    assert {len(v) for v in made.values()} == {5}
    table = tag_words(made)
    text = next(iter(table.attrs["texts"].values()))
    assert len(text.split() if unit == "word" else text) == 20 and ("|" not in text)
    whole = tiny_model(
        "gpt2",
        n_layers=2,
        n_units=32,
        n_heads=2,
        texts=["".join(s) if unit == "character" else " ".join(s) for s in sentences],
    )
    single = tiny_model("gpt2", n_layers=2, n_units=32, n_heads=2, texts=[u for s in sentences for u in s])
    share = token_sharing(single.tokenizer, table).set_index("condition")["shared"]
    assert (share == 0).all() and not sharing_note(token_sharing(single.tokenizer, table))
    shared_by = token_sharing(whole.tokenizer, table).set_index("condition")["shared"]
    told = sharing_note(token_sharing(whole.tokenizer, table))
    if unit == "character":  # a token for a word of two characters is there only where they stand together
        assert shared_by["sentence"] > shared_by["slot_shuffle"] + 0.1 and "the tokenizer itself" in told[0]
    else:
        assert (shared_by == 0).all() and not told
    features = extract(single, table, pool="word", sites=("mlp_act",))
    found = tag(features, rates=Design(n_sentences=5), condition="sentence", control="slot_shuffle")
    assert (
        len(found.units) == 256
        and list(found.rates) == ["phrase", "sentence"]
        and found.n_trials == found.n_control == 5
    )


@pytest.mark.slow
def test_tokens_that_span_units_tag_untrained_networks(shared):
    sentences = read_corpus(shared("hftp_syntactic_corpora") / "Chinese_syntactic_corpus.csv", unit="character")
    flagged = {}
    for name, texts in (("whole", ["".join(s) for s in sentences]), ("single", [u for s in sentences for u in s])):
        first = tiny_model("gpt2", n_layers=2, n_units=32, n_heads=2, texts=texts)
        values = []
        for seed in range(10):
            made = tag_conditions(sentences, Design(n_sentences=5), unit="character", seed=seed)
            features = extract(untrained(first, seed), tag_words(made), pool="word", sites=("mlp_act",))
            found = tag(features, rates=Design(n_sentences=5), condition="sentence", control="slot_shuffle")
            values.append((found.table["p"] <= 0.05).mean())
        flagged[name] = np.mean(values)
    assert 0.03 <= flagged["single"] <= 0.07 and flagged["whole"] > 0.08


@pytest.mark.slow
def test_untrained_networks_hold_the_level_against_the_slot_shuffle():
    corpus = make_tagged_corpus(240, seed=5)
    first = tiny_model("gpt2", n_layers=2, texts=[" ".join(s) for s in corpus])
    small, large = [], []
    for seed in range(
        30
    ):  # units of one network depend on one another: the level is that of the mean over networks and texts
        controls = ("slot_shuffle", "within_sentence_shuffle")[: 2 if seed < 5 else 1]
        made = tag_conditions(corpus, SHORT, controls=controls, seed=seed)
        features = extract(untrained(first, seed), tag_words(made), pool="word", sites=("mlp_act",))
        for control, out in zip(controls, (small, large), strict=False):
            found = tag(features, rates=SHORT, condition="sentence", control=control, n_permutations=200, seed=seed)
            out.append((found.table["p"] <= 0.05).mean())
    assert 0.03 <= np.mean(small) <= 0.07
    assert np.mean(large) > 0.12  # a control that moves word classes tags networks that learned nothing
