from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from braindec.errors import BraindecError
from braindec.signal.glm.single_trial import SingleTrialGLM


@pytest.fixture
def runs(experiment):
    return experiment(n_runs=3, n_voxels=20, n_stimuli=10, silent=5).recordings


def altered(recording, change):
    data = recording.load().copy()
    change(data)
    return recording.with_signal(data)


def test_voxels_that_cannot_be_used_are_nan_and_counted(runs):
    def spoil(data):
        data[0, 5] = np.nan
        data[1] = 812.0
        data[2] -= data[2].mean()

    runs[1] = altered(runs[1], spoil)
    glm = SingleTrialGLM(model="ladder").fit(runs)
    betas = glm.betas(runs)
    found = betas.load(check=False)[:, :, 0]
    second = (betas.trials["run"] == "2").to_numpy()
    assert (
        np.isnan(found[second][:, :3]).all()
        and np.isfinite(found[second][:, 3:]).all()
        and np.isfinite(found[~second]).all()
    )
    assert betas.info["nan_voxels"] == {"not finite": 1, "constant": 1, "no baseline": 1}
    assert sum("no beta (NaN)" in text for text in betas.info["notes"]) == 3
    assert (betas.channels["status"] == "bad").tolist() == [True] * 3 + [False] * 17
    assert np.isnan(glm.r2_[:3]).all() and not glm.pool_[:3].any()


def test_runs_of_other_lengths_fit_and_another_tr_does_not(runs):
    shorter = runs[1].select(tmax=runs[1].duration - 20)
    betas = SingleTrialGLM(model="ladder").fit([runs[0], shorter, runs[2]]).betas([runs[0], shorter, runs[2]])
    counts = betas.trials["run"].value_counts()
    assert counts["1"] == counts["3"] == 10 and 5 < counts["2"] <= 10 and np.isfinite(betas.load()).all()
    with pytest.raises(BraindecError, match="repetition time"):
        SingleTrialGLM().fit([runs[0], replace(runs[1], sfreq=0.4)])


def test_events_outside_the_run_are_left_out_and_said(runs):
    events = runs[0].events.copy()
    events.loc[[0, 1, 2], "onset"] = [-3.0, 500.0, runs[0].duration - 0.5]
    odd = runs[0].with_events(events)
    glm = SingleTrialGLM().fit([odd, *runs[1:]])
    betas = glm.betas([odd, *runs[1:]])
    assert (betas.trials["run"] == "1").sum() == 7
    assert "2 events lie outside the run" in betas.info["dropped"][0] and "so late" in betas.info["dropped"][1]
    with pytest.raises(BraindecError, match="no trial"):
        SingleTrialGLM().fit([odd.with_events(events.iloc[:2]), *runs[1:]])


def test_events_at_one_time_cannot_be_told_apart(runs):
    events = runs[0].events.copy()
    events.loc[4, "onset"] = events.loc[3, "onset"]
    twice = [runs[0].with_events(events), *runs[1:]]
    with pytest.raises(BraindecError, match="rank 9.*condition number inf") as error:
        SingleTrialGLM().fit(twice).betas(twice)
    assert "18 s and 18 s" in str(error.value) and "min_norm" in str(error.value)
    betas = SingleTrialGLM(on_collinear="min_norm").fit(twice).betas(twice)
    first = betas.load()[:, :, 0]
    assert np.allclose(first[3], first[4], atol=1e-4)
    assert any("cannot be told apart" in t for t in betas.info["notes"])
    lss = SingleTrialGLM(model="lss").fit(twice).betas(twice).load()[:, :, 0]
    assert np.isfinite(lss).all() and np.allclose(lss[3], lss[4], atol=1e-4)


def test_crowded_trials_are_told(experiment):
    runs = experiment(n_runs=2, isi=1.0, tr=1.0, n_stimuli=20, n_voxels=5).recordings
    betas = SingleTrialGLM().fit(runs).betas(runs)
    assert max(betas.info["condition_numbers"].values()) > 30 and any(
        "trials overlap" in t for t in betas.info["notes"]
    )


def test_steps_that_cannot_run_say_so_loudly(experiment):
    runs = experiment(n_runs=3, repeats=False, n_voxels=20).recordings
    with pytest.warns(UserWarning, match="step C.*no condition is repeated"):
        glm = SingleTrialGLM(model="ladder").fit(runs)
    assert glm.ladder_["ran"].tolist() == [True, True, False, False] and glm.step_ == "B"
    assert any("common response to all trials alone" in t for t in glm.notes_)
    betas = glm.betas(runs)
    assert betas.info["step"] == "B" and any("step D" in t for t in betas.recordings[0].info["warnings"])
    with pytest.raises(BraindecError, match="did not run: fractions"):
        glm.betas(runs, step="D")
    with pytest.warns(UserWarning, match="one training run"):
        one = SingleTrialGLM(model="ladder").fit(runs, runs=["1"])
    assert one.ladder_["ran"].tolist() == [True, False, False, False] and np.isfinite(one.betas(runs).load()).all()


def test_z_scored_data_have_no_percent(runs):
    flat = [r.with_signal(r.load() - r.load().mean(axis=1, keepdims=True)) for r in runs]
    with pytest.raises(BraindecError, match="percent signal change"):
        SingleTrialGLM().fit(flat)
    betas = SingleTrialGLM(scale="none").fit(flat).betas(flat)
    assert np.isfinite(betas.load()).all() and betas.channels["unit"].tolist() == ["a.u."] * 20
    assert SingleTrialGLM().fit(runs).betas(runs).channels["unit"].tolist() == ["%"] * 20


def test_runs_by_name(runs):
    for named in (["1", "3"], [("1", "1"), ("1", "3")], [runs[0].label, runs[2].label]):
        assert SingleTrialGLM().fit(runs, runs=named).runs_ == [runs[0].label, runs[2].label]
    with pytest.raises(BraindecError, match="no run"):
        SingleTrialGLM().fit(runs, runs=["7"])
    twice = [*runs, replace(runs[0], info={**runs[0].info, "session": "2"})]
    with pytest.raises(BraindecError, match="2 runs"):
        SingleTrialGLM().fit(twice, runs=["1"])
    assert len(SingleTrialGLM().fit(twice, runs=[("2", "1")]).runs_) == 1
    with pytest.raises(BraindecError, match="no training run"):
        SingleTrialGLM().fit(runs, runs=[])


def test_runs_without_names_of_their_own(runs):
    with pytest.raises(BraindecError, match="names of their own"):
        SingleTrialGLM().fit([runs[0], runs[0].with_signal(runs[1].load())])


def test_a_recording_a_session(runs):
    sessions = [runs[0], runs[1], replace(runs[2], info={**runs[2].info, "session": "2"})]
    betas = SingleTrialGLM().fit(sessions).betas(sessions)
    assert [r.n_times for r in betas.recordings] == [20, 10] and [r.info["session"] for r in betas.recordings] == [
        "1",
        "2",
    ]
    assert betas.sfreq == 1.0 and betas.n_times == 1 and betas.modality == "fmri" and len(set(betas.ids)) == 30
    assert {"subject", "session", "run", "onset", "duration", "trial_type", "stimulus_id", "repetition"} <= set(
        betas.trials
    )
    assert betas.trials["repetition"].max() == 3


def test_other_voxels_and_no_fit(runs):
    glm = SingleTrialGLM()
    with pytest.raises(BraindecError, match="not fitted"):
        glm.betas(runs)
    glm.fit(runs)
    with pytest.raises(BraindecError, match="other voxels"):
        glm.betas([r.select(np.arange(10)) for r in runs])
    with pytest.raises(BraindecError, match="no step 'E'"):
        glm.betas(runs, step="E")
    with pytest.raises(BraindecError, match="out does not fit"):
        glm.betas(runs, out=np.zeros((3, 3), np.float32))


def test_a_memory_map_is_filled(runs, tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "betas.npy", mode="w+", dtype=np.float32, shape=(30, 20))
    glm = SingleTrialGLM().fit(runs)
    betas = glm.betas(runs, out=out)
    assert np.array_equal(np.load(tmp_path / "betas.npy"), glm.betas(runs).load()[:, :, 0])
    assert np.array_equal(betas.load()[:, :, 0], out)


@pytest.mark.parametrize(
    "options", [{"model": "lsd"}, {"scale": "z"}, {"noise_regressors": -1}, {"noise_regressors": "many"}, {"fractions": [2.0]},
                {"slice_time_ref": 3.0}, {"hrf": "gamma"}, {"on_collinear": "drop"}, {"batch_voxels": 0}],
)  # fmt: skip
def test_settings_that_make_no_sense(runs, options):
    with pytest.raises(BraindecError):
        SingleTrialGLM(**options).fit(runs)


def test_other_columns(runs):
    with pytest.raises(BraindecError, match="no column 'condition'"):
        SingleTrialGLM(condition="condition").fit(runs)
    with pytest.raises(BraindecError, match="no column"):
        SingleTrialGLM(column="kind").fit(runs)
    named = [r.with_events(r.events.assign(trial_type=np.where(np.arange(10) % 2, "face", "house"))) for r in runs]
    betas = SingleTrialGLM(select=["face"], condition="trial_type").fit(named).betas(named)
    assert len(betas) == 15 and set(betas.trials["trial_type"]) == {"face"}
    without = [r.with_events(pd.DataFrame(r.events.drop(columns="stimulus_id"))) for r in named]
    assert SingleTrialGLM().fit(without).n_conditions_ == 2


def test_it_can_be_cloned_and_the_design_is_told_without_data(runs):
    glm = SingleTrialGLM(model="ladder", max_noise_regressors=3)
    assert clone(glm).get_params() == glm.get_params()
    trials, numbers = glm.design(runs)
    assert len(trials) == 30 and set(numbers) == {r.label for r in runs}
    betas = glm.fit(runs).betas(runs)
    assert betas.info["condition_numbers"] == numbers
