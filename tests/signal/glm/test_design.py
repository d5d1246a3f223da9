"""Designs against brute-force convolution, nilearn, and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix

from braindec.errors import BraindecError
from braindec.signal.glm.design import drift_columns, fir_design, nuisance_basis, polynomial_degree, trial_regressors
from braindec.signal.glm.hrf_library import hrf_library, responses_of

CANONICAL = responses_of("canonical")


def test_against_nilearn_trial_by_trial():
    tr, n = 1.5, 120
    rng = np.random.default_rng(0)
    onsets, durations = np.sort(rng.uniform(2, 150, 20)), rng.choice([0.5, 2.0, 6.0], 20)
    times = (np.arange(n) + 0.5) * tr
    ours = trial_regressors(onsets, durations, CANONICAL.values, times=times, step=CANONICAL.step)[0]
    events = pd.DataFrame({"onset": onsets, "duration": durations, "trial_type": [f"t{k:02d}" for k in range(20)]})
    theirs = make_first_level_design_matrix(times, events, hrf_model="spm", drift_model=None, oversampling=100)
    for k in range(20):
        assert np.corrcoef(ours[:, k], theirs[f"t{k:02d}"])[0, 1] > 0.999


def test_against_brute_force_for_each_response_of_the_library(convolve):
    library, onsets = hrf_library(), np.array([4.0, 6.5, 7.0, 40.0])
    ours = trial_regressors(onsets, np.full(4, 2.0), library.values, times=np.arange(60) * 1.0, step=library.step)
    for h, response in enumerate(library.values):
        expected = convolve(onsets, 2.0, response, library.step, 60, 1.0)
        assert np.abs(ours[h] - expected).max() < 0.02


def test_peak_is_one_and_onsets_are_not_rounded():
    times = np.arange(0, 40, 0.05)
    for duration in (0.0, 0.1, 3.0, 15.0):
        course = trial_regressors([0.0123], [duration], CANONICAL.values, times=times, step=CANONICAL.step)[0, :, 0]
        assert course.max() == pytest.approx(1, abs=1e-3)
    a, b = (trial_regressors([t], [1.0], CANONICAL.values, times=times, step=0.1)[0, :, 0] for t in (2.0, 2.013))
    assert 0 < np.abs(a - b).max() < 0.01
    shifted = trial_regressors([2.013], [1.0], CANONICAL.values, times=times + 0.013, step=0.1)[0, :, 0]
    assert np.allclose(a, shifted, atol=1e-9)
    assert (a[times < 2.0] == 0).all()


def test_a_long_box_is_many_short_ones():
    times = np.arange(0, 60, 1.5)
    parts = trial_regressors(np.arange(0, 6, 0.5), np.full(12, 0.5), CANONICAL.values, times=times, step=0.1)[0].sum(
        axis=1
    )
    whole = trial_regressors([0.0], [6.0], CANONICAL.values, times=times, step=0.1)[0, :, 0]
    assert np.corrcoef(parts, whole)[0, 1] > 1 - 1e-9


@pytest.mark.parametrize("drift", ["polynomial", "cosine", 0, 3])
def test_drift_is_orthonormal_and_spans_what_nilearn_spans(drift):
    n, tr = 200, 2.0
    ours = drift_columns(n, 1 / tr, drift)
    assert np.allclose(ours.T @ ours, np.eye(ours.shape[1]), atol=1e-12)
    order = {"polynomial": polynomial_degree(n, 1 / tr)}.get(drift, drift)
    model = (
        {"drift_model": "cosine", "high_pass": 1 / 128}
        if drift == "cosine"
        else {"drift_model": "polynomial", "drift_order": order}
    )
    theirs = make_first_level_design_matrix(np.arange(n) * tr, None, hrf_model="spm", **model).to_numpy()
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours @ (ours.T @ theirs)).max() < 1e-8


def test_degree_grows_with_the_run():
    assert [polynomial_degree(int(m * 30), 0.5) for m in (1, 3, 5, 10)] == [1, 2, 2, 5]


def test_fir_against_nilearn_and_no_delay_leaves_the_run():
    onsets, n = np.array([4.0, 20.0, 94.0]), 50
    ours = fir_design(onsets, delays=range(4), n_times=n, sfreq=0.5)
    events = pd.DataFrame({"onset": onsets, "duration": 2.0, "trial_type": "a"})
    theirs = make_first_level_design_matrix(
        np.arange(n) * 2.0, events, hrf_model="fir", fir_delays=range(4), drift_model=None, oversampling=10
    )
    assert np.allclose(ours, theirs[[f"a_delay_{d}" for d in range(4)]])
    assert ours.sum(axis=0).tolist() == [3, 3, 3, 2]  # the event at 94 s has no volume 3 later
    assert fir_design([98.0], delays=[1, 2], n_times=n, sfreq=0.5).sum() == 0
    assert fir_design([0.0], delays=[-1], n_times=n, sfreq=0.5).sum() == 0  # and none wraps around


def test_confounds_join_the_basis_once():
    drift = drift_columns(80, 0.5, 1)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((80, 3))
    table = np.column_stack([table, table[:, 0] * 2 + 5, np.ones(80), np.linspace(0, 9, 80)])
    basis = nuisance_basis(drift, table)
    assert basis.shape == (80, 5) and np.allclose(basis.T @ basis, np.eye(5), atol=1e-10)
    assert np.abs(table - basis @ (basis.T @ table)).max() < 1e-8


def test_confounds_with_holes():
    drift = drift_columns(40, 0.5, 1)
    table = np.random.default_rng(0).standard_normal((40, 2))
    table[0] = np.nan
    assert np.isfinite(nuisance_basis(drift, table)).all()
    table[7, 1] = np.nan
    with pytest.raises(BraindecError, match="holes"):
        nuisance_basis(drift, table, label="run 3")
    with pytest.raises(BraindecError, match="one row a volume"):
        nuisance_basis(drift, table[:30])
    with pytest.raises(BraindecError, match="no degree of freedom"):
        nuisance_basis(drift, np.random.default_rng(0).standard_normal((40, 50)))


def test_unknown_drift():
    with pytest.raises(BraindecError, match="unknown"):
        drift_columns(40, 0.5, "spline")
    with pytest.raises(BraindecError, match="as many columns"):
        drift_columns(4, 0.5, 4)
