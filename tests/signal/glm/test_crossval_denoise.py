"""Cross-validated R2 against an explicit fit of every fold; the noise pool, its components and how many are taken."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.signal.glm.crossval import Conditions, explained, repeated_conditions
from braindec.signal.glm.denoise import choose_number, noise_components, noise_pool


def test_explained_is_the_fit_of_every_fold():
    rng = np.random.default_rng(0)
    runs = [(rng.standard_normal((n, 5)), rng.standard_normal((n, 3))) for n in (30, 40, 35)]
    energy = 7.0
    grams, moments = (np.stack([x.T @ (x if k == 0 else y) for x, y in runs]) for k in (0, 1))
    penalty = np.diag([1e-8 * energy] + [energy] * 4)
    expected = np.zeros(3)
    for held, (x, y) in enumerate(runs):
        others = [r for k, r in enumerate(runs) if k != held]
        train_x, train_y = np.concatenate([r[0] for r in others]), np.concatenate([r[1] for r in others])
        predicted = x @ np.linalg.solve(train_x.T @ train_x + penalty, train_x.T @ train_y)
        expected += (y**2).sum(axis=0) - ((y - predicted) ** 2).sum(axis=0)
    assert np.allclose(explained(grams, moments, energy=energy), expected)


def test_conditions_that_come_in_two_runs():
    labels = [
        np.array(["a", "b", "b", None], dtype=object),
        np.array(["a", "c"], dtype=object),
        np.array(["c", "d"], dtype=object),
    ]
    found = Conditions(labels)
    assert found.n_conditions == 2 and [c.tolist() for c in found.codes] == [[0, -1, -1, -1], [0, 1], [1, -1]]
    assert found.columns(1).tolist() == [[1, 1, 0], [1, 0, 1]]
    assert found.columns(0).sum(axis=0).tolist() == [4, 1, 0]
    assert repeated_conditions(labels) is None
    assert "one training run" in repeated_conditions(labels[:1])
    assert "within runs" in repeated_conditions([labels[0], np.array(["x"], dtype=object)])
    assert "no condition" in repeated_conditions([labels[1], np.array(["x"], dtype=object)])


def test_pool_is_bright_and_not_driven():
    r2 = np.array([-0.1, -0.1, 0.2, np.nan, -0.1])
    intensity = np.array([100.0, 3.0, 100.0, 100.0, 90.0])
    assert noise_pool(r2, intensity, threshold=0.0, bright=0.1).tolist() == [True, False, False, False, True]
    assert noise_pool(r2, intensity * 0, threshold=0.0, bright=0.1).tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]  # no baseline
    assert not noise_pool(np.full(3, np.nan), np.ones(3), threshold=0.0, bright=0.1).any()


def test_components_span_the_planted_courses():
    rng = np.random.default_rng(0)
    courses = rng.standard_normal((100, 3))
    data = courses @ rng.standard_normal((3, 400)) + 0.3 * rng.standard_normal((100, 400))
    data /= np.linalg.norm(data, axis=0)
    found = noise_components(data @ data.T, 3)
    assert np.allclose(found.T @ found, np.eye(3), atol=1e-10)
    lost = courses - found @ (found.T @ courses)
    assert (lost**2).sum() / (courses**2).sum() < 0.01
    assert noise_components(courses[:, :1] @ courses[:, :1].T, 3).shape[1] == 1  # no more than there are


def test_smallest_number_near_the_best():
    scores = np.array([0.1, 0.2, 0.299, 0.3, 0.25])[:, None] * np.ones((1, 9))
    scores[:, 5] = -0.5  # never predicted: does not count
    scores[2, 6] = np.nan
    n, curve = choose_number(scores)
    assert n == 2 and np.allclose(curve, [0.1, 0.2, 0.299, 0.3, 0.25])
    assert choose_number(scores[::-1][[0, 4]])[0] == 0  # nothing is gained
    n, curve = choose_number(-np.ones((3, 4)))
    assert n == 0 and np.isnan(curve).all()
    assert choose_number(np.full((3, 4), np.nan))[0] == pytest.approx(0)
