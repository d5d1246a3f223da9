"""The recipe that plays recordings as if live: a drifting speller, nothing to decode, and two real cohorts."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result


@pytest.fixture
def go(tmp_path):
    def run_it(*settings: str, cohort: str | None = None) -> Result:
        run(load_recipe("pseudo_online"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None, out=tmp_path / "out",
            cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return Result.open(next((tmp_path / "out" / "units").iterdir()))

    return run_it


def row(scores: pd.DataFrame, metric: str, name: str = "decoded") -> pd.Series:
    return scores[(scores["metric"] == metric) & (scores["row"] == name)].iloc[0]


QUICK = ("statistics.n_permutations=39", "statistics.n_bootstrap=200", "simulated.n_sessions=2", "simulated.n_runs=2", "simulated.n_selections=3",
         "learn=[labels]")  # fmt: skip


def test_a_planted_speller_is_read_live_and_as_well_as_offline(go):
    found = go(*QUICK, "simulated.strength=1.5")
    scores = found.scores
    decoded = row(scores, "auc")
    assert decoded["p"] == 1 / 40 and decoded["value"] > 0.75 and decoded["low"] > 0.5
    for control in ("label_shuffle", "noise_input", "time_only"):
        assert row(scores, "auc", control)["low"] < 0.5 < row(scores, "auc", control)["high"]
    assert row(scores, "accuracy_of_selections")["p"] < 0.01 and row(scores, "rate_of_selections")["value"] > 3
    assert row(scores, "information_rate")["low"] > 0 and "wolpaw_rate" not in set(scores["metric"])
    assert np.isfinite(row(scores, "auc", "zero phase, not live")["value"]) and np.isfinite(
        row(scores, "auc", "adapting")["value"]
    )
    assert found.made_by["audit"]["level"] != "fail"
    causal = next(f for f in found.made_by["audit"]["findings"] if f["check"] == "causal_steps")
    assert causal["level"] == "pass" and "tested by impulse" in causal["message"]
    assert "gives the same scores" in found.made_by["answers"][0]
    assert [p["draw"] for p in found.made_by["panels"]][:3] == ["replay_course", "evidence_curve", "latency"]


def test_no_response_gives_chance_and_lost_chunks_are_said(go):
    found = go(*QUICK, "simulated.strength=0", "play.lost=0.05", "zero_phase=false", "learn=[]", "target=null")
    decoded = row(found.scores, "auc")
    assert decoded["low"] < 0.5 < decoded["high"] and decoded["p"] > 0.05 and "held samples" in decoded["note"]
    assert row(found.scores, "auc", "no samples lost")["value"] != decoded["value"]
    assert row(found.scores, "information_rate")["low"] < 0.3
    assert "lost on the way" in found.made_by["answers"][0]


@pytest.mark.parametrize(("setting", "words"), [
    ("signal=[{filter: {low: 1.0, high: 20.0}}]", "have not come yet"),
    ("signal=[zscore]", "not possible live"),
    ("play.n_train=9", "one to play"),
])  # fmt: skip
def test_settings_that_cannot_run_live_are_refused(go, setting, words):
    with pytest.raises(BraindecError, match=words):
        go(*QUICK, setting)


def test_grip_force_in_a_few_seconds(go, shared, monkeypatch):
    monkeypatch.setitem(os.environ, "BRAINDEC_DATA", str(shared("ecog-grip").parent))
    found = go("statistics.n_permutations=39", "statistics.n_bootstrap=200", cohort="ecog-grip-replay")
    decoded = row(found.scores, "pearson")
    assert decoded["value"] > 0.3 and decoded["p"] <= 0.05 and row(found.scores, "pearson", "replay")["value"] > 0.4
    assert any("19 s" in a for a in found.made_by["answers"]) and any(
        "a check that everything runs" in a for a in found.made_by["answers"]
    )
    causal = next(f for f in found.made_by["audit"]["findings"] if f["check"] == "causal_steps")
    assert causal["level"] == "pass" and "band_power, notch" in causal["message"]
    assert found.made_by["panels"][0]["draw"] == "decoded_trace"


@pytest.mark.slow
def test_a_real_p300_is_read_live(go, shared, monkeypatch):
    monkeypatch.setitem(os.environ, "BRAINDEC_DATA", str(shared("muse-p300").parent))
    found = go("statistics.n_permutations=39", "statistics.n_bootstrap=200", "select.subjects=['01']", "learn=[]", "play.n_train=12",
               cohort="muse-p300-replay")  # fmt: skip
    decoded = row(found.scores, "auc")
    assert decoded["value"] > 0.65 and decoded["p"] == 1 / 40 and 700 < decoded["n"] < 800
    assert found.made_by["audit"]["level"] != "fail"


def test_the_design_is_audited_before_anything_is_fitted():
    recipe = load_recipe("pseudo_online")
    config = recipe.config(None, ["simulated.n_sessions=2", "simulated.n_runs=1"])
    card = recipe.module.design(config, {"subject": "01"})
    assert card.of("causal_steps")[0].level == "pass" and card.level != "fail"
