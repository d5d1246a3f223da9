"""The pipeline of pictures: guidance as its formula says, items that do not know of one another, the same bytes when opened again."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, DDPMScheduler, UNet2DConditionModel

from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.noise import item_generators, named_noise
from braindec.errors import BraindecError

NAMES = list("abcde")
X = np.random.default_rng(0).normal(size=(5, 20)).astype("float32")


def unet(channels=1, vector=16, seed=0):
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8, in_channels=channels, out_channels=channels, layers_per_block=1, block_out_channels=(16, 32), norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32, attention_head_dim=4, class_embed_type="projection", projection_class_embeddings_input_dim=vector,
    ).eval()  # fmt: skip


def pipeline(kind=DDIMScheduler, vae=None, controlnet=None, channels=1):
    denoiser = unet(channels)
    torch.manual_seed(1)
    conditioner = Conditioner(dim=20, width=32, vector=16).eval()
    torch.nn.init.normal_(conditioner.null_vector)
    made = BrainImagePipeline(denoiser, kind(num_train_timesteps=100), conditioner, vae, controlnet)
    made.set_progress_bar_config(disable=True)
    return made


def autoencoder():
    torch.manual_seed(2)
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=8, sample_size=16,
    ).eval()  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
def test_a_picture_does_not_know_of_its_neighbours(kind):
    """Also where the scheduler adds noise in each step."""
    made = pipeline(kind)
    together = made(X, names=NAMES, num_inference_steps=4).images
    alone = made(X[[3]], names=["d"], num_inference_steps=4).images
    np.testing.assert_allclose(together[3], alone[0], atol=2e-6)
    turned = made(X[::-1].copy(), names=NAMES[::-1], num_inference_steps=4).images[::-1]
    np.testing.assert_allclose(turned, together, atol=2e-6)
    assert np.abs(made(X, names=NAMES, seed=1, num_inference_steps=4).images - together).max() > 0.01


def test_noise_goes_by_name_and_seed():
    a, b = named_noise(["x", "y"], (3, 4), seed=5), named_noise(["y", "z", "x"], (3, 4), seed=5)
    assert (
        torch.equal(a[0], b[2])
        and torch.equal(a[1], b[0])
        and not torch.equal(a[0], named_noise(["x"], (3, 4), seed=6)[0])
    )
    many = named_noise(range(4000), (8,), seed=0)
    assert (
        abs(many.mean()) < 0.02
        and abs(many.std() - 1) < 0.02
        and abs(torch.corrcoef(many.T) - torch.eye(8)).max() < 0.07
    )
    assert len({g.initial_seed() for g in item_generators(range(4000), 0)}) == 4000


def test_guidance_is_its_formula():
    """One step by hand: without + scale (with - without), and 0 and 1 are the two models themselves."""
    made = pipeline()
    noise = named_noise(NAMES, (1, 8, 8), 3)
    with torch.no_grad():
        made.scheduler.set_timesteps(1)
        t = made.scheduler.timesteps[0]
        tokens, vector = made.conditioner(torch.from_numpy(X))
        zero, zero_vector = made.conditioner.nothing(5)
        with_it = made.unet(noise, t, encoder_hidden_states=tokens, class_labels=vector).sample
        without = made.unet(noise, t, encoder_hidden_states=zero, class_labels=zero_vector).sample
        for scale in (0.0, 1.0, 3.0):
            expected = made.scheduler.step(without + scale * (with_it - without), t, noise, return_dict=False)[0]
            got = made(
                X, names=NAMES, latents=noise, num_inference_steps=1, guidance_scale=scale, output_type="latent"
            ).images
            torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)
            made.scheduler.set_timesteps(1)
    prior = made(n=5, names=NAMES, num_inference_steps=3).images
    np.testing.assert_allclose(made(X, names=NAMES, num_inference_steps=3, guidance_scale=0.0).images, prior, atol=2e-6)
    away = made(
        X, names=NAMES, num_inference_steps=3, guidance_scale=2.0, negative_condition=X.mean(0, keepdims=True)
    ).images
    assert np.abs(away - made(X, names=NAMES, num_inference_steps=3, guidance_scale=2.0).images).max() > 1e-4


def test_a_starting_picture_is_kept_as_far_as_strength_says():
    made = pipeline()
    start = np.random.default_rng(1).uniform(size=(5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(made(X, names=NAMES, image=start, strength=0.0).images, start, atol=1e-6)
    distance = [
        np.abs(made(X, names=NAMES, image=start, strength=s, num_inference_steps=10).images - start).mean()
        for s in (0.2, 0.6, 1.0)
    ]
    assert distance[0] < distance[1] < distance[2]


def test_latents_go_through_the_autoencoder():
    vae = autoencoder()
    made = pipeline(vae=vae, channels=4)
    pictures = np.random.default_rng(2).uniform(size=(3, 16, 16, 3)).astype("float32")
    latents = made.encode_images(pictures)
    with torch.no_grad():
        expected = (
            vae.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode()
            * vae.config.scaling_factor
        )
    torch.testing.assert_close(latents, expected)
    assert made(X, names=NAMES, num_inference_steps=2).images.shape == (5, 16, 16, 3)
    (first, *_) = made(X[:1], names=["a"], num_inference_steps=2, output_type="pil").images
    assert first.size == (16, 16) and first.mode == "RGB"


def test_a_fresh_controlnet_changes_nothing():
    plain = pipeline()
    control = ControlNetModel.from_unet(plain.unet, conditioning_channels=1)
    controlled = BrainImagePipeline(plain.unet, plain.scheduler, plain.conditioner, None, control)
    hint = np.random.default_rng(3).uniform(size=(5, 64, 64, 1)).astype("float32")
    expected = plain(X, names=NAMES, num_inference_steps=3).images
    np.testing.assert_allclose(
        controlled(X, names=NAMES, control=hint, num_inference_steps=3).images, expected, atol=1e-6
    )
    with pytest.raises(BraindecError, match="control image for every item"):
        controlled(X, names=NAMES)
    with pytest.raises(BraindecError, match="one picture"):
        controlled(X, names=NAMES, control=hint[:4])
    with pytest.raises(BraindecError, match="takes no control image"):
        plain(X, names=NAMES, control=hint)


@pytest.mark.parametrize("parts", ["pixels", "latents and control"])
def test_opened_again_it_makes_the_same_bytes(tmp_path, parts):
    made = pipeline() if parts == "pixels" else pipeline(vae=autoencoder(), channels=4)
    options = {"names": NAMES, "num_inference_steps": 3}
    if parts != "pixels":
        made = BrainImagePipeline(
            made.unet, made.scheduler, made.conditioner, made.vae, ControlNetModel.from_unet(made.unet).eval()
        )
        options["control"] = np.random.default_rng(3).uniform(size=(5, 64, 64, 3)).astype("float32")
    expected = made(X, **options).images
    made.save_pretrained(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".ckpt")]
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        again = BrainImagePipeline.from_pretrained(tmp_path)
        assert np.array_equal(again(X, **options).images, expected)


def test_callbacks_see_and_change_what_is_denoised():
    made, seen = pipeline(), []

    def stop_at_zero(pipe, step, timestep, tensors):
        seen.append((step, int(timestep), tuple(tensors["latents"].shape)))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 2 else None

    out = made(X, names=NAMES, num_inference_steps=3, callback_on_step_end=stop_at_zero, output_type="latent").images
    assert (
        [s[0] for s in seen] == [0, 1, 2] and seen[0][2] == (5, 1, 8, 8) and seen[0][1] > seen[2][1] and not out.any()
    )
    with pytest.raises(BraindecError, match="callbacks cannot get"):
        made(X, callback_on_step_end=stop_at_zero, callback_on_step_end_tensor_inputs=["prompt"])


def test_embeddings_of_another_size_are_refused():
    with pytest.raises(BraindecError, match="do not fit") as caught:
        pipeline()(X[:, :19])
    assert "(n, 20)" in str(caught.value)
    with pytest.raises(BraindecError, match="how many pictures"):
        pipeline()()
    with pytest.raises(BraindecError, match="output_type"):
        pipeline()(X, output_type="jpg")


def test_the_conditioner_drops_rows_and_passes_tokens():
    torch.manual_seed(0)
    made = Conditioner(dim=6, width=8, n_tokens=3, vector=4)
    tokens, vector = made(torch.randn(4, 6), torch.tensor([True, False, True, False]))
    assert (
        torch.equal(tokens[0], made.null)
        and torch.equal(tokens[2], made.null)
        and not torch.equal(tokens[1], made.null)
    )
    assert torch.equal(vector[0], made.null_vector) and vector.shape == (4, 4)
    given = torch.randn(2, 5, 8)
    same = Conditioner(dim=8, width=8, n_given=5, identity=True)
    assert torch.equal(same(given)[0], given) and same.nothing(3)[0].shape == (3, 5, 8)
    with pytest.raises(BraindecError, match="denoiser's width"):
        Conditioner(dim=6, width=8, n_given=5, identity=True)
