"""The recipe on the small twin: planted responses and betas are found, the file is read by the reader of betas."""

from __future__ import annotations

import json

import numpy as np
import pytest

from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.loaders.source import open_source
from braindec.loaders.twin import make_twin
from braindec.report import write_report
from braindec.types import Result


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    twin = make_twin("event_related", folder / "twin", seed=1, n_subjects=1, noise=0.6)
    words = [*twin.words(), "confounds=motion6", "statistics.n_permutations=99", "statistics.n_bootstrap=200",
             "train_runs=[01,02,03,04,05]"]  # fmt: skip
    outcome = run(
        "single_trial_betas", overrides=words, out=folder / "out", cache=folder / "cache", tell=lambda line: None
    )
    assert [o["state"] for o in outcome.outcomes] == ["done"]
    return twin, folder / "out"


def test_scores_rise_up_the_ladder(done):
    result = Result.open(done[1] / "units" / "subject-01")
    table = result.scores[result.scores["metric"] == "voxel_reliability"].set_index("row")["value"]
    assert table["decoded"] > table["step A"] + 0.05 and abs(table["label_shuffle"]) < 0.05
    decoded = result.scores[result.scores["row"] == "decoded"]
    assert (decoded["p"] == 0.01).all() and (decoded["chance"] == 0).all() and (decoded["n"] == 60).all()
    assert result.made_by["overview"]["learned from test runs too"] is False
    assert {f["check"]: f["level"] for f in result.made_by["audit"]["findings"]}["fit_scope"] == "pass"
    assert "1 constant" in result.made_by["overview"]["voxels without betas"]


def test_planted_responses_are_found(done):
    truth = done[0].truth()
    arrays = Result.open(done[1] / "units" / "subject-01").arrays
    active = truth["active"]
    assert (arrays["glm/hrf_index"] == truth["hrf_index"])[active].mean() > 0.8
    assert (arrays["glm/r2"][active] > 0).mean() > 0.95
    assert not arrays["glm/pool"][active].mean() > 0.2


def test_betas_are_read_by_their_reader_and_follow_the_truth(done):
    twin, out = done
    path = next((out / "units" / "subject-01").glob("work-*/sub-01_betas.h5"))
    betas = open_source(None, root=path, reader="betas").windows("01")
    truth = twin.truth()
    planted = truth["sub-01/betas"][betas.trials["stimulus_id"].str[4:].astype(int) - 1][:, truth["active"]]
    found = betas.load(check=False)[:, :, 0][:, truth["active"]]
    a, b = found - found.mean(axis=0), planted - planted.mean(axis=0)
    assert ((a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))).mean() > 0.75
    assert betas.trials["part"].value_counts().to_dict() == {"train": 150, "test": 30}
    assert betas.recordings[0].info["fitted_on_runs"] == [f"sub-01_task-pictures_run-0{k}" for k in range(1, 6)]
    assert (
        betas.channels["unit"].iloc[0] == "%" and np.isnan(betas.load(check=False)[:, truth["sub-01/constant"]]).all()
    )


def test_report_has_every_panel(done):
    made = json.loads((done[1] / "units" / "subject-01" / "made_by.json").read_text())
    drawn = [p["draw"] for p in made["panels"]]
    assert drawn == [
        "ladder",
        "score_bars",
        "score_bars",
        "voxel_map",
        "voxel_map",
        "event_raster",
        "timecourse",
        "score_bars",
    ]
    page = write_report(done[1]).read_text()
    assert all(p["title"] in page for p in made["panels"])
    assert "could not be drawn" not in page


def test_wrong_settings_are_told_before_anything_runs():
    recipe = load_recipe("single_trial_betas")
    with pytest.raises(BraindecError, match="did you mean"):
        recipe.config(None, ["glm.modell=lsa"])
    with pytest.raises(BraindecError, match="model='ladders' is unknown"):
        recipe.config(None, ["glm.model=ladders"])
