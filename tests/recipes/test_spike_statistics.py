"""The recipe of spike statistics: planted truth, a recording with nothing in it, and three shared recordings."""

from __future__ import annotations

import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.types import Result

SMALL = (
    "planted.n_units=6",
    "planted.n_trials=40",
    "n_permutations=99",
    "n_bootstrap=100",
    "synchrony.n_surrogates=99",
)


def go(tmp_path, *settings: str, cohort: str | None = None) -> tuple[pd.DataFrame, Result]:
    run(load_recipe("spike_statistics"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    found = Result.open(next((tmp_path / "out" / "units").iterdir()))
    return found.scores, found


def row(scores: pd.DataFrame, metric: str, name: str = "decoded") -> pd.Series:
    return scores[(scores["metric"] == metric) & (scores["row"] == name)].iloc[0]


@pytest.mark.slow
def test_what_was_planted_is_found(tmp_path):
    scores, found = go(tmp_path, *SMALL, "planted.n_units=8", "planted.n_trials=80")
    assert (scores.loc[scores["metric"] == "auc_planted", "value"] > 0.95).all()
    assert row(scores, "locked_units")["p"] == 0.01 and row(scores, "strongest_synchrony")["p"] == 0.01
    assert row(scores, "locked_units", "jittered_spikes")["p"] > 0.02
    assert "planted neurons found" in found.made_by["answers"][-1]


@pytest.mark.slow
def test_nothing_planted_is_nothing_found(tmp_path):
    scores, _ = go(
        tmp_path,
        *SMALL,
        "planted.n_units=8",
        "planted.tuning=1",
        "planted.gain=0",
        "planted.shape=1",
        "planted.shared=0",
        "seed=3",
    )
    for metric in ("tuned_units", "locked_units", "strongest_synchrony"):
        assert row(scores, metric)["p"] > 0.02
    assert not (scores["metric"] == "auc_planted").any()
    assert row(scores, "local_variation")["value"] == pytest.approx(1, abs=0.12)


def home(monkeypatch, shared):
    monkeypatch.setenv("BRAINDEC_DATA", str(shared("spikes").parent))


def test_light_raises_the_rate(tmp_path, monkeypatch, shared):
    home(monkeypatch, shared)
    scores, _ = go(tmp_path, "n_permutations=99", "n_bootstrap=100", cohort="spikes_light")
    ratio = row(scores, "rate_ratio")
    assert row(scores, "rate", "low_light")["value"] == pytest.approx(25.0) and row(scores, "rate", "high_light")[
        "value"
    ] == pytest.approx(32.3)
    assert ratio["value"] == pytest.approx(969 / 750) and ratio["low"] > 1 and ratio["p"] < 0.01
    shuffled = row(scores, "rate_ratio", "label_shuffle")
    assert shuffled["low"] < 1 < shuffled["high"] < ratio["value"]


def test_the_movement_neuron_knows_the_direction_before_and_while_it_moves(tmp_path, monkeypatch, shared):
    home(monkeypatch, shared)
    scores, found = go(tmp_path, "n_permutations=99", "n_bootstrap=100", cohort="spikes_movement")
    ratios = scores[(scores["metric"] == "rate_ratio") & (scores["row"] == "decoded")].set_index("window")
    assert ratios.loc["moving", "value"] == pytest.approx(67.64 / 42.28, abs=1e-3) and ratios.loc[
        "planning", "value"
    ] == pytest.approx(49.68 / 28.24, abs=1e-3)
    assert (ratios["p"] < 0.001).all() and (ratios["low"] > 1.4).all() and found.made_by["overview"]["trials"] == "50"


def test_spikes_follow_the_field_at_44_hz(tmp_path, monkeypatch, shared):
    home(monkeypatch, shared)
    scores, _ = go(tmp_path, "n_permutations=99", "n_bootstrap=100", cohort="spikes_lfp")
    coherence, moved = row(scores, "field_coherence"), row(scores, "field_coherence", "jittered_spikes")
    assert "at 44 Hz" in coherence["note"] and coherence["low"] > 0.4 and coherence["p"] == 0.01
    assert moved["high"] < 0.2 and moved["p"] > 0.05
    assert row(scores, "phase_consistency")["low"] > 0 and row(scores, "phase_consistency")["p"] == 0.01
