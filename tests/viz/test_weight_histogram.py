"""Shares of synapses are what is drawn; wrong weights are one clear error."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.viz.weight_histogram import weight_histogram


def test_shares_add_up_to_one_in_each_state_and_the_bins_cover_the_limits():
    rng = np.random.default_rng(0)
    states = {"before": rng.uniform(0.4, 0.6, 500), "after": rng.choice([0.0, 1.0], 900)}
    figure = weight_histogram(states, limits=(0.0, 2.0), bins=20, unit="mV")
    steps = [p for p in figure.axes[0].patches if hasattr(p, "get_data")]
    assert len(steps) == 2
    for found, weights in zip(steps, states.values(), strict=True):
        values, edges, _ = found.get_data()
        assert values.sum() == pytest.approx(1.0) and edges[0] == 0.0 and edges[-1] == 2.0
        np.testing.assert_allclose(values, np.histogram(weights, edges)[0] / len(weights))
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert "n = 500" in labels[0] and "mV" in figure.axes[0].get_xlabel()


def test_equal_weights_are_drawn_too():
    for weights, log in ((np.full(10, 0.3), False), (np.zeros(3), True)):
        low, high = weight_histogram({"all": weights}, log=log).axes[0].get_xlim()
        assert low < weights[0] < high


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: weight_histogram({}), "one a state"),
        (lambda: weight_histogram([1.0, 2.0]), "one a state"),
        (lambda: weight_histogram({"a": [np.nan]}), "not finite"),
        (lambda: weight_histogram({"a": []}), "empty"),
        (lambda: weight_histogram({"a": [1.0]}, limits=(1.0, 0.0)), "limits"),
        (lambda: weight_histogram({"a": [1.0]}, limits="ab"), "limits"),
        (lambda: weight_histogram({"a": [1.0]}, bins=2.5), "bins=2.5"),
        (lambda: weight_histogram({"a": [1.0]}, bins=0), "bins=0"),
    ],
)
def test_wrong_weights_are_one_clear_error(call, words):
    with pytest.raises(BraindecError, match=words):
        call()
