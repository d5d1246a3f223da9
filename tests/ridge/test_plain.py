"""Plain ridge against closed forms, in every form, backend and precision."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import braindec.ridge._fit as engine
from braindec.errors import BraindecError
from braindec.ridge import contiguous_folds, fit_ridge, group_folds, pearson

ALPHAS = np.logspace(-1, 4, 8)


def problem(n=80, p=30, t=12, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) @ np.diag(np.geomspace(3, 0.1, p)) + 2.0
    Y = X @ rng.standard_normal((p, t)) * rng.random(t) + 5 * rng.standard_normal((n, t)) + 10.0
    return X, Y


def force(monkeypatch, dual):
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)


def by_hand(X, Y, folds, scoring, intercept=True):
    """Scores of every penalty from scikit-learn fits, (n_alphas, t)."""
    errors, variances, rs = 0.0, 0.0, 0.0
    for train, test in folds:
        P = np.stack([Ridge(alpha=a, fit_intercept=intercept).fit(X[train], Y[train]).predict(X[test]) for a in ALPHAS])
        errors = errors + ((Y[test] - P) ** 2).mean(axis=1)
        variances = variances + Y[test].var(axis=0)
        rs = rs + np.stack([pearson(Y[test], p) for p in P])
    return rs / len(folds) if scoring == "r" else 1.0 - errors / variances


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("shape", [(80, 30), (40, 60), (120, 5)])
@pytest.mark.parametrize("scoring", ["r2", "r"])
def test_scores_and_coefficients_are_those_of_single_fits(monkeypatch, dual, shape, scoring):
    force(monkeypatch, dual)
    X, Y = problem(*shape)
    folds = contiguous_folds(len(X), 4, buffer=3)
    for dtype, tolerance in (("float64", 1e-9), ("float32", 2e-4)):
        fit = fit_ridge(X, Y, alphas=ALPHAS, folds=folds, scoring=scoring, dtype=dtype)
        expected = by_hand(X, Y, folds, scoring)
        assert np.allclose(fit.cv_scores, expected, atol=tolerance)
        if dtype == "float64":
            assert np.array_equal(fit.alpha, ALPHAS[expected.argmax(axis=0)])
            assert np.allclose(fit.cv_score, expected.max(axis=0))
        oracle = Ridge(alpha=fit.alpha).fit(X, Y)
        assert np.allclose(fit.coef, oracle.coef_.T, atol=10 * tolerance)
        assert np.allclose(fit.intercept, oracle.intercept_, atol=10 * tolerance)
        assert np.allclose(fit.predict(X[:5]), oracle.predict(X[:5]), atol=100 * tolerance)


@pytest.mark.parametrize("dual", [False, True])
def test_without_intercept(monkeypatch, dual):
    force(monkeypatch, dual)
    X, Y = problem()
    folds = contiguous_folds(len(X), 4)
    fit = fit_ridge(X, Y, alphas=ALPHAS, folds=folds, fit_intercept=False, dtype="float64")
    assert np.allclose(fit.cv_scores, by_hand(X, Y, folds, "r2", intercept=False), atol=1e-9)
    assert (
        np.allclose(fit.coef, Ridge(alpha=fit.alpha, fit_intercept=False).fit(X, Y).coef_.T) and not fit.intercept.any()
    )


@pytest.mark.parametrize("dual", [False, True])
def test_folds_that_leave_most_rows_out_and_tiny_penalties(monkeypatch, dual):
    """The block formula and down-dating would cancel here: the training rows are solved themselves."""
    force(monkeypatch, dual)
    X, Y = problem(60, 90)
    folds = [(np.arange(10), np.arange(20, 60)), (np.arange(30, 60), np.arange(0, 30))]
    monkeypatch.setitem(globals(), "ALPHAS", np.array([1e-8, 1e-2, 10.0]))
    fit = fit_ridge(X, Y, alphas=ALPHAS, folds=folds, dtype="float64")
    assert np.allclose(fit.cv_scores, by_hand(X, Y, folds, "r2"), atol=1e-5)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_gives_what_numpy_gives(monkeypatch, dual, dtype):
    force(monkeypatch, dual)
    X, Y = problem()
    one, two = (fit_ridge(X, Y, alphas=ALPHAS, backend=b, dtype=dtype) for b in ("numpy", "torch"))
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    assert np.array_equal(one.alpha, two.alpha)
    assert np.allclose(one.cv_scores, two.cv_scores, atol=tolerance) and np.allclose(one.coef, two.coef, atol=tolerance)
    assert np.allclose(one.predict(X), two.predict(X), atol=10 * tolerance)


@pytest.mark.parametrize("dual", [False, True])
def test_results_do_not_depend_on_the_batch(monkeypatch, dual):
    force(monkeypatch, dual)
    X, Y = problem(t=50)
    whole = fit_ridge(X, Y, alphas=ALPHAS)
    for batch in (1, 7, 50):
        fit = fit_ridge(X, Y, alphas=ALPHAS, n_targets_batch=batch)
        assert np.array_equal(fit.alpha, whole.alpha)
        assert np.allclose(fit.cv_scores, whole.cv_scores, atol=2e-6)
        assert np.allclose(fit.coef, whole.coef, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dual", [False, True])
def test_operators_in_portions_give_the_same(monkeypatch, dual):
    """Operators that do not fit into memory at once are made penalty by penalty."""
    force(monkeypatch, dual)
    X, Y = problem()
    whole = fit_ridge(X, Y, alphas=ALPHAS, dtype="float64")
    monkeypatch.setattr("braindec.ridge._crossval._MEMORY", 1.0)
    monkeypatch.setattr("braindec.ridge._operators._MEMORY", 1.0)
    monkeypatch.setattr("braindec.ridge._refit._MEMORY", 1.0)
    assert np.array_equal(fit_ridge(X, Y, alphas=ALPHAS, dtype="float64").cv_scores, whole.cv_scores)


def test_mapped_and_scaled_responses_are_read_by_blocks_of_columns(tmp_path):
    X, Y = problem(t=40)
    np.save(tmp_path / "Y.npy", Y.astype(np.float32))
    mapped = np.load(tmp_path / "Y.npy", mmap_mode="r")
    expected = fit_ridge(X, Y.astype(np.float32), alphas=ALPHAS)
    fit = fit_ridge(X, mapped, alphas=ALPHAS, n_targets_batch=9)
    assert np.allclose(fit.coef, expected.coef, rtol=1e-4, atol=1e-5)

    class Scaled:
        shape, widest = Y.shape, 0
        stored = np.round(Y / 0.01).astype(np.int16)

        def __getitem__(self, key):
            assert key[0] == slice(None), "whole columns are asked for"
            type(self).widest = max(self.widest, key[1].stop - key[1].start)
            return self.stored[key] * np.float32(0.01)

    fit = fit_ridge(X, Scaled(), alphas=ALPHAS, n_targets_batch=9, coef=False)
    assert Scaled.widest == 9 or Scaled.widest == 40  # the refit may read more: a block has n values a target only
    assert np.allclose(fit.predict(X), expected.predict(X), atol=0.05)


@pytest.mark.parametrize("dual", [False, True])
def test_without_kept_coefficients_predictions_are_the_same(monkeypatch, dual):
    force(monkeypatch, dual)
    X, Y = problem()
    Y[:, 3] = 1.0
    kept, lazy = (fit_ridge(X, Y, alphas=ALPHAS, coef=c) for c in (True, False))
    assert lazy.coef is None and lazy.intercept is None
    assert np.allclose(kept.predict(X), lazy.predict(X), atol=1e-5, equal_nan=True)


def test_constant_and_not_finite_targets_are_nan_and_counted():
    X, Y = problem()
    Y[:, 2], Y[4, 5], Y[0, 7] = 0.1, np.nan, np.inf
    fit = fit_ridge(X, Y, alphas=ALPHAS)
    assert np.flatnonzero(fit.skipped).tolist() == [2, 5, 7]
    for values in (fit.alpha, fit.cv_score, fit.cv_scores[0], fit.coef[0], fit.intercept, fit.predict(X)[0]):
        assert np.isnan(values[[2, 5, 7]]).all() and np.isfinite(np.delete(values, [2, 5, 7])).all()
    clean = fit_ridge(X, np.delete(Y, [2, 5, 7], axis=1), alphas=ALPHAS)
    assert np.allclose(np.delete(fit.coef, [2, 5, 7], axis=1), clean.coef, atol=1e-6)
    nothing = fit_ridge(X, np.ones((80, 3)), alphas=ALPHAS)
    assert nothing.skipped.all() and np.isnan(nothing.cv_score).all() and nothing.at_edge == {"lowest": 0, "highest": 0}


def test_edges_of_the_grid_are_counted():
    X, _ = problem(200, 10)
    rng = np.random.default_rng(1)
    clean = X @ rng.standard_normal((10, 4))
    noise = rng.standard_normal((200, 6))
    fit = fit_ridge(X, np.c_[clean, noise], alphas=[1e-3, 1.0, 10.0, 1e6])
    assert fit.at_edge["lowest"] == 4 and fit.at_edge["highest"] >= 3


def test_automatic_grid_follows_the_scale_of_the_features():
    X, Y = problem()
    one, two = fit_ridge(X, Y, dtype="float64"), fit_ridge(1000.0 * X, Y, dtype="float64")
    assert np.allclose(two.alphas, 1e6 * one.alphas) and np.allclose(two.alpha, 1e6 * one.alpha)
    values = np.linalg.eigvalsh(np.cov(X.T, bias=True) * len(X))
    assert np.isclose(one.alphas[6], values.mean())


def test_the_order_of_the_penalties_does_not_matter():
    X, Y = problem()
    one, two = fit_ridge(X, Y, alphas=ALPHAS), fit_ridge(X, Y, alphas=ALPHAS[::-1])
    assert np.array_equal(one.alphas, two.alphas) and np.array_equal(one.alpha, two.alpha)


def test_one_penalty_needs_no_folds():
    X, Y = problem()
    fit = fit_ridge(X, Y, alphas=3.0, dtype="float64")
    assert (fit.alpha == 3.0).all() and np.isnan(fit.cv_score).all()
    assert np.allclose(fit.coef, Ridge(alpha=3.0).fit(X, Y).coef_.T)
    scored = fit_ridge(X, Y, alphas=3.0, folds=group_folds(np.arange(80) // 20))
    assert np.isfinite(scored.cv_score).all()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"Y": np.zeros((79, 3))}, "row for each row"),
        ({"Y": np.zeros(80)}, "row, target"),
        ({"X": np.zeros(80)}, "row, column"),
        ({"X": np.array([["a"] * 3] * 80)}, "real numbers"),
        ({"alphas": [1.0, -1.0]}, "positive"),
        ({"alphas": [1.0, 1.0]}, "twice"),
        ({"alphas": "best"}, "'auto'"),
        ({"alphas": []}, "positive"),
        ({"scoring": "pearson"}, "r2, r"),
        ({"backend": "cupy"}, "numpy, torch"),
        ({"backend": "numpy", "device": "cuda"}, "backend='torch'"),
        ({"backend": "torch", "device": "cuda:99"}, "cuda:99"),
        ({"backend": "torch", "device": "gpu"}, "gpu"),
        ({"dtype": "float16"}, "float32, float64"),
        ({"n_targets_batch": 0}, "1 or more"),
        ({"folds": [(np.arange(50), np.arange(40, 80))]}, "tests on"),
    ],
)
def test_bad_input_is_refused_with_a_reason(change, words):
    X, Y = problem()
    with pytest.raises(BraindecError, match=words):
        fit_ridge(**{"X": X, "Y": Y, "alphas": ALPHAS, **change})


def test_columns_that_are_not_finite_are_named():
    X, Y = problem()
    X[3, 7], X[5, 20] = np.nan, np.inf
    with pytest.raises(BraindecError, match="in 2 of 30 columns: 7, 20"):
        fit_ridge(X, Y)
    fit = fit_ridge(np.nan_to_num(X, posinf=0), Y, alphas=1.0)
    with pytest.raises(BraindecError, match="not finite"):
        fit.predict(X)
    with pytest.raises(BraindecError, match="other columns"):
        fit.predict(X[:, :5])
