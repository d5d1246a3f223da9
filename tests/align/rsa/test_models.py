"""Families of models: fits, and scores on parts that had none in them."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa._crossval import n_folds
from braindec.align.rsa.inference import infer
from braindec.align.rsa.models import Fixed, Select, Weighted, as_models
from braindec.errors import BraindecError


def test_mixtures_are_non_negative_least_squares():
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    parts = rng.random((4, 60))
    data = 2 * parts[0] + 0.5 * parts[2] - parts[3] + 0.1 * rng.random(60)
    weights = Weighted("w", parts).fit(parts @ parts.T, parts @ data)
    np.testing.assert_allclose(weights, nnls(parts.T, data)[0], atol=1e-6)
    against = Weighted("w", parts).fit(parts @ parts.T, -parts @ data)
    assert (against >= 0).all() and against.any()  # something is predicted even then


def test_choice_is_the_most_similar():
    parts = np.array([[1.0, 0, 0], [10.0, 10, 0], [0, 0, 1]])
    data = np.array([1.0, 1, 0.1])
    np.testing.assert_array_equal(Select("s", parts).fit(parts @ parts.T, parts @ data), [0, 1, 0])


def test_names_and_sizes():
    with pytest.raises(BraindecError, match="a fixed model is one matrix"):
        Fixed("f", np.zeros((2, 3)))
    with pytest.raises(BraindecError, match="different names"):
        as_models([Fixed("f", np.zeros(3)), Fixed("f", np.ones(3))])
    assert n_folds(92, 20) == (5, 4) and n_folds(12, 4) == (2, 2)


@pytest.fixture(scope="module")
def truth(simulated):
    rng, n = np.random.default_rng(2), 30
    parts = [rng.standard_normal((n, 4)) for _ in range(3)]
    data = np.stack(
        [
            simulated.distances(np.hstack([parts[0], 0.7 * parts[1], 0.8 * rng.standard_normal((n, 6))]))
            for _ in range(6)
        ]
    )
    return np.stack([simulated.distances(p) for p in parts]), simulated.subjects(data)


@pytest.mark.parametrize("comparator", ["pearson", "rho_a"])
def test_fitted_models_on_held_out_parts(truth, comparator):
    parts, data = truth
    models = [Fixed("first", parts[0]), Weighted("mixture", parts), Select("best", parts), Fixed("none", parts[2])]
    found = infer(models, data, comparator=comparator, n=20, seed=0)
    score = found.decoded.set_index("model")["value"]
    assert (
        score["mixture"] > score["first"] + 0.05
        and score["best"] == pytest.approx(score["first"], abs=0.02)
        and abs(score["none"]) < 0.15
    )
    assert found.decoded["low"].lt(found.decoded["high"]).all()
    weights = next(iter(found.bootstraps.values())).weights[1].mean(axis=0)
    assert weights[0] > weights[1] > weights[2]
    ceiling = found.scores.set_index("row")["value"]
    assert ceiling["noise_ceiling_lower"] < ceiling["noise_ceiling_upper"]
    assert any("held-out" in note for note in found.notes) and any(
        note.startswith("best: chosen") for note in found.notes
    )


def test_a_mixture_gains_nothing_from_noise(simulated):
    """Fitted on the same parts many noise matrices would look good; held out they do not."""
    rng, scores = np.random.default_rng(3), []
    for _ in range(6):
        _, data = simulated.brains(rng, 18, 4)
        parts = np.stack([simulated.distances(rng.standard_normal((18, 3))) for _ in range(8)])
        scores.append(
            infer([Weighted("noise", parts)], simulated.subjects(data), comparator="pearson", n=2)
            .decoded["value"]
            .iloc[0]
        )
    assert abs(np.mean(scores)) < 0.08


def test_too_few_conditions_for_folds(simulated):
    _, data = simulated.brains(np.random.default_rng(0), 5, 3)
    with pytest.raises(BraindecError, match="at least 3"):
        infer([Select("s", data)], simulated.subjects(data), comparator="pearson", n=2)
