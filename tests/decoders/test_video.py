"""Decoders of films: interface, saving, ablations, bad input; and, slowly, that the direction of motion is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from braindec import registry
from braindec.decoders._film_rows import (
    SHUFFLED,
    STILL,
    exchange_channels,
    film_rows,
    motion_channels,
    motion_sentences,
)
from braindec.decoders._films import film_denoiser, first_frames
from braindec.decoders.controls import control_rows, inductive_finding
from braindec.decoders.flow_animation import FlowAnimation
from braindec.decoders.mind_animator import MindAnimator
from braindec.decoders.mind_video import MindVideo
from braindec.decoders.neurocine import NeuroCine, film_components, interpolated, masked, next_rows
from braindec.decoders.video import VideoDecoder
from braindec.diffusion.presets import on_meta
from braindec.errors import BraindecError
from braindec.evaluate.films.motion_direction import motion_direction
from braindec.evaluate.optical_flow import film_flows
from braindec.loaders.scenes import scene_features, scene_pictures
from braindec.loaders.synthetic_scenes import scene_fmri
from braindec.types import Features, Pictures

torch.set_num_threads(1)
FEW = {"steps": 6, "batch_size": 8, "num_inference_steps": 4}
SMALL = {
    "video": (VideoDecoder, {**FEW, "embedder": {"name": "ridge"}, "cross_fit": 2}),
    "mind_video": (MindVideo, {**FEW, "encoder_steps": 4, "encoder_options": {"dim": 16, "heads": 2}}),
    "neurocine": (NeuroCine, {**FEW, "encoder_steps": 4, "cross_fit": 0}),
    "mind_animator": (MindAnimator, {**FEW, "reader_steps": 4}),
    "flow_animation": (FlowAnimation, {}),
}


def films(n, **more):
    scenes = {"size": 8, "n_frames": 4, "speed": 0.8, "radius": (0.17, 0.2), "shapes": 2, "colours": 3, **more}
    return scene_pictures(n, film=True, **scenes)


@pytest.fixture(scope="module")
def seen():
    """48 films, an fMRI that sees them, their features."""
    pictures = films(48)
    return pictures, scene_fmri(pictures, n_voxels=40, noise=0.3, runs=4), scene_features(pictures)


@pytest.fixture(scope="module")
def fitted(seen):
    pictures, windows, features = seen
    return {name: kind(**options).fit(windows[:36], pictures, features) for name, (kind, options) in SMALL.items()}


@pytest.mark.parametrize("name", list(SMALL))
def test_films_have_the_shape_of_those_shown_and_the_same_seed_gives_the_same_bytes(name, seen, fitted):
    _, windows, _ = seen
    test, decoder = windows[36:42], fitted[name]
    made = decoder.reconstruct(test, seed=1)
    assert made.shape == (6, 4, 8, 8, 3) and made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
    assert np.array_equal(made, decoder.reconstruct(test, seed=1))
    if decoder.generative:
        assert not np.array_equal(made, decoder.reconstruct(test, seed=2))
        assert decoder.prior(["a", "b"]).shape == (2, 4, 8, 8, 3)
    else:
        with pytest.raises(BraindecError, match="no prior"):
            decoder.prior(["a"])
    assert {i for r in decoder.fit_records_ for i in r.ids} <= set(windows[:36].ids)
    assert isinstance(clone(decoder), type(decoder))
    assert registry.get("decoders", name) is type(decoder)


@pytest.mark.parametrize("name", list(SMALL))
def test_a_films_neighbours_have_no_part_in_it(name, seen, fitted):
    """Also with guidance away from a mean: it is the training mean."""
    _, windows, _ = seen
    decoder, test = fitted[name], windows[36:44]
    assert inductive_finding(decoder, test).level == "pass"
    strange = exchange_channels(test, np.arange(test.n_channels), np.roll(np.arange(8), 1))
    mixed = exchange_channels(test, np.arange(test.n_channels), np.array([0, 3, 1, 2, 7, 4, 5, 6]))
    assert np.array_equal(decoder.reconstruct(test)[0], decoder.reconstruct(mixed)[0])
    assert not np.array_equal(decoder.condition(test)[0], decoder.condition(strange)[0])


@pytest.mark.parametrize("name", list(SMALL))
def test_saves_and_loads(name, seen, fitted, tmp_path):
    _, windows, _ = seen
    decoder = fitted[name]
    decoder.save(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    again = type(decoder).load(tmp_path)
    assert np.array_equal(again.condition(windows[36:40]), decoder.condition(windows[36:40]))
    assert np.array_equal(again.reconstruct(windows[36:40]), decoder.reconstruct(windows[36:40]))
    assert again.get_params() == decoder.get_params()


def test_guidance_goes_away_from_the_training_mean(seen, fitted):
    _, windows, _ = seen
    decoder = fitted["mind_video"]
    train = decoder.condition(windows[:36])
    assert np.allclose(decoder.mean_condition_, train.mean(axis=0, keepdims=True), atol=1e-6)
    other = VideoDecoder(**FEW, negative="training mean").fit(windows[:36], seen[0])
    condition = other.condition(windows[36:38])
    away = other.generate(condition, names=["a", "b"])
    by_hand = other.pipeline_(
        condition, names=["a", "b"], num_inference_steps=4, guidance_scale=2.0, negative_condition=other.mean_condition_
    )
    assert np.allclose(away, by_hand.frames, atol=1e-5)
    assert not np.allclose(away, other.generate(condition, names=["a", "b"], guidance_scale=1.0), atol=1e-4)


@pytest.mark.parametrize("kind", ["unet3d", "motion"])
def test_other_denoisers_first_frames_and_latents(kind, seen):
    pictures, windows, _ = seen
    options = {"denoiser": kind, "first_frame": True, "autoencoder": "patches", "autoencoder_options": {"patch": 2}}
    decoder = VideoDecoder(**{**FEW, "steps": 2}, **options, noise_mixing=0.5).fit(windows[:36], pictures)
    condition, first = decoder.condition(windows[36:38]), pictures.of(windows.trials["stimulus_id"][36:38])[:, 0]
    made = decoder.generate(condition, names=["a", "b"], first_frame=first)
    assert made.shape == (2, 4, 8, 8, 3)
    assert not np.allclose(made, decoder.generate(condition, names=["a", "b"]))


def test_paper_denoisers_have_the_published_sizes():
    for kind, n in (("unet3d", 1_411_233_860), ("motion", 1_312_730_244)):
        _, found = on_meta(
            lambda k=kind: film_denoiser(k, "paper", channels=4, n_frames=16, size=(32, 32), places=False)
        )
        assert found == n
    # the motion model is Stable Diffusion 1.5 and AnimateDiff's second set of motion modules
    assert 1_312_730_244 == 859_520_964 + 453_209_280


def test_parts_of_mind_animator_can_be_taken_away(seen, fitted):
    pictures, windows, features = seen
    decoder, test = fitted["mind_animator"], windows[36:40]
    condition, names = decoder.condition(test), test.ids
    parts = decoder.parts(test)
    assert parts["tokens"].shape == (4, 1, features.values.shape[1]) and parts["stack"].shape == (4, 3, 4, 8, 8)
    stack = np.clip(parts["stack"].transpose(0, 2, 3, 4, 1) / 2 + 0.5, 0, 1)
    assert np.allclose(decoder.generate(condition, names=names, strength=0.0), stack, atol=1e-6)
    still = decoder.generate(condition, names=names, strength=0.0, without=["motion"])
    assert np.allclose(still, stack[:, :1].repeat(4, axis=1), atol=1e-6)
    mean = np.clip(decoder.mean_first_[0].transpose(1, 2, 0) / 2 + 0.5, 0, 1)
    plain = decoder.generate(condition, names=names, strength=0.0, without=["structure"])
    assert np.allclose(plain[:, 0], mean, atol=1e-6)
    whole, unsaid = (decoder.generate(condition, names=names, strength=0.6, without=w) for w in ([], ["semantic"]))
    assert not np.allclose(whole, unsaid)
    shown = list(test.trials["stimulus_id"])
    assert np.allclose(decoder.ideal(shown, pictures, features, strength=0.0), pictures.of(shown), atol=1e-5)
    with pytest.raises(BraindecError, match="motion"):
        decoder.generate(condition, names=names, without=["moton"])


def test_flow_animation_moves_the_still_by_the_flow_that_was_read(seen, fitted):
    pictures, windows, _ = seen
    decoder, test = fitted["flow_animation"], windows[36:40]
    flow = decoder.flow(test)
    assert flow.shape == (4, 3, 8, 8, 2)
    assert np.allclose(np.linalg.norm(flow, axis=-1).max(axis=(1, 2, 3)), decoder.speed_, rtol=1e-3)
    made = decoder.reconstruct(test)
    still = np.clip(decoder.still_.condition(test), 0, 1)
    assert np.allclose(made[:, 0], still, atol=1e-6)
    frozen = decoder.generate(decoder.condition(test), names=test.ids, without=["motion"])
    assert np.allclose(frozen, still[:, None].repeat(4, axis=1), atol=1e-6)
    own = decoder.animate(test, pictures.of(test.trials["stimulus_id"])[:, 0])
    assert np.allclose(own[:, 0], pictures.of(test.trials["stimulus_id"])[:, 0], atol=1e-6)
    assert film_flows(own).any()


def test_a_refiner_denoises_the_animated_film(seen, tmp_path):
    pictures, windows, features = seen
    decoder = FlowAnimation(refiner={**FEW, "steps": 2}, strength=0.5, still={"name": "nearest_picture"}).fit(
        windows[:36], pictures, features
    )
    assert decoder.generative
    made = decoder.reconstruct(windows[36:38])
    assert made.shape == (2, 4, 8, 8, 3) and not np.array_equal(made, decoder.reconstruct(windows[36:38], seed=4))
    decoder.save(tmp_path)
    assert np.array_equal(FlowAnimation.load(tmp_path).reconstruct(windows[36:38]), made)


def test_augmentations_of_neurocine():
    g = torch.Generator().manual_seed(0)
    x = torch.ones(400, 50, 2)
    kept = masked(x, 0.3, g)
    assert np.allclose(kept.unique(), [0.0, 1 / 0.7])
    assert torch.equal(kept[..., 0], kept[..., 1])  # whole channels
    assert abs(float(kept.mean()) - 1) < 5 * (0.3 / 0.7 / 20000) ** 0.5
    batch = {
        "given": torch.zeros(1000, 1, 1),
        "next_given": torch.ones(1000, 1, 1),
        "x": torch.zeros(1000, 1),
        "next_x": torch.ones(1000, 1),
    }
    mixed, target = interpolated(batch, 0.4, g)
    assert torch.equal(mixed[:, 0], target) and 0 <= mixed.min() and mixed.max() <= 0.4
    assert abs(float(mixed.mean()) - 0.2) < 5 * 0.4 / (12 * 1000) ** 0.5


def test_the_next_window_is_of_the_same_run(seen):
    windows = seen[1]
    after = next_rows(windows)
    run, onset = windows.trials["run"].to_numpy(), windows.trials["onset"].to_numpy()
    assert (run[after] == run).all()
    moved = after != np.arange(len(after))
    assert (~moved).sum() == 4 and np.allclose(onset[after][moved] - onset[moved], 4.0)


def test_components_of_films_are_uncorrelated_and_ordered(seen):
    values = film_components(seen[0].load(), 5)
    covariance = values.T @ values
    assert values.shape == (48, 5) and np.allclose(covariance, np.diag(covariance.diagonal()), atol=1e-2)
    assert (np.diff(covariance.diagonal()) <= 0).all()


def test_rows_of_films(seen, fitted):
    pictures, windows, features = seen
    decoder, test = fitted["flow_animation"], windows[36:]
    channels = motion_channels(test, "region", ["MT"])
    rows = control_rows(decoder, windows[:36], test, pictures, features, rows=["shuffled_brain"], seeds=2)
    more = film_rows(rows, decoder, test, channels=channels, seeds=2)
    assert more.made[STILL].shape == rows.made["decoded"].shape and more.made[SHUFFLED].shape == (2, 12, 4, 8, 8, 3)
    assert (more.made[STILL] == rows.made["decoded"][:, :, :1]).all()
    mixed = exchange_channels(test, channels, np.roll(np.arange(12), 1)).load()
    others = np.setdiff1d(np.arange(40), channels)
    assert np.array_equal(mixed[:, others], test.load()[:, others])
    assert np.array_equal(mixed[:, channels], np.roll(test.load()[:, channels], 1, axis=0))
    assert film_rows(rows, decoder, test, channels=None).notes[SHUFFLED]
    with pytest.raises(BraindecError, match="no channel"):
        motion_channels(test, "region", ["V9"])


def test_sentences_on_motion():
    def table(p_decoded, p_shuffled, p_lead=0.001):
        lead = {"metric": "motion_direction_difference", "row": f"over_{SHUFFLED}", "value": 0.5, "p": p_lead}
        rows = {
            "metric": "motion_direction",
            "row": ["decoded", SHUFFLED],
            "value": [0.8, 0.3],
            "p": [p_decoded, p_shuffled],
        }
        return pd.concat([pd.DataFrame(rows), pd.DataFrame([lead])])

    more = pd.DataFrame({"metric": ["motion_direction", "motion_direction_difference"], "row": ["other", "over_other"], "value": [0.95, -0.15],
                         "p": [0.001, 0.002]})  # fmt: skip
    said = motion_sentences(pd.concat([table(0.001, 0.5), more]), others=["other"])
    assert "other reads the direction better: 95 % against 80 %" in said[-1]
    assert "was not read" in motion_sentences(table(0.2, 0.5))[0]
    assert "it is lost (30 %" in motion_sentences(table(0.001, 0.5))[1]
    assert "can not be told" in motion_sentences(table(0.001, 0.5, 0.3))[1]
    assert "not all lost" in motion_sentences(table(0.001, 0.01))[1]


def test_bad_input(seen):
    pictures, windows, features = seen
    one_frame = Pictures(pictures.values[:, :1], pictures.items)
    for decoder, given, said in (
        (VideoDecoder(**FEW), first_frames(pictures), "makes films"),
        (FlowAnimation(), first_frames(pictures), "makes films"),
        (MindAnimator(**FEW), one_frame, "one frame is a picture"),
        (VideoDecoder(**FEW, negative="test mean"), pictures, "training mean"),
        (VideoDecoder(**FEW, noise_mixing=2.0), pictures, "0 to 1"),
        (VideoDecoder(**FEW, denoiser="unet4d"), pictures, "unet3d"),
        (VideoDecoder(**{**FEW, "steps": 0}), pictures, "steps must be"),
        (VideoDecoder(**FEW, sampler="ddpm", noise_mixing=0.5), pictures, "frames do not share"),
        (MindAnimator(**FEW, n_tokens=7), pictures, "so many tokens"),
        (MindAnimator(**FEW, strength=2), pictures, "strength"),
        (NeuroCine(**FEW, masking=1.0), pictures, "masking"),
        (MindVideo(**FEW, contrast=-1), pictures, "contrast"),
        (FlowAnimation(grid=20), pictures, "so many places"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            decoder.fit(windows[:24], given, features)
    with pytest.raises(BraindecError, match="needs features"):
        MindAnimator(**FEW).fit(windows[:24], pictures)
    with pytest.raises(BraindecError, match="not of one size"):
        Pictures.from_arrays([np.zeros((4, 8, 8, 3)), np.zeros((5, 8, 8, 3))], ["a", "b"])
    with pytest.raises(BraindecError, match="not fitted"):
        VideoDecoder().condition(windows)


def direction(made, true):
    return motion_direction.per_item(made, true)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow_animation", "mind_animator", "video"])
def test_direction_of_motion_is_read_and_lost_with_the_motion_voxels(name):
    """80 held-out films: above chance (binomial p < .01 is 31 of 80), and at chance when motion voxels are exchanged."""
    pictures = films(640, seed=4)
    windows = scene_fmri(pictures, n_voxels=300, noise=0.4, seed=4)
    features = scene_features(pictures)
    train, test = windows[:560], windows[560:]
    if name == "mind_animator":
        looks = features.units["component"].isin(["shape", "colour", "background"]).to_numpy()
        features = Features(features.load()[:, looks], features.items, features.units[looks].reset_index(drop=True))
        decoder = MindAnimator(steps=250)
    else:
        decoder = (
            FlowAnimation()
            if name == "flow_animation"
            else VideoDecoder(embedder={"name": "ridge"}, cross_fit=3, steps=500)
        )
    decoder.fit(train, pictures, features)
    true = pictures.of(test.trials["stimulus_id"])
    right = direction(decoder.reconstruct(test), true).mean()
    order = np.random.default_rng(0).permutation(80)
    mixed = exchange_channels(test, motion_channels(test, "region", ["MT"]), order)
    lost = direction(decoder.reconstruct(mixed), true).mean()
    assert right >= 31 / 80
    assert lost < 31 / 80 and right - lost > 0.2
    still = replace(pictures, values=np.repeat(pictures.values[:, :1], 4, axis=1))
    assert direction(still.of(test.trials["stimulus_id"]), true).mean() == 0
