"""The pipeline of films: three kinds of denoiser, saving, a film or a first frame to start from, guidance, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler

from braindec.decoders._films import film_denoiser
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.film_pipeline import BrainFilmPipeline, takes_first_frame, takes_places
from braindec.diffusion.patch_autoencoder import PatchAutoencoder
from braindec.errors import BraindecError

torch.set_num_threads(1)
SIZE, FRAMES, DIM = 8, 4, 5


def pipeline(kind="stacked", *, first_frame=False, mixing=0.0, channels=3, vae=None, size=SIZE, **more):
    torch.manual_seed(0)
    unet = film_denoiser(kind, "tiny", channels=channels, n_frames=FRAMES, size=(size, size), first_frame=first_frame,
                         vector=8 if kind == "stacked" else None)  # fmt: skip
    conditioner = Conditioner(dim=DIM, width=32, vector=8 if kind == "stacked" else None)
    scheduler = DDIMScheduler(200, beta_schedule="squaredcos_cap_v2")
    made = BrainFilmPipeline(unet.eval(), scheduler, conditioner.eval(), vae, FRAMES, mixing, **more)
    made.set_progress_bar_config(disable=True)
    return made


def conditions(n=3):
    return np.random.default_rng(0).normal(size=(n, DIM)).astype(np.float32)


@pytest.mark.parametrize("kind", ["stacked", "unet3d", "motion"])
def test_saves_loads_and_samples_the_same_film_again(kind, tmp_path):
    made = pipeline(kind, mixing=0.4, first_frame=kind == "motion")
    assert takes_places(made.unet, FRAMES) and takes_first_frame(made.unet, FRAMES) == (kind == "motion")
    asked = {"names": ["a", "b", "c"], "seed": 3, "num_inference_steps": 3, "negative_condition": np.ones((1, DIM))}
    films = made(conditions(), **asked).frames
    assert films.shape == (3, FRAMES, SIZE, SIZE, 3) and films.min() >= 0 and films.max() <= 1
    made.save_pretrained(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        again = BrainFilmPipeline.from_pretrained(tmp_path)
        again.set_progress_bar_config(disable=True)
        assert again.config.noise_mixing == 0.4 and again.config.n_frames == FRAMES
        assert np.array_equal(again(conditions(), **asked).frames, films)


def test_an_items_film_depends_on_its_name_and_condition_alone():
    made, x = pipeline(mixing=0.5), conditions()
    three = made(x, names=["a", "b", "c"], num_inference_steps=3, output_type="latent").frames
    one = made(x[1:2], names=["b"], num_inference_steps=3, output_type="latent").frames
    assert torch.allclose(three[1], one[0], atol=1e-4)
    other = made(x[1:2], names=["b"], seed=1, num_inference_steps=3, output_type="latent").frames
    assert not torch.allclose(one, other, atol=1e-2)


def test_guidance_is_linear_between_what_it_goes_away_from_and_the_condition():
    """One step of DDIM from the same noise: eps = negative + scale * (condition - negative)."""
    made, x = pipeline(), conditions(2)
    mean = conditions(6).mean(axis=0, keepdims=True)
    made.scheduler = DDIMScheduler(200, beta_schedule="linear", clip_sample=False, beta_end=0.005)

    def step(**k):
        return made(num_inference_steps=1, names=["a", "b"], output_type="latent", **k).frames

    positive, negative = (
        step(condition=x, guidance_scale=1.0),
        step(condition=np.repeat(mean, 2, 0), guidance_scale=1.0),
    )
    guided = step(condition=x, guidance_scale=3.0, negative_condition=mean)
    assert torch.allclose(guided, negative + 3 * (positive - negative), atol=1e-3)
    assert not torch.allclose(guided, step(condition=x, guidance_scale=3.0), atol=1e-3)


def test_starts_from_a_film():
    made = pipeline(mixing=0.3)
    film = np.random.default_rng(1).random((2, FRAMES, SIZE, SIZE, 3)).astype(np.float32)
    given = {"names": ["a", "b"], "num_inference_steps": 20}
    assert np.allclose(made(conditions(2), film=film, strength=0.0, **given).frames, film, atol=1e-6)
    latents = made.encode_films(film)
    assert np.allclose(made.decode_latents(latents).permute(0, 1, 3, 4, 2).numpy(), film, atol=1e-6)
    by_latents = made(conditions(2), film_latents=latents, strength=0.3, **given).frames
    assert np.array_equal(by_latents, made(conditions(2), film=film, strength=0.3, **given).frames)
    seen = []
    made(conditions(2), film=film, strength=0.2, callback_on_step_end=lambda p, i, t, kw: seen.append(int(t)), **given)
    assert len(seen) == 4 and max(seen) <= 40  # a fifth of 20 steps, from a fifth of 200 levels


def test_a_first_frame_is_held_or_given():
    first = np.random.default_rng(2).random((2, SIZE, SIZE, 3)).astype(np.float32)
    held = pipeline()(conditions(2), first_frame=first, num_inference_steps=4).frames
    assert np.allclose(held[:, 0], first, atol=1e-6)
    given = pipeline(first_frame=True)
    with_it, without = (given(conditions(2), first_frame=f, num_inference_steps=4).frames for f in (first, None))
    assert not np.allclose(with_it, without)


def test_latents_of_frames_and_kinds_of_output():
    frames = np.random.default_rng(3).random((40, 16, 16, 3)).astype(np.float32)
    vae = PatchAutoencoder(channels=3, patch=2, latent_channels=4).fit(
        torch.from_numpy(frames).permute(0, 3, 1, 2) * 2 - 1
    )
    made = pipeline(vae=vae, channels=4)
    assert made.latent_shape == (4, FRAMES, SIZE, SIZE)
    assert made.encode_films(frames.reshape(10, FRAMES, 16, 16, 3)).shape == (10, *made.latent_shape)
    assert made(conditions(), num_inference_steps=2).frames.shape == (3, FRAMES, 16, 16, 3)
    assert made(conditions(), num_inference_steps=2, output_type="pt").frames.shape == (3, FRAMES, 3, 16, 16)
    pil = made(n=2, num_inference_steps=2, output_type="pil").images
    assert len(pil) == 2 and len(pil[0]) == FRAMES and pil[0][0].size == (16, 16)
    assert isinstance(made(n=1, num_inference_steps=2, return_dict=False), tuple)
    tiny = AutoencoderKL(block_out_channels=(8,), norm_num_groups=8, latent_channels=4, sample_size=8)
    assert pipeline(vae=tiny.eval(), channels=4)(n=1, num_inference_steps=2).frames.shape == (1, FRAMES, 8, 8, 3)


def test_a_callback_can_change_latents():
    made = pipeline()
    films = made(
        n=1, num_inference_steps=2, callback_on_step_end=lambda p, i, t, kw: {"latents": torch.ones_like(kw["latents"])}
    )
    assert np.all(films.frames == 1)


def test_bad_input():
    made = pipeline()
    for call, said in (
        (lambda: made(), "how many films"),
        (lambda: made(n=0), "how many films"),
        (lambda: made(n=-2), "without a condition"),
        (lambda: made(conditions(), film=np.zeros((3, 2, SIZE, SIZE, 3))), "4 frames"),
        (lambda: made(conditions(), film=np.zeros((2, FRAMES, SIZE, SIZE, 3))), "does not fit"),
        (lambda: made(conditions(), film=np.zeros(1), film_latents=torch.zeros(1)), "twice"),
        (lambda: made(conditions(), first_frame=np.zeros((2, SIZE, SIZE, 3))), "first frames"),
        (lambda: made(conditions(), names=["a"]), "one generator"),
        (lambda: made(conditions(), latents=torch.zeros(1)), "latents do not fit"),
        (lambda: made(conditions()[:, :2]), "embeddings do not fit"),
        (lambda: made(conditions(), output_type="gif"), "output_type"),
        (lambda: BrainFilmPipeline(made.unet, DDPMScheduler(), made.conditioner, None, FRAMES, 0.5), "adds noise at each step"),
        (lambda: BrainFilmPipeline(made.unet, DDIMScheduler(), made.conditioner, None, 5), "channels of all frames"),
        (lambda: BrainFilmPipeline(made.unet, object(), made.conditioner, None, FRAMES), "cannot use the scheduler"),
        (lambda: film_denoiser("3d", "tiny", channels=3, n_frames=4, size=(8, 8)), "unet3d"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            call()
