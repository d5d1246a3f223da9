"""The ground-truth recipe: accuracy rises with the planted signal, is at chance without it, and planted channels are found."""

from __future__ import annotations

import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result


def go(tmp_path, *settings: str):
    run(load_recipe("ground_truth_decoding"), cohort=None, overrides=list(settings), only=None, jobs=1, scheduler=None,
        out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    return {Result.open(f).scores["recording"][0]: Result.open(f) for f in (tmp_path / "out" / "units").iterdir()}


@pytest.mark.slow
def test_accuracy_follows_what_was_planted(tmp_path):
    found = go(tmp_path, "statistics.n_permutations=99", "statistics.n_bootstrap=200", "signals=[0,0.5,1]")
    for recording, result in found.items():
        rows = result.scores[(result.scores["metric"] == "balanced_accuracy") & (result.scores["row"] == "decoded")]
        rows = rows.set_index(rows["strength"].str.removeprefix("strength ").astype(float)).sort_index()
        assert rows.loc[0.0, "p"] > 0.05 and abs(rows.loc[0.0, "value"] - 0.25) < 0.1, recording
        assert rows.loc[1.0, "p"] == 0.01 and rows.loc[1.0, "low"] > 0.35, recording
        assert rows["value"].is_monotonic_increasing, recording
        controls = result.scores[result.scores["row"].isin(["label_shuffle", "time_only"])]
        assert ((controls["value"] - 0.25).abs() < 0.1).all()
    best = {
        k: v.scores.loc[(v.scores["strength"] == "strength 1") & (v.scores["row"] == "decoded"), "value"].iloc[0]
        for k, v in found.items()
    }
    assert best["spikes"] > 0.75 and best["seeg"] > 0.7
    for recording in ("spikes", "seeg"):
        area = found[recording].scores.set_index("metric").loc["auc_planted"]
        assert area["value"] > 0.85
    assert "with nothing planted" in found["eeg"].made_by["answers"][0]


def test_wrong_settings(tmp_path):
    with pytest.raises(BraindecError, match="no recording 'ecog'"):
        go(tmp_path, "recordings=[ecog]")
    with pytest.raises(BraindecError, match=r"signals"):
        go(tmp_path, "signals=[-1]")
