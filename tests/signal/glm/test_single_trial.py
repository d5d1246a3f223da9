"""What was planted is found: responses, noise, betas; and how the estimators compare on overlapping designs."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.signal.glm.hrf_library import hrf_library, responses_of
from braindec.signal.glm.single_trial import SingleTrialGLM
from braindec.stats.permutation import sign_flip_test

CANONICAL = responses_of("canonical")


def values(windows):
    return windows.load(check=False)[:, :, 0]


def test_betas_are_exact_without_noise(experiment, agreement):
    planted = experiment(noise=0.0, library=CANONICAL, n_runs=2, n_voxels=20)
    for model in ("lsa", "ridge"):
        betas = SingleTrialGLM(model=model).fit(planted.recordings).betas(planted.recordings)
        assert betas.shape == (40, 20, 1)
        off = np.abs(
            values(betas) - planted.betas
        )  # percent at the peak, of a mean that the responses raise by 2 percent
        assert (off < 0.02 + 0.03 * np.abs(planted.betas)).all()
        assert agreement(values(betas), planted.betas).min() > 0.999


def test_lsa_is_ordinary_least_squares_of_percent_signal_change(experiment, convolve):
    planted = experiment(n_runs=1, library=CANONICAL, n_voxels=5)
    recording = planted.recordings[0]
    betas = values(SingleTrialGLM().fit([recording]).betas([recording]))
    data = recording.load().astype(float).T
    data = 100 * (data / data.mean(axis=0) - 1)
    design = convolve(recording.events["onset"], 2.0, CANONICAL.values[0], CANONICAL.step, recording.n_times, 2.0)
    nuisance = np.vander(np.linspace(-1, 1, recording.n_times), 2)
    expected = np.linalg.lstsq(np.column_stack([design, nuisance]), data, rcond=None)[0][:20]
    assert np.abs(betas - expected).max() < 0.02 * np.abs(expected).max()


@pytest.mark.parametrize("seed", [0, 1])
def test_response_of_each_voxel_is_recovered(experiment, seed):
    planted = experiment(seed=seed, noise=0.5, n_runs=6, n_stimuli=30, n_voxels=200)
    glm = SingleTrialGLM(hrf="library").fit(planted.recordings)
    assert (glm.hrf_index_ == planted.index).mean() > 0.8
    assert np.abs(glm.time_to_peak_ - hrf_library().times_to_peak[planted.index]).mean() < 0.1


def test_response_is_recovered_under_global_noise_once_it_is_taken_out(experiment):
    planted = experiment(noise=0.5, n_runs=6, n_stimuli=30, n_voxels=200, silent=70, n_global=3, amount=1.0)
    glm = SingleTrialGLM(model="ladder").fit(planted.recordings)
    active = np.arange(200) < 130
    first, final = ((i == planted.index)[active].mean() for i in (glm.first_index_, glm.hrf_index_))
    assert final > 0.8 and final > first + 0.1


def test_planted_noise_is_found_and_each_step_helps(experiment, agreement):
    planted = experiment(noise=1.0, n_runs=6, n_stimuli=30, n_voxels=150, silent=50, n_global=2, amount=1.5)
    glm = SingleTrialGLM(model="ladder").fit(planted.recordings)
    assert glm.ladder_["ran"].all() and 2 <= glm.n_noise_ <= 3
    assert glm.pool_[100:].mean() > 0.6 and glm.pool_[:100].mean() < 0.3
    active = np.arange(150) < 100
    r = {
        s: agreement(values(glm.betas(planted.recordings, step=s)), planted.betas + 1e-9)[active].mean() for s in "ABCD"
    }
    assert r["C"] > r["B"] + 0.05 and r["D"] > r["C"]
    run = glm._runs(planted.recordings, None, glm.responses_)[0]
    from braindec.signal.glm._hyper import components_of

    found = components_of(run, glm.pool_, 2, percent=True, batch=50)
    course = planted.noise[0] - run.basis @ (run.basis.T @ planted.noise[0])
    assert ((course - found @ (found.T @ course)) ** 2).sum() / (course**2).sum() < 0.2


def test_lss_and_ridge_against_lsa_on_overlapping_trials(experiment, agreement):
    """Trials 2.5 s apart: least squares of all at once trades neighbours off; paired over seeds."""
    gain = {"LSS": [], "D": []}
    for seed in range(8):
        planted = experiment(
            seed=seed, isi=2.5, tr=1.5, noise=1.0, n_runs=4, n_stimuli=25, n_voxels=40, library=CANONICAL
        )
        glm = SingleTrialGLM(model="ridge").fit(planted.recordings)
        r = {
            s: agreement(values(glm.betas(planted.recordings, step=s)), planted.betas).mean() for s in ("A", "LSS", "D")
        }
        for step in gain:
            gain[step].append(r[step] - r["A"])
    for differences in gain.values():
        assert min(differences) > 0.05 and sign_flip_test(differences) < 0.01


def test_ridge_is_never_worse_and_lss_loses_when_there_is_little_noise(experiment, agreement):
    """Abdulrahman & Henson 2016: LSS is biased by the pattern of the neighbours; with little noise that is what remains."""
    for isi, noise in ((2.5, 0.3), (4.0, 0.3), (4.0, 2.0)):
        planted = experiment(
            seed=3, isi=isi, tr=1.5, noise=noise, n_runs=4, n_stimuli=25, n_voxels=60, library=CANONICAL
        )
        glm = SingleTrialGLM(model="ridge").fit(planted.recordings)
        r = {
            s: agreement(values(glm.betas(planted.recordings, step=s)), planted.betas).mean() for s in ("A", "LSS", "D")
        }
        assert r["D"] >= r["A"] - 1e-3
        assert (r["LSS"] < r["A"]) == (noise < 1)


def test_a_library_of_one_s_own(experiment, agreement):
    mine = hrf_library(times_to_peak=(4.0, 7.0), dispersions=(1.0,), ratios=(6.0,))
    planted = experiment(noise=0.5, library=mine, n_runs=4, n_voxels=60)
    glm = SingleTrialGLM(hrf=mine.values, hrf_step=mine.step).fit(planted.recordings)
    assert (glm.hrf_index_ == planted.index).mean() > 0.95
    better = agreement(values(glm.betas(planted.recordings)), planted.betas)
    worse = agreement(values(glm.betas(planted.recordings, step="A")), planted.betas)
    assert better[planted.index == 1].mean() > worse[planted.index == 1].mean() + 0.05


def test_onoff_is_the_common_response(experiment):
    planted = experiment(noise=0.3, library=CANONICAL, n_runs=4, n_voxels=30, spread=0.0, mean=1.5, silent=10)
    glm = SingleTrialGLM().fit(planted.recordings)
    assert glm.onoff_beta_[:20] == pytest.approx(1.5, abs=0.15) and np.abs(glm.onoff_beta_[20:]).max() < 0.15
    assert glm.onoff_r2_[:20].min() > 0.02 and glm.onoff_r2_[20:].max() < 0.05


def test_batches_of_voxels_change_nothing(experiment):
    planted = experiment(n_runs=3, n_stimuli=10, n_voxels=40, silent=20, n_global=2)
    whole = SingleTrialGLM(model="ladder").fit(planted.recordings)
    parts = SingleTrialGLM(model="ladder", batch_voxels=15).fit(planted.recordings)
    assert (whole.hrf_index_ == parts.hrf_index_).all() and whole.n_noise_ == parts.n_noise_
    assert np.allclose(whole.fraction_, parts.fraction_)
    assert np.allclose(values(whole.betas(planted.recordings)), values(parts.betas(planted.recordings)), atol=1e-5)


def test_slice_time_reference_moves_the_volumes(experiment, agreement):
    planted = experiment(noise=0.1, library=CANONICAL, n_runs=2, n_voxels=20)
    right, wrong = (
        agreement(
            values(SingleTrialGLM(slice_time_ref=t).fit(planted.recordings).betas(planted.recordings)), planted.betas
        ).mean()
        for t in (0.0, 1.0)
    )
    assert right > 0.99 and wrong < right - 0.03


def test_confounds_are_taken_out(experiment, agreement):
    planted = experiment(noise=0.3, library=CANONICAL, n_runs=2, n_voxels=40, n_global=2, amount=2.0)
    tables = [
        np.where(np.arange(len(c))[:, None] == 0, np.nan, c) for c in planted.noise
    ]  # no value in the first volume
    for tables_, low, high in ((tables, 0.9, 1.0), (None, 0.0, 0.6)):
        glm = SingleTrialGLM().fit(planted.recordings, confounds=tables_)
        r = agreement(values(glm.betas(planted.recordings, confounds=tables_)), planted.betas).mean()
        assert low < r < high
