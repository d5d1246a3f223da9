"""Captions of voxels: planted preferences are named by nearly all, noise voxels are left out, shuffled pairs say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders._voxel_words import caption_validity, predictable, text_similarity
from braindec.decoders.voxel_captions import _held_out_r
from braindec.engine import load_recipe, run
from braindec.errors import BraindecError
from braindec.ridge import fit_ridge, group_folds
from braindec.types import Result, Windows

SMALL = ["synthetic.n_subjects=1", "synthetic.n_train=960", "synthetic.n_test=64", "synthetic.n_voxels=200", "n_permutations=199",
         "n_bootstrap=200", "n_shuffles=8"]  # fmt: skip


def go(tmp_path, *settings):
    run(load_recipe("voxel_captions"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    (folder,) = (tmp_path / "out" / "units").iterdir()
    return Result.open(folder)


@pytest.mark.slow
def test_planted_preferences_are_named(tmp_path):
    found = go(tmp_path)
    table = found.scores
    named = table[table["metric"] == "planted_named"].set_index(["region", "row"])
    for region in ("LOC", "V4"):
        assert named.loc[(region, "decoded"), "value"] >= 0.9 and named.loc[(region, "decoded"), "p"] < 0.01
        assert named.loc[(region, "label_shuffle"), "low"] <= 0.25 <= named.loc[(region, "label_shuffle"), "high"]
    held = table[table["metric"] == "caption_r"].set_index(["region", "row"])
    assert held.loc[("all", "decoded"), "value"] > 0.1 and held.loc[("all", "decoded"), "p"] < 0.01
    assert held.loc[("all", "label_shuffle"), "low"] < 0 < held.loc[("all", "label_shuffle"), "high"]
    assert "control" not in set(table["region"])  # voxels of noise get no caption


def test_noise_has_no_captions(tmp_path):
    with pytest.raises(BraindecError, match="no voxel is predicted"):
        go(tmp_path, "synthetic.noise=500.0", "q=0.001")


def test_likeness_is_that_of_words():
    bank = ["a red star", "a blue star", "a red ring", "a blue ring"]
    like = text_similarity(["a red star", "nothing"], bank, bank=bank)
    assert like[0].argmax() == 0 and abs(like[0, 0] - 1) < 1e-12 and like[0, 3] < like[0, 1] < 1 and not like[1].any()


def test_the_test_of_captions_holds_its_level():
    """Captions that have nothing to do with responses, which share noise over voxels: 5 % of tests at .05."""
    rng, words = np.random.default_rng(0), ["red", "blue", "star", "ring", "left", "right"]
    ids = np.array([f"s{i}" for i in range(24)])
    test = Windows.from_arrays(np.zeros((24, 1, 1), "float32"), {"stimulus_id": ids}, sfreq=1.0)
    hits = []
    for _ in range(300):
        texts = {s: " ".join(rng.choice(words, 3, replace=False)) for s in ids}
        captions = [texts[s] for s in rng.choice(ids, 12)]
        responses = rng.normal(size=(24, 12)) + 2 * rng.normal(size=(24, 1))
        found = caption_validity(captions, test, responses, texts, bank=list(texts.values()), groups={"all": np.arange(12)}, row="decoded",
                                 keys={}, n_permutations=99, n_bootstrap=20, seed=int(rng.integers(1e6)))  # fmt: skip
        hits.append(found["p"].iloc[0] <= 0.05)
    assert 0.02 <= np.mean(hits) <= 0.085  # 300 tests: 5 % has a standard error of 1.3 %


def test_voxels_of_noise_are_not_called_predictable():
    """Held-out r of noise varies more than Fisher's z has it: about one noise voxel in eight would pass at .05."""
    called = []
    for s in range(8):
        rng = np.random.default_rng(s)
        X, Y = rng.normal(size=(60, 20)), rng.normal(size=(60, 60))
        Y[:, :10] += 0.7 * X @ rng.normal(size=(20, 10))
        folds = group_folds(np.arange(60).astype(str), 5)

        def held_out(order, X=X, Y=Y, folds=folds):
            return _held_out_r(X[order], Y, fit_ridge(X[order], Y, folds=folds, coef=False).alpha, folds)

        r, null = held_out(np.arange(60)), np.array([held_out(rng.permutation(60)) for _ in range(12)])
        found = predictable(r, null)
        called.append((found >= 10).sum() - 0.05 / 0.95 * (found < 10).sum())
        assert (found < 10).sum() >= 8
    assert np.mean(called) <= 0.5
    with pytest.raises(BraindecError, match="at least 5"):
        predictable(r, null[:3])
