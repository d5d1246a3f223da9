"""Numbers of himalaya 0.4.11 on fixed data: plain ridge, kernel ridge, banded ridge."""

from __future__ import annotations

import numpy as np
import pytest

import braindec.ridge._fit as engine
from braindec.ridge import contiguous_folds, fit_banded, fit_ridge, pearson, r2, split_r2

BANDS = {"one": slice(0, 25), "two": slice(25, 40)}


@pytest.fixture
def numbers(shared):
    stored = np.load(shared("himalaya_ridge.npz", kind="parity"), allow_pickle=False)
    data = {key: stored[key] for key in stored.files}
    n = int(data["n_train"])
    data["X"], data["X_test"] = (np.hstack([data["X1"], data["X2"]])[part] for part in (slice(n), slice(n, None)))
    data["Y"], data["Y_test"] = data["Y"][:n], data["Y"][n:]
    data["folds"] = contiguous_folds(n, 5)  # 90 rows: the folds of sklearn's KFold(5)
    data["variance"] = np.mean([data["Y"][test].var(axis=0) for _, test in data["folds"]], axis=0)
    return data


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_plain(numbers, monkeypatch, dual, backend):
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    X, X_test = numbers["X"][:, :25], numbers["X_test"][:, :25]
    fit = fit_ridge(X, numbers["Y"], alphas=numbers["alphas"], folds=numbers["folds"], backend=backend)
    assert np.allclose(fit.alpha, numbers["ridge_best_alpha"])
    assert np.allclose(fit.coef, numbers["ridge_coef"], atol=1e-4)
    assert np.allclose(fit.intercept, numbers["ridge_intercept"], atol=1e-4)
    assert np.allclose((fit.cv_score - 1.0) * numbers["variance"], numbers["ridge_cv"], rtol=1e-4)
    P = fit.predict(X_test)
    assert np.allclose(P, numbers["ridge_pred"], atol=1e-4)
    assert np.allclose(r2(numbers["Y_test"], P), numbers["ridge_r2"], atol=1e-4)
    assert np.allclose(pearson(numbers["Y_test"], P), numbers["ridge_r"], atol=1e-4)


@pytest.mark.parametrize("dual", [False, True])
def test_kernel_without_intercept(numbers, monkeypatch, dual):
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    fit = fit_ridge(numbers["X"][:, :25], numbers["Y"], alphas=numbers["alphas"], folds=numbers["folds"],
                    fit_intercept=False)  # fmt: skip
    assert np.allclose(fit.alpha, numbers["kernel_best_alpha"])
    assert np.allclose(fit.predict(numbers["X_test"][:, :25]), numbers["kernel_pred"], atol=1e-4)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_banded_on_the_same_draws(numbers, monkeypatch, dual, backend):
    draws = pytest.importorskip("himalaya.kernel_ridge").generate_dirichlet_samples
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    gammas = draws(50, 2, concentration=[0.1, 1.0], random_state=0)
    gammas[0] = 0.5
    fit = fit_banded(
        numbers["X"], numbers["Y"], bands=BANDS, gammas=gammas, alphas=numbers["alphas"], folds=numbers["folds"],
        fit_intercept=False, halving=False, backend=backend,
    )  # fmt: skip
    assert np.allclose(fit.deltas, numbers["group_deltas"], atol=1e-5)
    assert np.allclose(fit.deltas, numbers["mkr_deltas"], atol=1e-5)
    assert np.allclose(fit.coef, numbers["group_coef"], atol=1e-4)
    assert (
        (fit.cv_score - 1.0) * numbers["variance"] >= numbers["group_cv"].max(axis=0) - 1e-4 * numbers["variance"]
    ).all()
    P, parts = fit.predict(numbers["X_test"]), fit.predict_bands(numbers["X_test"])
    assert np.allclose(P, numbers["group_pred"], atol=1e-4)
    assert np.allclose(np.stack(list(parts.values())), numbers["mkr_split_pred"], atol=1e-4)
    assert np.allclose(r2(numbers["Y_test"], P), numbers["group_r2"], atol=1e-4)
    # himalaya splits around 0, not around the mean: so does the split of data beside their mirror image
    mirrored = {band: np.concatenate([part, -part]) for band, part in parts.items()}
    shares = split_r2(np.concatenate([numbers["Y_test"], -numbers["Y_test"]]), mirrored)
    assert np.allclose(np.stack(list(shares.values())), numbers["mkr_split_r2"], atol=1e-4)


def test_own_draws_score_no_worse(numbers):
    fit = fit_banded(numbers["X"], numbers["Y"], bands=BANDS, n_draws=50, alphas=numbers["alphas"],
                     folds=numbers["folds"], fit_intercept=False, halving=False)  # fmt: skip
    ours, theirs = (fit.cv_score - 1.0) * numbers["variance"], numbers["group_cv"].max(axis=0)
    assert (ours > 1.005 * theirs).all()  # both negative: the squared error is within 0.5 % for each target
    assert ours.mean() > 1.001 * theirs.mean()
