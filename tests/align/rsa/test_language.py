"""Matrices of layers, of what needs no language, and of regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.align.rsa.language import model_rdms, nuisance_rdms, region_rdms
from braindec.align.rsa.rdm import compute_rdm
from braindec.errors import BraindecError
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain
from braindec.types import Features


@pytest.fixture(scope="module")
def world():
    stories = make_stories(6, 0)
    rng = np.random.default_rng(0)
    units = pd.DataFrame(
        {"model": "m", "layer": np.repeat([0, 1], 10), "site": "resid_post", "index": list(range(10)) * 2}
    )
    features = Features(rng.standard_normal((len(stories), 20)), stories[["stimulus_id"]], units)
    brains, _ = language_brain(features, driving_layer=1, n_subjects=2, n_voxels=8, stimuli=stories, seed=0)
    return stories, features, brains


def test_layers(world):
    stories, features, _ = world
    found = model_rdms(features)
    assert list(found.table["model"]) == ["layer 0", "layer 1"] and found.n_conditions == len(stories)
    plain = model_rdms(features, standardise=False, conditions=stories["stimulus_id"][::-1])
    expected = compute_rdm(features.load()[::-1, :10], conditions=stories["stimulus_id"][::-1]).values[0]
    np.testing.assert_allclose(plain.values[0], expected)
    assert not np.allclose(found.values[0], model_rdms(features, standardise=False).values[0])


def test_what_needs_no_language(world):
    stories, *_ = world
    found = nuisance_rdms(stories, group="text_id")
    assert list(found.table["model"]) == ["length", "letters", "position", "passage"]
    square = found.square()
    words = stories["text"].str.split().str.len().to_numpy()
    same = (words[:, None] == words[None, :]) & (
        stories["text"].str.len().to_numpy()[:, None] == stories["text"].str.len().to_numpy()[None, :]
    )
    np.testing.assert_allclose(square[0][same], 0)
    inside = stories["text_id"].to_numpy()[:, None] == stories["text_id"].to_numpy()[None, :]
    np.testing.assert_allclose(square[3], np.where(inside, 0.0, square[3].max()), atol=1e-12)
    assert set(nuisance_rdms(stories.drop(columns="position")).table["model"]) == {"length", "letters"}
    with pytest.raises(BraindecError, match="nothing varies"):
        nuisance_rdms(stories.drop(columns="position").assign(text="one two"))


def test_regions(world):
    stories, _, brains = world
    found = region_rdms(brains, stories["stimulus_id"])
    assert set(found.table["region"]) == {"IFG", "AntTemp", "PostTemp", "A1", "V1"} and found.info["left_out"] == 0
    assert list(found.conditions) == list(stories["stimulus_id"])
    one = brains[0]
    voxels = (one.channels["region"] == "IFG").to_numpy()
    values = (
        pd.DataFrame(one.load(np.arange(len(one)))[:, voxels, 0]).groupby(one.trials["stimulus_id"].to_numpy()).mean()
    )
    expected = 1 - np.corrcoef(values.loc[stories["stimulus_id"]])
    np.testing.assert_allclose(found.where(subject="01", region="IFG").square()[0], expected, atol=1e-6)
    with pytest.raises(BraindecError, match="no column 'area'"):
        region_rdms(brains, stories["stimulus_id"], column="area")
    with pytest.raises(BraindecError, match="too few stimuli"):
        region_rdms(brains, ["x", "y"])


def test_channels_without_names_are_one_region(world):
    stories, _, brains = world
    nameless = []
    for one in brains:
        copy = one[np.arange(len(one))]
        copy.channels["region"] = "n/a"
        nameless.append(copy)
    found = region_rdms(nameless, stories["stimulus_id"])
    assert set(found.table["region"]) == {"all channels"} and len(found) == len(brains)
