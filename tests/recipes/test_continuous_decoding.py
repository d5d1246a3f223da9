"""Continuous targets: made-up grip force, none where nothing is planted, and movement in real intracranial band power."""

from __future__ import annotations

import os

import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result

QUICK = ("statistics.n_permutations=39", "statistics.n_bootstrap=200", "simulated.duration=60")


@pytest.fixture
def go(tmp_path):
    def run_it(*settings: str, cohort: str | None = None) -> Result:
        run(load_recipe("continuous_decoding"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None,
            out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return Result.open(next((tmp_path / "out" / "units").iterdir()))

    return run_it


def row(scores, metric, name="decoded"):
    return scores[(scores["metric"] == metric) & (scores["row"] == name)].iloc[0]


def test_force_is_read_from_high_gamma(go):
    found = go(*QUICK)
    decoded = row(found.scores, "pearson")
    assert decoded["p"] == 1 / 40 and decoded["value"] > 0.6 and row(found.scores, "r2")["value"] > 0.3
    for control in ("label_shuffle", "noise_input", "time_only"):
        assert row(found.scores, "pearson", control)["value"] < 0.35


def test_without_gain_nothing_is_read(go):
    decoded = row(go(*QUICK, "simulated.gain=0").scores, "pearson")
    assert decoded["p"] > 0.05 and abs(decoded["value"]) < 0.3


def test_a_target_that_is_not_there_is_named(go):
    with pytest.raises(BraindecError, match="no channel 'forse'"):
        go(*QUICK, 'series.targets=["forse"]')
    with pytest.raises(BraindecError, match="no target 'grip'"):
        go(*QUICK, 'series.threshold={"grip": 0.5}')


def test_movement_in_real_band_power(go, shared, monkeypatch):
    """Published features of one patient: AUC at least .95, far above a movement trace that is turned around in time."""
    monkeypatch.setitem(os.environ, "BRAINDEC_DATA", str(shared("ieeg_ecog_stn_force_features").parent))
    found = go("statistics.n_permutations=99", "statistics.n_bootstrap=200", cohort="ieeg_ecog_stn_force_features")
    decoded = row(found.scores, "auc")
    assert decoded["value"] >= 0.95 and decoded["p"] == 0.01
    assert row(found.scores, "auc", "label_shuffle")["high"] < 0.85
