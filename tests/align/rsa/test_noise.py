"""Noise covariance: published numbers, fourth moments written out, and what shrinkage is for."""

from __future__ import annotations

import time

import numpy as np
import pytest

from braindec.align.rsa.noise import METHODS, noise_from_repeats, noise_from_residuals, residuals_of
from braindec.errors import BraindecError

RNG = np.random.default_rng(0)


def full(matrix: np.ndarray) -> np.ndarray:
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def written_out(X: np.ndarray, dof: int, method: str) -> float:
    """The weight of the target, by loops over observations."""
    n, p = X.shape
    if method == "shrinkage_eye":
        S = X.T @ X / n
        target = np.trace(S) / p * np.eye(p)
        noise = sum(np.sum((np.outer(x, x) - S) ** 2) for x in X) / n**2
        return min(1.0, noise / np.sum((S - target) ** 2))
    z = X / np.sqrt(np.sum(X**2, axis=0) / dof)
    off = ~np.eye(p, dtype=bool)
    mean = sum(np.outer(x, x) for x in z) / (n - 1)
    square = sum(np.outer(x, x) ** 2 for x in z) / (n - 1)
    variance = n / dof**2 * (square - mean**2)
    return float(np.clip(variance[off].sum() / (mean[off] ** 2).sum(), 0, 1))


@pytest.mark.parametrize("shape", [(12, 30), (60, 20)])
@pytest.mark.parametrize("method", ["shrinkage_eye", "shrinkage_diag"])
def test_the_weight_of_the_target_equals_sums_over_fourth_moments(method, shape):
    X = RNG.standard_normal(shape) @ RNG.standard_normal((shape[1], shape[1]))
    X -= X.mean(axis=0)
    noise = noise_from_residuals(X, method=method)
    assert noise.shrinkage == pytest.approx(written_out(X, len(X) - 1, method), abs=1e-12)
    S = X.T @ X / (len(X) - 1)
    target = np.diag(np.diag(S)) if method == "shrinkage_diag" else np.trace(S) / len(S) * np.eye(len(S))
    assert np.allclose(noise.covariance, (1 - noise.shrinkage) * S + noise.shrinkage * target, atol=1e-12)
    assert np.allclose(noise.precision @ noise.covariance, np.eye(shape[1]), atol=1e-9)


def test_parity_with_published_matrices(shared):
    known = np.load(shared("rsa_rdm.npz", kind="parity"))
    for method in METHODS:
        # the reference counts 44 degrees of freedom for 48 measurements of 12 conditions in 4 runs; 36 are left
        noise = noise_from_repeats(known["Xrep"], known["cond"], method=method, dof=44)
        assert np.abs(full(noise.precision) - known[f"prec_{method}"]).max() <= 1e-10, method
        assert noise_from_repeats(known["Xrep"], known["cond"], method=method).dof == 36
    for method in ("shrinkage_eye", "shrinkage_diag"):
        noise = noise_from_residuals(known["residuals"], method=method)
        assert np.abs(noise.covariance - known[f"cov_res_{method}"]).max() <= 1e-10


def test_a_second_tool_agrees_on_other_residuals():
    toolbox = pytest.importorskip("rsatoolbox.data.noise")
    X = RNG.standard_normal((25, 40)) * np.linspace(1, 3, 40)
    for method in ("shrinkage_eye", "shrinkage_diag"):
        want = toolbox.prec_from_residuals(X.copy(), method=method)
        assert np.abs(noise_from_residuals(X, method=method).precision - want).max() < 1e-10


def test_fewer_residuals_than_units_take_the_short_way_to_the_same_inverse(monkeypatch):
    X = RNG.standard_normal((15, 60)) @ RNG.standard_normal((60, 60))
    quick = noise_from_residuals(X, method="shrinkage_diag").precision
    monkeypatch.setattr("braindec.align.rsa.noise._STABLE", 2.0)
    slow = noise_from_residuals(X, method="shrinkage_diag").precision
    assert np.allclose(quick, slow, rtol=1e-8, atol=1e-10 * np.abs(slow).max())


def test_shrinkage_brings_the_estimate_closer_to_the_truth():
    scale = np.linspace(1, 4, 50)
    truth = 0.05 * np.outer(scale, scale) + np.diag(0.95 * scale**2)
    root = np.linalg.cholesky(truth)
    error = {m: [] for m in ("shrinkage_eye", "shrinkage_diag", "raw")}
    for _ in range(20):
        X = RNG.standard_normal((40, 50)) @ root.T
        for method in ("shrinkage_eye", "shrinkage_diag"):
            error[method].append(np.linalg.norm(noise_from_residuals(X, method=method).covariance - truth))
        error["raw"].append(np.linalg.norm(np.cov(X.T) - truth))
    mean = {m: np.mean(e) for m, e in error.items()}
    assert mean["shrinkage_diag"] < mean["shrinkage_eye"] < mean["raw"]


def test_residuals_lose_condition_and_run_means():
    condition, run = np.tile(np.repeat(np.arange(5), 2), 3), np.repeat(np.arange(3), 10)
    noise = RNG.standard_normal((30, 4))
    X = noise + 10 * condition[:, None] - 5 * run[:, None]
    rows, left = residuals_of(X, condition, runs=run)
    assert left == 30 - 5 - 3 + 1
    for group in (condition, run):
        for value in np.unique(group):
            assert np.allclose(rows[group == value].mean(axis=0), 0, atol=1e-12)
    plain, left = residuals_of(X, condition)
    assert left == 25 and np.allclose(plain[condition == 2].mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: noise_from_residuals(X, method="shrinkage_dia"), "did you mean 'shrinkage_diag'"),
        (lambda X: noise_from_residuals(X[:5], method="full"), "cannot be inverted"),
        (lambda X: noise_from_residuals(np.hstack([X, np.full((20, 1), 0.1)])), "units 8"),
        (lambda X: noise_from_residuals(np.where(X > 2, np.nan, X)), "not finite"),
        (lambda X: noise_from_residuals(X[:1]), "2 rows"),
        (lambda X: noise_from_repeats(X, np.arange(20)), "measured once"),
        (lambda X: noise_from_residuals(np.hstack([X, X]), method="full").precision, "cannot be inverted"),
    ],
)
def test_what_cannot_be_estimated_is_one_clear_error(make, message):
    X = np.random.default_rng(3).standard_normal((20, 8))
    X[0, 0] = 3.0
    with pytest.raises(BraindecError, match=message):
        make(X)


def test_three_thousand_units_take_well_under_two_seconds():
    X = RNG.standard_normal((400, 3000))
    began = time.process_time()
    precision = noise_from_residuals(X, method="shrinkage_diag").precision
    assert precision.shape == (3000, 3000) and time.process_time() - began < 2.0
