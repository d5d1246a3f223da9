"""Average precision against scikit-learn, its chance level, planted concept units, the level of the permutation test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.planted import planted_model, planted_sentences
from braindec.llm.score import Probe
from braindec.llm.scores.average_precision import average_precision, chance_precision, concept_units, score
from braindec.llm.tiny import tiny_model, untrained

KEYS = ["layer", "site", "index"]


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_that_of_scikit_learn(tied):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 30))
    values = np.maximum(np.round(values, 1), 0) if tied else values
    labels = np.stack([rng.random(40) < share for share in (0.1, 0.5, 0.9)])
    labels[:, 0] = True
    found = average_precision(values, labels)
    expected = [[average_precision_score(y, values[:, u]) for u in range(30)] for y in labels]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("n_positive", "n"), [(1, 10), (7, 20), (30, 40)])
def test_chance_is_the_mean_over_random_orders(n_positive, n):
    rng = np.random.default_rng(1)
    orders = rng.permuted(np.tile(np.arange(float(n)), (4000, 1)), axis=1).T
    drawn = average_precision(orders, np.arange(n) < n_positive)
    assert chance_precision(n_positive, n) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(4000))


def test_planted_concept_units_are_found_and_named():
    rng = np.random.default_rng(2)
    concepts = np.repeat(["capital", "colour", "animal"], [20, 12, 8])
    values = rng.normal(size=(40, 60))
    for unit, concept in ((3, "capital"), (20, "colour"), (59, "animal")):
        values[:, unit] += 4.0 * (concepts == concept)
    values[:, 10] = 1.0
    found, names = concept_units(values, concepts, permutations=499)
    assert [names[found.best[u]] for u in (3, 20, 59)] == ["capital", "colour", "animal"]
    assert (
        set(np.argsort(-np.nan_to_num(found.score, nan=-1))[:3]) == {3, 20, 59}
        and (found.p[[3, 20, 59]] == 1 / 500).all()
    )
    assert np.isnan(found.score[10]) and np.isnan(found.p[10])


@pytest.mark.parametrize("tied", [False, True])
def test_p_holds_its_level_over_the_choice_of_the_best_concept(tied):
    rng = np.random.default_rng(3)
    p = []
    for k in range(60):
        values = rng.normal(size=(30, 25))
        values = np.maximum(values, 0) if tied else values
        p.append(concept_units(values, np.repeat(["a", "b", "c"], [14, 10, 6]), permutations=99, rng=k)[0].p)
    assert 0.03 < (np.concatenate(p) <= 0.05).mean() < 0.07


def test_detectors_of_word_classes_are_concept_units_of_the_planted_model():
    lm, truth = planted_model()
    texts = planted_sentences(80, 4, n_words=7)
    table = pd.DataFrame({"text": texts, "concept": [truth["classes"][t.split()[-1]] for t in texts]})
    found = score(
        Probe(lm, {"concepts": table}, layers=[0], options={"average_precision": {"k": 8, "permutations": 999}})
    )
    marked = found.merge(truth["detector"][KEYS], how="left", indicator=True)
    planted = marked["_merge"] == "both"
    chosen = marked["average_precision_selected"]
    assert chosen.sum() <= 32 and planted[chosen].mean() > 0.9
    assert marked.loc[planted, "average_precision"].median() > 0.9 and set(
        marked.loc[planted, "average_precision_concept"]
    ) == set(truth["grammar"])
    assert {f"average_precision_ap_{c}" for c in truth["grammar"]} <= set(found)


@pytest.mark.slow
def test_p_holds_its_level_on_untrained_networks():
    texts = list(dict.fromkeys(planted_sentences(60, 9, n_words=7)))
    lm, rates = tiny_model(n_layers=2, n_units=32, n_heads=2, texts=texts), []
    for seed in range(6):
        values = extract(untrained(lm, seed), texts, sites="mlp_act", pool="mean").load()
        rng = np.random.default_rng(seed)
        for k in range(20):
            concepts = rng.permutation(np.arange(len(texts)) % 3)
            rates.append((concept_units(values, concepts, permutations=199, rng=k)[0].p <= 0.05).mean())
    assert 0.03 < np.mean(rates) < 0.07


def test_bad_input_gets_one_clear_message():
    with pytest.raises(BraindecError, match="at least 2 texts each"):
        concept_units(np.zeros((4, 2)), np.array(["a", "a", "a", "b"]))
    with pytest.raises(BraindecError, match="finite"):
        concept_units(np.full((4, 2), np.nan), np.array(["a", "a", "b", "b"]))
