"""Schedulers by name: each samples with the pipeline, from the same noise levels; others are refused."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.presets import unet
from braindec.diffusion.schedulers import (
    SCHEDULERS,
    check_same_training,
    make_scheduler,
    scheduler_names,
    training_scheduler,
)
from braindec.errors import BraindecError

TABLE = [(name, kind) for name, (_, _, kinds) in SCHEDULERS.items() for kind in kinds]
MEAN, SPREAD = torch.tensor([0.3, -0.5]), 0.2


class Ideal(torch.nn.Module):
    """The exact denoiser of pictures whose pixels are normal around a mean that the condition names."""

    def __init__(self, net, scheduler):
        super().__init__()
        self.net, self.config, self.levels, self.kind = (
            net,
            net.config,
            scheduler.alphas_cumprod,
            scheduler.config.prediction_type,
        )

    dtype, device = torch.float32, torch.device("cpu")

    def forward(self, x, t, encoder_hidden_states, class_labels=None):
        low = torch.as_tensor(t).float().floor().long().clamp(0, len(self.levels) - 2)
        part = torch.as_tensor(t).float() - low
        a = torch.exp(
            (1 - part) * self.levels[low].log() + part * self.levels[low + 1].log()
        )  # samplers may ask between levels
        mean = MEAN[(encoder_hidden_states[:, 0, 0] > 0).long()][:, None, None, None]
        clean = mean + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x - a.sqrt() * mean)
        noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
        found = {"epsilon": noise, "sample": clean, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * clean}[
            self.kind
        ]
        return type("Out", (), {"sample": found})()


class Sign(torch.nn.Module):
    dtype, device = torch.float32, torch.device("cpu")

    def forward(self, condition, drop=None):
        return condition[:, None, :1].expand(-1, 2, 32), None


def ideal_pipeline(name, kind, **training_options):
    training = training_scheduler("base", prediction=kind, **training_options)
    pipeline = BrainImagePipeline(unet("tiny"), make_scheduler(name, training=training), Conditioner(dim=1, width=32))
    object.__setattr__(pipeline, "unet", Ideal(pipeline.unet, training))
    object.__setattr__(pipeline, "conditioner", Sign())
    return pipeline


@pytest.mark.parametrize("schedule", ["squaredcos_cap_v2", "scaled_linear"])
@pytest.mark.parametrize(("name", "kind"), TABLE)
def test_each_samples_what_the_exact_denoiser_describes(name, kind, schedule):
    """With the exact denoiser of a known distribution, samples have its mean and its spread."""
    pipeline = ideal_pipeline(name, kind, schedule=schedule)
    condition = torch.tensor([-1.0, 1.0]).repeat(3)[:, None]
    made = pipeline(condition, num_inference_steps=25, guidance_scale=1.0, seed=1).images * 2 - 1
    assert np.isfinite(made).all()
    for k, mean in enumerate(MEAN):
        assert made[k::2].mean() == pytest.approx(float(mean), abs=0.08)
        assert 0.1 < made[k::2].std() < 0.3
    alone = pipeline(condition[1:2], num_inference_steps=25, guidance_scale=1.0, seed=1, names=[1]).images * 2 - 1
    np.testing.assert_allclose(alone[0], made[1], atol=1e-4)  # whatever is beside it


@pytest.mark.parametrize("name", scheduler_names())
def test_each_starts_from_a_picture(name):
    kind = "v_prediction" if "v_prediction" in SCHEDULERS[name][2] else "epsilon"
    pipeline = ideal_pipeline(name, kind)
    picture = np.random.default_rng(0).uniform(0.4, 0.9, size=(2, 8, 8, 1)).astype(np.float32)
    condition = torch.tensor([[-1.0], [-1.0]])
    made = [
        pipeline(condition, num_inference_steps=30, guidance_scale=1.0, image=picture, strength=s).images
        for s in (0.1, 0.9)
    ]
    near, far = (np.corrcoef(m.ravel(), picture.ravel())[0, 1] for m in made)
    assert near > far + 0.05 and near > 0.6


def test_a_real_denoiser_gives_the_same_picture_after_a_round_trip(tmp_path):
    training = training_scheduler()
    pipeline = BrainImagePipeline(
        unet("tiny"), make_scheduler("dpm++", training=training), Conditioner(dim=3, width=32)
    )
    condition = np.ones((2, 3), np.float32)
    made = pipeline(condition, num_inference_steps=4).images
    pipeline.save_pretrained(tmp_path)
    again = BrainImagePipeline.from_pretrained(tmp_path)
    assert np.array_equal(again(condition, num_inference_steps=4).images, made)
    check_same_training(again.scheduler, training)


def test_levels_are_those_of_the_training():
    for preset in ("tiny", "base", "paper:sd15", "paper:sd21", "paper:mindvis"):
        training = training_scheduler(preset)
        for name, (_, _, kinds) in SCHEDULERS.items():
            if training.config.prediction_type in kinds:
                made = make_scheduler(name, training=training)
                check_same_training(made, training)
                torch.testing.assert_close(torch.as_tensor(made.alphas_cumprod).float(), training.alphas_cumprod)
    assert training_scheduler("paper:sd15").alphas_cumprod[-1] == pytest.approx(0.0047, abs=1e-4)  # published


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: make_scheduler("dimm"), "did you mean 'ddim'"), (lambda: make_scheduler("ddim", steps_ofset=1), "steps_offset"),
        (lambda: make_scheduler("euler", training=training_scheduler(prediction="sample")), "(?s)predicts 'sample'.*ddim"),
        (lambda: make_scheduler("ddim", training=training_scheduler(), beta_schedule="linear"), "fixed by the training"),
        (lambda: make_scheduler("ddim", beta_schedule="cosine"), "do not make the scheduler"),
        (lambda: make_scheduler("ddim", training=FlowMatchEulerDiscreteScheduler()), "no alphas_cumprod"),
        (lambda: training_scheduler("tinny"), "did you mean 'tiny'"), (lambda: training_scheduler(n_steps=1), "2 and more"),
        (lambda: training_scheduler(prediction="noise"), "epsilon, sample, v_prediction"),
        (lambda: check_same_training(DDIMScheduler(), training_scheduler()), "(?s)number of noise levels.*1000.*200"),
        (lambda: check_same_training(DDIMScheduler(num_train_timesteps=200), training_scheduler()), "alpha_bar differs"),
        (lambda: check_same_training(DDIMScheduler(num_train_timesteps=200, beta_schedule="squaredcos_cap_v2",
                                                   prediction_type="v_prediction"), training_scheduler()), "prediction type"),
        (lambda: check_same_training(EDMEulerScheduler(), training_scheduler()), "no alphas_cumprod"),
        (lambda: check_same_training(DPMSolverMultistepScheduler(num_train_timesteps=200, beta_end=0.03), training_scheduler()),
         "alpha_bar"),
    ],
)  # fmt: skip
def test_bad_schedulers(call, match):
    with pytest.raises(BraindecError, match=match):
        call()
