"""The discrimination value against a slow definition and its limits; the permutation test holds its level by words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.planted import planted_model, planted_sentences
from braindec.llm.score import Probe
from braindec.llm.scores.word_class import distances_of, gdv, gdv_test, score
from braindec.llm.tiny import tiny_model, untrained
from braindec.llm.words import words_table


def _slow(values, classes):
    z = 0.5 * (values - values.mean(axis=0)) / values.std(axis=0)
    groups = [z[classes == c] for c in np.unique(classes)]
    within = [cdist(g, g)[np.triu_indices(len(g), 1)].mean() for g in groups]
    between = [cdist(a, b).mean() for i, a in enumerate(groups) for b in groups[:i]]
    return (np.mean(within) - np.mean(between)) / np.sqrt(values.shape[1])


def test_it_is_its_definition():
    rng = np.random.default_rng(0)
    values, classes = rng.normal(size=(50, 7)) * np.arange(1, 8), rng.integers(0, 3, 50)
    values += classes[:, None]
    assert gdv(distances_of(values), classes) == pytest.approx(_slow(values, classes), rel=1e-9)
    several = np.stack([classes, rng.permutation(classes)])
    np.testing.assert_allclose(gdv(distances_of(values), several), [_slow(values, c) for c in several])


def test_its_limits_and_invariances():
    classes = np.repeat([0, 1], 20)
    assert gdv(distances_of(np.outer(np.where(classes, 1.0, -1.0), np.ones(5))), classes) == pytest.approx(-1.0)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 30))
    labels = rng.integers(0, 2, 400)
    assert abs(gdv(distances_of(values), labels)) < 0.01
    some = rng.normal(size=(60, 4)) + np.repeat([0, 1, 2], 20)[:, None]
    codes = np.repeat([0, 1, 2], 20)
    one = gdv(distances_of(some), codes)
    assert gdv(distances_of(3 * some + 5), codes) == pytest.approx(one) and gdv(
        distances_of(np.tile(some, 3)), codes
    ) == pytest.approx(one)


def test_p_holds_its_level_when_words_repeat_and_permuting_occurrences_would_not():
    rng = np.random.default_rng(2)
    by_word, by_item = [], []
    for k in range(200):
        words = np.repeat(np.arange(14), 5)
        values = rng.normal(size=(14, 8))[words] + 0.3 * rng.normal(size=(70, 8))  # words differ, classes do not
        classes = np.repeat([0, 1], 7)[words]
        by_word.append(gdv_test(values, classes, words=words, permutations=59, rng=k)[1])
        by_item.append(gdv_test(values, classes, permutations=19, rng=k)[1] if k < 60 else np.nan)
    assert 0.02 < (np.array(by_word) <= 0.05).mean() < 0.08
    assert (np.array(by_item)[:60] <= 0.05).mean() > 0.3


def test_p_holds_its_level_when_classes_go_with_frequency():
    """Few frequent words and many rare ones: classes of equal meaning, as function words and nouns of an untrained network."""
    rng, p = np.random.default_rng(3), []
    often = np.concatenate([np.full(6, 30), np.full(25, 2), np.full(15, 4)])
    words, classes = np.repeat(np.arange(46), often), np.repeat(np.repeat([0, 1, 2], [6, 25, 15]), often)
    for k in range(120):
        values = rng.normal(size=(46, 12))[words] + 0.7 * rng.normal(size=(len(words), 12))
        p.append(gdv_test(values, classes, words=words, permutations=39, rng=k)[1])
    assert 0.01 < np.mean(np.array(p) <= 0.05) < 0.1 and np.mean(np.array(p) >= 0.9) < 0.25
    values = (rng.normal(size=(46, 12)) + 1.5 * rng.normal(size=(3, 12))[np.repeat([0, 1, 2], [6, 25, 15])])[words]
    assert gdv_test(values, classes, words=words, permutations=99, rng=0)[1] <= 0.02


@pytest.mark.slow
def test_p_holds_its_level_on_untrained_networks():
    """Classes dealt to words at random: what a network does with words and places must not pass for classes."""
    table = words_table(planted_sentences(30, 8, n_words=6))
    words = table["word"].to_numpy()
    lm, hits = tiny_model(n_layers=2, n_units=32, n_heads=2, texts=planted_sentences(60)), []
    for seed in range(6):
        values = extract(untrained(lm, seed), table, layers=1, pool="word").load()
        rng = np.random.default_rng(seed)
        for k in range(50):
            deal = dict(zip(sorted(set(words)), rng.integers(0, 3, len(set(words))), strict=True))
            classes = np.array([deal[w] for w in words])
            hits.append(gdv_test(values, classes, words=words, permutations=39, rng=k)[1] <= 0.05)
    assert 0.03 < np.mean(hits) < 0.07


def test_classes_of_the_planted_model_are_apart_and_of_an_untrained_one_are_not():
    lm, truth = planted_model()
    table = words_table(planted_sentences(24, 3, n_words=8))
    table["class"] = table["word"].map(truth["classes"])
    probe = Probe(lm, {"word_classes": table}, sites=("embedding", "resid_post"), untrained=[untrained(lm, k) for k in range(2)],
                  options={"word_class": {"permutations": 39}})  # fmt: skip
    found = score(probe)
    assert (
        len(found) == 5
        and (found["word_class_p"] <= 0.03).all()
        and (found["word_class"] < found["word_class_untrained"] - 0.05).all()
    )
    assert (found["word_class_n"] == 192).all() and (found["word_class_classes"] == 4).all()
    fresh = score(
        Probe(
            untrained(lm, 5),
            {"word_classes": table},
            sites=("resid_post",),
            options={"word_class": {"permutations": 39}},
        )
    )
    assert (fresh["word_class_p"] > 0.025).any() and fresh["word_class_untrained"].isna().all()


def test_bad_input_gets_one_clear_message():
    with pytest.raises(BraindecError, match="2 classes or more"):
        gdv_test(np.eye(4), np.array([0, 0, 0, 1]))
    with pytest.raises(BraindecError, match="too few different words"):
        gdv_test(np.random.default_rng(0).normal(size=(8, 3)), np.repeat([0, 1], 4), words=np.repeat(["a", "b"], 4))
    with pytest.raises(BraindecError, match="no unit"):
        distances_of(np.ones((5, 3)))
    with pytest.raises(BraindecError, match="column class"):
        score(Probe(tiny_model(n_layers=1, n_units=16, n_heads=2), {"word_classes": words_table(["a b"])}))
