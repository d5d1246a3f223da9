"""What regions prefer: planted patches get what was planted, an independent judge agrees, and shuffled guides do nothing."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders._preference import attribute_of, planted_patches
from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.loaders.synthetic_scenes import scene_cohort
from braindec.types import Result

SMALL = ["synthetic.n_train=320", "synthetic.n_test=32", "synthetic.n_voxels=200", "n_permutations=499"]


def go(tmp_path, *settings):
    run(load_recipe("cortical_preference"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    (folder,) = (tmp_path / "out" / "units").iterdir()
    return Result.open(folder)


@pytest.mark.slow
def test_planted_patches_get_what_they_prefer(tmp_path):
    found = go(tmp_path, "decoder.steps=350", "scales=[2,8]", "n_samples=24", "regions=[V4 red, V1 right]")
    table = found.scores.set_index(["metric", "region", "row"])
    for region in ("V4 red", "V1 right"):
        for metric in ("activation_rise", "activation_trend", "planted_attribute"):
            row = table.loc[(metric, region, "decoded")]
            assert row["p"] < 0.01 and row["low"] > 0, (metric, region)
        assert (
            table.loc[("activation_rise", region, "scale 2"), "value"]
            < table.loc[("activation_rise", region, "decoded"), "value"]
        )
        blind = table.loc[("activation_rise", region, "shuffled_brain")]
        assert blind["p"] > 0.02 and blind["value"] < 0.5 * table.loc[("activation_rise", region, "decoded"), "value"]
        assert table.loc[("encoding_r", region, "decoded"), "value"] > 0.6
    assert any("no training trial in common" in note for note in found.made_by["notes"])
    assert all("an independent model predicts" in said for said in found.made_by["answers"])


def test_the_judge_may_learn_from_other_trials_of_the_same_subject(tmp_path):
    found = go(
        tmp_path,
        "judge.of=trials",
        "decoder.steps=3",
        "decoder.num_inference_steps=3",
        "scales=[1]",
        "n_samples=8",
        "synthetic.n_subjects=1",
    )
    assert {"V4 red", "V4 blue", "V1 left", "V1 right"} >= set(found.scores["region"]) != set()
    assert any("Region control is left out" in note for note in found.made_by["notes"])
    assert {p["draw"] for p in found.made_by["panels"]} == {"guidance_curve", "picture_grid", "training_curves"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["synthetic.n_subjects=1"], "no other subject for the judge"),
        (["regions=[V5]", "decoder.steps=2"], "no region 'V5'"),
        (["judge={of: trials, encoder: {network: conv}}", "decoder.steps=2"], "not independent"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path, settings, said):
    with pytest.raises(BraindecError, match=said):
        go(tmp_path, *settings)


def test_patches_prefer_what_they_are_named_after():
    cohort = scene_cohort("fmri", n_train=64, n_test=16, n_subjects=1)
    windows, planted = planted_patches(cohort.windows("01"))
    truth, items = windows.info["truth"], cohort.pictures.items
    region = windows.recordings[0].channels["region"].to_numpy()
    for name, (attribute, value) in planted.items():
        response = truth["response"][:, region == name].mean(axis=1)
        shown = (
            (items["colour"] == value).to_numpy(float)
            if attribute == "colour"
            else items["x"].to_numpy() * (1 if value == "right" else -1)
        )
        assert np.corrcoef(response, shown)[0, 1] > 0.3, name
    pictures = cohort.pictures.load()
    right = attribute_of(pictures, "side", "right", None)
    assert np.corrcoef(right, items["x"])[0, 1] > 0.97 and np.allclose(
        attribute_of(pictures, "side", "left", None), -right
    )
    with pytest.raises(BraindecError, match="nothing is known"):
        planted_patches(windows[:3].__class__(windows.recordings, windows.index, windows.n_times, windows.trials))
