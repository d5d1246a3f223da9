"""Reliability of halves against closed forms and simulated truth; its test holds its level; the panels are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.beta_reliability import Halves, fold_runs, halves_of, ladder_reliability, reliability
from braindec.evaluate.beta_results import betas_result, findings_of
from braindec.signal.glm.single_trial import SingleTrialGLM
from braindec.signal.hrf import canonical_hrf
from braindec.types import Recording


def test_halves_are_odd_and_even_repetitions():
    labels = ["a", "b", "a", "c", "a", "b", None, "c", "d"]
    betas = np.arange(9.0)[:, None] * np.array([1.0, 10.0])
    halves = halves_of(betas, labels)
    assert halves.stimuli.tolist() == ["a", "b", "c"]
    assert halves.first[:, 0].tolist() == [2.0, 1.0, 3.0]  # a: trials 0 and 4
    assert halves.second[:, 0].tolist() == [2.0, 5.0, 7.0]
    assert halves_of(betas, ["a", "a", "b", "b", *"cdefg"]) is None


def test_against_correlations_one_by_one():
    rng = np.random.default_rng(0)
    folds = []
    for n in (12, 20):
        shared = rng.standard_normal((n, 30))
        folds.append(Halves(shared + rng.standard_normal((n, 30)), shared + rng.standard_normal((n, 30)), np.arange(n)))
    found = reliability(folds, n_permutations=50, n_bootstrap=200, rng=rng)
    voxel = [np.mean([np.corrcoef(h.first[:, v], h.second[:, v])[0, 1] for v in range(30)]) for h in folds]
    assert found["voxel_reliability"]["value"] == pytest.approx(np.average(voxel, weights=[12, 20]))
    centred = [(h.first - h.first.mean(axis=0), h.second - h.second.mean(axis=0)) for h in folds]
    pattern = [np.corrcoef(a[s], b[s])[0, 1] for a, b in centred for s in range(len(a))]
    assert found["pattern_reliability"]["value"] == pytest.approx(np.mean(pattern))
    for one in found.values():
        assert one["n"] == 32 and one["p"] == pytest.approx(1 / 51) and one["low"] < one["value"] < one["high"]


@pytest.mark.parametrize("metric", ["voxel_reliability", "pattern_reliability"])
def test_false_positives_are_five_percent(metric):
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((25, 25)) * 0.3 + np.eye(25)  # voxels are correlated
    p = []
    for _ in range(400):
        halves = [Halves(*(rng.standard_normal((2, 15, 25)) @ mixing), np.arange(15)) for _ in range(2)]
        p.append(reliability(halves, n_permutations=99, n_bootstrap=20, rng=rng)[metric]["p"])
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


def study(n_runs=4, n_stimuli=12, n_voxels=30, signal=1.0, order=None, seed=0):
    rng = np.random.default_rng(seed)
    pattern = signal * rng.standard_normal((n_stimuli, n_voxels)) * (np.arange(n_voxels) < 20)
    runs = []
    for run in range(n_runs):
        shown = rng.permutation(n_stimuli) if order is None else order
        onsets, n_times = 4 + 6.0 * np.arange(n_stimuli), 50
        lags = 2.0 * np.arange(n_times)[:, None] - onsets
        course = np.where(lags > 0, canonical_hrf(lags), 0) / canonical_hrf(np.array([5.0]))
        data = 1000 * (1 + (course @ (pattern[shown] + signal) + rng.standard_normal((n_times, n_voxels))) / 100)
        events = pd.DataFrame(
            {"onset": onsets, "duration": 0.0, "trial_type": "x", "stimulus_id": [f"s{k}" for k in shown]}
        )
        channels = pd.DataFrame({"name": [f"v{k}" for k in range(n_voxels)], "type": "voxel",
                                 "x": np.arange(n_voxels) * 0.003, "y": 0.0, "z": 0.0})  # fmt: skip
        runs.append(
            Recording(data.T.astype("f4"), 0.5, channels, events, {"subject": "1", "run": str(run), "modality": "fmri"})
        )
    return runs


def test_folds_of_runs():
    runs = study(n_runs=5, n_voxels=3)
    labels = [r.label for r in runs]
    assert fold_runs(runs, 2) == [labels[:3], labels[3:]]
    with pytest.raises(BraindecError, match="two runs"):
        fold_runs(runs, 3)
    with pytest.raises(BraindecError, match="names of their own"):
        fold_runs([runs[0], runs[0]], 2)


def test_steps_are_scored_on_runs_that_were_left_out():
    runs = study()
    glm = SingleTrialGLM(model="ridge")
    scores, nulls, _ = ladder_reliability(
        glm, runs, fold_runs(runs, 2), n_permutations=99, n_bootstrap=200, rng=np.random.default_rng(0)
    )
    assert scores["row"].drop_duplicates().tolist() == ["decoded", "label_shuffle", "step A", "step LSS"]
    table = scores[scores["metric"] == "voxel_reliability"].set_index("row")
    assert table.loc["decoded", "value"] > 0.3 and table.loc["decoded", "p"] == 0.01 and table.loc["decoded", "n"] == 24
    assert abs(table.loc["label_shuffle", "value"]) < 0.05 and nulls["null/voxel_reliability"].shape == (99,)
    per_voxel = nulls["reliability/voxels"][list(nulls["reliability/steps"]).index("D")]
    assert per_voxel.mean() == pytest.approx(table.loc["decoded", "value"], abs=0.05)
    nothing = study(signal=0.0)
    scores, _, _ = ladder_reliability(
        glm, nothing, fold_runs(nothing, 2), n_permutations=99, n_bootstrap=200, rng=np.random.default_rng(0)
    )
    assert scores.loc[scores["row"] == "decoded", "p"].min() > 0.05


def test_without_repetitions_it_is_said():
    runs = [r.with_events(r.events.assign(stimulus_id=[f"{r.label}-{k}" for k in range(12)])) for r in study()]
    with pytest.warns(UserWarning, match="no condition is repeated"):
        scores, nulls, notes = ladder_reliability(
            SingleTrialGLM(model="ridge"), runs, fold_runs(runs, 2), rng=np.random.default_rng(0)
        )
    assert not len(scores) and not nulls and "cannot be measured" in notes[-1]


def test_findings_and_panels(tmp_path):
    runs = study()
    glm = SingleTrialGLM(model="ridge").fit(runs)
    betas = glm.betas(runs)
    scores, nulls, notes = ladder_reliability(
        glm, runs, fold_runs(runs, 2), n_permutations=20, n_bootstrap=100, rng=np.random.default_rng(0)
    )
    result = betas_result(glm, betas, scores, nulls, path=tmp_path / "b.h5", notes=notes)
    assert result.made_by["overview"]["learned from test runs too"] is True
    levels = {f["check"]: f["level"] for f in result.made_by["audit"]["findings"]}
    assert levels == {"fit_scope": "warn", "trial_overlap": "pass", "trial_order": "pass"}
    left = SingleTrialGLM(model="ridge").fit(runs, runs=["0", "1"])
    assert findings_of(left.betas(runs).trials, betas.info["condition_numbers"], left)[0].level == "pass"
    same = study(order=np.arange(12))
    trials, numbers = glm.design(same)
    assert [f.level for f in findings_of(trials, numbers)] == ["pass", "warn"]
    empty = betas_result(glm, betas, pd.DataFrame(), {}, path=tmp_path / "b.h5")
    assert not len(empty.scores) and [p["draw"] for p in empty.made_by["panels"]][-2:] == ["event_raster", "timecourse"]
