"""Pipelines refuse what they cannot sample, and never return values that are not finite."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.embedding_scale import EmbeddingScale
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.noise import named_noise
from braindec.diffusion.prior_pipeline import PriorPipeline
from braindec.diffusion.transformer_prior import TransformerPrior
from braindec.diffusion.unet_prior import UNetPrior
from braindec.errors import BraindecError

_GIVEN = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
_BLACK = np.zeros((3, 8, 8, 1), np.float32)


def _denoiser():
    return UNet2DConditionModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8, attention_head_dim=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pictures():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scheduler = DDIMScheduler(num_train_timesteps=50, beta_schedule="squaredcos_cap_v2")
    return BrainImagePipeline(_denoiser(), scheduler, Conditioner(dim=5, width=8, n_tokens=2))


@pytest.fixture(scope="module")
def embeddings():
    torch.manual_seed(0)
    prior = TransformerPrior(dim=16, depth=1, dim_head=8, heads=2, token_dim=6, n_condition=1, condition_dim=5)
    scheduler = DDIMScheduler(prediction_type="sample", num_train_timesteps=50)
    return PriorPipeline(prior, scheduler, EmbeddingScale(n=6, n_condition=5))


_BOTH = [
    ({"condition": _GIVEN * np.nan}, "not finite"),
    ({"condition": _GIVEN[:, :3]}, "do(es)? not fit"),
    ({"condition": _GIVEN + 1j}, "real numbers"),
    ({"condition": _GIVEN.astype(object)}, "real numbers"),
    ({"condition": "x"}, "real numbers"),
    ({"condition": None}, "how many"),
    ({"condition": None, "n": 1.5}, "n: how many"),
    ({"condition": None, "n": -1}, "n: how many"),
    ({"guidance_scale": float("nan")}, "guidance_scale"),
    ({"guidance_scale": "2"}, "guidance_scale"),
    ({"num_inference_steps": 0}, "num_inference_steps"),
    ({"num_inference_steps": 2.0}, "num_inference_steps"),
    ({"num_inference_steps": 1000}, "cannot sample in 1000 steps"),
    ({"seed": None}, "seed"),
    ({"seed": 1.5}, "seed"),
    ({"names": ["a"]}, "one (generator|name)"),
    ({"generator": 5}, "torch.Generator"),
    ({"callback_on_step_end": lambda *told: 3}, "cannot be used"),
    ({"callback_on_step_end": lambda *told: {"latents": torch.zeros(1)}}, "cannot be used"),
    ({"callback_on_step_end": "x"}, "must be a function"),
]


@pytest.mark.parametrize("kind", ["pictures", "embeddings"])
@pytest.mark.parametrize(("options", "says"), _BOTH)
def test_what_cannot_be_sampled_is_said(kind, options, says, request):
    with pytest.raises(BraindecError, match=says):
        request.getfixturevalue(kind)(**{"condition": _GIVEN, "num_inference_steps": 2, "progress": False, **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"condition": _GIVEN[:0]}, "how many pictures"),
        ({"negative_condition": _GIVEN[:2]}, "one row, or one an item"),
        ({"negative_condition": _GIVEN * np.nan}, "not finite"),
        ({"latents": torch.full((3, 1, 8, 8), float("nan"))}, "not finite"),
        ({"image": _BLACK + 255}, "between 0 and 1"),
        ({"image": _BLACK * np.nan}, "not finite"),
        ({"image": _BLACK[:, :4]}, "another size or mode"),
        ({"image": np.repeat(_BLACK, 3, axis=3)}, "another size or mode"),
        ({"image": _BLACK[:2]}, "one picture"),
        ({"image": _BLACK, "strength": "a"}, "strength"),
        ({"callback_on_step_end": lambda p, i, t, given: {"latents": given["latents"] * np.nan}}, "not finite"),
    ],
)
def test_pictures_that_cannot_be_made_are_said(pictures, options, says):
    with pytest.raises(BraindecError, match=says):
        pictures(**{"condition": _GIVEN, "num_inference_steps": 2, "progress": False, **options})


def test_a_callback_that_fails_leaves_the_pipeline_as_it_was(pictures):
    def fails(*told):
        raise RuntimeError("mine")

    before = pictures(_GIVEN, num_inference_steps=2, progress=False).images
    with pytest.raises(RuntimeError, match="mine"):
        pictures(_GIVEN, num_inference_steps=2, progress=False, callback_on_step_end=fails)
    np.testing.assert_array_equal(pictures(_GIVEN, num_inference_steps=2, progress=False).images, before)


@pytest.mark.parametrize(
    "name",
    [
        "CogVideoXDPMScheduler", "DDIMInverseScheduler", "DDPMWuerstchenScheduler", "DPMSolverMultistepInverseScheduler",
        "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler", "RePaintScheduler", "UnCLIPScheduler", "DDIMScheduler",
    ],
)  # fmt: skip
def test_schedulers_that_step_otherwise_are_refused_before_anything_is_sampled(name):
    scheduler = getattr(diffusers, name)() if name != "DDIMScheduler" else DDIMScheduler  # the class, not one of it
    with pytest.raises(BraindecError, match="cannot use the scheduler"):
        BrainImagePipeline(_denoiser(), scheduler, Conditioner(dim=5, width=8))


def test_parts_that_do_not_fit_one_another_are_refused():
    with pytest.raises(BraindecError, match="another width"):
        BrainImagePipeline(_denoiser(), DDIMScheduler(), Conditioner(dim=5, width=4))
    for options in ({"dim": 0, "width": 4}, {"dim": 2.5, "width": 4}, {"dim": 2, "width": 4, "n_tokens": 0}):
        with pytest.raises(BraindecError, match="conditioner"):
            Conditioner(**options)
    with pytest.raises(BraindecError, match="did you mean 'depth'"):
        TransformerPrior.from_preset("tiny", dpth=3)
    for options in ({"wdths": (4, 2)}, {"widths": 3}, {"widths": ("a", 1)}, {"dropout": 2}):
        with pytest.raises(BraindecError):
            UNetPrior.from_preset("tiny", **options)
    with pytest.raises(BraindecError, match="seed"):
        named_noise(["a"], (2,), None)


def test_folders_without_whole_safe_weights_are_refused(embeddings, tmp_path):
    embeddings.save_pretrained(tmp_path)
    weights = tmp_path / "prior" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BraindecError, match="damaged"):
        PriorPipeline.from_pretrained(tmp_path)
    weights.unlink()
    torch.save({"a": torch.zeros(1)}, weights.with_suffix(".bin"))
    with pytest.raises(BraindecError, match="pickle"):
        PriorPipeline.from_pretrained(tmp_path)
    for place in (tmp_path / "prior", tmp_path / "nowhere"):
        with pytest.raises(BraindecError, match="holds no pipeline|there is no folder"):
            PriorPipeline.from_pretrained(place)
    weights.write_bytes(whole)
    with pytest.raises(BraindecError, match="cannot be opened"):
        BrainImagePipeline.from_pretrained(tmp_path)
    same = PriorPipeline.from_pretrained(tmp_path)(_GIVEN, num_inference_steps=2, progress=False).embeddings
    np.testing.assert_array_equal(same, embeddings(_GIVEN, num_inference_steps=2, progress=False).embeddings)
