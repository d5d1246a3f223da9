from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.glm.estimators import lsa_matrix, spectrum_of
from braindec.signal.glm.fractional_ridge import FRACTIONS, check_fractions, fractional_betas


@pytest.fixture
def problem():
    rng = np.random.default_rng(1)
    design = rng.standard_normal((80, 12)) @ np.diag(np.geomspace(0.05, 5, 12)) @ rng.standard_normal((12, 12))
    return design, rng.standard_normal((80, 9))


def test_the_length_is_the_fraction(problem):
    design, data = problem
    fractions = np.array([0.01, 0.05, 0.3, 0.77, 0.95, 0.999, 1.0])
    betas = fractional_betas(spectrum_of(design), data, fractions)
    whole = np.linalg.lstsq(design, data, rcond=None)[0]
    ratio = np.linalg.norm(betas, axis=1) / np.linalg.norm(whole, axis=0)
    assert np.allclose(ratio, fractions[:, None], rtol=1e-6)
    assert np.allclose(betas[-1], lsa_matrix(spectrum_of(design)) @ data)


def test_it_is_ridge_with_some_penalty(problem):
    design, data = problem
    betas = fractional_betas(spectrum_of(design), data, np.array([0.4]))[0]
    for voxel in range(data.shape[1]):
        residual = design.T @ (data[:, voxel] - design @ betas[:, voxel])  # alpha * beta, by the normal equations
        alpha = residual @ betas[:, voxel] / (betas[:, voxel] @ betas[:, voxel])
        ridge = np.linalg.solve(design.T @ design + alpha * np.eye(12), design.T @ data[:, voxel])
        assert alpha > 0 and np.allclose(betas[:, voxel], ridge, atol=1e-8)


def test_one_fraction_a_voxel_is_the_same_as_all_fractions(problem):
    design, data = problem
    spectrum, fractions = spectrum_of(design), np.array(FRACTIONS)
    every = fractional_betas(spectrum, data, fractions)
    pick = np.arange(9) * 2
    own = fractional_betas(spectrum, data, fractions[pick][None])[0]
    assert np.allclose(own, every[pick, :, np.arange(9)].T, atol=1e-10)


def test_data_of_zero_and_a_design_without_full_rank(problem):
    design, data = problem
    assert (fractional_betas(spectrum_of(design), np.zeros((80, 2)), np.array([0.5, 1.0])) == 0).all()
    doubled = np.column_stack([design, design[:, 0]])
    betas = fractional_betas(spectrum_of(doubled), data, np.array([0.5]))[0]
    assert np.allclose(betas[0], betas[-1], atol=1e-8)


def test_against_fracridge(problem):
    fracridge = pytest.importorskip("fracridge")
    design, data = problem
    fractions = np.array([0.2, 0.5, 0.8])
    theirs = fracridge.fracridge(design, data, fracs=fractions)[0]  # (column, fraction, voxel)
    ours = fractional_betas(spectrum_of(design), data, fractions)
    size = np.abs(ours).max()
    assert np.abs(np.moveaxis(theirs, 1, 0) - ours).max() < 0.02 * size  # theirs interpolates


@pytest.mark.parametrize("wrong", [[], [0.0, 0.5], [0.5, 1.2], [np.nan]])
def test_wrong_fractions(wrong):
    with pytest.raises(BraindecError, match="fractions"):
        check_fractions(wrong)
