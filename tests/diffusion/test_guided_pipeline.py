"""Guidance by a gradient: the formula by finite differences, the scale in closed form, and what cannot be followed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)

from braindec.diffusion._compat import ConfigMixin, ModelMixin, register_to_config
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.guidance import alpha_bar, clean_of, shifted
from braindec.diffusion.guided_pipeline import GuidedImagePipeline, _Guide
from braindec.errors import BraindecError

KINDS = ("epsilon", "v_prediction", "sample")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class GaussianDenoiser(ModelMixin, ConfigMixin):
    """The perfect denoiser of pictures whose pixels (-1 to 1) are independent and Gaussian with variance ``var``."""

    @register_to_config
    def __init__(self, *, sample_size: int = 4, in_channels: int = 1, var: float = 0.01, kind: str = "epsilon") -> None:
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t, encoder_hidden_states=None, class_labels=None):
        a = self.kept[int(t)]
        share = 1 / (a * self.config.var + 1 - a)
        noise, clean = (1 - a).sqrt() * share * x, a.sqrt() * self.config.var * share * x
        out = {"epsilon": noise, "sample": clean, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * clean}
        return SimpleNamespace(sample=out[self.config.kind] + 0 * self.nothing)


def gaussian(scheduler=DDIMScheduler, kind="epsilon", **options):
    plain = {"clip_sample": False} if scheduler is DDIMScheduler else {}
    made = scheduler(num_train_timesteps=1000, beta_schedule="linear", prediction_type=kind, **plain)
    denoiser = GaussianDenoiser(kind=kind, **options)
    denoiser.kept = made.alphas_cumprod
    return quiet(GuidedImagePipeline(denoiser, made, Conditioner(dim=2, width=2)))


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def small_unet(kind="epsilon", seed=0, **changes):
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(**{
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "block_out_channels": (8, 16),
        "norm_num_groups": 4, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": 8, "attention_head_dim": 4, **changes,
    })  # fmt: skip
    scheduler = DDIMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2", prediction_type=kind)
    return quiet(GuidedImagePipeline(unet, scheduler, Conditioner(dim=3, width=8)))


def brightness(images):
    return images.mean(dim=(1, 2, 3))


def ripple(images):
    """Smooth, not linear, another value for every picture."""
    grid = torch.linspace(0.5, 2.0, images[0].numel(), dtype=images.dtype).reshape(images[0].shape)
    return (torch.sin(3 * images * grid) * grid).sum(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        *((DDIMScheduler, k) for k in KINDS),
        (DPMSolverMultistepScheduler, "v_prediction"),
        (EulerDiscreteScheduler, "epsilon"),
    ],
)
def test_the_scale_counts_standard_deviations(scheduler, kind):
    """A linear objective with unit variance under a Gaussian prior: its mean rises by the scale, its spread stays."""
    pipeline = gaussian(scheduler, kind)
    weights = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    spread = (0.01 / 4 * weights.square().sum()).sqrt()  # pictures are pixels / 2 + .5

    def objective(images):
        return ((images - 0.5) * weights).sum(dim=(1, 2, 3)) / spread

    options = {"n": 64, "num_inference_steps": 60, "seed": 1, "output_type": "pt", "progress": False, "mix": False}
    plain = objective(pipeline(**options).images)
    for scale in (-1.0, 2.0):
        made = objective(pipeline(objective=objective, objective_scale=scale, **options).images)
        assert torch.allclose((made - plain).mean(), torch.tensor(scale), rtol=0.08)
        assert abs(float(made.std() / plain.std()) - 1) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("mix", "through"), [(True, True), (False, True), (True, False)])
def test_the_gradient_is_that_of_finite_differences(kind, mix, through):
    pipeline = small_unet(kind)
    pipeline.unet.double(), pipeline.conditioner.double()
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    t, scale = torch.tensor(40), 1.7
    a = float(pipeline.scheduler.alphas_cumprod[40])
    tokens = pipeline.conditioner.nothing(2)[0].detach()

    def predicted(at):
        return pipeline.unet(at, t, encoder_hidden_states=tokens).sample

    still = predicted(x).detach()

    def total(at):  # written out from the paper's formula
        out = predicted(at) if through else still
        clean = {"epsilon": (at - (1 - a) ** 0.5 * out) / a**0.5, "sample": out,
                 "v_prediction": a**0.5 * at - (1 - a) ** 0.5 * out}[kind]  # fmt: skip
        f = (1 - a) ** 0.5 if mix else 1.0
        return float(scale * ripple(((f * clean + (1 - f) * at) / 2 + 0.5).clamp(0, 1)).sum())

    pipeline._guide = _Guide(ripple, None, scale, mix, through, None)
    leaf = x.clone().requires_grad_(True)
    value, gradient = pipeline.objective_gradient(leaf, t, predicted(leaf))
    assert value.shape == (2,) and gradient.shape == x.shape
    for seed in range(3):
        way = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        step = 1e-6
        with torch.no_grad():
            numeric = (total(x + step * way) - total(x - step * way)) / (2 * step)
        assert numeric == pytest.approx(float((gradient * way).sum()), rel=2e-4, abs=1e-7)


def test_the_noise_falls_by_the_formula_whatever_is_predicted():
    generator = torch.Generator().manual_seed(0)
    x, noise, gradient = (torch.randn(3, 1, 4, 4, generator=generator) for _ in range(3))
    alpha = torch.tensor(0.3, dtype=torch.float64)
    keep, rest = 0.3**0.5, 0.7**0.5
    clean = (x - rest * noise) / keep
    given = {"epsilon": noise, "sample": clean, "v_prediction": keep * noise - rest * clean}
    wanted = noise - rest * gradient
    for kind, predicted in given.items():
        made = shifted(predicted, x, gradient, alpha, kind)
        raised = clean_of(made, x, alpha, kind)
        assert torch.allclose((x - keep * raised) / rest, wanted, atol=1e-5)
        assert ((raised - clean) * gradient).sum() > 0  # the clean picture moves up the gradient
    small = noise - shifted(noise, x, 10 * gradient, alpha, "epsilon", limit=0.5)
    assert torch.allclose(small.flatten(1).pow(2).mean(1).sqrt(), torch.full((3,), 0.5))


def test_pixels_are_pushed_to_their_bounds_and_not_past_them():
    alpha = torch.tensor(0.5, dtype=torch.float64)
    clean = torch.tensor([[-1.5, -0.5, 0.9, 1.4]])
    x = torch.zeros(1, 4)
    noise = (x - 0.5**0.5 * clean) / 0.5**0.5
    for push, wanted in ((5.0, [1.0, 1.0, 1.0, 1.4]), (-5.0, [-1.5, -1.0, -1.0, -1.0])):
        made = shifted(noise, x, torch.full((1, 4), push), alpha, "epsilon", bound=1.0)
        assert torch.allclose(clean_of(made, x, alpha, "epsilon"), torch.tensor([wanted]), atol=1e-5)
    pipeline = gaussian(var=0.6, kind="epsilon")
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=True)
    options = {"n": 16, "num_inference_steps": 20, "output_type": "pt", "progress": False, "objective": brightness}
    values = [float(brightness(pipeline(objective_scale=s, **options).images).mean()) for s in (0, 30, 100, 300, 1000)]
    assert (np.diff(values) > 0).all() and values[-1] > values[0] + 0.2


def test_no_scale_is_no_guidance_and_items_do_not_meet():
    pipeline = small_unet()
    options = {"num_inference_steps": 4, "progress": False, "seed": 5}
    plain = pipeline(n=3, names=["a", "b", "c"], **options).images
    assert np.array_equal(
        pipeline(n=3, names=["a", "b", "c"], objective=ripple, objective_scale=0.0, **options).images, plain
    )
    one = pipeline(n=3, names=["a", "b", "c"], objective=ripple, objective_scale=2.0, **options).images
    two = pipeline(n=3, names=["a", "x", "y"], objective=ripple, objective_scale=2.0, **options).images
    assert (
        np.array_equal(one[0], two[0]) and not np.array_equal(one[0], plain[0]) and not np.array_equal(one[1], two[1])
    )
    wanted = np.stack([np.full((8, 8, 1), v, np.float32) for v in (0.2, 0.8)])
    near = pipeline(n=2, objective=lambda images, aim: -(images - aim.permute(0, 3, 1, 2)).square().sum(dim=(1, 2, 3)), targets=wanted,
                    objective_scale=20.0, **options).images  # fmt: skip
    assert near[0].mean() < near[1].mean() - 0.1
    assert pipeline._guide is None


def test_saved_and_opened_it_samples_the_same(tmp_path):
    pipeline = small_unet("v_prediction")
    options = {"n": 2, "num_inference_steps": 3, "progress": False, "objective": ripple, "objective_scale": 1.0}
    pipeline.save_pretrained(tmp_path, safe_serialization=True)
    again = quiet(GuidedImagePipeline.from_pretrained(tmp_path))
    for part in (again.unet, again.conditioner):
        for value in part.parameters():
            value.data = value.data.clone()
    assert np.array_equal(again(**options).images, pipeline(**options).images)
    assert not list(tmp_path.rglob("*.bin"))


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (lambda images: images.mean(), "one number a picture"),
        (lambda images: images.detach().numpy().mean(axis=(1, 2, 3)), "one number a picture"),
        (lambda images: images.detach().mean(dim=(1, 2, 3)), "no gradient"),
        (lambda images: images.mean(dim=(1, 2, 3)) * float("nan"), "not finite"),
        (
            lambda images: (images - images.detach()).sum(dim=(1, 2, 3)).sqrt(),
            "gradient of the objective is not finite",
        ),
    ],
)
def test_objectives_that_cannot_be_followed(objective, said):
    with pytest.raises(BraindecError, match=said):
        small_unet()(n=2, num_inference_steps=2, progress=False, objective=objective)


def test_schedulers_and_scales_that_cannot_be_used():
    pipeline = small_unet()
    for wrong in (float("inf"), float("nan")):
        with pytest.raises(BraindecError, match="must be finite"):
            pipeline(n=1, objective=brightness, objective_scale=wrong)
    with pytest.raises(BraindecError, match="limit above 0"):
        pipeline(n=1, objective=brightness, limit=0.0)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(BraindecError, match="no alphas_cumprod"):
        pipeline(n=1, objective=brightness)
    between = alpha_bar(DDIMScheduler(), 10.5)
    kept = DDIMScheduler().alphas_cumprod
    assert kept[11] < between < kept[10]
