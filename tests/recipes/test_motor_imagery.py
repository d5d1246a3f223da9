"""The recipe: a made-up cohort across sessions, the real runs of EEGMMI, data that come cut, settings that cannot work."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.cache import Cache
from braindec.config import load_config
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError

TINY = ["simulated.n_subjects=2", "simulated.classes=[left_hand, right_hand]", "simulated.n_runs=2", "simulated.n_trials=16",
        "statistics.n_permutations=19", "statistics.n_bootstrap=100",
        "decoders=[{name: csp}, {name: tangent_space, model: ridge}, {name: tangent_space, model: ridge, recentre: session}, "
        "{name: adaptive_q, epochs: 5}]"]  # fmt: skip


def run(tmp_path, words, cohort=None, units=None):
    recipe = load_recipe("motor_imagery")
    config = recipe.config(cohort, words)
    results = [
        recipe.run(config, unit, Work(tmp_path / unit["subject"], Cache(tmp_path / "cache"), 1))
        for unit in recipe.units(config)[:units]
    ]
    return recipe, config, results


def test_a_made_up_cohort_across_sessions(tmp_path):
    recipe, config, results = run(tmp_path, TINY)
    for result in results:
        scores = result.scores
        names = ["csp", "tangent_space", "tangent_space recentre=session", "adaptive_q"]
        decoded = scores[(scores["row"] == "decoded") & (scores["metric"] == "balanced_accuracy")]
        assert decoded["decoder"].tolist() == names and np.isfinite(decoded["p"]).all() and (decoded["n"] == 32).all()
        assert set(scores["row"]) == {
            "decoded",
            "label_shuffle",
            "noise_input",
            "static_twin",
            "over_csp",
            "over_static_twin",
        }
        gap = scores[(scores["row"] == "over_csp") & (scores["decoder"] == "tangent_space")]["value"].iloc[0]
        assert gap == pytest.approx(decoded["value"].iloc[1] - decoded["value"].iloc[0])
        assert result.made_by["audit"]["level"] != "fail"
        assert {p["draw"] for p in result.made_by["panels"]} == {
            "score_bars",
            "confusion",
            "null_histogram",
            "csp_patterns",
            "r2_map",
        }
        for panel in result.made_by["panels"]:  # every array that a panel names is there
            assert all(
                v[1:] in result.arrays for v in panel["args"].values() if isinstance(v, str) and v.startswith("@")
            )
        assert any("transductive" in note for note in result.made_by["notes"])
    group = recipe.summary(config, results)
    assert set(group.scores["decoder"]) == set(names)
    over = group.scores[(group.scores["row"] == "over_csp")]
    assert np.isfinite(over["p"]).all() and over["note"].str.contains("sign flips").all()
    assert {p["draw"] for p in group.made_by["panels"]} == {"score_bars", "adaptation_course"}


@pytest.mark.parametrize(("cohort", "least"), [("eegmmi_hands_feet", 0.93), ("eegmmi_left_right", 0.0)])
def test_real_runs(shared, tmp_path, monkeypatch, cohort, least):
    root = shared("eeg_mi_eegmmi_s001_imagery")
    monkeypatch.setenv("BRAINDEC_DATA", str(root.parent))
    _, _, results = run(
        tmp_path,
        ["statistics.n_permutations=39", "decoders=[{name: csp}]", "statistics.controls=[label_shuffle]"],
        cohort,
    )
    row = results[0].scores.iloc[0]
    assert row["metric"] == "accuracy" and row["row"] == "decoded" and row["n"] == 45
    assert row["value"] >= least and 0 < row["p"] <= 1


def test_data_that_come_cut_are_filtered_window_by_window(shared, tmp_path, monkeypatch):
    root = shared("meg_hand_movement_direction")
    monkeypatch.setenv("BRAINDEC_DATA", str(root.parent))
    words = ["data.dataset=meg_hand_movement_direction", "signal=[]", "events.blocks=5", "split.by=block", "split.held_out=null",
             "epochs.tmin=0.1", "epochs.tmax=0.9", "decoders=[{name: csp}]", "statistics.n_permutations=19", "statistics.controls=[]"]  # fmt: skip
    result = run(tmp_path, words)[2][0]
    assert result.scores["n"].iloc[0] == 160 and np.isfinite(result.scores["value"]).all()


def test_settings_that_cannot_work_are_refused(tmp_path):
    recipe = load_recipe("motor_imagery")
    for words, said in (
        (["decoders=[{name: adaptive_q}]"], "first decoder"),
        (["decoders=[]"], "one decoder or more"),
        (["decoders=[{name: cps}]"], "did you mean 'csp'"),
        (["decoders=[{name: csp, n_filters: 0}]"], "n_filters"),
        (["decoders=[{name: ridge}]"], "decision"),
    ):
        with pytest.raises(BraindecError) as error:
            recipe.config(None, words)
        assert said in str(error.value)
    with pytest.raises(BraindecError, match="session = '7'"):
        run(tmp_path, [*TINY, "split.held_out=['7']"], units=1)
    with pytest.raises(BraindecError, match="has no window of class"):
        run(
            tmp_path,
            [*TINY, "split={by: trial_type, held_out: [feet]}", "simulated.classes=[left_hand, feet]"],
            units=1,
        )
    assert load_config(recipe.module.Config).decoders == [{"name": "csp"}]
