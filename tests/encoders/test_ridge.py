"""Closed-form ridge against scikit-learn, himalaya, and leaving groups out by hand."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeCV

from braindec.encoders.ridge import Ridge, bin_weights
from braindec.errors import BraindecError
from braindec.ridge import leave_group_out
from braindec.ridge.leave_group_out import solve_ridge


def problem(n, p, q=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p) * 3
    return X, X @ rng.normal(size=(p, q)) * 0.3 + rng.normal(size=(n, q)) + 5


@pytest.mark.parametrize(("n", "p"), [(60, 20), (20, 60), (30, 30)])
def test_fit_equals_sklearn(n, p):
    X, Y = problem(n, p)
    found = solve_ridge(X, Y, alpha=7.0)
    expected = SklearnRidge(alpha=7.0).fit(X, Y)
    np.testing.assert_allclose(found.coef, expected.coef_.T, atol=1e-9)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-9)


@pytest.mark.parametrize(("n", "p"), [(60, 20), (20, 60)])
def test_leaving_groups_out_by_hand(n, p):
    X, Y = problem(n, p)
    alphas = np.array([0.1, 3.0, 100.0])
    groups = np.random.default_rng(1).integers(0, 7, size=n)  # unequal sizes
    found = solve_ridge(X, Y, alpha=alphas, groups=groups, per_target=True)
    for alpha, error in zip(alphas, found.errors, strict=True):
        total = np.zeros(Y.shape[1])
        for g in np.unique(groups):
            left = groups == g
            total += ((Y[left] - SklearnRidge(alpha=alpha).fit(X[~left], Y[~left]).predict(X[left])) ** 2).sum(axis=0)
        np.testing.assert_allclose(error, total / n, rtol=1e-8)
    np.testing.assert_array_equal(found.alpha, alphas[np.argmin(found.errors, axis=0)])
    one = solve_ridge(X, Y, alpha=alphas, groups=groups)
    np.testing.assert_allclose(one.errors, found.errors.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize(("n", "p"), [(50, 12), (12, 50)])
def test_leave_one_out_equals_sklearn_ridgecv(n, p):
    X, Y = problem(n, p)
    alphas = np.logspace(-2, 3, 6)
    expected = RidgeCV(alphas=alphas, store_cv_results=True).fit(X, Y).cv_results_.mean(axis=0)  # (target, alpha)
    np.testing.assert_allclose(solve_ridge(X, Y, alpha=alphas, per_target=True).errors, expected.T, rtol=1e-6)


def test_fit_equals_himalaya_with_a_penalty_for_each_target():
    himalaya = pytest.importorskip("himalaya.ridge")
    X, Y = problem(40, 15)
    alphas = np.array([0.5, 5.0, 50.0])
    mine = solve_ridge(X, Y, alpha=alphas, per_target=True)
    theirs = himalaya.Ridge(alpha=mine.alpha, fit_intercept=True).fit(X, Y)
    np.testing.assert_allclose(X @ mine.coef + mine.intercept, theirs.predict(X), rtol=1e-5, atol=1e-5)


def test_large_problems_choose_on_a_sample_of_groups(monkeypatch):
    X, Y = problem(400, 30, q=100)
    groups = np.arange(400) // 4
    exact = solve_ridge(X, Y, alpha=[1.0, 1e2, 1e4], groups=groups)
    monkeypatch.setattr(leave_group_out, "_EXACT_ROWS", 200)
    monkeypatch.setattr(leave_group_out, "_EXACT_TARGETS", 40)
    sampled = solve_ridge(X, Y, alpha=[1.0, 1e2, 1e4], groups=groups)
    np.testing.assert_allclose(sampled.errors, exact.errors, rtol=0.2)
    np.testing.assert_array_equal(sampled.alpha, exact.alpha)


def test_repetitions_left_out_together_ask_for_more_shrinkage():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(30, 60))
    X = np.repeat(items, 5, axis=0) + 0.05 * rng.normal(size=(150, 60))
    Y = np.repeat(rng.normal(size=(30, 8)), 5, axis=0)  # nothing to generalise: each item has its own target
    groups = np.repeat(np.arange(30), 5)
    assert solve_ridge(X, Y, groups=groups).alpha[0] > 1e3 * solve_ridge(X, Y).alpha[0]


def test_bad_input():
    X, Y = problem(10, 4)
    with pytest.raises(BraindecError, match="penalty must be a positive"):
        solve_ridge(X, Y, alpha=0.0)
    with pytest.raises(BraindecError, match="not finite"):
        solve_ridge(np.where(X > 0, X, np.nan), Y)
    with pytest.raises(BraindecError, match="one group"):
        solve_ridge(X, Y, groups=np.zeros(10))
    with pytest.raises(BraindecError, match="'auto'"):
        solve_ridge(X, Y, alpha="best")


def test_module_predicts_what_was_fitted():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 3, 11)).astype(np.float32), rng.normal(size=(40, 5))
    model = Ridge(n_chans=3, n_times=11, dim=5, n_bins=4)
    model.fit(X, Y, alpha=2.0)
    binned = np.stack([X[..., np.arange(11) * 4 // 11 == b].mean(-1) for b in range(4)], axis=2).reshape(40, -1)
    expected = SklearnRidge(alpha=2.0).fit(binned, Y).predict(binned)
    np.testing.assert_allclose(model(torch.from_numpy(X)).detach().numpy(), expected, atol=1e-5)
    with pytest.raises(BraindecError, match="do not fit"):
        model.fit(X[:, :2], Y)


def test_bins_average_every_sample_once():
    weights = bin_weights(11, 4)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-6)
    assert ((weights > 0).sum(axis=1) == 1).all() and set((weights > 0).sum(axis=0)) <= {2, 3}
    np.testing.assert_array_equal(bin_weights(6, 6), np.eye(6))
    with pytest.raises(BraindecError, match="cannot be averaged in 12 bins"):
        Ridge(n_chans=1, n_times=11, dim=2, n_bins=12)
