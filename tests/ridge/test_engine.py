"""Parts of the engine: decompositions that always answer, targets read by blocks, form chosen by cost."""

from __future__ import annotations

import numpy as np
import pytest

import braindec.ridge._fit as engine
from braindec.errors import BraindecError
from braindec.ridge import banded, contiguous_folds, fit_banded, fit_ridge, plain
from braindec.ridge._backend import NumpyBackend, Places, get_backend
from braindec.ridge._design import Design, prefer_dual
from braindec.ridge._spectral import largest_eigenvalue, safe_eigh, safe_inverse, safe_solver
from braindec.ridge._targets import Targets

ALPHAS = [0.1, 1.0, 10.0, 100.0]


@pytest.fixture
def singular():
    half = np.random.default_rng(0).standard_normal((20, 8))
    return half @ half.T


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_inverse_and_solver(singular, name):
    backend = get_backend(name)
    expected = np.linalg.inv(singular + 0.5 * np.eye(20))
    matrix = backend.put(singular, exact=True)
    assert np.allclose(backend.get(safe_inverse(matrix, 0.5, backend)), expected)
    b = np.random.default_rng(1).standard_normal((20, 3))
    assert np.allclose(backend.get(safe_solver(matrix, 0.5, backend)(backend.put(b, exact=True))), expected @ b)
    assert np.array_equal(backend.get(matrix), singular), "the matrix is left as it was"
    turned = matrix.T  # the other order in memory
    assert np.allclose(backend.get(safe_inverse(turned, 0.5, backend)), expected)
    single = safe_inverse(backend.cast(matrix), 0.5, backend)
    assert single.dtype == backend.dtype and np.allclose(backend.get(single), expected, atol=1e-4)


def test_inverse_of_many_tiles_is_symmetric():
    half = np.random.default_rng(0).standard_normal((700, 900))
    inverse = NumpyBackend().inverse(half @ half.T)
    assert np.array_equal(inverse, inverse.T) and np.allclose(inverse @ (half @ half.T), np.eye(700), atol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_largest_eigenvalue(singular, name):
    backend = get_backend(name)
    for matrix in (singular, np.diag([3.0, 1.0, 0.0]), np.zeros((4, 4)), 7.0 + np.eye(30)):
        found = largest_eigenvalue(backend.put(matrix, exact=True))
        assert 0.5 * np.linalg.eigvalsh(matrix)[-1] <= found <= 1.0001 * np.linalg.eigvalsh(matrix)[-1] + 1e-12


@pytest.mark.parametrize("dual", [False, True])
def test_single_precision_holds_where_one_component_dwarfs_the_others(monkeypatch, dual):
    """A kernel with one huge eigenvalue: small penalties are solved in float64 (X'y itself is float32 in primal form)."""
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 150)) + 300.0 * rng.standard_normal((120, 1)) * rng.standard_normal(150)
    Y = X @ rng.standard_normal((150, 20)) * 0.01 + 5.0 * rng.standard_normal((120, 20))
    options = {"alphas": np.logspace(-1, 8, 10), "folds": contiguous_folds(120, 4)}
    single, double = (fit_ridge(X, Y, dtype=dtype, **options) for dtype in ("float32", "float64"))
    safe = slice(0 if dual else 3, None)
    assert np.allclose(single.cv_scores[safe], double.cv_scores[safe], atol=2e-3)


class Failing(NumpyBackend):
    """LAPACK that gives up: eigh on exact matrices, Cholesky always."""

    def __init__(self, dtype="float32", *, jitter_helps=True, returns_nan=False):
        super().__init__(dtype)
        self.jitter_helps, self.returns_nan, self.calls = jitter_helps, returns_nan, []

    def eigh(self, matrix):
        self.calls.append("eigh")
        if self.jitter_helps and len(self.calls) % 2 == 0:
            return super().eigh(matrix)
        if self.returns_nan:
            return np.full(len(matrix), np.nan), np.full_like(matrix, np.nan)
        raise ArithmeticError("did not converge")

    def svd(self, matrix):
        self.calls.append("svd")
        return super().svd(matrix)

    def inverse(self, matrix):
        return None

    def solver(self, matrix):
        return None


@pytest.mark.parametrize("jitter_helps", [True, False])
@pytest.mark.parametrize("returns_nan", [True, False])
def test_eigh_that_fails_is_tried_with_jitter_and_then_as_svd(singular, jitter_helps, returns_nan):
    backend = Failing(jitter_helps=jitter_helps, returns_nan=returns_nan)
    values, vectors = safe_eigh(singular, backend)
    assert backend.calls == ["eigh", "eigh"] + ["svd"] * (not jitter_helps)
    assert np.allclose((vectors * values) @ vectors.T, singular, atol=1e-8) and (values >= 0).all()


@pytest.mark.parametrize("dual", [False, True])
def test_fits_survive_when_every_factorisation_fails(monkeypatch, dual):
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((60, 20)), rng.standard_normal((60, 5))
    expected = fit_ridge(X, Y, alphas=ALPHAS, dtype="float64")
    monkeypatch.setattr(plain, "get_backend", lambda *a, **k: Failing("float64", jitter_helps=False))
    fit = fit_ridge(X, Y, alphas=ALPHAS, dtype="float64")
    assert np.allclose(fit.coef, expected.coef) and np.allclose(fit.cv_scores, expected.cv_scores)


def test_when_the_svd_fails_too_the_features_are_named_as_the_cause(singular):
    class Hopeless(Failing):
        def svd(self, matrix):
            raise np.linalg.LinAlgError("SVD did not converge")

    with pytest.raises(BraindecError, match="standardise"):
        safe_eigh(singular, Hopeless(jitter_helps=False))


def test_duplicate_and_constant_columns_are_no_problem():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 10))
    X = np.c_[X, X, np.ones(50), np.zeros((50, 60))]
    Y = X[:, :10] @ rng.standard_normal((10, 4)) + rng.standard_normal((50, 4))
    fit = fit_ridge(X, Y, alphas=ALPHAS)
    assert np.isfinite(fit.cv_scores).all() and np.allclose(fit.coef[:10], fit.coef[10:20], atol=1e-4)
    assert (fit.cv_score > 0.5).all()


def test_features_without_variance_predict_the_mean():
    Y = np.random.default_rng(0).standard_normal((40, 3))
    fit = fit_ridge(np.ones((40, 2)), Y)
    assert (fit.cv_score <= 0).all() and np.allclose(fit.predict(np.ones((5, 2))), Y.mean(axis=0), atol=1e-6)


def test_the_form_follows_the_cost():
    assert not prefer_dual(3000, 1024, 20_000, n_folds=5, n_alphas=10)
    assert prefer_dual(1800, 2500, 10_000, n_folds=5, n_alphas=10, n_draws=20)
    assert prefer_dual(100, 20_000, 1, n_folds=5, n_alphas=10)
    assert not prefer_dual(20_000, 100, 1, n_folds=5, n_alphas=10)


def test_gram_and_kernels_are_those_of_centred_features():
    X = np.random.default_rng(0).standard_normal((30, 12)) + 100.0
    bands = {"a": slice(0, 5), "b": slice(5, 12)}
    design = Design(X, bands, centre=True, backend=get_backend(dtype="float64"))
    centred = X - X.mean(axis=0)
    assert np.allclose(design.gram(), centred.T @ centred)
    assert np.allclose(design.gram(Places(np.arange(3, 9))), centred[3:9].T @ centred[3:9])
    for kernel, columns in zip(design.kernels(), bands.values()):
        assert np.allclose(kernel, centred[:, columns] @ centred[:, columns].T)
    assert np.isclose(design.mean_eigenvalue(), (centred**2).sum() / 12)


def test_targets_are_centred_skipped_and_gathered():
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((20, 11)).astype(np.float32) + 1000.0
    Y[:, 3], Y[5, 7] = 2.0, np.inf
    targets = Targets(Y, 20, centre=True, block=4)
    assert [part.stop - part.start for part in targets.slices()] == [4, 4, 3]
    assert np.flatnonzero(targets.skipped).tolist() == [3, 7]
    whole = np.concatenate([targets.read(part) for part in targets.slices()], axis=1)
    assert np.abs(whole.mean(axis=0)).max() < 1e-4 and not whole[:, [3, 7]].any() and whole.dtype == np.float32
    columns = np.array([0, 2, 4, 9])
    assert np.array_equal(targets.gather(columns), whole[:, columns])


def test_targets_that_lie_about_their_shape_or_kind_are_refused():
    class Liar:
        shape = (20, 5)

        def __getitem__(self, key):
            return np.zeros((19, 5))

    with pytest.raises(BraindecError, match="another shape"):
        Targets(Liar(), 20, centre=True, block=5)
    with pytest.raises(BraindecError, match="real numbers"):
        Targets(np.zeros((20, 2), dtype=complex), 20, centre=True, block=5)


@pytest.mark.parametrize("dual", [False, True])
def test_workers_change_nothing_and_leave_the_blas_as_it_was(monkeypatch, dual):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((90, 30)), rng.standard_normal((90, 700))
    Y[:, ::2] += X @ rng.standard_normal((30, 350))
    monkeypatch.setattr(engine, "prefer_dual", lambda *args, **kwargs: dual)
    options = {"alphas": np.logspace(-1, 4, 9), "bands": {"a": slice(0, 10), "b": slice(10, 30)}, "n_draws": 6}
    fits = []
    for workers in (1, 3):
        backend = NumpyBackend(workers=workers)
        before = [library.num_threads for library in backend._blas.lib_controllers]
        monkeypatch.setattr(banded, "get_backend", lambda *a, backend=backend, **k: backend)
        fits.append(fit_banded(X, Y, **options))
        assert [library.num_threads for library in backend._blas.lib_controllers] == before and backend._pool is None
    same = (fits[0].alpha == fits[1].alpha) & (fits[0].draw == fits[1].draw)
    assert same.mean() > 0.99  # two penalties may be equal to the last digit
    assert np.allclose(fits[0].coef[:, same], fits[1].coef[:, same], atol=1e-3)
    assert np.allclose(fits[0].cv_score, fits[1].cv_score, atol=1e-5)


def test_work_is_drawn_as_it_is_needed_and_comes_back_in_order():
    backend, drawn, done = NumpyBackend(workers=2), [], []
    with backend.session():
        for result in backend.map(lambda k: k * k, (drawn.append(k) or k for k in range(20))):
            assert len(drawn) - len(done) <= 3
            done.append(result)
    assert done == [k * k for k in range(20)]
    with pytest.raises(ZeroDivisionError), backend.session():
        list(backend.map(lambda k: 1 // k, [1, 0, 2]))
    assert backend._pool is None
