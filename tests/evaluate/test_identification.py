"""Identification: closed forms, ties, classes, and p-values that hold."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.identification import evaluate_identification, identification_scores


def test_shares_of_distractors_by_hand():
    similarity = np.array([[0.5, 0.4, 0.6], [0.1, 0.1, 0.1], [0.9, 0.2, 0.8]])
    assert identification_scores(similarity) == pytest.approx([0.5, 0.5, 0.5])
    assert identification_scores(similarity, within=np.array([0, 0, 1]))[:2] == pytest.approx([1.0, 0.5])


def test_a_decoder_of_classes_wins_nothing_within():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 25)
    centres = rng.standard_normal((4, 30))
    true = centres[labels] + 0.5 * rng.standard_normal((100, 30))
    table = evaluate_identification(
        centres[labels] + 1e-3 * rng.standard_normal((100, 30)), true, within=labels, n_permutations=200
    )
    value = table.set_index("metric")["value"]
    assert value["identification"] > 0.85  # 1/2 * 24/99 + 75/99 with perfect classes
    assert abs(value["identification_within"] - 0.5) < 0.06
    p = table.set_index("metric")["p"]
    assert p["identification"] < 0.01 and p["identification_within"] > 0.01


def test_p_holds_when_nothing_is_there():
    rng = np.random.default_rng(1)
    p = []
    for seed in range(200):
        true, predicted = rng.standard_normal((24, 12)), rng.standard_normal((24, 12))
        table = evaluate_identification(predicted, true, within=np.repeat([0, 1], 12), exchange=np.tile([0, 1, 2], 8),
                                        n_permutations=99, n_bootstrap=100, seed=seed)  # fmt: skip
        p.append(table["p"].to_numpy())
    below = (np.array(p) <= 0.05).mean(axis=0)
    assert (below >= 0.015).all() and (below <= 0.09).all()  # 200 draws: .05 +- .04


def test_trials_of_one_item_stay_together():
    """The response to an item holds something that is not in its description: six trials of it are not six witnesses."""
    rng = np.random.default_rng(2)
    items = np.repeat(np.arange(16), 6)
    together, alone, held = [], [], []
    for seed in range(120):
        true, own = rng.standard_normal((16, 10)), rng.standard_normal((16, 10))
        predicted = own[items] + rng.standard_normal((96, 10))
        how = {"exchange": items % 4, "n_permutations": 59, "n_bootstrap": 100, "seed": seed}
        table = evaluate_identification(predicted, true[items], items=items, **how).iloc[1]
        together.append(table["p"])
        held.append(table["low"] <= 0.5 <= table["high"])
        alone.append(evaluate_identification(predicted, true[items], **how).iloc[1]["p"])
    assert np.mean(np.array(alone) <= 0.05) > 0.12  # so the next line could fail
    assert np.mean(np.array(together) <= 0.05) <= 0.1 and np.mean(held) > 0.87


def test_other_trials_of_an_item_are_no_distractors():
    true = np.random.default_rng(3).standard_normal((4, 9))
    items = np.array(["a", "b", "c", "d", "a", "b"])
    rows = np.array([0, 1, 2, 3, 0, 1])
    table = evaluate_identification(true[rows], true[rows], items=items, exchange=[0, 0, 1, 1, 1, 1], n_permutations=9)
    assert table["value"].tolist() == pytest.approx([1.0, 1.0])
    assert "over 4 items" in table["note"][0] and "within folds" not in table["note"][0]  # items lie in several folds
    with pytest.raises(BraindecError, match="one truth"):
        evaluate_identification(true[rows], true[[0, 1, 2, 3, 3, 1]], items=items)
    with pytest.raises(BraindecError, match="one class"):
        evaluate_identification(true[rows], true[rows], items=items, within=[0, 0, 1, 1, 1, 0])


def test_what_cannot_be_scored():
    with pytest.raises(BraindecError, match="at least two items"):
        evaluate_identification(np.ones((2, 3)), np.ones((2, 3)), within=np.array([0, 1]))
    with pytest.raises(BraindecError, match="row, unit"):
        evaluate_identification(np.ones((2, 3)), np.ones((2, 4)))
