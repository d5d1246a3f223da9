"""TwoStage: digits decoded through a prior, above what no recording gives; the mix is told; files and seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.decoders._refine import picture_condition
from braindec.decoders.ridge_to_latent import RidgeToLatent
from braindec.decoders.two_stage import TwoStage
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Features

torch.set_num_threads(1)

QUICK = {"prior_options": {"steps": 5}, "image_options": {"steps": 5, "cross_fit": 2}}
FEW = {"num_inference_steps": 3}


def digits(n_voxels=100, noise=1.0):
    """Digits, voxels that see them, and 20 principal components as their embedding."""
    pictures = digit_pictures()
    pixels = pictures.load().reshape(len(pictures), -1)
    train = pixels[:1500] - pixels[:1500].mean(axis=0)
    axes = np.linalg.svd(train, full_matrices=False)[2][:20]
    embedded = ((pixels - pixels[:1500].mean(axis=0)) @ axes.T).astype(np.float32)
    return pixel_voxels(pictures, n_voxels=n_voxels, noise=noise), pictures, Features(embedded, pictures.items)


@pytest.fixture(scope="module")
def data():
    windows, pictures, features = digits()
    return windows[:200], windows[1600:1612], pictures, features


@pytest.fixture(scope="module")
def mixed(data):
    train, _, pictures, features = data
    return TwoStage(preset="tiny:mindeye2", **QUICK, blurry={"name": "ridge_to_latent"}, **FEW).fit(
        train, pictures, features
    )


def two_way(made, true):
    made, true = (np.reshape(v, (len(v), -1)) for v in (made, true))
    n = len(true)
    r = np.corrcoef(made, true)[:n, n:]
    return ((r < r.diagonal()[:, None]).sum(axis=1) / (n - 1)).mean()


def pixcorr(made, true):
    return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(made, true)])


def test_parts_are_put_together_as_they_say(data, mixed):
    """The picture is .75 of what the image decoder makes of the prior's embedding, begun at the blurry one, plus .25 of that."""
    _, test, _, _ = data
    made = mixed.reconstruct(test)
    given = mixed.condition(test)
    n = mixed.prior_.condition(test).shape[1]
    embedded = mixed.prior_.sample(given[:, :n], names=test.ids, seed=0)
    assert np.allclose(mixed.embeddings(test), embedded, atol=1e-5)
    blurry = mixed.blurry_.reconstruct(test)
    own = mixed.image_.generate(picture_condition(mixed.image_, embedded), names=test.ids, seed=0, strength=0.85,
                                per_item={"image": blurry}, **FEW)  # fmt: skip
    assert np.allclose(made, 0.75 * own + 0.25 * blurry, atol=1e-5)
    assert np.allclose(mixed.reconstruct(test, mix=0.0), own, atol=1e-5)
    free = mixed.image_.generate(picture_condition(mixed.image_, embedded), names=test.ids, seed=0, **FEW)
    assert np.allclose(mixed.reconstruct(test, mix=0.0, strength=None), free, atol=1e-5)
    assert made.shape == (12, 8, 8, 1) and made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1


def test_the_mix_is_told(data, mixed):
    train, _, pictures, features = data
    assert any("0.75" in note and "0.25" in note and "mix=0" in note for note in mixed.notes_)
    assert any("strength 0.85" in note for note in mixed.notes_)
    plain = TwoStage(**QUICK, **FEW).fit(train, pictures, features)
    assert plain.notes_ == [] and plain.settings()["mix"] == 0.0


def test_the_prior_has_no_part_of_a_recording(data, mixed):
    """Without a condition the mean blurry picture of training rows stands under the sample, whatever is decoded."""
    _, test, _, _ = data
    made = mixed.prior(test.ids)
    embedded = mixed.prior_.sample(None, names=test.ids, seed=0)
    own = mixed.image_.generate(picture_condition(mixed.image_, embedded), names=test.ids, seed=0, **FEW)
    assert np.allclose(made, 0.75 * own + 0.25 * mixed.mean_blurry_, atol=1e-5)
    given = mixed.generate(np.zeros_like(mixed.condition(test)), names=test.ids)
    assert not np.allclose(given, made, atol=1e-3)


def test_same_seed_same_bytes_and_a_window_alone(data, mixed):
    _, test, _, _ = data
    made = mixed.reconstruct(test)
    assert np.array_equal(mixed.reconstruct(test), made)
    assert np.allclose(mixed.reconstruct(test[4:5]), made[4:5], atol=1e-4)
    given = mixed.condition(test)
    alone = mixed.generate(given[4:5], names=test.ids[4:5])
    assert np.allclose(alone, made[4:5], atol=1e-5)
    assert not np.allclose(mixed.reconstruct(test, seed=1), made, atol=1e-3)


def test_saved_and_loaded(data, mixed, tmp_path):
    _, test, _, _ = data
    mixed.save(tmp_path / "d")
    loaded = TwoStage.load(tmp_path / "d")
    assert np.array_equal(loaded.reconstruct(test), mixed.reconstruct(test))
    assert np.array_equal(loaded.prior(test.ids), mixed.prior(test.ids))
    assert loaded.notes_ == mixed.notes_ and loaded.picture_shape_ == mixed.picture_shape_
    assert {r.step for r in loaded.fit_records_} == {r.step for r in mixed.fit_records_}


def test_records_name_every_stage(data, mixed):
    _, test, _, _ = data
    steps = {r.step for r in mixed.fit_records_}
    assert {"prior", "denoiser", "LatentRidge", "mean blurry picture"} <= steps
    assert not {i for r in mixed.fit_records_ for i in r.ids} & set(test.ids)


def test_blurry_pictures_of_another_size_are_scaled(data, mixed):
    mixed.picture_shape_ = (16, 16, 3)
    try:
        scaled = mixed._sized(np.full((2, 8, 8, 1), 0.3, np.float32))
    finally:
        mixed.picture_shape_ = (8, 8, 1)
    assert scaled.shape == (2, 16, 16, 3) and np.allclose(scaled, 0.3, atol=1e-6)


def test_presets_of_the_papers():
    atm = TwoStage(preset="paper:atm", image_options={"preset": "base"}).settings()
    assert atm["prior"]["kind"] == "unet" and atm["prior"]["embedder"]["encoder"] == "atm" and atm["mix"] == 0
    assert atm["num_inference_steps"] == 4
    mindeye = TwoStage(preset="paper:mindeye2", image_options={"preset": "base"}).settings()
    assert (mindeye["mix"], mindeye["num_inference_steps"], mindeye["guidance_scale"]) == (0.25, 38, 5.0)
    assert mindeye["blurry"]["preset"] == "paper:mindeye2" and mindeye["prior"]["n_tokens"] == 256
    assert TwoStage(preset="paper:mindeye2", image_options={"preset": "base"}, mix=0.0).settings()["mix"] == 0.0


def test_wrong_options_are_explained(data):
    train, _, pictures, features = data
    with pytest.raises(BraindecError, match="must be named"):
        TwoStage(preset="paper:atm").settings()
    with pytest.raises(BraindecError, match="no preset 'tiny:mindeye'.*tiny:mindeye2"):
        TwoStage(preset="tiny:mindeye").settings()
    with pytest.raises(BraindecError, match="no blurry picture"):
        TwoStage(mix=0.25).fit(train, pictures, features)
    with pytest.raises(BraindecError, match="mix a share"):
        TwoStage(mix=1.5, blurry={"name": "picture_ridge"}).settings()
    with pytest.raises(BraindecError, match="image embeddings"):
        TwoStage(**QUICK).fit(train, pictures)
    with pytest.raises(BraindecError, match="makes no pictures from embeddings"):
        picture_condition(RidgeToLatent(), np.zeros((1, 3)))


@pytest.mark.slow
def test_digits_are_decoded_above_every_null():
    windows, pictures, features = digits(noise=0.7)
    train, test = windows[:1500], windows[1600:1720]
    decoder = TwoStage(prior_options={"steps": 400}, image_options={"steps": 300, "cross_fit": 2}).fit(
        train, pictures, features
    )
    true = pictures.of(test.trials.stimulus_id)
    given = decoder.condition(test)
    rows = {
        "decoded": decoder.reconstruct(test),
        "shuffled": decoder.generate(np.roll(given, 31, axis=0), names=test.ids),
        "mean": decoder.generate(np.repeat(given.mean(axis=0, keepdims=True), len(given), axis=0), names=test.ids),
        "prior": decoder.prior(test.ids),
    }
    nulls = ("shuffled", "mean", "prior")
    assert two_way(rows["decoded"], true) > 0.85
    assert all(abs(two_way(rows[k], true) - 0.5) < 0.08 for k in nulls)
    assert pixcorr(rows["decoded"], true) > max(pixcorr(rows[k], true) for k in nulls) + 0.1


@pytest.mark.slow
def test_latents_refined_from_features():
    """Brain-Diffuser in small: latents by ridge, sampling begun there at strength .75, told by predicted features what to draw."""
    windows, pictures, features = digits(noise=0.7)
    train, test = windows[:1500], windows[1600:1720]
    refine = {"name": "unclip", "steps": 250, "cross_fit": 2}
    decoder = RidgeToLatent(targets="both", restore_variance=True, refine=refine).fit(train, pictures, features)
    true = pictures.of(test.trials.stimulus_id)
    made = decoder.reconstruct(test)
    assert decoder.generative and np.array_equal(decoder.reconstruct(test), made)
    assert np.allclose(decoder.reconstruct(test, strength=0.0), decoder.decode(decoder.condition(test)), atol=1e-4)
    assert two_way(made, true) > 0.9 and abs(two_way(decoder.prior(test.ids), true) - 0.5) < 0.08
    assert pixcorr(made, true) > pixcorr(decoder.prior(test.ids), true) + 0.15
