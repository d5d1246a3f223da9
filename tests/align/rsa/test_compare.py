"""Comparators: definitions written out, published numbers, ties, missing cells, and a thousand conditions."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from braindec import registry
from braindec.align.cka import cka
from braindec.align.rsa.compare import common_cells, comparator_of, compare
from braindec.align.rsa.rdm import RDMs, compute_rdm
from braindec.errors import BraindecError

NAMES = registry.names("align.rsa.comparators")
REFERENCE = {"corr": "pearson", "kendall": "kendall_tau_b"}


def noisy_rdms(k: int, n: int = 10, seed: int = 0, ties: bool = False) -> RDMs:
    """Dissimilarities that share a part, some cells equal with ``ties``."""
    rng = np.random.default_rng(seed)
    shared, own = np.random.default_rng(99).standard_normal((n, 15)), rng.standard_normal((k, n, 15))
    square = np.stack([compute_rdm(shared + 0.7 * one, measure="squared_euclidean").square()[0] for one in own])
    square = np.round(square, 0) if ties else square
    return RDMs.from_square(square, range(n))


@pytest.mark.parametrize("name", NAMES)
def test_what_holds_for_every_comparator(name):
    comparator = comparator_of(name)
    assert comparator.name == name and comparator.version and comparator.describe
    assert (comparator.embed is None) != (comparator.pairwise is None)
    A, B = noisy_rdms(3), noisy_rdms(4, seed=1)
    found = compare(A, B, comparator=name)
    assert found.shape == (3, 4) and (found <= 1 + 1e-9).all() and (found > 0).all()
    assert np.allclose(found, compare(B, A, comparator=comparator).T, atol=1e-10)
    assert np.allclose(np.diagonal(compare(A, A, comparator=name)), 1, atol=1e-6)
    scaled = RDMs(A.values * np.array([[0.1], [3.0], [100.0]]), A.conditions)
    assert np.allclose(compare(scaled, B, comparator=name), found, atol=1e-8)
    order = np.random.default_rng(2).permutation(10)
    assert np.allclose(compare(A.subset(A.conditions[order]), B, comparator=name), found, atol=1e-8)
    assert comparator.pool(A.values).shape == A.values.shape


@pytest.mark.parametrize("name", [n for n in NAMES if comparator_of(n).rank])
def test_rank_comparators_do_not_see_rising_transformations(name):
    A, B = noisy_rdms(2, ties=True), noisy_rdms(3, seed=1, ties=True)
    warped = RDMs(np.exp(A.values / 5) - 7, A.conditions)
    assert np.allclose(compare(A, B, comparator=name), compare(warped, B, comparator=name), atol=1e-12)


@pytest.mark.parametrize("name", ["pearson", "corr_cov", "spearman", "rho_a", "tau_a", "kendall_tau_b"])
def test_unrelated_matrices_average_zero(name):
    rng = np.random.default_rng(0)
    A, B = RDMs(rng.random((30, 66)), range(12)), RDMs(rng.random((30, 66)), range(12))
    assert abs(compare(A, B, comparator=name).mean()) < 0.02 and comparator_of(name).chance == 0


def test_ties_are_right():
    A, B = noisy_rdms(2, ties=True), noisy_rdms(2, seed=1, ties=True)
    assert len(np.unique(A.values[0])) < A.n_pairs / 2
    a, b = A.values[0], B.values[1]
    concordance = [np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i in range(len(a)) for j in range(i)]
    assert compare(A, B, comparator="tau_a")[0, 1] == pytest.approx(np.mean(concordance), abs=1e-12)
    assert compare(A, B, comparator="kendall_tau_b")[0, 1] == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
    assert compare(A, B, comparator="spearman")[0, 1] == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    rng, broken = np.random.default_rng(0), []
    for _ in range(3000):  # rho_a: Spearman with ties broken at random, in expectation
        r, s = (np.lexsort((rng.random(len(x)), x)).argsort().astype(float) for x in (a, b))
        broken.append(1 - 6 * np.sum((r - s) ** 2) / (len(a) ** 3 - len(a)))
    assert compare(A, B, comparator="rho_a")[0, 1] == pytest.approx(np.mean(broken), abs=4 * np.std(broken) / 3000**0.5)


def test_matrices_without_contrast():
    flat, B = RDMs(np.full((1, 45), 0.3), range(10)), noisy_rdms(2)
    for name in ("rho_a", "tau_a"):
        assert np.allclose(compare(flat, B, comparator=name), 0, atol=1e-12)
    for name in ("pearson", "spearman", "kendall_tau_b", "corr_cov"):
        with pytest.raises(BraindecError, match="all the same"):
            compare(flat, B, comparator=name)
    with pytest.raises(BraindecError, match="all 0"):
        compare(RDMs(np.zeros((1, 45)), range(10)), B, comparator="cosine")


# --- whitening


def dense_whitened(A: np.ndarray, B: np.ndarray, n: int, sigma: np.ndarray) -> np.ndarray:
    """Whitened cosine by the covariance of pairs x pairs."""
    first, second = np.triu_indices(n, 1)
    contrast = np.eye(n)[first] - np.eye(n)[second]
    inverse = np.linalg.inv((contrast @ sigma @ contrast.T) ** 2)
    size = [np.sqrt(np.einsum("kp,pq,kq->k", X, inverse, X)) for X in (A, B)]
    return A @ inverse @ B.T / size[0][:, None] / size[1]


@pytest.mark.parametrize("which", ["identity", "variances", "full"])
def test_whitening_equals_the_formula_of_pairs_by_pairs(which):
    n, rng = 9, np.random.default_rng(0)
    root = rng.standard_normal((n, 2 * n))
    sigma = {"identity": None, "variances": rng.uniform(0.5, 2, n), "full": root @ root.T / n}[which]
    dense = np.eye(n) if sigma is None else np.diag(sigma) if sigma.ndim == 1 else sigma
    A, B = noisy_rdms(3, n), noisy_rdms(4, n, seed=1)
    assert np.allclose(
        compare(A, B, comparator="cosine_cov", sigma_k=sigma), dense_whitened(A.values, B.values, n, dense), atol=1e-10
    )
    a, b = (x.values - x.values.mean(axis=1, keepdims=True) for x in (A, B))
    assert np.allclose(compare(A, B, comparator="corr_cov", sigma_k=sigma), dense_whitened(a, b, n, dense), atol=1e-10)


def test_whitened_cosine_of_squared_distances_is_linear_cka():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 30)), rng.standard_normal((12, 7))
    one, other = (compute_rdm(v, measure="squared_euclidean") for v in (X, Y))
    with pytest.warns(UserWarning, match="biased"):
        assert compare(one, other, comparator="cosine_cov")[0, 0] == pytest.approx(cka(X, Y, debiased=False), abs=1e-12)


def test_whitening_makes_errors_of_cells_independent():
    """The covariance of noisy cells follows the model that whitening assumes; whitened cells have none left."""
    n, p, rng = 6, 30, np.random.default_rng(0)
    from braindec.align.rsa.comparators._vectors import second_moment

    root = np.linalg.cholesky(0.6 * np.eye(n) + 0.4)
    X = np.einsum("ij,mkjp->mkip", root, rng.standard_normal((4000, 2, n, p)))
    kernel = X[:, 0] @ X[:, 1].swapaxes(1, 2) / p  # cross-validated second moments of pure noise
    kernel = (kernel + kernel.swapaxes(1, 2)) / 2
    diagonal = np.diagonal(kernel, axis1=1, axis2=2)
    rows, columns = np.triu_indices(n, 1)
    cells = (diagonal[:, :, None] + diagonal[:, None] - 2 * kernel)[:, rows, columns]
    contrast = np.eye(n)[rows] - np.eye(n)[columns]
    model = (contrast @ root @ root.T @ contrast.T) ** 2
    found = np.cov(cells.T)
    assert np.corrcoef(found.ravel(), model.ravel())[0, 1] > 0.99
    assert second_moment(cells).shape == (4000, n, n)


def test_a_thousand_conditions_are_whitened_in_seconds():
    rng, n = np.random.default_rng(0), 1000
    A, B = RDMs(rng.random((2, n * (n - 1) // 2)), range(n)), RDMs(rng.random((2, n * (n - 1) // 2)), range(n))
    began = time.process_time()
    for name in ("cosine_cov", "corr_cov"):
        assert (np.abs(compare(A, B, comparator=name)) <= 1).all()
    assert time.process_time() - began < 3.0


# --- published numbers


def test_parity_with_published_similarities(shared):
    known = np.load(shared("rsa_compare.npz", kind="parity"))
    A, B = RDMs(known["models"], range(20)), RDMs(known["data"], range(20))
    for key in ("cosine", "corr", "spearman", "rho_a", "kendall", "tau_a", "corr_cov", "cosine_cov", "bures"):
        found = compare(A, B, comparator=REFERENCE.get(key, key))
        assert np.abs(found - known[f"cmp_{key}"]).max() <= 1e-8, key
    for key in ("corr_cov", "cosine_cov"):
        # the reference solves with conjugate gradients to 1e-5; the dense inverse decides
        found = compare(A, B, comparator=key, sigma_k=known["sigma_k"])
        assert np.abs(found - known[f"cmp_sigma_{key}"]).max() <= 5e-6
        a, b = (x.values - (x.values.mean(axis=1, keepdims=True) if key == "corr_cov" else 0) for x in (A, B))
        assert np.abs(found - dense_whitened(a, b, 20, known["sigma_k"])).max() <= 1e-10


# --- missing cells and other bad input


def test_cells_missing_in_some_matrices_only_are_an_error_unless_asked_for():
    A, B = noisy_rdms(2), noisy_rdms(3, seed=1)
    holes = B.values.copy()
    holes[1, [3, 7]] = np.nan
    B_some = RDMs(holes, B.conditions)
    with pytest.raises(BraindecError, match="lack cells that others have"):
        compare(A, B_some, comparator="pearson")
    with pytest.warns(UserWarning, match="43 of 45 cells are common"):
        found = compare(A, B_some, comparator="pearson", missing="pairwise")
    kept = np.delete(np.arange(45), [3, 7])
    assert np.allclose(found, np.corrcoef(A.values[:, kept], B.values[:, kept])[:2, 2:])
    with pytest.raises(BraindecError, match="cosine_cov needs every cell"):
        compare(A, B_some, comparator="cosine_cov", missing="pairwise")
    everywhere_a, everywhere_b = A.values.copy(), B.values.copy()
    everywhere_a[:, 5] = everywhere_b[:, 5] = np.nan
    A_all, B_all = RDMs(everywhere_a, A.conditions), RDMs(everywhere_b, B.conditions)
    assert common_cells(A_all, B_all).sum() == 44
    found = compare(A_all, B_all, comparator="rho_a")
    kept = np.delete(np.arange(45), 5)
    assert np.allclose(found, comparator_of("rho_a").compare(A.values[:, kept], B.values[:, kept]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"comparator": "cosin"}, "did you mean 'cosine'"),
        ({"comparator": "pearson", "sigma_k": np.eye(10)}, "takes no sigma_k"),
        ({"comparator": "corr_cov", "sigma_k": np.eye(4)}, r"symmetric \(10, 10\)"),
        ({"comparator": "corr_cov", "sigma_k": np.diag([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0])}, "positive definite"),
        ({"missing": "drop"}, "refuse, pairwise"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_error(arguments, message):
    with pytest.raises(BraindecError, match=message):
        compare(noisy_rdms(2), noisy_rdms(2, seed=1), **arguments)


def test_other_conditions_and_too_few_of_them():
    A = noisy_rdms(1)
    with pytest.raises(BraindecError, match="same conditions"):
        compare(A, RDMs(A.values, [f"x{i}" for i in range(10)]))
    with pytest.raises(BraindecError, match="at least 3 conditions"):
        compare(RDMs(np.ones((1, 1)), "ab"), RDMs(np.ones((1, 1)), "ab"))
