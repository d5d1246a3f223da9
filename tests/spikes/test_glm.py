"""GLMs of one unit: the maximum that scikit-learn finds, closed forms, penalties, data that have no maximum."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from braindec.errors import BraindecError
from braindec.spikes.glm import BernoulliGLM, PoissonGLM, contiguous_folds


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 6)) * 0.5
    y = rng.poisson(np.exp(X @ [0.5, -0.4, 0.0, 0.3, 0.0, 0.8] - 1))
    return X, y


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 1e-1])
def test_poisson_equals_scikit_learn(data, alpha):
    X, y = data
    mine = PoissonGLM(alpha=alpha).fit(X, y)
    other = PoissonRegressor(alpha=alpha, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-9)
    assert mine.intercept_ == pytest.approx(other.intercept_, abs=1e-9)
    np.testing.assert_allclose(mine.predict(X), other.predict(X), rtol=1e-9)
    assert mine.score(X, y) == pytest.approx(other.score(X, y), abs=1e-10)
    gradient = X.T @ (y - mine.mean(X)) / len(y) - alpha * mine.coef_
    assert np.abs(gradient).max() < 1e-10


def test_exposure_equals_rates_with_weights(data):
    X, y = data
    exposure = np.random.default_rng(1).uniform(0.2, 1.0, len(y))
    mine = PoissonGLM().fit(X, y, exposure=exposure)
    other = PoissonRegressor(alpha=0, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    other.fit(X, y / exposure, sample_weight=exposure)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-8)
    np.testing.assert_allclose(PoissonGLM(width=0.01).fit(X, y).predict(X), PoissonGLM().fit(X, y).predict(X) * 100)


@pytest.mark.parametrize("alpha", [0.0, 1e-2])
def test_bernoulli_equals_scikit_learn(data, alpha):
    X, y = data[0], (data[1] > 0).astype(int)
    mine = BernoulliGLM(alpha=alpha).fit(X, y)
    C = 1e13 if alpha == 0 else 1 / (alpha * len(y))
    other = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(mine.coef_, other.coef_[0], atol=1e-8)
    np.testing.assert_allclose(mine.predict(X), other.predict_proba(X)[:, 1], atol=1e-8)


def test_two_groups_have_a_closed_form():
    X = np.repeat([[0.0], [1.0]], 500, axis=0)
    y = np.random.default_rng(0).poisson(np.where(X[:, 0] > 0, 2.0, 0.5))
    model = PoissonGLM().fit(X, y)
    a, b = y[:500].mean(), y[500:].mean()
    assert model.intercept_ == pytest.approx(np.log(a)) and model.coef_[0] == pytest.approx(np.log(b / a))
    error = model.table()["error"].to_numpy()  # of a logarithm of a count: one over its root
    assert error[0] == pytest.approx(np.sqrt(1 / y[:500].sum() + 1 / y[500:].sum()))
    gain = (y[:500].sum() * np.log2(a / y.mean()) + y[500:].sum() * np.log2(b / y.mean())) / y.sum()
    assert model.bits_per_spike(X, y) == pytest.approx(gain, abs=1e-10)
    assert PoissonGLM().fit(np.zeros((1000, 0)), y).score(np.zeros((1000, 0)), y) == pytest.approx(0, abs=1e-12)


def test_wald_p_is_uniform_without_an_effect():
    p = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(400, 3))
        p += PoissonGLM().fit(X, rng.poisson(0.5, size=400)).table()["p"][:3].tolist()
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.085


def test_cross_validation_takes_the_penalty_that_held_out_blocks_like():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(400, 60)), np.zeros(60)
    w[:2] = 0.4
    y = rng.poisson(np.exp(X @ w - 1))
    model = PoissonGLM(alpha="cv", gap=5).fit(X, y)
    table = model.cv_table_.set_index("alpha")["log_likelihood"]
    assert model.alpha_ == table.idxmax() and model.alpha_ >= 0.01
    new = rng.normal(size=(4000, 60))
    counts = rng.poisson(np.exp(new @ w - 1))
    assert model.bits_per_spike(new, counts) > PoissonGLM(alpha=1e-7).fit(X, y).bits_per_spike(new, counts) + 0.05


def test_folds_are_contiguous_with_gaps():
    folds = contiguous_folds(100, 5, gap=3)
    assert sorted(np.concatenate([t for _, t in folds])) == list(range(100))
    for train, test in folds:
        assert (np.diff(test) == 1).all() and min(abs(train[:, None] - test[None]).ravel()) == 4


def test_estimators_can_be_cloned(data):
    model = clone(PoissonGLM(alpha=0.1, width=0.02))
    assert model.alpha == 0.1 and not hasattr(model, "coef_")
    assert len(PoissonGLM().fit(*data, ids=np.arange(3000)).fitted_on_.ids) == 3000


@pytest.mark.parametrize("model", [PoissonGLM, BernoulliGLM])
@pytest.mark.parametrize("penalty", [0.003, 0.03, 10.0])
def test_group_penalty_meets_the_conditions_of_its_optimum(data, model, penalty):
    X, y = data[0], np.minimum(data[1], 1)
    groups = ["a", "a", "b", "b", "c", None]
    found = model(group_alpha=penalty).fit(X, y, groups=groups)
    slope = X.T @ (y - found.mean(X)) / len(y)
    for g in "abc":
        own = [i for i, v in enumerate(groups) if v == g]
        size, w = penalty * np.sqrt(len(own)), found.coef_[own]
        if w.any():
            np.testing.assert_allclose(slope[own], size * w / np.linalg.norm(w), atol=1e-8)
        else:
            assert np.linalg.norm(slope[own]) <= size + 1e-8
    assert abs(slope[5]) < 1e-8 and found.coef_[5] != 0 and found.mean(X).mean() == pytest.approx(y.mean())
    if penalty == 10.0:
        np.testing.assert_array_equal(found.coef_[:5], 0)


def test_a_small_group_penalty_is_no_penalty(data):
    groups = [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(
        PoissonGLM(group_alpha=1e-9).fit(*data, groups=groups).coef_, PoissonGLM().fit(*data).coef_, atol=1e-6
    )
    strong = PoissonGLM(group_alpha=0.02).fit(*data, groups=[0, 0, 1, 2, 3, 3])
    assert (strong.coef_ == 0).tolist() == [False, False, True, False, False, False]


def perfect(n=400):
    x = np.random.default_rng(0).random(n)
    return x[:, None], (x > 0.5).astype(int)


@pytest.mark.parametrize(
    ("fit", "said"),
    [
        (lambda X, y: PoissonGLM().fit(X, 0 * y), "without spikes"),
        (lambda X, y: BernoulliGLM().fit(X, 0 * y + 1), "spikes in every bin"),
        (lambda X, y: BernoulliGLM().fit(X, y), "cannot take this y"),
        (lambda X, y: PoissonGLM().fit(X, y - 1.0), "cannot take this y"),
        (lambda X, y: PoissonGLM().fit(X * np.nan, y), "finite"),
        (lambda X, y: PoissonGLM().fit(np.column_stack([X, X[:, 0] - X[:, 1]]), y), "collinear"),
        (lambda X, y: PoissonGLM().fit(np.column_stack([X, 0 * X[:, 0]]), y), "0 everywhere"),
        (lambda X, y: BernoulliGLM().fit(*perfect()), "separable"),
        (lambda X, y: PoissonGLM().fit(np.column_stack([X, y == 0]), y), "separable"),
        (lambda X, y: PoissonGLM(group_alpha=0.1).fit(X, y), "a group for each column"),
        (lambda X, y: PoissonGLM(alpha=-1).fit(X, y), "alpha"),
        (lambda X, y: PoissonGLM().predict(X), "not fitted"),
        (lambda X, y: PoissonGLM().fit(X, y).predict(X[:, :2]), "other columns"),
    ],
)
def test_wrong_input_is_one_clear_error(data, fit, said):
    with pytest.raises(BraindecError, match=said):
        fit(*data)


def test_a_penalty_makes_separable_data_fit():
    X, y = perfect()
    assert BernoulliGLM(alpha=1e-3).fit(X, y).score(X, y) > 0.8
