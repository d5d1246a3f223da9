"""Conditioned, Unclip and LowLevel: the same picture after saving, no neighbour has a part in it, wrong input is said."""

import inspect
import warnings

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.decoders._diffusion_training import denoiser_unet
from braindec.decoders._embedding_errors import EmbeddingErrors
from braindec.decoders._reconstruction import average_repetitions, extra_digits, picture_components
from braindec.decoders.conditioned import Conditioned
from braindec.decoders.low_level import LowLevel
from braindec.decoders.nearest_embedding import NearestEmbedding
from braindec.decoders.unclip import Unclip
from braindec.diffusion.blurry_decoder import BlurryDecoder
from braindec.diffusion.patch_autoencoder import PatchAutoencoder
from braindec.diffusion.presets import PARAMETERS
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.loaders.synthetic_pictures import digit_pictures, pixel_voxels
from braindec.types import Features, Pictures, Windows

SMALL = {"steps": 4, "batch_size": 16, "num_inference_steps": 3}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    pictures = digit_pictures()[np.arange(120)]
    windows = pixel_voxels(pictures, n_voxels=40, noise=0.5)
    features = picture_components(pictures, pictures.ids[:100], n=8)
    return pictures, features, windows[:100], windows[100:]


CASES = {
    "raw": (Conditioned, {}),
    "embedder": (Conditioned, {"embedder": {"name": "ridge", "scaler": "standard"}, "cross_fit": 2}),
    "picture": (Conditioned, {"embedder": {"name": "picture_ridge"}, "cross_fit": 2, "double": False}),
    "patches": (Conditioned, {"autoencoder": "patches", "autoencoder_options": {"patch": 2}}),
    "autoencoder": (Conditioned, {"autoencoder": "tiny", "autoencoder_options": {"steps": 3}}),
    "dpm": (Conditioned, {"sampler": "dpm++"}),
    "unclip": (Unclip, {"embedder": {"name": "ridge", "scaler": "standard"}, "cross_fit": 2}),
    "nearest": (NearestEmbedding, {"embedder": {"name": "ridge", "scaler": "standard"}}),
    "blurry": (LowLevel, {}),
    "blurry atm": (LowLevel, {"preset": "tiny:atm"}),
    "blurry patches": (LowLevel, {"preset": "tiny:mindeye2", "autoencoder": "patches", "autoencoder_options": {"patch": 2}}),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_the_same_picture_after_saving_and_whatever_stands_beside(case, digits, tmp_path):
    pictures, features, train, test = digits
    kind, options = CASES[case]
    known = inspect.signature(kind).parameters
    options = {**{k: v for k, v in SMALL.items() if k in known}, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        warnings.filterwarnings("ignore", "__array__ implementation")  # inside a sampler of diffusers
        decoder = kind(**options).fit(train, pictures, features)
        made = decoder.reconstruct(test)
        decoder.save(tmp_path / "model")
        again = kind.load(tmp_path / "model")
    assert made.shape == (20, 8, 8, 1)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert np.array_equal(again.reconstruct(test), made)
    np.testing.assert_allclose(decoder.reconstruct(test[7:8])[0], made[7], atol=1e-4)
    some = decoder.condition(test)
    np.testing.assert_allclose(decoder.condition(test[7:8])[0], some[7], atol=1e-4)
    assert np.array_equal(decoder.generate(some[7:8], names=test.ids[7:8])[0], made[7])
    if decoder.generative:
        assert not np.array_equal(decoder.reconstruct(test, seed=1), made)
        assert decoder.prior(test.ids).shape == made.shape
    else:
        with pytest.raises(BraindecError, match="no prior"):
            decoder.prior(test.ids)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".pkl", ".bin", ".pt")]
    assert {r.hash for r in decoder.fit_records_} == {r.hash for r in again.fit_records_}


def test_same_seed_same_bytes_and_another_seed_other_ones(digits):
    pictures, features, train, test = digits
    first, again, other = (
        Unclip(cross_fit=2, seed=s, **SMALL).fit(train, pictures, features).reconstruct(test[:4]) for s in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_any_modality_and_an_encoder_that_is_trained_along_or_opened(digits, tmp_path):
    pictures, *_ = digits
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6, 64)).astype(np.float32)
    windows = Windows.from_arrays(X, {"stimulus_id": pictures.ids[:40]}, sfreq=64.0, modality="eeg", unit="V")
    plain = Conditioned(**SMALL, time_bins=4).fit(windows, pictures)
    assert plain.condition(windows).shape == (40, 24)
    name = "ridge"
    learned = Conditioned(**SMALL, encoder=name).fit(windows, pictures)
    untrained = Conditioned(**{**SMALL, "steps": 1, "lr": 1e-12}, encoder=name).fit(windows, pictures)
    assert not np.allclose(learned.condition(windows), untrained.condition(windows))
    learned.encoder_.save(tmp_path / "encoder")
    opened = Conditioned(**SMALL, encoder=str(tmp_path / "encoder"), train_encoder=False).fit(windows, pictures)
    np.testing.assert_allclose(opened.condition(windows), learned.condition(windows), atol=1e-6)
    learned.save(tmp_path / "model")
    assert np.array_equal(Conditioned.load(tmp_path / "model").reconstruct(windows), learned.reconstruct(windows))
    with pytest.raises(BraindecError, match="no encoder"):
        Conditioned(**SMALL, encoder="rigde").fit(windows, pictures)
    uses = [
        n
        for n in registry.names("encoders")
        if issubclass(k := registry.get("encoders", n), Encoder) and k.uses_subject
    ]
    if uses:
        with pytest.raises(BraindecError, match="asks for the subject"):
            Conditioned(**SMALL, encoder=uses[0]).fit(windows, pictures)


def test_training_rows_are_predicted_by_decoders_that_did_not_see_their_stimuli(digits):
    """In-sample predictions of more voxels than trials are nearly perfect; cross-fitted ones are as bad as at test."""
    pictures, features, _, _ = digits
    windows = pixel_voxels(pictures, n_voxels=200, noise=3.0)
    train, test = windows[:100], windows[100:]
    options = {"embedder": {"name": "ridge", "alpha": 1.0}, **SMALL}
    fitted = {k: Unclip(cross_fit=k, **options).fit(train, pictures, features) for k in (0, 5)}
    t = features.of(test.trials["stimulus_id"])
    errors = np.std(fitted[5].embed(test) - t)
    spread = {k: float(np.std(d.errors_.residuals * d.scale_)) for k, d in fitted.items()}
    assert spread[0] < 0.5 * spread[5]
    assert 0.5 < spread[5] / errors < 2


def test_blurred_embeddings_look_like_predicted_ones():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 3)).astype(np.float32)
    noise = rng.normal(size=(4000, 3)) @ np.array([[0.5, 0.4, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 0.7]])
    predicted = true * np.array([0.9, 0.5, 0.2]) + noise
    errors = EmbeddingErrors.measured(predicted, true)
    np.testing.assert_allclose(errors.keep, [0.9, 0.5, 0.2], atol=0.05)
    blurred = errors.blur(torch.from_numpy(true), torch.Generator().manual_seed(0)).numpy()
    level = blurred[:, -1]
    assert 0.4 < (level == 1).mean() < 0.6
    np.testing.assert_allclose(np.cov(blurred[level == 1, :3].T), np.cov(predicted.T), atol=0.1)
    nearly = level < 0.05
    np.testing.assert_allclose(blurred[nearly, :3], true[nearly], atol=0.35)


def test_the_best_candidate_is_the_closest_to_the_brain(digits):
    pictures, features, train, test = digits
    decoder = Unclip(cross_fit=2, n_candidates=4, **SMALL).fit(train, pictures, features)
    axes = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)

    def describe(made):
        return made.reshape(len(made), 64) @ axes

    made = decoder.reconstruct(test, describe_pictures=describe)
    decoder.n_candidates = 1
    tried = np.stack([decoder.generate(decoder.condition(test), names=[f"{n}/candidate-{k}" for n in test.ids]) for k in range(4)])  # fmt: skip
    wanted = decoder.condition(test)[:, :-1]
    for i in range(len(test)):
        z = (describe(tried[:, i]) - decoder.mean_) / decoder.scale_
        best = int(np.argmax(z @ wanted[i] / np.linalg.norm(z, axis=1)))
        assert np.array_equal(made[i], tried[best, i])
    decoder.n_candidates = 2
    with pytest.raises(BraindecError, match="embeddings of pictures"):
        decoder.reconstruct(test)


def test_the_nearest_embedding_is_the_one_with_the_least_squared_distance(digits):
    pictures, features, train, test = digits
    decoder = NearestEmbedding().fit(train, pictures, features)
    bank = (features.of(decoder.bank_ids_) - decoder.mean_) / decoder.scale_
    best = [np.argmin([((z - b) ** 2).sum() for b in bank]) for z in decoder.condition(test)]
    np.testing.assert_array_equal(decoder.reconstruct(test), pictures.of(decoder.bank_ids_[best]))
    own = decoder.ideal(decoder.bank_ids_[:5], pictures, features)
    np.testing.assert_array_equal(own, pictures.of(decoder.bank_ids_[:5]))
    with pytest.raises(BraindecError, match="goes through embeddings"):
        NearestEmbedding().fit(train, pictures)


def test_extra_pictures_teach_the_prior_only(digits):
    pictures, features, train, test = digits
    more = extra_digits(pictures, [6, 9])
    assert set(more.items["concept_id"]) == {"6", "9"}
    assert not set(more.ids) & set(pictures.ids)
    with_more = Conditioned(**SMALL, extra_pictures=more).fit(train, pictures)
    assert not np.array_equal(with_more.reconstruct(test), Conditioned(**SMALL).fit(train, pictures).reconstruct(test))
    both = picture_components(pictures, pictures.ids[:100], n=8, more=more)
    assert Unclip(cross_fit=2, extra_pictures=more, **SMALL).fit(train, pictures, both).reconstruct(test).shape == (20, 8, 8, 1)  # fmt: skip
    with pytest.raises(BraindecError, match="stimulus ids of the trials have no features"):
        Unclip(cross_fit=2, extra_pictures=more, **SMALL).fit(train, pictures, features)
    wide = Pictures.from_arrays(np.zeros((3, 16, 16, 1)), ["a", "b", "c"])
    for kind in (Conditioned, LowLevel):
        with pytest.raises(BraindecError, match="another size or mode"):
            kind(extra_pictures=wide).fit(train, pictures)


def test_patches_give_pictures_back():
    x = torch.rand(50, 3, 8, 8) * 2 - 1
    whole = PatchAutoencoder(channels=3, patch=4, latent_channels=48).fit(x)
    z = whole.encode(x).latent_dist.mode()
    assert z.shape == (50, 48, 2, 2)
    np.testing.assert_allclose(whole.decode(z).sample.numpy(), x.numpy(), atol=1e-4)
    np.testing.assert_allclose(float(z.var()), 1.0, atol=0.05)
    some = PatchAutoencoder(channels=3, patch=4, latent_channels=10, whiten=True).fit(x)
    z = some.encode(x).latent_dist.mode()
    np.testing.assert_allclose(z.permute(1, 0, 2, 3).reshape(10, -1).std(dim=1).numpy(), 1.0, atol=0.02)
    patches = x.reshape(50, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(200, 48).numpy()
    u, s, v = np.linalg.svd(patches - patches.mean(axis=0), full_matrices=False)
    best = (u[:, :10] * s[:10]) @ v[:10] + patches.mean(axis=0)
    back = some.decode(z).sample.reshape(50, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(200, 48).numpy()
    np.testing.assert_allclose(back, best, atol=1e-4)
    with pytest.raises(BraindecError, match="cut into patches"):
        some.encode(torch.zeros(1, 3, 6, 6))


@pytest.mark.parametrize(
    ("preset", "n_chans", "n_times", "shape", "n_parameters"),
    [("paper:mindeye1", 15724, 1, (4, 64, 64), 205_526_468), ("paper:mindeye2", 4096, 1, (4, 28, 28), 31_388_516),
     ("paper:atm", 63, 250, (4, 64, 64), 143_303_876)],
)  # fmt: skip
def test_published_sizes_of_blurry_decoders(preset, n_chans, n_times, shape, n_parameters):
    with torch.device("meta"):
        module = BlurryDecoder(n_chans=n_chans, n_times=n_times, **BlurryDecoder.PRESETS[preset])
        made = module(torch.zeros(2, n_chans, n_times))
    assert made.shape == (2, *shape)
    assert sum(p.numel() for p in module.parameters()) == n_parameters
    first = {k: tuple(v.shape) for k, v in module.state_dict().items() if "weight" in k}
    if preset == "paper:mindeye1":
        assert first["first.0.weight"] == (4096, 15724)
        assert first["last.weight"] == (16384, 4096)
        assert len(module.blocks) == 4
    if preset == "paper:mindeye2":
        assert first["last.weight"] == (4 * 28 * 28, 4096)
    if preset == "paper:atm":
        assert first["first.weight"] == (128, 250)
        assert first["up.0.weight"][0] == 63 * 128 == 8064
        assert sum(isinstance(m, torch.nn.ConvTranspose2d) for m in module.modules()) == 6


def test_the_denoiser_of_mind_vis_has_its_published_size():
    with torch.device("meta"):
        plain = denoiser_unet("paper", channels=3, size=(64, 64))
        double = denoiser_unet("paper", channels=3, size=(64, 64), vector=512)
    assert sum(p.numel() for p in plain.parameters()) == PARAMETERS["unet"]["paper:mindvis"]
    more = sum(p.numel() for p in double.parameters()) - sum(p.numel() for p in plain.parameters())
    assert more == 512 * 768 + 768 + 768 * 768 + 768  # the vector goes through two layers into the time embedding


def test_repetitions_are_averaged_by_stimulus():
    pictures = digit_pictures()[np.arange(10)]
    windows = pixel_voxels(pictures, n_voxels=5, repetitions=3)
    means = average_repetitions(windows)
    data = windows.load()
    shown = windows.trials["stimulus_id"].to_numpy()
    np.testing.assert_array_equal(means.trials["stimulus_id"], pictures.ids)
    np.testing.assert_allclose(means.load(), [data[shown == s].mean(axis=0) for s in pictures.ids], atol=1e-5)


def test_what_is_wrong_is_said(digits):
    pictures, features, train, _ = digits
    cases = [
        (Unclip(), (train, pictures), "goes through embeddings"),
        (Unclip(embedder={"name": "ridge"}), (train, pictures[:5], features), "there is no picture of"),
        (Conditioned(embedder={"name": "ridge"}), (train, pictures), "needs features"),
        (Conditioned(embedder={"name": "ridge"}, encoder="ridge"), (train, pictures, features), "not both"),
        (Conditioned(preset="small"), (train, pictures), "small"),
        (Conditioned(sampler="dimm", **SMALL), (train, pictures), "dimm"),
        (Conditioned(steps=0), (train, pictures), "steps must be"),
        (Conditioned(drop=1.0), (train, pictures), "drop is a share"),
        (Conditioned(time_bins=9), (train, pictures), "time_bins"),
        (Conditioned(autoencoder="/nowhere"), (train, pictures), "nowhere"),
        (LowLevel(preset="paper:mindeye1"), (train, pictures), "other latents"),
        (LowLevel(preset="tinny"), (train, pictures), "no preset"),
    ]
    for decoder, given, message in cases:
        with pytest.raises(BraindecError, match=message):
            decoder.fit(*given)
    films = Pictures.from_arrays(np.zeros((100, 2, 8, 8, 1)), train.trials["stimulus_id"].tolist())
    for kind in (Conditioned, Unclip, LowLevel):
        with pytest.raises(BraindecError, match="still pictures"):
            kind().fit(train, films, features)
    fitted = Unclip(cross_fit=2, **SMALL).fit(train, pictures, features)
    short = Features(features.load()[:, :5], features.items)
    with pytest.raises(BraindecError, match="do not fit the model"):
        fitted.ideal(pictures.ids[:3], pictures, short)
    with pytest.raises(BraindecError, match="do not fit the model"):
        fitted.generate(np.zeros((2, 5), np.float32), names=["a", "b"])
    with pytest.raises(BraindecError, match="one name for each"):
        fitted.generate(fitted.condition(train[:2]), names=["a"])


def test_a_loss_that_is_not_finite_stops(digits):
    pictures, _, train, _ = digits
    with pytest.raises(BraindecError, match="the loss became nan"):
        Conditioned(**{**SMALL, "steps": 30}, lr=1e20, training={"clip_norm": None}, ema=None).fit(train, pictures)
