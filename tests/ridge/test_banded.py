"""Banded ridge: himalaya's winners on the same draws, planted bands, corners, halving that loses next to nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import braindec.ridge._fit as engine
from braindec.errors import BraindecError
from braindec.ridge import contiguous_folds, fit_banded, fit_ridge, pearson, r2, split_r2
from braindec.ridge._backend import get_backend
from braindec.ridge._crossval import _next_steps
from braindec.ridge._halving import cover
from braindec.ridge.banded import _draw_weights

ALPHAS = np.logspace(-1, 4, 8)
BANDS = {"low": slice(0, 20), "high": slice(20, 50)}
GAMMAS = np.array([[0.5, 0.5], [0.9, 0.1], [0.02, 0.98], [1.0, 0.0], [0.0, 1.0]])


def problem(n=90, t=30, seed=0, n_test=60):
    """Targets of the first band, of the second, of both, in turn."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + n_test, 50))
    W = rng.standard_normal((50, t))
    W[20:, 0::3] = 0.0
    W[:20, 1::3] = 0.0
    Y = X @ W
    Y += 1.5 * Y.std(axis=0) * rng.standard_normal(Y.shape)
    return X[:n], Y[:n], X[n:], Y[n:]


def force(monkeypatch, dual):
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_winners_are_himalayas_on_the_same_draws(monkeypatch, dual, backend):
    pytest.importorskip("himalaya")
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search as search
    from sklearn.model_selection import KFold

    force(monkeypatch, dual)
    X, Y, X_test, _ = problem()
    gammas = np.clip(_draw_weights(12, 2, np.random.default_rng(1)), 1e-6, None)
    gammas /= gammas.sum(axis=1, keepdims=True)
    kernels = np.stack([X[:, band] @ X[:, band].T for band in BANDS.values()])
    deltas, weights, scores = search(
        kernels, Y, n_iter=gammas, alphas=ALPHAS, cv=KFold(3), return_weights="dual", progress_bar=False
    )
    folds = contiguous_folds(len(X), 3)
    fit = fit_banded(X, Y, bands=BANDS, gammas=gammas, alphas=ALPHAS, folds=folds, halving=False, fit_intercept=False,
                     backend=backend)  # fmt: skip
    assert np.allclose(fit.deltas, deltas, atol=1e-6)
    variance = np.mean([Y[test].var(axis=0) for _, test in folds], axis=0)
    assert np.allclose((fit.cv_score - 1.0) * variance, np.max(scores, axis=0), rtol=1e-4)
    expected = sum(np.exp(d) * (X_test[:, b] @ X[:, b].T @ weights) for d, b in zip(deltas, BANDS.values()))
    assert np.allclose(fit.predict(X_test), expected, rtol=1e-3, atol=1e-3 * Y.std())


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("scoring", ["r2", "r"])
def test_a_draw_is_ridge_on_scaled_features(monkeypatch, dual, scoring):
    force(monkeypatch, dual)
    X, Y, X_test, _ = problem()
    folds = contiguous_folds(len(X), 4, buffer=2)
    options = {"alphas": ALPHAS, "folds": folds, "scoring": scoring, "dtype": "float64"}
    fit = fit_banded(X, Y, bands=BANDS, gammas=GAMMAS, halving=False, **options)
    best = np.full(Y.shape[1], -np.inf)
    for gamma in GAMMAS:
        scaled = X * np.repeat(np.sqrt(gamma), [20, 30])
        best = np.maximum(best, fit_ridge(scaled, Y, **options).cv_score)
    assert np.allclose(fit.cv_score, best, atol=1e-9)
    assert np.allclose(fit.gamma, GAMMAS[fit.draw].T)
    for k in (0, 1, 2, 7):
        scale = np.repeat(np.sqrt(fit.gamma[:, k]), [20, 30])
        oracle = Ridge(alpha=fit.alpha[k]).fit(X * scale, Y[:, k])
        assert np.allclose(fit.coef[:, k], oracle.coef_ * scale, atol=1e-9)
        assert np.isclose(fit.intercept[k], oracle.intercept_)
        assert np.allclose(fit.predict(X_test)[:, k], oracle.predict(X_test * scale))


@pytest.mark.parametrize("dual", [False, True])
def test_corners_of_the_simplex_are_finite_and_leave_a_band_out(monkeypatch, dual):
    force(monkeypatch, dual)
    X, Y, _, _ = problem()
    fit = fit_banded(X, Y, bands=BANDS, gammas=[[1.0, 0.0], [0.0, 1.0]], alphas=ALPHAS, halving=False, dtype="float64")
    assert np.isfinite(fit.cv_score).all() and np.isfinite(fit.coef).all()
    first = fit.draw == 0
    assert (fit.coef[20:, first] == 0).all() and (fit.coef[:20, ~first] == 0).all()
    assert np.isneginf(fit.deltas[1, first]).all() and np.isfinite(fit.deltas[0, first]).all()
    alone = fit_ridge(X[:, :20], Y, alphas=ALPHAS, dtype="float64")
    assert np.allclose(fit.coef[:20, first], alone.coef[:, first])


def test_planted_bands_are_found():
    X, Y, X_test, Y_test = problem(n=400, n_test=400)
    fit = fit_banded(X, Y, bands=BANDS, n_draws=20, alphas=ALPHAS)
    shares = split_r2(Y_test, fit.predict_bands(X_test))
    assert (fit.gamma[0, 0::3] > 0.5).all() and (fit.gamma[1, 1::3] > 0.5).all()
    assert (shares["low"][0::3] > 10 * np.abs(shares["high"][0::3])).mean() > 0.8
    assert (shares["high"][1::3] > 10 * np.abs(shares["low"][1::3])).mean() > 0.8
    plain = fit_ridge(X, Y, alphas=ALPHAS)
    assert pearson(Y_test, fit.predict(X_test)).mean() > pearson(Y_test, plain.predict(X_test)).mean()


@pytest.mark.parametrize("coef", [True, False])
def test_bands_sum_to_the_prediction_and_shares_to_r2(coef):
    X, Y, X_test, Y_test = problem()
    fit = fit_banded(X + 3.0, Y + 7.0, bands=BANDS, gammas=GAMMAS, alphas=ALPHAS, coef=coef)
    parts, whole = fit.predict_bands(X_test + 3.0), fit.predict(X_test + 3.0)
    assert list(parts) == list(BANDS) == fit.band_names
    assert np.allclose(sum(parts.values()), whole, atol=1e-3)
    assert np.allclose(sum(split_r2(Y_test + 7.0, parts).values()), r2(Y_test + 7.0, whole), atol=1e-4)


def large(t=1500):
    """Enough targets for a subsample."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((260, 40))
    share = rng.random(t)
    W = rng.standard_normal((40, t)) * np.sqrt(np.repeat([share, 1 - share], 20, axis=0))
    Y = X @ W + 6.0 * rng.standard_normal((260, t))
    return X[:160], Y[:160], X[160:], Y[160:], {"a": slice(0, 20), "b": slice(20, 40)}


@pytest.mark.parametrize("dual", [False, True])
def test_halving_drops_draws_and_loses_next_to_nothing(monkeypatch, dual):
    force(monkeypatch, dual)
    X, Y, X_test, Y_test, bands = large()
    options = {"bands": bands, "n_draws": 24, "alphas": np.logspace(-1, 4, 12), "seed": 1}
    full, fast = (fit_banded(X, Y, halving=h, **options) for h in (False, True))
    assert np.isfinite(full.draw_scores).all() and 2 <= np.isfinite(fast.draw_scores).sum() <= 12
    gain = full.cv_score.mean() - full.draw_scores.max()
    assert full.cv_score.mean() - fast.cv_score.mean() < 0.05 * gain
    r_full, r_fast = (pearson(Y_test, fit.predict(X_test)).mean() for fit in (full, fast))
    assert r_fast > r_full - 0.002
    kept = np.isfinite(fast.draw_scores)[full.draw]  # the same draw won: near search found the same top
    same = kept & (fast.draw == full.draw)
    assert same.sum() > 200 and (fast.alpha[same] == full.alpha[same]).mean() > 0.99


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_draws():
    X, Y, _, _, bands = large(700)
    one, two, other = (fit_banded(X, Y, bands=bands, n_draws=8, alphas=ALPHAS, seed=s) for s in (3, 3, 4))
    assert one.coef.tobytes() == two.coef.tobytes() and one.cv_scores.tobytes() == two.cv_scores.tobytes()
    assert not np.allclose(one.gammas[1:], other.gammas[1:])


def test_draws_begin_with_equal_weights_and_cycle_their_concentration():
    gammas = _draw_weights(4001, 3, np.random.default_rng(0))
    assert np.allclose(gammas[0], 1 / 3) and np.allclose(gammas.sum(axis=1), 1.0) and (gammas >= 0).all()
    spread = [gammas[start::2].var(axis=0).mean() for start in (1, 2)]  # Dirichlet: (1/3)(2/3) / (3 c + 1)
    assert np.allclose(spread, [2 / 9 / 1.3, 2 / 9 / 4.0], rtol=0.05)


def test_cover_keeps_what_some_target_needs_not_what_is_best_on_average():
    scores = np.zeros((4, 100))
    scores[0] = 0.5
    scores[1] = 0.49
    scores[2, :10] = 0.9  # bad for most, best for some
    assert cover(scores, 2).tolist() == [0, 2]
    assert cover(scores, 4).tolist() == [0, 2]  # nothing is left to gain


def test_next_steps_climb_to_the_top_of_the_grid():
    scores = np.full((6, 3), np.nan)
    scores[1:4, 0] = [0.1, 0.2, 0.3]  # rising: try 4
    scores[1:4, 1] = [0.1, 0.3, 0.2]  # a top: done
    scores[0:2, 2] = [0.3, 0.2]  # the edge of the grid: done
    wanted = _next_steps(scores)
    assert np.argwhere(wanted).tolist() == [[4, 0]]
    assert not _next_steps(np.full((6, 2), np.nan)).any()


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("memory", [400e6, 1e5, 1.0])
def test_scores_near_a_guess_are_the_scores(monkeypatch, dual, memory):
    force(monkeypatch, dual)
    monkeypatch.setattr("braindec.ridge._crossval._MEMORY", memory)
    X, Y, _, _, bands = large(200)
    Y[:, 5] = 1.0
    problem_ = engine.make_problem(
        X, Y, bands=bands, alphas=ALPHAS, folds=contiguous_folds(160, 4), n_draws=2, scoring="r2", fit_intercept=True,
        n_targets_batch=70, backend=get_backend(),
    )  # fmt: skip
    gamma, rng = np.array([0.3, 0.7]), np.random.default_rng(0)
    full = problem_.validation.scores(gamma, problem_.targets)
    near = problem_.validation.scores_near(gamma, problem_.targets, rng.integers(0, len(ALPHAS), 200))
    tried = np.isfinite(near)
    assert 0.3 < tried.mean() < 0.9 and np.allclose(near[tried], full[tried], atol=1e-5)
    fitted = ~problem_.targets.skipped
    assert np.allclose(np.nanmax(near[:, fitted], axis=0), full[:, fitted].max(axis=0), atol=1e-5)
    assert not tried[:, 5].any()


def test_skipped_targets_are_nan_and_counted():
    X, Y, X_test, _ = problem()
    Y[:, 4], Y[2, 9] = 3.0, np.nan
    fit = fit_banded(X, Y, bands=BANDS, gammas=GAMMAS, alphas=ALPHAS)
    assert np.flatnonzero(fit.skipped).tolist() == [4, 9] and (fit.draw[[4, 9]] == -1).all()
    for values in (fit.alpha, fit.gamma[0], fit.deltas[1], fit.cv_score, fit.coef[3], fit.predict(X_test)[0]):
        assert np.isnan(values[[4, 9]]).all()
    assert np.isfinite(np.delete(fit.cv_score, [4, 9])).all()


def test_one_band_is_plain_ridge():
    X, Y, _, _ = problem()
    banded = fit_banded(X, Y, bands={"all": slice(None)}, alphas=ALPHAS, n_draws=50)
    plain = fit_ridge(X, Y, alphas=ALPHAS)
    assert len(banded.gammas) == 1 and np.array_equal(banded.alpha, plain.alpha)
    assert np.allclose(banded.coef, plain.coef, atol=1e-6)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bands": {}}, "at least one band"),
        ({"bands": {"a": slice(0, 20)}}, "cover each column"),
        ({"bands": {"a": slice(0, 30), "b": slice(20, 50)}}, "column 20 is in 2 bands"),
        ({"bands": {"a": slice(0, 50, 2), "b": slice(1, 50, 2)}}, "neighbouring"),
        ({"bands": {"a": slice(0, 20), "b": slice(20, 60)}}, "within 0 to 50"),
        ({"gammas": [[0.5, 0.6]]}, "sum to 1"),
        ({"gammas": [[1.5, -0.5]]}, "at least 0"),
        ({"gammas": [[1.0]]}, "draw, band"),
        ({"n_draws": 0}, "1 or more"),
    ],
)
def test_bad_input_is_refused_with_a_reason(change, words):
    X, Y, _, _ = problem()
    with pytest.raises(BraindecError, match=words):
        fit_banded(X, Y, **{"bands": BANDS, "alphas": ALPHAS, **change})


def test_columns_that_are_not_finite_are_named_by_band():
    X, Y, _, _ = problem()
    X[0, 22] = np.nan
    with pytest.raises(BraindecError, match=r"22 \(column 2 of band 'high'\)"):
        fit_banded(X, Y, bands=BANDS)
