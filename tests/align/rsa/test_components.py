"""Variance components: products of disjoint pairs counted one by one, pseudo-values as derivatives, truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa._components import _disjoint, components
from braindec.align.rsa._influence import INFLUENCE, ceiling_pseudo_values, pseudo_values
from braindec.align.rsa._jackknife import inflation, jackknife_covariance, leave_one_grams, left_out, linear_jackknife
from braindec.align.rsa._sums import similarities, weighted_sums
from braindec.align.rsa.bootstrap import bootstrap_rsa
from braindec.align.rsa.compare import comparator_of

N = 9
PAIRS = list(zip(*np.triu_indices(N, 1), strict=True))


@pytest.mark.parametrize("group", [None, np.arange(N), np.array([0, 0, 0, 1, 1, 2, 3, 3, 4])])
def test_disjoint_products_counted_one_by_one(group):
    values = np.random.default_rng(0).random((2, len(PAIRS)))
    labels = np.arange(N) if group is None else group
    total, count = np.zeros((2, 2)), 0
    for p, one in enumerate(PAIRS):
        for q, other in enumerate(PAIRS):
            if not {labels[i] for i in one} & {labels[i] for i in other}:
                total += np.outer(values[:, p], values[:, q])
                count += 1
    np.testing.assert_allclose(_disjoint(values, group), total / count)


def test_components_are_unbiased_for_a_mean():
    """Subjects, conditions, pairs and their combinations each bring a known variance."""
    rng, n_subjects, first, second = np.random.default_rng(1), 4, *np.triu_indices(N, 1)
    found, means = [], []
    for _ in range(400):
        subject, condition = rng.normal(size=n_subjects), rng.normal(size=N)
        values = 0.7 * subject[:, None] + 0.5 * (condition[first] + condition[second])
        values = values + rng.normal(size=len(first)) + rng.normal(size=(n_subjects, len(first)))
        part = components(v[None] for v in values)
        found.append([part.both[0, 0], part.subjects[0, 0], part.conditions[0, 0]])
        means.append(values.mean())
    n_pairs = len(first)
    single = 1 / (n_subjects * n_pairs)
    truth = [
        0.49 / n_subjects + 4 * 0.25 / N + 1 / n_pairs + single,
        0.49 / n_subjects + single,
        4 * 0.25 / N + 1 / n_pairs + single,
    ]
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - truth) < 4 * error).all()
    assert np.var(means) == pytest.approx(truth[0], rel=0.25)


@pytest.mark.parametrize("name", INFLUENCE)
def test_pseudo_values_average_to_the_score(name):
    rng = np.random.default_rng(2)
    models, data = rng.random((2, len(PAIRS))), rng.random((5, len(PAIRS)))
    data[0] = np.round(data[0], 1)
    values = np.stack([pseudo_values(m, data, name) for m in models])
    np.testing.assert_allclose(
        values.mean(axis=2), comparator_of(name).compare(models, data), atol=1e-3 if name == "rho_a" else 1e-12
    )
    ceiling = ceiling_pseudo_values(data, np.arange(5), name)
    lower = bootstrap_rsa(models, data, comparator=name, kind="none").ceilings[0]
    assert ceiling.mean() == pytest.approx(lower, abs=1e-3 if name == "rho_a" else 1e-12)


@pytest.mark.parametrize("name", ["cosine", "pearson"])
def test_pseudo_values_are_derivatives(name):
    rng = np.random.default_rng(3)
    model, data = rng.random(len(PAIRS)), rng.random((1, len(PAIRS)))
    values, step = pseudo_values(model, data, name)[0], 1e-6
    for place in (0, 7, 20):
        weights = np.ones(len(PAIRS))
        weights[place] += step

        def score(w):
            a, d = (x - np.average(x, weights=w) * (name == "pearson") for x in (model, data[0]))
            return np.sum(w * a * d) / np.sqrt(np.sum(w * a * a) * np.sum(w * d * d))

        slope = (score(weights) - score(np.ones(len(PAIRS)))) / step * len(PAIRS)
        assert values[place] - values.mean() == pytest.approx(slope, abs=1e-4)


def test_jackknife_of_a_mean_is_linear():
    values = np.random.default_rng(4).random((3, len(PAIRS)))
    kept = left_out(N) > 0
    means = np.stack([[v[[k[i] and k[j] for i, j in PAIRS]].mean() for v in values] for k in kept])
    np.testing.assert_allclose(linear_jackknife(values), jackknife_covariance(means, N))
    assert (inflation(np.diag(linear_jackknife(values)), np.diag(linear_jackknife(values))) == 1).all()


@pytest.mark.parametrize("group", [None, np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])])
def test_sums_without_a_condition(group):
    rows = np.random.default_rng(5).random((3, len(PAIRS)))
    for gram, keep in zip(leave_one_grams(rows, group), left_out(N, group) > 0, strict=True):
        inside = [keep[i] and keep[j] for i, j in PAIRS]
        np.testing.assert_allclose(gram, rows[:, inside] @ rows[:, inside].T)


def test_leaving_out_is_a_weight_of_zero():
    rows = np.random.default_rng(6).random((2, len(PAIRS)))
    gram = leave_one_grams(rows)
    found = similarities(weighted_sums(rows[:1], rows[1:], left_out(N), "cosine"))[:, 0, 0]
    np.testing.assert_allclose(found, gram[:, 0, 1] / np.sqrt(gram[:, 0, 0] * gram[:, 1, 1]))
