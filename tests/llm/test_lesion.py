"""Lesions: what is measured, the random sets beside it, the p-value, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.interventions import ablate
from braindec.llm.lesion import Lesion, lesion, mean_surprisal
from braindec.llm.sites import resolve, units_of
from braindec.llm.surprisal import surprisal
from braindec.llm.tiny import tiny_model

TEXTS = ["the small dog sleeps near a tree", "a bird sings", "the old man reads a long letter"]


@pytest.fixture(scope="module")
def tiny():
    lm = tiny_model(n_layers=2, n_units=16, n_heads=2, seed=1)
    return lm, units_of(lm, resolve(lm, "mlp_act"))


def test_it_measures_the_intact_and_each_lesioned_model(tiny):
    lm, units = tiny
    sets = [np.arange(40, 50), np.arange(60, 70)]
    found = lesion(lm, units, np.arange(10), sets, lambda model: mean_surprisal(model, TEXTS))
    np.testing.assert_array_equal(found.intact, mean_surprisal(lm, TEXTS))
    for rows, values in ((np.arange(10), found.lesioned), *zip(sets, found.random, strict=True)):
        with ablate(lm, units.iloc[rows]):
            np.testing.assert_array_equal(values, mean_surprisal(lm, TEXTS))
    assert found.change == pytest.approx((found.lesioned - found.intact).mean()) and found.random_changes.shape == (2,)
    assert found.p() in (1 / 3, 2 / 3, 1.0)


def test_units_can_be_held_at_their_mean(tiny):
    lm, units = tiny
    means = extract(lm, TEXTS, sites="mlp_act", pool="token").load().mean(axis=0)
    found = lesion(
        lm, units, np.array([3, 100]), [], lambda model: mean_surprisal(model, TEXTS), how="mean", means=means
    )
    with ablate(lm, units.iloc[[3, 100]], how="mean", means=means[[3, 100]]):
        np.testing.assert_array_equal(found.lesioned, mean_surprisal(lm, TEXTS))


def test_p_counts_sets_that_do_as_much_harm():
    random = np.array([[0.0, 0.1], [0.5, 0.7], [2.0, 2.2]])
    found = Lesion(np.zeros(2), np.array([0.6, 0.6]), random)
    assert found.p() == pytest.approx(3 / 4) and Lesion(np.zeros(2), np.full(2, 5.0), random).p() == 1 / 4
    assert Lesion(np.zeros(2), np.full(2, -1.0), -random).p(worse="smaller") == pytest.approx(2 / 4)
    low, high = Lesion(np.zeros(30), np.random.default_rng(0).normal(1, 0.1, 30), random[:, :0]).interval()
    assert 0.9 < low < 1 < high < 1.1
    with pytest.raises(BraindecError, match="unknown"):
        found.p(worse="better")


def test_surprisal_of_a_text_leaves_out_its_first_word(tiny):
    lm, _ = tiny
    table = surprisal(lm, TEXTS)
    own = mean_surprisal(lm, TEXTS)
    for k in range(3):
        mine = table[(table["text_id"] == str(k)) & (table["word_index"] > 0)]
        assert own[k] == pytest.approx(mine["surprisal"].mean())
    with pytest.raises(BraindecError, match="one word"):
        mean_surprisal(lm, ["dog", "a dog"])


def test_refusals(tiny):
    lm, units = tiny
    with pytest.raises(BraindecError, match="no unit"):
        lesion(lm, units, np.array([], dtype=int), [], lambda model: np.zeros(3))
    with pytest.raises(BraindecError, match="finite number"):
        lesion(lm, units, np.array([0]), [], lambda model: np.array([np.nan]))
