"""LSA and LSS against one least-squares fit, and against one fit a trial, with nuisance columns in the model."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.signal.glm.estimators import lsa_matrix, lss_matrix, spectrum_of


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    nuisance = np.column_stack([np.ones(90), np.linspace(-1, 1, 90), rng.standard_normal((90, 3))])
    design = np.apply_along_axis(lambda x: np.convolve(x, np.hanning(12))[:90], 0, np.eye(90)[:, 5:80:5])
    data = rng.standard_normal((90, 7))
    basis = np.linalg.qr(nuisance)[0]
    return design, nuisance, data, design - basis @ (basis.T @ design), data - basis @ (basis.T @ data)


def test_lsa_is_least_squares_of_everything(problem):
    design, nuisance, data, clean, clean_data = problem
    expected = np.linalg.lstsq(np.column_stack([design, nuisance]), data, rcond=None)[0][: design.shape[1]]
    assert np.allclose(lsa_matrix(spectrum_of(clean)) @ clean_data, expected, atol=1e-10)


def test_lss_is_one_fit_a_trial(problem):
    design, nuisance, data, clean, clean_data = problem
    found = lss_matrix(clean) @ clean_data
    for k in range(design.shape[1]):
        others = np.delete(design, k, axis=1).sum(axis=1)
        fit = np.linalg.lstsq(np.column_stack([design[:, k], others, nuisance]), data, rcond=None)[0]
        assert np.allclose(found[k], fit[0], atol=1e-10)


def test_one_trial_and_two_trials(problem):
    _, _, _, clean, data = problem
    for n in (1, 2):  # the others are no trial, or one: LSS is LSA
        assert np.allclose(lss_matrix(clean[:, :n]) @ data, lsa_matrix(spectrum_of(clean[:, :n])) @ data, atol=1e-10)


def test_trials_that_do_not_overlap_are_the_same_for_both():
    design = np.zeros((40, 4))
    for k in range(4):
        design[k * 10 : k * 10 + 5, k] = 1
    assert np.allclose(lss_matrix(design), lsa_matrix(spectrum_of(design)), atol=1e-12)
    assert spectrum_of(design).condition == pytest.approx(1)


def test_condition_number_and_rank(problem):
    clean = problem[3]
    unit = clean / np.linalg.norm(clean, axis=0)
    assert spectrum_of(clean).condition == pytest.approx(np.linalg.cond(unit), rel=1e-8)
    assert spectrum_of(clean * np.linspace(0.01, 100, clean.shape[1])).condition == pytest.approx(
        np.linalg.cond(unit), rel=1e-6
    )
    doubled = spectrum_of(np.column_stack([clean, clean[:, 3]]))
    assert not doubled.full and doubled.condition == np.inf and doubled.closest == (3, clean.shape[1])
    shortest = lsa_matrix(doubled) @ problem[4]
    assert np.allclose(shortest[3], shortest[-1])  # the shortest solution shares between equals


def test_lss_of_trials_that_cannot_be_told_apart(problem):
    clean = problem[3][:, :1]
    with pytest.raises(BraindecError, match="LSS"):
        lss_matrix(np.column_stack([clean, 2 * clean]))
