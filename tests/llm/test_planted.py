"""The planted model does what its truth says: attention, responses, rates, behaviour, and what ablation takes away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.controls import matched_random_units
from braindec.llm.extract import extract, iterate_activations
from braindec.llm.interventions import ablate
from braindec.llm.planted import next_class, planted_classes, planted_model, planted_nonwords, planted_sentences
from braindec.llm.words import words_table

KEYS = ["layer", "site", "index"]


@pytest.fixture(scope="module")
def planted():
    return planted_model(seed=0)


def _words(lm, texts, units):
    """Activations (text, word, unit) of texts of equally many words."""
    values = extract(lm, words_table(texts), pool="word", units=units).load()
    return values.reshape(len(texts), -1, len(units))


def test_every_listed_word_is_one_token_and_any_text_is_covered(planted):
    lm, truth = planted
    for text in [*planted_sentences(20), *planted_nonwords(20)]:
        assert len(lm.tokenizer(text)["input_ids"]) == len(text.split())
    odd = "Qu'est-ce que 42 naïve dogs? 日本"
    offsets = lm.tokenizer(odd, return_offsets_mapping=True)["offset_mapping"]
    covered = {i for a, b in offsets for i in range(a, b)}
    assert covered >= {i for i, c in enumerate(odd) if not c.isspace()}
    assert set(truth["classes"].values()) == set(truth["grammar"])


def test_sentences_follow_the_grammar_and_seeds_are_kept():
    classes = planted_classes(words_per_sentence=6)
    grammar = ("determiner", "adjective", "noun", "verb", "preposition", "name")
    whole = planted_sentences(3, 1, n_words=12, words_per_sentence=6, whole=True)
    assert all(tuple(classes[w] for w in t.split()) == grammar * 2 for t in whole)
    assert planted_sentences(4, 7) == planted_sentences(4, 7) != planted_sentences(4, 8)
    last = pd.Series([planted_classes()[t.split()[-1]] for t in planted_sentences(400)])
    assert last.value_counts(normalize=True).between(0.17, 0.33).all()  # any class can be the last


def test_head_0_of_layer_0_looks_at_the_previous_word(planted):
    lm, _ = planted
    tokens = torch.tensor([lm.tokenizer(planted_sentences(1, n_words=500)[0])["input_ids"]])
    batch = next(iterate_activations(lm, tokens.tolist(), sites="attn_pattern", layers=0))
    previous = torch.diagonal(batch.attention[0][0, 0], offset=-1)
    assert previous.min() > 0.999


@pytest.mark.parametrize("n", [4, 6])
def test_units_respond_as_planted(n, planted):
    lm, truth = planted if n == 4 else planted_model(words_per_sentence=n, seed=3)
    sentences = planted_sentences(40, 2, n_words=2 * n, words_per_sentence=n, whole=True)
    nonwords = planted_nonwords(40, 2, n_words=2 * n)
    second = slice(n, 2 * n)  # a sentence with another one before it
    language = _words(lm, sentences, truth["language"])[:, second].mean(axis=(0, 2))
    assert language.min() > 2 and _words(lm, nonwords, truth["language"]).mean() < 0.3
    early = _words(lm, sentences, truth["tagged_sentence"])[:, second].mean(axis=(0, 2))
    assert early[: n // 2].min() > 2 and early[n // 2 :].max() < 0.3
    closing = _words(lm, sentences, truth["tagged_phrase"])[:, second].mean(axis=(0, 2))
    ends = [stop - 1 for _, stop in truth["phrases"]]
    assert closing[ends].min() > 2 and np.delete(closing, ends).max() < 0.3
    rng = np.random.default_rng(0)
    shuffled = [" ".join(rng.permutation(t.split())) for t in sentences]
    assert (
        _words(lm, shuffled, truth["language"]).mean() < 0.5 * language.mean()
    )  # words without their order drive less


def test_signal_to_noise_is_what_was_asked_for(planted):
    spread = {}
    for snr, (lm, truth) in ((3.0, planted), (1.5, planted_model(snr=1.5, seed=1))):
        units = truth["language"].assign(site="mlp_pre")
        sentences, nonwords = planted_sentences(60, 3), planted_nonwords(60, 3)
        drive, rest = (_words(lm, t, units)[:, 2:] for t in (sentences, nonwords))
        step = drive.mean(axis=(0, 1)) - rest.mean(axis=(0, 1))
        spread[snr] = np.median(step / rest.std(axis=(0, 1)))
    assert spread[1.5] == pytest.approx(1.5, rel=0.35) and spread[3.0] == pytest.approx(3.0, rel=0.35)


def test_without_the_language_units_the_next_class_is_at_chance_and_random_ones_do_not_matter(planted):
    lm, truth = planted
    texts = planted_sentences(25, 11)
    intact = next_class(lm, texts)
    assert intact["correct"].mean() > 0.95
    table = pd.DataFrame(
        {"layer": np.repeat(np.arange(4), 384), "site": "mlp_act", "index": np.tile(np.arange(384), 4)}
    )
    place, others = (
        table.assign(row=table.index).merge(truth[k][KEYS])["row"].to_numpy() for k in ("language", "selective")
    )
    with ablate(lm, truth["language"]):
        broken = next_class(lm, texts)
    assert abs(broken["correct"].mean() - truth["chance"]) < 0.12
    assert broken["surprisal"].mean() > intact["surprisal"].mean() + 1
    sets = matched_random_units(table, place, n_sets=20, avoid=others, rng=0)
    for rows in sets:
        with ablate(lm, table.iloc[rows]):
            same = next_class(lm, texts)
        assert same["correct"].mean() > 0.9
    pd.testing.assert_frame_equal(next_class(lm, texts), intact)  # nothing is left behind


def test_building_leaves_the_random_state_alone_and_is_repeatable(planted):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = planted[0], planted_model(seed=0)[0]
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "bad", [{"words_per_sentence": 5}, {"n_layers": 3}, {"n_units": 70}, {"snr": 0.0}, {"max_length": 4096}]
)
def test_sizes_that_do_not_fit_are_refused(bad):
    with pytest.raises(BraindecError, match="cannot be built"):
        planted_model(**bad)


def test_a_model_that_splits_the_words_is_refused(planted):
    with pytest.raises(BraindecError, match="one token a word"):
        next_class(planted[0], ["unheard wordlings arrive"])
