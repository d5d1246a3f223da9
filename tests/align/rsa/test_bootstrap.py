"""The bootstrap of subjects and conditions: against matrices that are written out, rsatoolbox's numbers, and simulations."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align.rsa._draws import Draws, draw, pair_weights
from braindec.align.rsa._evaluate import evaluate
from braindec.align.rsa._sums import similarities, weighted_sums
from braindec.align.rsa.bootstrap import bootstrap_rsa, combine_factors, t_interval, t_test
from braindec.align.rsa.compare import comparator_of
from braindec.align.rsa.rdm import cells_to_square
from braindec.errors import BraindecError

COMPARATORS = {
    "cosine": "cosine",
    "pearson": "corr",
    "spearman": "spearman",
    "rho_a": "rho_a",
    "corr_cov": "corr_cov",
    "cosine_cov": "cosine_cov",
}
CONDITIONS = 10


def matrices(n_models=2, n_data=4, n=CONDITIONS, seed=0):
    rng = np.random.default_rng(seed)
    models = rng.random((n_models, n * (n - 1) // 2))
    models[0] = np.round(3 * models[0])  # ties
    return models, rng.random((n_data, models.shape[1])) + 0.5 * models[1]


@pytest.fixture(scope="module")
def fixture(shared):
    return np.load(shared("rsa_inference.npz", kind="parity"))


@pytest.mark.parametrize("name", ["cosine", "pearson", "spearman", "rho_a"])
def test_a_resample_is_the_matrix_written_out(name):
    models, data = matrices()
    drawn = draw(np.arange(CONDITIONS), np.arange(4), n=6, rng=np.random.default_rng(1))
    one = Draws(np.ones((1, CONDITIONS)), np.ones((1, 4)))
    found = evaluate(models, data, one, drawn, comparator_of(name), "two-factor", np.arange(4))[2]["both"]
    comparator = comparator_of(name)
    for row, copies, people in zip(found, drawn.conditions, drawn.rdms, strict=True):
        cells = np.repeat(np.arange(models.shape[1]), pair_weights(copies[None])[0].astype(int))
        A, B = models[:, cells], np.repeat(data, people.astype(int), axis=0)[:, cells]
        np.testing.assert_allclose(row[:2], comparator.compare(A, B).mean(axis=1), atol=1e-7)
        upper = comparator.compare(comparator.pool(B).mean(axis=0)[None], B).mean()
        assert row[3] == pytest.approx(upper, abs=1e-6)
        who = np.repeat(np.arange(4), people.astype(int))
        lower = [
            comparator.compare(comparator.pool(B[who != w]).mean(axis=0)[None], B[i : i + 1])[0, 0]
            for i, w in enumerate(who)
        ]
        assert row[2] == pytest.approx(np.mean(lower), abs=1e-6)


@pytest.mark.parametrize("name", ["cosine_cov", "corr_cov"])
def test_whitening_with_copies_is_the_dense_formula(name):
    models, data = matrices(seed=4)
    rng, rows = np.random.default_rng(2), np.concatenate([models, data])
    for _ in range(4):
        copies = rng.multinomial(CONDITIONS, np.full(CONDITIONS, 0.1))
        drawn = np.repeat(np.arange(CONDITIONS), copies)
        first, second = np.triu_indices(CONDITIONS, 1)
        pairs = drawn[first] != drawn[second]
        incidence = np.zeros((CONDITIONS, pairs.sum()))
        incidence[first[pairs], np.arange(pairs.sum())] = incidence[second[pairs], np.arange(pairs.sum())] = 1
        covariance = 2 * np.eye(pairs.sum()) + incidence.T @ incidence  # of the cells of a matrix of noise
        cells = cells_to_square(rows)[:, drawn[first[pairs]], drawn[second[pairs]]]
        cells = cells - cells.mean(axis=1, keepdims=True) if name == "corr_cov" else cells
        gram = cells @ np.linalg.solve(covariance, cells.T)
        expected = gram[:2, 2:] / np.sqrt(np.diag(gram)[:2, None] * np.diag(gram)[None, 2:])
        np.testing.assert_allclose(
            similarities(weighted_sums(models, data, copies[None].astype(float), name))[0], expected, atol=1e-12
        )


@pytest.mark.parametrize("name", COMPARATORS)
def test_ceilings_are_those_of_rsatoolbox(fixture, name):
    found = bootstrap_rsa(fixture["models"], fixture["data"], comparator=name, kind="none")
    np.testing.assert_allclose(found.ceilings, fixture[f"nc_{COMPARATORS[name]}"], atol=1e-8)


def test_tests_over_subjects_are_those_of_rsatoolbox(fixture):
    found = bootstrap_rsa(fixture["models"], fixture["data"], comparator="pearson", kind="none")
    v, upper = found.variances(), np.triu_indices(3, 1)
    np.testing.assert_allclose(found.each, fixture["fixed_evals"][0], atol=1e-8)
    np.testing.assert_allclose(v.models, fixture["fixed_model_var"], atol=1e-12)
    np.testing.assert_allclose(v.differences[upper], fixture["fixed_diff_var"], atol=1e-12)
    np.testing.assert_allclose(v.to_ceiling, fixture["fixed_nc_var"], atol=1e-12)
    differences = found.scores[:, None] - found.scores[None, :]
    np.testing.assert_allclose(
        t_test(differences, v.differences, 9, two_sided=True), fixture["fixed_pair_p"], atol=1e-8
    )
    np.testing.assert_allclose(t_test(found.scores, v.models, 9, two_sided=False), fixture["fixed_zero_p"], atol=1e-8)
    to_lower = t_test(found.scores - found.ceilings[0], v.to_ceiling[:, 0], 9, two_sided=True)
    np.testing.assert_allclose(to_lower, fixture["fixed_nc_p"], atol=1e-8)


def test_dual_bootstrap_agrees_with_rsatoolbox(fixture):
    found = bootstrap_rsa(fixture["models"], fixture["data"], comparator="pearson", n=2000, rng=1)
    v, upper = found.variances(), np.triu_indices(3, 1)
    # a variance of 500 draws has a relative standard error of sqrt(2 / 499) = 6.3 %; three of them are combined
    np.testing.assert_allclose(v.models, fixture["dual_model_var"], rtol=0.2)
    np.testing.assert_allclose(v.differences[upper], fixture["dual_diff_var"], rtol=0.2)
    np.testing.assert_allclose(v.to_ceiling, fixture["dual_nc_var"], rtol=0.25)
    for name, theirs in zip(("both", "subjects", "conditions"), fixture["dual_variances"], strict=True):
        np.testing.assert_allclose(np.diag(found.covariances()[name])[:3], np.diag(theirs)[:3], rtol=0.2)


def test_the_variance_formula():
    n_s, n_c, s, c, i = 10, 30, 0.04, 0.09, 0.02
    both = s * (n_s - 1) / n_s + c * (n_c - 1) / n_c + i
    plain = {"n_subjects": n_s, "n_conditions": n_c}
    subjects, conditions = s * (n_s - 1) / n_s, c * (n_c - 1) / n_c
    expected = s + c - n_s * n_c / ((n_s - 1) * (n_c - 1)) * i
    assert combine_factors(both, subjects, conditions, **plain) == pytest.approx(expected)
    assert combine_factors(1.0, subjects, conditions, **plain) == pytest.approx(max(s, c))  # not below a single factor
    assert combine_factors(0.05, subjects, conditions, **plain) == 0.05  # not above both


def test_sessions_of_a_subject_stay_together():
    models, data = matrices(n_data=6)
    who = np.array([0, 0, 0, 1, 1, 2])
    found = bootstrap_rsa(models, data, comparator="pearson", kind="subjects", n=50, subjects=who, rng=0)
    assert found.n_subjects == 3
    by_subject = [found.each[:, who == s].mean(axis=1) for s in range(3)]
    np.testing.assert_allclose(found.scores, np.mean(by_subject, axis=0))
    possible = {
        tuple(np.round((np.array(u) @ np.array(by_subject)) / 3, 9)) for u in np.ndindex(4, 4, 4) if sum(u) == 3
    }
    assert {tuple(np.round(row[:2], 9)) for row in found.draws["subjects"]} <= possible


def test_groups_of_conditions_are_drawn_together():
    group = np.repeat(np.arange(5), 2)
    drawn = draw(group, np.arange(3), n=40, rng=np.random.default_rng(0)).conditions
    np.testing.assert_array_equal(drawn[:, ::2], drawn[:, 1::2])
    assert (drawn.sum(axis=1) == 10).all() and ((drawn > 0).sum(axis=1) >= 6).all()


def test_another_comparator_is_evaluated_one_by_one():
    models, data = matrices()
    slow = bootstrap_rsa(models, data, comparator="tau_a", n=5, rng=0)
    assert slow.draws["both"].shape == (5, 4) and np.isfinite(slow.variances().models).all()


def test_same_seed_same_numbers():
    models, data = matrices()
    one, two = (bootstrap_rsa(models, data, comparator="rho_a", n=20, rng=5).draws["both"] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_too_little_is_refused():
    models, data = matrices()
    with pytest.raises(BraindecError, match="at least 2"):
        bootstrap_rsa(models, data[:1], comparator="pearson")
    with pytest.raises(BraindecError, match="at least 5"):
        bootstrap_rsa(models[:, :6], data[:, :6], comparator="pearson")
    with pytest.raises(BraindecError, match="did you mean 'conditions'"):
        bootstrap_rsa(models, data, kind="condition")
    few = bootstrap_rsa(models, data[:2], comparator="pearson", n=100).variances(dof="min")
    low, high = t_interval(np.zeros(2), few.models, few.dof_models)
    assert ((high - low) > 10 * np.sqrt(few.models)).all()  # one degree of freedom
