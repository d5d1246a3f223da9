"""Captions of trials: above every null for both modalities, and nowhere without a signal; features are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders.caption import CaptionDecoder
from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.types import Result

SMALL = ["synthetic.n_subjects=1", "synthetic.n_train=640", "synthetic.n_test=48", "metrics=[sentence_cosine, rouge]", "n_permutations=199",
         "n_bootstrap=200", "seeds=2"]  # fmt: skip
NULLS = ["shuffled_brain", "noise_brain", "mean_brain", "prior_only"]


def go(tmp_path, *settings):
    run(load_recipe("captioning"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    (folder,) = (tmp_path / "out" / "units").iterdir()
    return Result.open(folder)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["fmri", "eeg"])
def test_captions_say_what_was_seen(tmp_path, modality):
    found = go(tmp_path, f"synthetic.modality={modality}")
    table = found.scores.set_index(["metric", "row"])
    for metric in ("sentence_cosine", "rouge"):
        gain = table.loc[(f"{metric}_difference", "decoded")]
        assert gain["value"] > 0.05 and gain["p"] < 0.01, metric  # against the best null
    nulls = table.loc["sentence_cosine"].loc[NULLS]
    assert (nulls["p"] > 0.01).all() and (np.abs(nulls["value"] - nulls["chance"]) < 0.06).all()
    texts = found.arrays["control/texts"]
    assert texts.shape[0] == 1 + len(table.loc["sentence_cosine"]) and all(isinstance(t, str) and t for t in texts[1])
    assert any("best control" in a for a in found.made_by["answers"])


@pytest.mark.slow
def test_nothing_is_said_of_noise(tmp_path):
    found = go(tmp_path, "synthetic.noise=200.0")
    gain = found.scores.set_index(["metric", "row"]).loc[("sentence_cosine_difference", "decoded")]
    assert gain["p"] > 0.01 and gain["value"] < 0.05


def test_own_data_need_features(tmp_path, shared):
    root = shared("fmri_digits69_images")
    with pytest.raises(BraindecError, match="which embeddings"):
        go(tmp_path, f"data.root={root}", "data.reader=digits69")


def test_what_is_tested_teaches_no_captioner(tmp_path):
    go(tmp_path, "synthetic.n_train=96", "synthetic.n_subjects=1", "seeds=1", "n_permutations=19", "n_bootstrap=20", "metrics=[rouge]",
       "decoder.extra=true")  # fmt: skip
    (folder,) = (tmp_path / "out" / "units").iterdir()
    (model,) = folder.glob("work-*/model")
    bank = CaptionDecoder.load(model).captioner_.bank_
    assert len(bank) == 96  # of 96 + 48 scenes that have features and captions


@pytest.mark.parametrize(
    "name", ["captioning", "voxel_captions", "image_reconstruction", "video_reconstruction", "cortical_preference"]
)
def test_a_subject_that_is_not_there_is_refused(name):
    recipe = load_recipe(name)
    with pytest.raises(BraindecError, match="no subject '07'"):
        recipe.units(recipe.config(None, ["select.subjects=['07']"]))
    some = recipe.units(recipe.config(None, ["select.subjects=['01']"]))
    assert some == [{"subject": "01"}]
