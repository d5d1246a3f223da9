"""What decoders of pictures and captions are given wrongly is said once; nothing that is not finite comes out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from braindec.decoders._make import make_decoder
from braindec.decoders.caption import CaptionDecoder
from braindec.decoders.diffusion_prior import DiffusionPrior
from braindec.decoders.fusion import FusionDecoder
from braindec.decoders.nearest_picture import NearestPicture
from braindec.decoders.picture_ridge import PictureRidge
from braindec.decoders.ridge_to_latent import RidgeToLatent
from braindec.decoders.two_stage import TwoStage
from braindec.decoders.voxel_captions import VoxelCaptioner
from braindec.errors import BraindecError
from braindec.llm.captioner import load_captioner, make_captioner
from braindec.loaders.synthetic_scenes import scene_cohort

_COHORT = scene_cohort(
    n_train=40, n_test=8, n_subjects=1, size=8, test_repetitions=1, train_runs=2, test_runs=1, signal={"n_voxels": 30}
)
_FAST = {"steps": 6, "batch_size": 8, "cross_fit": 2, "num_inference_steps": 2}


@pytest.fixture(scope="module")
def parts():
    windows = _COHORT.windows("01")
    part = windows.trials["part"].to_numpy()
    return windows[np.flatnonzero(part == "train")], windows[np.flatnonzero(part == "test")]


@pytest.fixture(scope="module")
def fitted(parts):
    made = {
        "ridge": PictureRidge(), "nearest": NearestPicture(average=2), "latent": RidgeToLatent(autoencoder=None),
        "caption": CaptionDecoder(),
    }  # fmt: skip
    for decoder in made.values():
        decoder.fit(parts[0], _COHORT.pictures, _COHORT.features)
    made["prior"] = DiffusionPrior(**_FAST).fit(parts[0], _COHORT.features)
    return made


@pytest.mark.parametrize("name", ["ridge", "nearest", "latent", "caption", "prior"])
def test_conditions_that_do_not_fit_are_refused(fitted, parts, name):
    decoder, ids = fitted[name], parts[1].ids
    make = decoder.sample if name == "prior" else decoder.generate
    right = decoder.condition(parts[1])
    bad = {"not finite": right * np.nan, "does not fit": right.reshape(len(right), -1)[:, :3]}
    for says, condition in bad.items():
        with pytest.raises(BraindecError, match=says):
            make(condition, names=ids)
    with pytest.raises(BraindecError, match="does not fit"):
        make(right.reshape(len(right), -1)[0], names=ids)
    with pytest.raises(BraindecError, match="one name for each"):
        make(right, names=ids[:2])
    assert len(make(right[:0], names=[])) == 0
    assert len(make(right, names=ids)) == len(ids)


def test_nearest_pictures_of_many_windows_are_those_of_few(fitted, parts):
    decoder = fitted["nearest"]
    some = decoder.condition(parts[1])
    many = np.tile(some, (200, 1, 1, 1))  # more than one block
    np.testing.assert_array_equal(decoder.nearest(many), np.tile(decoder.nearest(some), (200, 1)))
    expected = decoder.bank_[decoder.nearest(some)].mean(axis=1)
    np.testing.assert_allclose(decoder.generate(some, names=parts[1].ids), expected, atol=1e-6)


def test_no_windows_give_nothing_and_no_training_windows_are_said(fitted, parts):
    for name in ("ridge", "nearest", "latent", "caption"):
        assert len(fitted[name].reconstruct(parts[1][[]])) == 0
        with pytest.raises(BraindecError, match="no training windows"):
            type(fitted[name])().fit(parts[0][[]], _COHORT.pictures, _COHORT.features)
    fused = FusionDecoder(epochs=1).fit(parts[0], _COHORT.features)
    assert fused.embed(parts[1][[]]).shape == (0, _COHORT.features.shape[1])


@pytest.mark.parametrize("kind", [PictureRidge, NearestPicture, CaptionDecoder, TwoStage])
def test_pictures_that_are_none_are_said(parts, kind):
    with pytest.raises(BraindecError, match="picture"):
        kind().fit(parts[0], None, _COHORT.features)


def test_a_folder_of_another_decoder_or_version_is_refused(fitted, tmp_path):
    fitted["ridge"].save(tmp_path)
    for kind in (DiffusionPrior, CaptionDecoder, NearestPicture):
        with pytest.raises(BraindecError, match="does not hold"):
            kind.load(tmp_path)
    about = json.loads((tmp_path / "decoder.json").read_text())
    about["params"]["of_tomorrow"] = 1
    (tmp_path / "decoder.json").write_text(json.dumps(about))
    with pytest.raises(BraindecError, match="another version"):
        PictureRidge.load(tmp_path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_decoder({"name": "ridge", "alpa": 1}), "did you mean 'alpha'"),
        (lambda: make_decoder("ridge"), "by its name"),
        (lambda: NearestPicture(average=1.5), "average"),
        (lambda: RidgeToLatent(strength="a"), "strength"),
        (lambda: CaptionDecoder(embedder="ridge"), "embedder"),
        (lambda: CaptionDecoder(captioner="nearest"), "captioner"),
        (lambda: CaptionDecoder(captioner={"name": "nearest", "consensus": "a"}), "consensus"),
        (lambda: CaptionDecoder(captioner={"name": "prefix", "steps": 2.5}), "steps"),
        (lambda: CaptionDecoder(captioner={"name": "prefix", "prefix": 0}), "prefix"),
        (lambda: CaptionDecoder(captioner={"name": "prefix", "lr": -1}), "lr"),
        (lambda: TwoStage(prior_options={"stepz": 1}), "did you mean 'steps'"),
        (lambda: TwoStage(blurry="low_level"), "blurry"),
        (lambda: TwoStage(level=5), "level"),
    ],
)
def test_options_that_cannot_be_are_said_before_anything_is_trained(parts, make, says):
    with pytest.raises(BraindecError, match=says):
        make().fit(parts[0], _COHORT.pictures, _COHORT.features)


@pytest.mark.parametrize("options", [{"min_snr": -1}, {"n_tokens": 0}, {"cross_fit": 2.5}, {"embedder": "ridge"}])
def test_options_of_a_prior_that_cannot_be_are_said(parts, options):
    with pytest.raises(BraindecError):
        DiffusionPrior(**{**_FAST, **options}).fit(parts[0], _COHORT.features)


def test_a_prior_knows_its_options_of_sampling(fitted, parts):
    with pytest.raises(BraindecError, match="did you mean 'num_inference_steps'"):
        fitted["prior"].sample(None, names=["a"], num_inference_step=3)


@pytest.mark.parametrize("options", [{"n_folds": 2.5}, {"n_folds": 1}, {"sharpness": "a"}, {"captioner": "nearest"}])
def test_options_of_a_captioner_of_voxels_that_cannot_be_are_said(parts, options):
    with pytest.raises(BraindecError):
        VoxelCaptioner(**options).fit(parts[0], _COHORT.features)


def test_the_bank_of_a_captioner_of_voxels_holds_training_stimuli_alone(parts):
    shown = set(parts[0].trials["stimulus_id"])
    mine = np.isin(_COHORT.features.ids, list(shown))
    decoder = VoxelCaptioner().fit(parts[0], _COHORT.features)
    np.testing.assert_array_equal(decoder.bank_, _COHORT.features.load()[mine])
    names = [f"caption {i}" for i in _COHORT.features.ids]  # given for all: those of the bank are taken
    named = VoxelCaptioner().fit(parts[0], _COHORT.features, captions=names)
    assert {t.removeprefix("caption ") for t in named.captioner_.bank_captions_} == shown


def test_a_captioner_that_is_damaged_is_said(tmp_path):
    made = make_captioner({"name": "prefix", "steps": 1}).fit(np.eye(4, dtype=np.float32), ["a b", "c", "d", "é ü"])
    assert len(made.captions(np.zeros((0, 4), np.float32))) == 0
    made.save(tmp_path)
    weights = tmp_path / "language" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(BraindecError, match="cannot be opened"):
        load_captioner(tmp_path)
