"""Memory before training: counted parts, against what a process really takes, refusals that say what would fit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from braindec.diffusion import presets
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.memory import (
    MARGIN,
    MemoryEstimate,
    available_memory,
    check_memory,
    check_training_memory,
    estimate_sampling,
    estimate_training,
)  # fmt: skip
from braindec.diffusion.schedulers import training_scheduler
from braindec.errors import BraindecError
from braindec.train.diffusion import diffusion_loss, fit_diffusion

ROOT = Path(__file__).resolve().parents[2]


def parts(preset="tiny", *, meta=False, **options):
    def build():
        unet = presets.unet(preset, **options)
        return nn.ModuleDict({"unet": unet, "conditioner": Conditioner(dim=6, width=unet.config.cross_attention_dim)})

    model = presets.on_meta(build)[0] if meta else build()
    return model, diffusion_loss(model["unet"], model["conditioner"], training_scheduler())


def batch(model, rows):
    c = model["unet"].config
    return {"x": (rows, c.in_channels, c.sample_size, c.sample_size), "condition": (rows, 6)}


def test_one_layer_by_hand():
    """y = relu(x W), z = y V, mean of z^2: what lives until the backward pass is known."""
    model = nn.Sequential(nn.Linear(100, 300, bias=False), nn.ReLU(), nn.Linear(300, 50, bias=False))
    found = estimate_training(model, lambda m, b, g: m(b["x"]).pow(2).mean(), {"x": (64, 100)})
    weights = 4 * (100 * 300 + 300 * 50)
    assert found.weights == found.gradients == found.average == weights and found.optimizer == 2 * weights
    least = 4 * 64 * (300 + 300 + 50 + 50)  # x W, relu, z, z^2: all alive at the end of the forward pass
    assert least <= found.step <= least + weights + 4 * 64 * 400
    assert found.total == found.weights + found.beyond_weights
    assert model[0].weight.grad is None


@pytest.mark.slow
def test_activations_grow_with_rows_and_shrink_with_every_way_out():
    model, loss = parts("tiny")
    one, two = (estimate_training(model, loss, batch(model, n)) for n in (64, 128))
    assert two.step / one.step == pytest.approx(2, rel=0.15) and two.weights == one.weights
    for way in ({"accumulate": 4}, {"gradient_checkpointing": True}, {"mixed_precision": "bf16"}):
        assert estimate_training(model, loss, batch(model, 128), **way).step < 0.75 * two.step
    assert estimate_training(model, loss, batch(model, 64), ema=False).average == 0
    assert not model["unet"].is_gradient_checkpointing and model.training
    assert all(p.grad is None and not p.is_meta for p in model.parameters())


@pytest.mark.slow
def test_a_network_of_published_size_without_its_memory():
    model, loss = parts("paper:sd15", meta=True)
    found = estimate_training(model, loss, batch(model, 1), gradient_checkpointing=True)
    assert found.weights == pytest.approx(4 * 859_520_964, rel=0.01)
    assert 4 * 4 * 859_520_964 < found.total < 24 * 2**30
    sampling = estimate_sampling(model["unet"], rows=1, vae=presets.on_meta(lambda: presets.autoencoder("paper:sd15"))[0],
                                 mixed_precision="fp16")  # fmt: skip
    assert sampling.weights == 2 * (859_520_964 + 83_653_863) and sampling.step > 100 * 2**20


@pytest.mark.slow
def test_sampling_of_all_kinds():
    vector = presets.unet("tiny", vector=5)
    plain = estimate_sampling(vector, rows=8)
    assert estimate_sampling(vector, rows=8, guided=False).step < plain.step
    control = presets.controlnet(denoiser=presets.unet("tiny"), factor=2)
    assert estimate_sampling(presets.unet("tiny"), rows=8, controlnet=control).step > plain.step
    film = presets.film_unet("tiny")
    assert estimate_sampling(film, rows=1, frames=8).step > estimate_sampling(film, rows=1, frames=2).step


@pytest.mark.slow
def test_sampling_of_the_largest():
    xl = presets.on_meta(lambda: presets.unet("paper:sdxl"))[0]
    found = estimate_sampling(xl, rows=1, mixed_precision="bf16")
    assert found.weights == 2 * 2_567_463_684 and found.step > 100 * 2**20


def convolutions():
    """Fast to estimate: as a denoiser to the estimates, which look at what lives only."""
    model = nn.Sequential(
        nn.Conv2d(1, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, 1, 3)
    )
    return model, lambda m, given, generator: m(given["x"]).pow(2).mean()


def test_too_little_memory_is_said_with_what_would_fit():
    model, loss = convolutions()
    shapes = {"x": (128, 1, 64, 64)}
    whole = estimate_training(model, loss, shapes)
    assert whole.step > 128 * 4 * 64 * 64 * 64 * 4
    assert check_training_memory(model, loss, shapes, available=2 * whole.total) == whole
    with pytest.raises(BraindecError) as caught:
        check_training_memory(model, loss, shapes, available=round(0.7 * whole.beyond_weights))
    text = str(caught.value)
    assert "training needs more memory than cpu has free" in text and "with 128 rows" in text
    parts = int(re.search(r"accumulate=(\d+) \(about", text)[1])
    fits = MARGIN * estimate_training(model, loss, shapes, accumulate=parts).beyond_weights
    not_yet = MARGIN * estimate_training(model, loss, shapes, accumulate=max(1, parts - 1)).beyond_weights
    assert fits <= 0.72 * whole.beyond_weights < 1.03 * not_yet and "mixed_precision='bf16'" in text
    with pytest.raises(BraindecError, match="smaller preset"):
        check_training_memory(model, loss, shapes, available=1000)


def test_sampling_with_too_little_memory():
    estimate = MemoryEstimate("sampling", 4, 100, 0, 0, 0, 50, 10)
    check_memory(estimate, round(160 * MARGIN))
    check_memory(estimate, round(60 * MARGIN), loaded=True)
    with pytest.raises(BraindecError, match="sample fewer at once"):
        check_memory(estimate, 100)
    assert 0 < available_memory() < 2**50


def test_a_training_that_cannot_fit_does_not_begin(monkeypatch):
    model, loss = convolutions()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    import braindec.train.diffusion as training

    monkeypatch.setattr(training, "available_memory", lambda device: 200 * 2**20)  # a small machine

    def give(generator):
        return [{"x": torch.zeros(64, 1, 64, 64)}]

    with pytest.raises(BraindecError, match=r"(?s)training needs more memory.*accumulate="):
        fit_diffusion(model, loss, give, steps=2)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    fit_diffusion(model, loss, give, steps=1, check_memory=False)


MEASURE = """
import json, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {here!r})
import {module} as tests
preset, rows, options = json.loads(sys.argv[1])
def resident():
    lines = dict(line.split(":") for line in open("/proc/self/status").read().splitlines())
    return [1024 * int(lines[k].split()[0]) for k in ("VmRSS", "VmHWM")]
model, loss = tests.parts(preset, sample_size=32, channels=3)
given = {{k: torch.randn(s) for k, s in tests.batch(model, rows).items()}}
before, _ = resident()
tests.fit_diffusion(model, loss, lambda generator: [given], steps=2, check_memory=False, **options)
_, most = resident()
print(json.dumps([most - before, tests.estimate_training(model, loss, given, **options).beyond_weights]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(("preset", "rows", "options"), [("tiny", 48, {}), ("base", 3, {})])
def test_estimates_against_what_a_process_takes(tmp_path, preset, rows, options):
    script = tmp_path / "measure.py"
    script.write_text(MEASURE.format(here=str(Path(__file__).parent), module=Path(__file__).stem))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(script), json.dumps([preset, rows, options])], env=environment,
                          capture_output=True, text=True, timeout=200)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    taken, estimated = json.loads(done.stdout.splitlines()[-1])
    assert 1 / 1.5 < taken / estimated < 1.5, f"{taken / 2**20:.0f} MiB taken, {estimated / 2**20:.0f} MiB estimated"
