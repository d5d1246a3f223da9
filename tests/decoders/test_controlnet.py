"""ControlNetDecoder: a control that was not trained changes nothing; what is missing is said; recordings steer pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from braindec.decoders.controlnet import ControlNetDecoder
from braindec.diffusion.silhouette import silhouettes
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Features, Pictures

SMALL = {
    "prior_steps": 3,
    "steps": 3,
    "silhouette_steps": 3,
    "num_inference_steps": 3,
    "batch_size": 16,
    "cross_fit": 2,
}
CASES = {
    "signal": {"hint": "signal"},
    "signal alone": {"hint": "signal", "coarse": None},
    "silhouette": {"hint": "silhouette", "residual": True},
    "embedding": {
        "hint": "silhouette",
        "coarse": "embedding",
        "autoencoder": "patches",
        "autoencoder_options": {"patch": 2},
    },
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    pictures = digit_pictures()[np.arange(120)]
    windows = pixel_voxels(pictures, n_voxels=30, noise=0.5)
    values = np.random.default_rng(0).standard_normal((120, 6)).astype(np.float32)
    return pictures, windows[:100], windows[100:106], Features(values, pictures.items)


@pytest.fixture(scope="module")
def fitted(digits):
    pictures, train, _, features = digits
    return {k: ControlNetDecoder(**SMALL, **v).fit(train, pictures, features) for k, v in CASES.items()}


@pytest.mark.parametrize("case", CASES)
def test_saved_and_opened_it_makes_the_same_pictures(case, digits, fitted, tmp_path):
    decoder, test = fitted[case], digits[2]
    made = decoder.reconstruct(test, seed=3)
    assert made.shape == (6, 8, 8, 1) and made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
    decoder.save(tmp_path)
    again = ControlNetDecoder.load(tmp_path)
    assert np.array_equal(again.reconstruct(test, seed=3), made)
    assert [r.step for r in again.fit_records_] == [r.step for r in decoder.fit_records_]
    assert not np.array_equal(decoder.reconstruct(test, seed=4), made)


@pytest.mark.parametrize("case", CASES)
def test_no_window_has_a_part_in_another_ones_picture(case, digits, fitted):
    decoder, test = fitted[case], digits[2]
    together = decoder.condition(test)
    for k in (0, 4):
        assert np.allclose(decoder.condition(test[[k]]), together[k : k + 1], atol=1e-6)
    made = decoder.generate(together, names=test.ids)
    assert np.array_equal(decoder.generate(together[[2, 5]], names=test.ids[[2, 5]]), made[[2, 5]])


def test_an_untrained_control_is_no_control(digits, fitted):
    pictures, train, test, _ = digits
    decoder = ControlNetDecoder(**{**SMALL, "steps": 0, "hint": "silhouette", "residual": True}).fit(train, pictures)
    said = decoder.condition(test)
    assert np.array_equal(
        decoder.generate(said, names=test.ids), decoder.generate(said, names=test.ids, controls=False)
    )
    trained = fitted["silhouette"]
    assert not np.array_equal(
        trained.reconstruct(test), trained.generate(trained.condition(test), names=test.ids, controls=False)
    )
    assert np.array_equal(
        trained.reconstruct(test, control_scale=0.0),
        trained.generate(trained.condition(test), names=test.ids, controls=False),
    )


def test_training_the_control_leaves_the_denoiser_alone(digits, fitted):
    pictures, train, _, _ = digits
    before = ControlNetDecoder(**{**SMALL, "steps": 0}).fit(train, pictures).pipeline_.unet.state_dict()
    after = fitted["signal"].pipeline_.unet.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_parts_of_the_decoder_stand_beside_it(digits, fitted):
    test = digits[2]
    rows = fitted["silhouette"].ablations(test)
    assert set(rows) == {"class_only", "control_only", "no_residual"}
    assert set(fitted["signal"].ablations(test)) == {"class_only", "control_only"}
    assert set(fitted["embedding"].ablations(test)) == {"embedding_only", "control_only"}
    assert not fitted["signal alone"].ablations(test)
    decoder = fitted["silhouette"]
    assert np.array_equal(rows["class_only"], decoder.reconstruct(test, control_scale=0.0))
    ids = test.trials["stimulus_id"].tolist()
    assert decoder.ideal(ids, digits[0]).shape == (6, 8, 8, 1) and fitted["signal"].ideal(ids, digits[0]) is None
    assert decoder.prior(test.ids).shape == (6, 8, 8, 1)


def test_a_control_image_that_is_missing_is_said(digits):
    pictures, train, _, _ = digits
    drawn = Pictures(silhouettes(pictures.load()), pictures.items)
    decoder = ControlNetDecoder(**SMALL, hint="silhouette")
    with pytest.raises(BraindecError, match="control images are missing for 40 of 100 stimuli") as error:
        decoder.fit(train, pictures, silhouettes=drawn[np.arange(60)])
    assert "digit-0060" in str(error.value)
    with pytest.raises(BraindecError, match="grey pictures of the pictures' size"):
        decoder.fit(train, pictures, silhouettes=Pictures(np.zeros((120, 4, 4, 1)), pictures.items))
    own = decoder.fit(train, pictures, silhouettes=drawn).silhouette_
    again = decoder.fit(train, pictures).silhouette_  # the rule gives the same
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in own.state_dict().items())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hint": "sketch"}, "what the control image is made of"),
        ({"coarse": "caption"}, "what the denoiser is told"),
        ({"coarse": "embedding"}, "needs features"),
        ({"label": "kind"}, "no column 'kind'"),
        ({"drop": 1.0}, "drop is a share"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"pretrained": "/nowhere"}, "holds no pipeline"),
    ],
)
def test_wrong_options_are_said(digits, options, said):
    pictures, train, _, _ = digits
    with pytest.raises(BraindecError, match=said):
        ControlNetDecoder(**{**SMALL, **options}).fit(train, pictures)


def test_wrong_input_is_said(digits, fitted):
    pictures, train, test, _ = digits
    decoder = fitted["silhouette"]
    with pytest.raises(BraindecError, match="condition does not fit"):
        decoder.generate(np.zeros((2, 7)), names=["a", "b"])
    with pytest.raises(BraindecError, match="no control 'eeg'"):
        decoder.generate(decoder.condition(test), names=test.ids, weights={"eeg": 1.0})
    with pytest.raises(BraindecError, match="not fitted"):
        ControlNetDecoder().reconstruct(test)
    with pytest.raises(BraindecError, match="no picture of"):
        ControlNetDecoder(**SMALL).fit(train, pictures[np.arange(50)])
    with pytest.raises(BraindecError, match="still pictures"):
        films = Pictures(np.zeros((120, 2, 8, 8, 1)), pictures.items, 5.0)
        ControlNetDecoder(**SMALL).fit(train, films)


def test_a_denoiser_that_was_trained_before(digits, fitted, tmp_path):
    pictures, train, test, _ = digits
    first = fitted["signal"]
    from braindec.diffusion.image_pipeline import BrainImagePipeline

    prior = BrainImagePipeline(first.pipeline_.unet, first.pipeline_.scheduler, first.pipeline_.conditioner)
    prior.save_pretrained(tmp_path, safe_serialization=True)
    second = ControlNetDecoder(**SMALL, pretrained=str(tmp_path)).fit(train, pictures)
    assert np.array_equal(second.prior(test.ids), first.prior(test.ids))
    with pytest.raises(BraindecError, match="listens to something else"):
        fewer = replace(pictures, items=pictures.items.assign(concept_id=pictures.items["concept_id"].astype(int) % 3))
        ControlNetDecoder(**SMALL, pretrained=str(tmp_path)).fit(train, fewer)
    with pytest.raises(BraindecError, match="another size or mode"):
        large = Pictures(np.zeros((120, 16, 16, 1)), pictures.items)
        ControlNetDecoder(**SMALL, pretrained=str(tmp_path)).fit(train, large)


def two_way(made, true, labels=None):
    """How often the own picture correlates more with what was made than another one does (of its class with ``labels``)."""
    a, b = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(axis=1, keepdims=True) for v in (made, true))
    r = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    other = ~np.eye(len(r), dtype=bool) if labels is None else (labels[:, None] == labels) & ~np.eye(len(r), dtype=bool)
    return float((r < np.diag(r)[:, None])[other].mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"hint": "signal", "prior_steps": 200, "steps": 170},
        {"hint": "silhouette", "residual": True, "prior_steps": 90, "steps": 150},
    ],
)
def test_recordings_steer_the_pictures_of_digits(options):
    pictures = digit_pictures()
    windows = pixel_voxels(pictures, n_voxels=300, noise=1.0)
    train, test = windows[:1400], windows[1400:1500]
    decoder = ControlNetDecoder(**options, silhouette_steps=80, num_inference_steps=12).fit(train, pictures)
    condition, true = decoder.condition(test), pictures.of(test.trials["stimulus_id"])
    labels = test.trials["concept_id"].to_numpy()
    made = decoder.generate(condition, names=test.ids)
    assert two_way(made, true) > 0.9 and two_way(made, true, labels) > 0.7
    for null in (np.roll(condition, 37, axis=0), np.repeat(condition.mean(axis=0, keepdims=True), 100, axis=0), None):
        assert abs(two_way(decoder.generate(null, names=test.ids), true) - 0.5) < 0.08
    parts = decoder.ablations(test, guidance_scale=2.0)
    assert two_way(parts["class_only"], true, labels) < 0.62  # a class names no exemplar
    assert two_way(parts["control_only"], true, labels) > 0.7
    if options["hint"] == "signal":
        assert two_way(parts["class_only"], true) > 0.62  # and still scores
