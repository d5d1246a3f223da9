"""Films drawn again: motion is read above every null and lost when its voxels are exchanged; other modalities; wrong settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from braindec.decoders._film_rows import SHUFFLED, STILL
from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.evaluate.control_report import NULLS
from braindec.types import Result

QUICK = ("n_permutations=199", "n_bootstrap=100", "seeds=1", "metrics=[motion_direction,pixcorr,end_point_error]")
FLOW = [{"name": "flow_animation"}]
GENERATOR = [{"name": "video", "steps": 4, "batch_size": 8, "num_inference_steps": 3, "embedder": {"name": "ridge"}, "cross_fit": 2},
             {"name": "picture_ridge"}]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def go(tmp_path):
    def run_it(*settings, cohort=None):
        run(load_recipe("video_reconstruction"), cohort=cohort, overrides=list(settings), only=None, jobs=1, scheduler=None,
            out=tmp_path / "out", cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
        return Result.open(next((tmp_path / "out" / "units").iterdir()))

    return run_it


def score(result, metric, row, what="value"):
    kept = result.scores[(result.scores["metric"] == metric) & (result.scores["row"] == row)]
    return float(kept[what].iloc[0])


def test_motion_is_read_above_every_null_and_lost_with_its_voxels(go):
    found = go(*QUICK, "synthetic.n_train=400", "synthetic.n_test=48", f"decoders={json.dumps(FLOW)}")
    metric = "motion_direction"
    assert score(found, metric, "decoded") > 0.6 and score(found, metric, "decoded", "p") < 0.01
    assert score(found, metric, SHUFFLED) < 0.45 and score(found, metric, SHUFFLED, "p") > 0.05
    assert score(found, f"{metric}_difference", f"over_{SHUFFLED}", "p") < 0.01
    for row in set(NULLS) - {"prior_only"}:  # a still by ridge has no prior
        assert score(found, f"{metric}_difference", f"over_{row}", "p") < 0.01
    assert score(found, metric, STILL) == 0 and score(found, metric, "ridge", "p") > 0.01
    assert score(found, "end_point_error", "decoded") < score(found, "end_point_error", STILL)
    assert score(found, "pixcorr", SHUFFLED) > 0.4  # looks stay
    answers = " ".join(found.made_by["answers"])
    assert "direction of motion was read" in answers and "it is lost" in answers
    grid = next(p for p in found.made_by["panels"] if p["draw"] == "picture_grid")
    pictures = found.arrays[grid["args"]["pictures"][1:]]
    assert pictures.ndim == 6 and pictures.shape[2] == 4 and "worst" in grid["args"]["labels"]


def test_a_generator_on_eeg_beside_another_decoder(go):
    small = ("synthetic.modality=eeg", "synthetic.n_train=48", "synthetic.n_test=12", "pictures.components=null")
    found = go(*QUICK, *small, f"decoders={json.dumps(GENERATOR)}")
    assert {"decoded", *NULLS, "ridge", "nearest_training", STILL} <= set(found.scores["row"])
    assert SHUFFLED not in set(found.scores["row"])
    assert any("No motion voxels were exchanged" in n or "no motion voxels" in n for n in found.made_by["notes"])
    assert np.isfinite(found.scores["value"]).all()


def test_wrong_settings_are_told(go):
    for settings, said in (
        (("metrics=[]",), "metrics"),
        (("pictures.components=[shpe]", "synthetic.n_train=48", "synthetic.n_test=12"), "components"),
        (("split_by=colr", "synthetic.n_train=48", "synthetic.n_test=12", "pictures.components=null"), "colr"),
    ):
        with pytest.raises(BraindecError, match=said):
            go(*settings)
