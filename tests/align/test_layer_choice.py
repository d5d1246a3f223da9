"""Choosing layers: nested, unbiased when nothing is there, and the optimism of the largest score."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.layer_choice import choose_layers
from braindec.errors import BraindecError


def test_nested_choice_is_unbiased_and_the_largest_is_not():
    rng = np.random.default_rng(0)
    layers = [str(k) for k in range(12)]
    nested, largest, p, p_any = [], [], [], []
    for _ in range(400):
        train, test = rng.normal(size=(12, 5, 20, 1)), rng.normal(size=(12, 5, 20, 1))
        found = choose_layers(train, test, layers)
        nested.append(found.value[0])
        largest.append(found.largest[0])
        p.append(found.p[0])
        p_any.append(found.p_any[0])
        assert found.optimism[0] == pytest.approx(found.largest[0] - found.value[0])
    assert abs(np.mean(nested)) < 0.07 < 0.5 < np.mean(largest)
    for values in (p, p_any):
        assert 0.03 <= np.mean(np.array(values) <= 0.05) <= 0.08


def test_choice_uses_training_scores_only():
    train, test = np.zeros((3, 2, 2, 1)), np.zeros((3, 2, 2, 1))
    train[2, 0], train[1, 1] = 1.0, 1.0  # fold 0 takes layer 2, fold 1 takes layer 1
    test[2, 0, 0], test[1, 1, 0], test[0] = 0.4, 0.2, 0.9
    found = choose_layers(train, test, ["a", "b", "c"])
    assert found.place[:, 0].tolist() == [2, 1] and found.value[0] == pytest.approx(0.3)
    assert found.best[0] == 0 and found.largest[0] == pytest.approx(0.9) and found.stability[0] == 0.5
    assert found.table(["r"])["layer"].tolist() == ["c", "b"]


def test_one_layer_is_no_choice_and_shapes_are_checked():
    full = np.full((1, 3, 2), 0.7)
    found = choose_layers(np.zeros((1, 4, 3, 2)), np.zeros((1, 4, 3, 2)), ["a"], full=full)
    assert found.value.tolist() == [0.7, 0.7] and found.optimism.tolist() == [0.0, 0.0]
    with pytest.raises(BraindecError, match="layers are chosen from scores"):
        choose_layers(np.zeros((2, 4, 3)), np.zeros((2, 4, 3)), ["a", "b"])
