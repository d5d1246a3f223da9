"""The recipe on its twin: above chance where there is signal, at chance where there is none, no test image in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.cache import Cache
from braindec.engine.recipe import Work, load_recipe
from braindec.errors import BraindecError

torch.set_num_threads(1)
QUICK = ["synthetic.n_subjects=3", "synthetic.n_sessions=3", "decoder.epochs=15", "adapt.epochs=12", "scratch.epochs=12", "shares=[0.3,1.0]",
         "n_draws=2", "n_permutations=200", "n_bootstrap=200"]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")

    def go(*words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BRAINDEC_CACHE", str(folder / "cache"))
            recipe = load_recipe("fmri_image_retrieval")
            config = recipe.config(None, [*QUICK, *words])
            unit = recipe.units(config)[0]
            work = Work(folder / "-".join(["unit", *words]).replace("/", "_"), Cache(folder / "cache"), 0)
            return recipe, config, unit, recipe.run(config, unit, work)

    return go


def top1(result, row, direction="brain_to_image"):
    scores = result.scores
    found = scores[(scores["metric"] == "top1") & (scores["row"] == row) & (scores["direction"] == direction)]
    return found["value"].item(), found["p"].item()


def test_a_new_subject_is_decoded_and_controls_are_not(run):
    _, _, unit, result = run("mode=cross")
    assert unit == {"subject": "01"}
    value, p = top1(result, "decoded")
    assert value > 0.15 and p < 0.01  # 24 candidates: chance 0.042
    assert top1(result, "decoded", "image_to_brain")[0] > 0.15 and top1(result, "trials averaged")[0] > value - 0.1
    assert top1(result, "ridge baseline")[0] > 0.3 and top1(result, "from scratch")[0] > 0.08
    for name in ("label_shuffle", "noise_input", "time_only", "untrained"):
        assert top1(result, name)[0] < 0.15, name
    assert [p["draw"] for p in result.made_by["panels"]] == [
        "calibration_curve",
        "retrieval_curve",
        "training_curves",
        "training_curves",
    ]
    panel = result.made_by["panels"][0]["args"]
    assert panel["unit"] == "minutes" and panel["conditions"] == ["adapted", "scratch", "ridge"]
    assert np.allclose(result.arrays["calibration/amount"], np.array([65, 216]) * 4 / 60)  # NSD: 4 s a trial
    assert result.made_by["audit"]["level"] == "pass"


def test_one_subject_alone(run):
    _, _, _, result = run("mode=single", "decoder.encoder=mindbridge", "controls=[label_shuffle]", "decoder.epochs=25")
    assert top1(result, "decoded")[1] < 0.05 and "from scratch" not in set(result.scores["row"])
    assert [p["draw"] for p in result.made_by["panels"]] == ["retrieval_curve", "training_curves"]


def test_no_test_image_is_in_any_training_part(run, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINDEC_CACHE", str(tmp_path))
    recipe = load_recipe("fmri_image_retrieval")
    config = recipe.config(None, [*QUICK, "split.column=null", "split.test=0.3"])  # without official parts: by content
    for unit in recipe.units(config):
        _, windows, split, others = recipe.module.load(config, unit)
        tested = set(windows.trials["stimulus_id"].iloc[split.test])
        assert len(others) == 2 and unit["subject"] not in others
        assert not any(set(w.trials["stimulus_id"]) & tested for w in others.values())
        assert recipe.module.design(config, unit).level == "pass"


def test_settings_that_cannot_work_are_said(run):
    with pytest.raises(BraindecError, match="no subject '1'"):
        run("new_subject=1")
    with pytest.raises(BraindecError, match="mode: cross needs two subjects"):
        run("synthetic.n_subjects=1")
    recipe = load_recipe("fmri_image_retrieval")
    for words, said in ((["decoder.encoder=nice"], "no parts of its own"), (["shares=[0]"], "shares"), (["mode=both"], "mode"),
                        (["decoder.epoch=3"], "epoch")):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            recipe.config(None, words)
