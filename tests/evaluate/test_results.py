"""Means over units: intervals over units, kept inside the scale, and the combined p."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.evaluate.results import class_difference, group_scores
from braindec.types import Result, Windows


def unit(subject, value, p, direction="brain_to_image"):
    row = {
        "subject": subject,
        "metric": "top1",
        "version": "1",
        "row": "decoded",
        "chance": 0.02,
        "low": 0.0,
        "high": 1.0,
        "n": 50,
    }
    return Result(pd.DataFrame([{**row, "value": value, "p": p, "direction": direction},
                                {**row, "value": value / 2, "p": 0.5, "direction": "image_to_brain"}]))  # fmt: skip


def test_directions_are_not_mixed_and_intervals_stay_inside_the_scale():
    found = group_scores([unit("01", 0.9, 0.01), unit("02", 0.1, 0.2), unit("03", 0.5, 0.04)]).scores
    forward = found[found["direction"] == "brain_to_image"].iloc[0]
    assert len(found) == 2 and forward["value"] == pytest.approx(0.5) and forward["n"] == 3
    assert 0.0 <= forward["low"] < 0.5 < forward["high"] <= 1.0
    statistic = -2 * np.log([0.01, 0.2, 0.04]).sum()  # Fisher's, chi-squared with 6 degrees of freedom
    tail = np.exp(-statistic / 2) * sum((statistic / 2) ** k / np.prod(range(1, k + 1)) for k in range(3))
    assert forward["p"] == pytest.approx(tail)


def test_one_unit_has_no_mean():
    assert group_scores([unit("01", 0.9, 0.01)]) is None


def test_units_that_saw_the_same_stimuli_are_no_independent_tests():
    found = group_scores([unit(str(k), 0.5, 0.04) for k in range(6)], shared_stimuli=True).scores
    assert found["p"].iloc[0] == pytest.approx(0.04) and "Cauchy" in found["note"].iloc[0]


def test_the_map_of_differences_is_the_f_of_scipy():
    from scipy.stats import f_oneway

    rng = np.random.default_rng(0)
    X = (1e-6 * rng.standard_normal((60, 3, 8))).astype("float32")
    y = rng.permutation(np.repeat(["a", "b", "c"], 20))
    X[y == "b", 1, 4] += 2e-6
    arrays, panel = class_difference(Windows.from_arrays(X, {"trial_type": y}, sfreq=100.0), y)
    expected = f_oneway(*(X[y == k].astype(float) for k in "abc"), axis=0).statistic
    np.testing.assert_allclose(arrays["difference/f"], expected, rtol=1e-4)
    assert panel["draw"] == "topomap_times"


def test_differences_of_shares_are_not_held_between_0_and_1():
    def lead(value):
        row = {
            "metric": "balanced_accuracy_difference",
            "version": 1,
            "row": "over_input",
            "value": value,
            "chance": 0.0,
            "p": 0.5,
        }
        return Result(pd.DataFrame([row]))

    found = group_scores([lead(-0.02), lead(-0.06), lead(-0.10)]).scores.iloc[0]
    assert found["low"] < found["value"] < 0 and found["low"] < -0.06
