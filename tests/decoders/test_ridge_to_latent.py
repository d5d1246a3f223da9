"""RidgeToLatent: the same as scikit-learn's ridge for each group, variance from training rows only, pictures above chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge

from braindec.decoders._latent_ridge import ItemRows, LatentRidge
from braindec.decoders.ridge_to_latent import RidgeToLatent
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Features

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data():
    pictures = digit_pictures()
    windows = pixel_voxels(pictures, n_voxels=60, noise=3.0)
    rng = np.random.default_rng(0)
    pixels = pictures.load().reshape(len(pictures), -1)
    tokens = (pixels @ rng.normal(size=(64, 30)) / 8).astype(np.float32)
    units = pd.DataFrame({"group": ["clip_text"] * 12 + ["clip_vision"] * 18, "index": range(30)})
    return windows[:600], windows[1500:1600], pictures, Features(tokens, pictures.items, units)


def rows_of(values, codes=None):
    codes = np.arange(len(values)) if codes is None else codes
    return ItemRows(values, np.arange(len(values)), codes, slice(0, values.shape[1]))


@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_each_group_is_ridge_with_its_penalty(shape):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape).astype(np.float32)
    items, codes = 15, rng.integers(0, 15, shape[0])
    Y = [rng.normal(size=(items, t)).astype(np.float32) + 2 for t in (7, 4)]
    fitted = LatentRidge([5.0, 80.0]).fit(X, [rows_of(y, codes) for y in Y], stimuli=codes)
    new = rng.normal(size=(6, shape[1])).astype(np.float32)
    wanted = [Ridge(alpha=a).fit(X.astype(float), y[codes]).predict(new) for a, y in zip((5.0, 80.0), Y)]
    assert np.allclose(fitted.predict(new), np.concatenate(wanted, axis=1), atol=2e-4)


def test_a_penalty_for_all_tokens_is_a_penalty_for_each(data):
    """Ridge treats targets apart, so fitting token by token (as published) changes nothing."""
    train, test, _, features = data
    decoder = RidgeToLatent(targets="features", preset="paper").fit(train, None, features)
    assert decoder.ridge_.alpha == [1e5, 6e4] and decoder.groups_ == {"clip_text": (0, 12), "clip_vision": (12, 30)}
    X, Z = (decoder.front_.read(w).reshape(len(w), -1) for w in (train, test))
    shown = features.of(train.trials.stimulus_id)
    for start, stop, alpha in ((0, 6, 1e5), (6, 12, 1e5), (12, 30, 6e4)):
        wanted = Ridge(alpha=alpha).fit(X.astype(float), shown[:, start:stop]).predict(Z)
        assert np.allclose(decoder.condition(test)[:, start:stop], wanted, atol=1e-5)
    assert np.array_equal(decoder.predict_group(test, "clip_vision"), decoder.condition(test)[:, 12:])


def test_groups_that_lie_scattered_are_put_together(data):
    train, test, _, features = data
    order = np.random.default_rng(1).permutation(30)
    mixed = Features(features.load()[:, order], features.items, features.units.iloc[order])
    a = RidgeToLatent(targets="features", preset="paper").fit(train, None, features)
    b = RidgeToLatent(targets="features", preset="paper").fit(train, None, mixed)
    for name in ("clip_text", "clip_vision"):
        columns = [u for u in order if features.units["group"][u] == name]
        own = {u: i for i, u in enumerate(np.flatnonzero(features.units["group"] == name))}
        assert np.allclose(
            b.predict_group(test, name), a.predict_group(test, name)[:, [own[u] for u in columns]], atol=1e-5
        )


def test_variance_is_restored_from_training_rows_only(data):
    train, test, pictures, _ = data
    plain = RidgeToLatent(autoencoder="pixels").fit(train, pictures)
    decoder = RidgeToLatent(autoencoder="pixels", restore_variance=True).fit(train, pictures)
    held = test
    raw, made = plain.condition(held), decoder.condition(held)
    true = pictures.of(held.trials.stimulus_id).reshape(len(held), -1) * 2 - 1
    active = true.std(axis=0) > 0.2
    assert raw[:, active].std(axis=0).mean() < 0.75 * true[:, active].std(axis=0).mean()
    assert abs(made[:, active].std(axis=0).mean() / true[:, active].std(axis=0).mean() - 1) < 0.12
    alone = np.concatenate([decoder.condition(held[i : i + 1]) for i in range(6)])
    assert np.allclose(alone, made[:6], atol=1e-5)
    other = decoder.condition(train[100:106])  # other neighbours
    assert np.array_equal(decoder.condition(train[100:106]), other)
    assert np.allclose(decoder.condition(held)[:3], decoder.condition(held[[0, 1, 2, 50, 70]])[:3], atol=1e-5)
    again = RidgeToLatent(autoencoder="pixels", restore_variance=True).fit(train, pictures)
    assert np.array_equal(again.ridge_.gain, decoder.ridge_.gain)


def test_gain_is_the_spread_over_that_of_held_out_predictions():
    """An independent computation: folds by stimulus, scikit-learn's ridge, the penalty in proportion to the rows."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(30), 2)
    items = rng.normal(size=(30, 5)).astype(np.float32)
    X = (items[codes] @ rng.normal(size=(5, 12)) + 2 * rng.normal(size=(60, 12))).astype(np.float32)
    fitted = LatentRidge([20.0], restore_variance=True, n_folds=3).fit(X, [rows_of(items, codes)], stimuli=codes)
    part = np.random.default_rng(0).permutation(30)[codes] % 3
    made = np.empty((60, 5))
    for k in range(3):
        inside = part != k
        made[~inside] = (
            Ridge(alpha=20.0 * inside.mean()).fit(X[inside].astype(float), items[codes][inside]).predict(X[~inside])
        )
    assert np.allclose(fitted.gain, items[codes].std(axis=0) / made.std(axis=0), rtol=1e-3)
    assert all(len(np.unique(part[codes == c])) == 1 for c in range(30))


def test_penalty_of_a_group_leaves_the_least_error():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 30)).astype(np.float32)
    Y = (X @ rng.normal(size=(30, 6)) + 6 * rng.normal(size=(80, 6))).astype(np.float32)
    grid = [0.1, 10.0, 40.0, 160.0, 1e5]
    fitted = LatentRidge([grid], n_folds=4).fit(X, [rows_of(Y)], stimuli=np.arange(80))
    part = np.random.default_rng(0).permutation(80) % 4
    errors = [sum(((Ridge(alpha=a).fit(X[part != k], Y[part != k]).predict(X[part == k]) - Y[part == k]) ** 2).sum()
                  for k in range(4)) for a in grid]  # fmt: skip
    assert fitted.alpha == [grid[int(np.argmin(errors))]]


def test_many_targets_in_a_mapped_file(tmp_path):
    """91,168 latents: coefficients lie on disk, predictions are the same, blocks hide nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 25)).astype(np.float32)
    Y = rng.normal(size=(10, 91_168)).astype(np.float32)
    Y[:, 5] = 3.0  # a latent that never changes
    codes = np.arange(40) % 10
    fitted = LatentRidge([5e4], folder=tmp_path).fit(X, [rows_of(Y, codes)], stimuli=codes)
    assert isinstance(fitted.coef, np.memmap) and (tmp_path / "coefficients.npy").is_file()
    some = [0, 5, 4095, 4096, 91_167]
    wanted = Ridge(alpha=5e4).fit(X.astype(float), Y[codes][:, some]).predict(X[:3])
    assert np.allclose(fitted.predict(X[:3])[:, some], wanted, atol=1e-5)


def test_features_on_disk_are_read_in_blocks(data, tmp_path):
    train, test, _, features = data
    opened = features.save(tmp_path / "f.h5")
    a = RidgeToLatent(targets="features", preset="paper").fit(train, None, features)
    b = RidgeToLatent(targets="features", preset="paper").fit(
        train, None, Features(opened.values, features.items, features.units)
    )
    assert np.allclose(a.condition(test), b.condition(test), atol=1e-6)


def test_saved_and_loaded(data, tmp_path):
    train, test, pictures, _ = data
    for options in ({"autoencoder": "patches"}, {"autoencoder": "tiny", "autoencoder_options": {"steps": 5}}):
        decoder = RidgeToLatent(**options, alpha=100.0, restore_variance=True).fit(train[:100], pictures)
        made = decoder.reconstruct(test[:8])
        folder = decoder.save(tmp_path / options["autoencoder"])
        assert np.array_equal(RidgeToLatent.load(folder).reconstruct(test[:8]), made)
        assert made.shape == (8, 8, 8, 1) and made.min() >= 0 and made.max() <= 1
        assert np.array_equal(clone(decoder).fit(train[:100], pictures).reconstruct(test[:8]), made)
        assert decoder.ideal(test.trials.stimulus_id[:3], pictures).shape == (3, 8, 8, 1)
    assert {tuple(r.ids) for r in decoder.fit_records_} == {tuple(train[:100].ids)}


def test_pictures_are_nearer_to_their_own_than_to_others(data):
    pictures = data[2]
    windows = pixel_voxels(pictures, n_voxels=100, noise=1.0)
    train, test = windows[:600], windows[1500:1600]
    decoder = RidgeToLatent(restore_variance=True).fit(train, pictures)
    made, true = (v.reshape(len(test), -1) for v in (decoder.reconstruct(test), pictures.of(test.trials.stimulus_id)))
    r = np.corrcoef(made, true)[:100, 100:]
    assert (r > r.diagonal()[:, None]).mean() < 0.06  # two-way identification above .94
    assert 0.4 < (r > np.roll(r, 7, axis=0).diagonal()[:, None]).mean() < 0.6  # pictures of other windows: chance
    assert not decoder.generative
    with pytest.raises(BraindecError, match="no prior"):
        decoder.prior(test.ids)


def test_wrong_options_are_explained(data):
    train, _, pictures, features = data
    with pytest.raises(BraindecError, match="targets cannot be 'latent'.*latents"):
        RidgeToLatent(targets="latent").fit(train, pictures)
    with pytest.raises(BraindecError, match="no published penalty for the group 'vicreg'"):
        named = Features(features.load(), features.items, pd.DataFrame({"group": ["vicreg"] * 30}))
        RidgeToLatent(targets="features", preset="paper").fit(train, None, named)
    with pytest.raises(BraindecError, match="predicts features"):
        RidgeToLatent(targets="both").fit(train, pictures)
    with pytest.raises(BraindecError, match="positive"):
        RidgeToLatent(alpha=-1.0).fit(train, pictures)
    with pytest.raises(BraindecError, match="what to draw"):
        RidgeToLatent(refine={"name": "unclip"}).fit(train, pictures)
    with pytest.raises(BraindecError, match="features alone"):
        decoder = RidgeToLatent(targets="features", preset="paper").fit(train, None, features)
        decoder.decode(decoder.condition(train[:2]))
    holes = Features(np.where(np.arange(30) == 3, np.nan, features.load()), features.items, features.units)
    with pytest.raises(BraindecError, match="not finite"):
        RidgeToLatent(targets="features").fit(train, None, holes)
