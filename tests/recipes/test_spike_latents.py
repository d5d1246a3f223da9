"""The recipe of latents: what is planted is found, nothing where time was shuffled; calcium of two worms in one space."""

from __future__ import annotations

import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result

SMALL = [
    "planted.seconds=90",
    "statistics.n_folds=2",
    "statistics.n_shifts=19",
    "statistics.n_bootstrap=100",
    "read_out=[linear]",
]
QUICK = ["methods=[time]", "baselines=[pca]", "statistics.controls=false", "communities=null"]


def go(tmp_path, *settings: str, cohort=None):
    run(load_recipe("spike_latents"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None,
        out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    (folder,) = (tmp_path / "out" / "units").iterdir()
    return Result.open(folder)


@pytest.mark.slow
def test_a_planted_ring_and_assemblies_are_found(tmp_path):
    found = go(tmp_path, *SMALL, "communities.ranks=[2]", "communities.n_nulls=19", "communities.n_seeds=3")
    table = found.scores
    first = table[(table["metric"] == "r2") & (table["row"] == "decoded")]
    assert (first["value"] > 0.9).all() and (first["p"] == 0.05).all() and len(first) == 2
    assert (table.loc[(table["metric"] == "consistency") & (table["row"] == "decoded"), "value"] > 0.7).all()
    assert table.loc[table["row"].isin(["label_shuffle", "noise_input"]), "value"].abs().max() < 0.25
    assert (table.loc[table["metric"] == "community_information", "value"] > 0.9).all()
    assert found.made_by["audit"]["level"] == "pass"
    fit = next(f for f in found.made_by["audit"]["findings"] if f["check"] == "fit_scope")
    assert fit["level"] == "pass" and "ContrastiveLatents" in str(fit)


@pytest.mark.slow
def test_nothing_is_found_where_time_was_shuffled(tmp_path):
    found = go(tmp_path, *SMALL, *QUICK, "planted.shuffled=true").scores
    mine = found[(found["metric"] == "r2") & (found["row"] == "decoded")]
    assert (mine["value"] < 0.1).all()
    assert (found.loc[(found["metric"] == "consistency") & (found["row"] == "decoded"), "p"] > 0.05).all()


@pytest.mark.slow
def test_two_worms_in_one_space(tmp_path, shared, monkeypatch):
    monkeypatch.setenv("BRAINDEC_DATA", str(shared("calcium_celegans_wholebrain").parent))
    options = [
        "statistics.n_folds=3",
        "statistics.n_shifts=39",
        "statistics.controls=false",
        "methods=[label]",
        "baselines=[pca]",
    ]
    found = go(tmp_path, *options, "communities=null", cohort="calcium_celegans_latents").scores
    mine = found[(found["metric"] == "pearson") & (found["row"] == "decoded")]
    assert (mine["value"] > 0.3).all() and (mine["p"] <= 0.05).all()


def test_wrong_settings_are_named(tmp_path):
    with pytest.raises(BraindecError, match="temprature"):
        go(tmp_path, "model={temprature: 1.0}")
