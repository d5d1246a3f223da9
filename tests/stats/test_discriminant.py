"""Shrinkage discriminant and ridge against plain algebra and scikit-learn; permuted refits are exact."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge, RidgeCV

from braindec.errors import BraindecError
from braindec.stats.discriminant import TotalScatter, discriminant, gcv_alpha, null_scores, ridge

SIZES = [(60, 10, 3), (40, 90, 2), (30, 29, 4)]


def data(n, p, k, seed=0):
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    X = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + 3
    X += rng.normal(size=(k, p))[y]
    return X, y, rng.normal(size=(9, p)) * 3


def plain_discriminant(X, y, T, shrinkage, prior):
    """Within-class covariance written out, inverted whole."""
    mean, p = X.mean(0), X.shape[1]
    Z, share = X - mean, np.bincount(y) / len(y)
    means = np.stack([Z[y == k].mean(0) for k in range(len(share))])
    residual = Z - means[y]
    covariance = (1 - shrinkage) * residual.T @ residual / len(y) + shrinkage * np.sum(Z**2) / len(y) / p * np.eye(p)
    weights = np.linalg.solve(covariance, means.T)
    return (T - mean) @ weights - 0.5 * np.einsum("kp,pk->k", means, weights) + np.log(prior(share))


@pytest.mark.parametrize(("n", "p", "k"), SIZES)
@pytest.mark.parametrize("balanced", [True, False])
def test_permuted_refits_equal_plain_ones(n, p, k, balanced):
    X, y, T = data(n, p, k)
    rng = np.random.default_rng(1)
    codes = np.stack([y, rng.permutation(y), rng.permutation(y)])
    scatter = TotalScatter(X)
    found = null_scores(partial(discriminant, balanced=balanced), scatter, codes, T, k)
    for labels, scores in zip(codes, found, strict=True):
        expected = plain_discriminant(X, labels, T, scatter.shrinkage, lambda s: np.ones(k) if balanced else s)
        np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("n", "p", "k"), SIZES)
def test_shrinkage_equals_scikit_learn(n, p, k):
    X = data(n, p, k)[0]
    assert TotalScatter(X).shrinkage == pytest.approx(
        ledoit_wolf_shrinkage(X - X.mean(0), assume_centered=True), rel=1e-9
    )


def test_directions_equal_scikit_learn_when_the_amounts_match():
    X, y, _ = data(80, 12, 2)
    Z = X - X.mean(0)
    residual = Z - np.stack([Z[y == k].mean(0) for k in range(2)])[y]
    ours = 0.3
    ratio = np.sum(residual**2) / np.sum(Z**2)  # mean variance within / in total
    theirs = ours / (ours + (1 - ours) * ratio)
    rule = discriminant(TotalScatter(X), y[None], 2, shrinkage=ours)
    direction = TotalScatter(X).axes @ (rule.weights[0, :, 1] - rule.weights[0, :, 0])
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=theirs, priors=[0.5, 0.5]).fit(X, y).coef_[0]
    assert np.corrcoef(direction, reference)[0, 1] > 0.97  # scikit-learn shrinks each class by its own trace
    pooled = np.linalg.solve((1 - ours) * residual.T @ residual / 80 + ours * np.sum(Z**2) / 80 / 12 * np.eye(12),
                             Z[y == 1].mean(0) - Z[y == 0].mean(0))  # fmt: skip
    np.testing.assert_allclose(direction / np.linalg.norm(direction), pooled / np.linalg.norm(pooled), atol=1e-9)


@pytest.mark.parametrize(("n", "p", "k"), SIZES)
def test_ridge_equals_scikit_learn(n, p, k):
    X, y, T = data(n, p, k)
    scatter = TotalScatter(X)
    unit = np.sum((X - X.mean(0)) ** 2) / n
    found = null_scores(partial(ridge, alpha=0.1, balanced=False), scatter, y[None], T, k)[0]
    np.testing.assert_allclose(found, Ridge(alpha=0.1 * unit).fit(X, np.eye(k)[y]).predict(T), atol=1e-8)


def test_ridge_threshold_is_half_way_between_class_and_rest():
    X, y, _ = data(60, 10, 3)
    scatter = TotalScatter(X)
    scores = null_scores(partial(ridge, alpha=0.2), scatter, y[None], X, 3)[0]
    for k in range(3):
        assert scores[y == k, k].mean() == pytest.approx(-scores[y != k, k].mean())


def test_generalised_cross_validation_by_brute_force():
    X, y, _ = data(50, 30, 2)
    scatter = TotalScatter(X)
    alphas = np.logspace(-4, 4, 33)
    Z, target = X - X.mean(0), np.eye(2)[y] - np.bincount(y) / 50
    errors = []
    for alpha in alphas * np.sum(Z**2) / 50:
        hat = Z @ np.linalg.solve(Z.T @ Z + alpha * np.eye(30), Z.T) + 1 / 50
        errors.append(np.sum((target - hat @ target) ** 2) / (50 - np.trace(hat)) ** 2)
    assert gcv_alpha(scatter, y[None], 2)[0] == pytest.approx(alphas[np.argmin(errors)])
    loo = RidgeCV(alphas=alphas * np.sum(Z**2) / 50).fit(X, np.eye(2)[y]).alpha_ / (np.sum(Z**2) / 50)
    assert 0.1 < gcv_alpha(scatter, y[None], 2)[0] / loo < 10  # near leave-one-out


def test_chunks_do_not_change_the_scores(monkeypatch):
    import braindec.stats.discriminant as module

    X, y, T = data(40, 90, 2)
    codes = np.stack([np.random.default_rng(i).permutation(y) for i in range(5)])
    whole = null_scores(discriminant, TotalScatter(X), codes, T, 2)
    monkeypatch.setattr(module, "_CHUNK", 1)
    np.testing.assert_allclose(null_scores(discriminant, TotalScatter(X), codes, T, 2), whole, rtol=1e-10)


def test_bad_input_is_told():
    X, y, _ = data(40, 90, 2)
    with pytest.raises(BraindecError, match="all alike"):
        TotalScatter(np.ones((10, 3)))
    with pytest.raises(BraindecError, match="cannot be inverted"):
        discriminant(TotalScatter(X), y[None], 2, shrinkage=0.0)
    with pytest.raises(BraindecError, match="0 to 1"):
        discriminant(TotalScatter(X), y[None], 2, shrinkage=2.0)
    with pytest.raises(BraindecError, match="positive"):
        ridge(TotalScatter(X), y[None], 2, alpha=0.0)
    with pytest.raises(BraindecError, match="no training rows"):
        discriminant(TotalScatter(X), np.zeros((1, 40), int), 2)


def test_constant_features_and_tiny_units_do_no_harm():
    X, y, T = data(40, 6, 2)
    wide, tests = np.c_[X, np.full(40, 7.0)], np.c_[T, np.full(9, 7.0)]
    scores = null_scores(partial(discriminant, shrinkage=0.2), TotalScatter(wide), y[None], tests, 2)
    assert np.isfinite(scores).all()
    volts = null_scores(discriminant, TotalScatter(X * 1e-6), y[None], T * 1e-6, 2)
    np.testing.assert_allclose(volts, null_scores(discriminant, TotalScatter(X), y[None], T, 2), rtol=1e-6)
