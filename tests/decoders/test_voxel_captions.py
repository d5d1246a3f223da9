"""Captions of voxels: the projection is the published formula; planted preferences are named, noise is not."""

import numpy as np
import pytest
from sklearn.base import clone

from braindec.decoders.voxel_captions import VoxelCaptioner, project_weights
from braindec.errors import BraindecError
from braindec.loaders.scenes import COLOURS, scene_features, scene_pictures
from braindec.loaders.synthetic_scenes import scene_fmri


def test_projection_is_the_formula():
    rng = np.random.default_rng(0)
    weights, bank = rng.normal(size=(7, 5)), rng.normal(size=(11, 5)) * rng.uniform(0.5, 2, size=(11, 1))
    made = project_weights(weights, bank, sharpness=3.0)
    for w, got in zip(weights, made, strict=True):
        score = np.array([np.exp(3.0 * (w @ m) / np.linalg.norm(w) / np.linalg.norm(m)) for m in bank])
        score /= score.sum()
        direction = sum(s * m / np.linalg.norm(m) for s, m in zip(score, bank, strict=True))
        expected = (
            direction / np.linalg.norm(direction) * sum(s * np.linalg.norm(m) for s, m in zip(score, bank, strict=True))
        )
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_limits_of_the_sharpness():
    rng = np.random.default_rng(1)
    weights, bank = rng.normal(size=(4, 6)), rng.normal(size=(50, 6))
    unit = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    best = (weights @ unit.T).argmax(axis=1)
    np.testing.assert_allclose(project_weights(weights, bank, sharpness=1e8), bank[best], rtol=1e-4)
    flat = project_weights(weights, bank, sharpness=1e-9)
    assert np.ptp(flat, axis=0).max() < 1e-6 and np.isfinite(project_weights(np.zeros((1, 6)), bank)).all()


@pytest.fixture(scope="module")
def seen():
    pictures = scene_pictures(480, size=8, seed=5)
    windows = scene_fmri(pictures, n_voxels=240, noise=0.5, seed=2)
    return pictures, scene_features(pictures), windows


def test_planted_preferences_are_named(seen, tmp_path):
    pictures, features, windows = seen
    voxels = VoxelCaptioner().fit(windows, features)
    table, truth = voxels.captions(), windows.info["truth"]
    levels = pictures.info["levels"]
    shape = np.array(levels["shape"])[np.argmax(truth["shape_tuning"], axis=1)]
    loc = np.flatnonzero(table["region"] == "LOC")
    tuning = np.sort(truth["shape_tuning"][loc], axis=1)
    selective = loc[tuning[:, -1] - tuning[:, -2] > 0.3 * np.ptp(tuning, axis=1)]  # one shape stands out
    assert len(selective) > 20 and np.mean([shape[v] in table["caption"][v] for v in selective]) >= 0.9
    hues = np.array([COLOURS[c] for c in levels["colour"]])
    v4 = np.flatnonzero(table["region"] == "V4")
    away = np.abs((truth["hue"][v4, None] - hues + 0.5) % 1 - 0.5)
    clear = (
        np.sort(away, axis=1)[:, 0] < 0.5 * np.sort(away, axis=1)[:, 1]
    )  # tuned to one of the colours that are there
    named = [
        levels["colour"][k] in table["caption"][v] for v, k in zip(v4[clear], away[clear].argmin(axis=1), strict=True)
    ]
    assert clear.sum() >= 10 and np.mean(named) > 0.9
    control = table["region"] == "control"
    assert table["r"][control].mean() < 0.1 < table["r"][loc].mean()
    star = loc[shape[loc] == levels["shape"][0]]
    assert levels["shape"][0] in voxels.region_caption(star)
    voxels.save(tmp_path)
    again = VoxelCaptioner.load(tmp_path)
    assert again.captions().equals(table) or (again.captions()["caption"] == table["caption"]).all()


def test_noise_names_nothing(seen):
    """Weights of shuffled pairs name planted shapes at the rate of chance."""
    pictures, features, windows = seen
    mixed = features.items.assign(stimulus_id=np.random.default_rng(0).permutation(features.ids))
    voxels = VoxelCaptioner().fit(windows, type(features)(features.values, mixed, features.units))
    table, levels = voxels.captions(), pictures.info["levels"]["shape"]
    loc = np.flatnonzero(table["region"] == "LOC")
    shape = np.array(levels)[np.argmax(windows.info["truth"]["shape_tuning"], axis=1)]
    assert abs(np.mean([shape[v] in table["caption"][v] for v in loc]) - 1 / len(levels)) < 0.3
    assert abs(voxels.r_.mean()) < 0.05


def test_held_out_r_is_that_of_the_truth():
    """With enough trials the cross-validated r comes near the ceiling that was planted, and is 0 for noise."""
    pictures = scene_pictures(480, size=8, seed=5)
    windows = scene_fmri(pictures, n_voxels=120, noise=0.7, seed=2)
    r, ceiling = VoxelCaptioner().fit(windows, scene_features(pictures)).r_, windows.info["truth"]["noise_ceiling"]
    loc = windows.channels["region"].to_numpy() == "LOC"
    assert (r[loc] < ceiling[loc] + 0.12).all() and r[loc].mean() > 0.7 * ceiling[loc].mean()


def test_refusals(seen):
    _, features, windows = seen
    assert clone(VoxelCaptioner(sharpness=20.0)).sharpness == 20.0
    with pytest.raises(BraindecError, match="sharpness"):
        VoxelCaptioner(sharpness=0).fit(windows, features)
    with pytest.raises(BraindecError, match="no captions"):
        VoxelCaptioner().fit(windows, type(features)(features.values, features.items[["stimulus_id"]]))
    with pytest.raises(BraindecError, match="other embeddings"):
        VoxelCaptioner().fit(windows, features, bank=type(features)(features.load()[:, :3], features.items))
    with pytest.raises(BraindecError, match="too few stimuli"):
        VoxelCaptioner().fit(windows[:6], features)
    with pytest.raises(BraindecError, match="not fitted"):
        VoxelCaptioner().captions()
