"""Diffusion training: interrupted and resumed equals undisturbed, parts equal the whole, and it stops before it is damaged."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from braindec.diffusion import presets
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.memory import estimate_sampling
from braindec.diffusion.schedulers import training_scheduler
from braindec.errors import BraindecError
from braindec.train.diffusion import diffusion_loss, fit_diffusion
from braindec.viz.training_curves import training_curves

N, DIM = 40, 6


class Small(nn.Module):
    """A denoiser with dropout and batch normalisation: all that has a state of its own."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.Dropout(0.2), nn.Conv2d(8, 1, 3, padding=1)
        )
        self.listen = nn.Linear(8, 1)

    def forward(self, x, t, encoder_hidden_states, return_dict=False):
        return (
            self.net(x + self.listen(encoder_hidden_states.mean(1))[:, :, None, None] + (t / 200)[:, None, None, None]),
        )


def make(kind="small", seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = (
            Small() if kind == "small" else presets.unet("tiny", block_out_channels=(8, 16), norm_num_groups=4, width=8)
        )
        conditioner = Conditioner(dim=DIM, width=8, n_tokens=2)
    return nn.ModuleDict({"unet": unet, "conditioner": conditioner})


def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N, 1, 8, 8, generator=generator).clamp(-1, 1), torch.randn(N, DIM, generator=generator)


def batches(stop_at=None, size=8, poison=None):
    x, condition = data()
    calls = [0]

    def give(generator):
        calls[0] += 1
        order = torch.randperm(N, generator=generator)
        for k, rows in enumerate(order.split(size)):
            if stop_at == (calls[0], k):
                raise KeyboardInterrupt
            jitter = 1 + 0.01 * torch.rand(1, generator=generator)  # a reader that draws as it goes
            batch = {"x": x[rows] * jitter, "condition": condition[rows]}
            if poison == (calls[0], k):
                batch["condition"] = batch["condition"] * math.nan
            yield batch

    return give


def run(folder=None, *, model=None, give=None, steps=23, loss=None, **options):
    model = make() if model is None else model
    loss = loss or loss_of(model)
    settings = {"lr": 3e-3, "seed": 4, "save_every": 4, **options}
    history = fit_diffusion(model, loss, give or batches(), steps=steps, folder=folder, **settings)
    return {k: v.clone() for k, v in model.state_dict().items()}, history


def loss_of(model, **options):
    return diffusion_loss(
        model["unet"], model["conditioner"], training_scheduler(), **{"condition_drop": 0.2, "min_snr": 5, **options}
    )


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


def near(a, b, limit):
    return max(float((a[k].double() - b[k].double()).abs().max()) for k in a) < limit


@pytest.mark.parametrize("stop_at", [(1, 0), (1, 3), (2, 0), (3, 2), (5, 1)])
def test_interrupted_and_resumed_is_undisturbed(tmp_path, stop_at):
    expected, history = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, give=batches(stop_at))
    weights, resumed = run(tmp_path)
    assert same(expected, weights) and resumed.rows == history.rows


def test_interrupted_twice_with_parts_validation_and_the_best_kept(tmp_path):
    options = {"accumulate": 3, "keep_best": True, "validate_every": 5, "warm_up": 5, "schedule": "constant", "ema": 0.9,
               "validate": by_weights}  # fmt: skip
    expected, history = run(**options)
    values = [row["validation_loss"] for row in history.rows]
    assert [row["step"] for row in history.rows] == [5, 10, 15, 20, 23]
    assert history.best_step == history.rows[int(np.argmin(values))]["step"] != 23
    for stop_at in ((2, 1), (2, 3)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, give=batches(stop_at), **options)
    weights, resumed = run(tmp_path, **options)
    assert same(expected, weights) and resumed.rows == history.rows and resumed.best_step == history.best_step
    reached, model = by_weights_of(weights), make()
    assert reached == min(values)
    assert by_weights(model) != {"loss": reached}


def by_weights_of(weights):
    model = make()
    model.load_state_dict(weights)
    return by_weights(model)["loss"]


def by_weights(model):
    """A validation loss that depends on the weights alone, and changes with training."""
    return {"loss": torch.sin(1e3 * model["unet"].listen.weight.detach().sum()).item()}


def test_what_a_validation_draws_does_not_change_the_training():
    expected, _ = run()
    weights, history = run(validate=lambda model: {"loss": float(torch.rand(1)), "extra": 1.0}, validate_every=7)
    assert same(expected, weights)
    assert set(history.columns()) == {"step", "lr", "train_loss", "validation_loss", "validation_extra", "best_step"}


def test_a_finished_run_is_not_trained_again_and_other_arguments_are_another_run(tmp_path):
    expected, history = run(tmp_path)
    weights, again = run(tmp_path, give=batches((1, 0)))  # would be interrupted if it trained
    assert same(expected, weights) and again.rows == history.rows
    for changes in ({"lr": 1e-3}, {"seed": 5}, {"key": "other data"}, {"ema": None}):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, give=batches((1, 0)), **changes)


def test_the_average_is_that_of_its_definition():
    kept = []

    def watched(model, batch, generator):
        kept.append({k: v.detach().clone() for k, v in model.named_parameters()})
        return loss_of(model)(model, batch, generator)

    weights, _ = run(loss=watched, steps=12, ema=0.3, schedule="constant")
    last, _ = run(steps=12, ema=None, schedule="constant")
    kept.append({k: last[k] for k in kept[0]})
    for name in kept[0]:
        average = kept[0][name]
        for step in range(1, 13):
            keep = min(0.3, (1 + step) / (10 + step))
            average = keep * average + (1 - keep) * kept[step][name]
        torch.testing.assert_close(weights[name], average)


def test_a_batch_in_parts_is_the_whole_batch():
    whole, _ = run(model=make("unet"), steps=6, lr=5e-4)
    parts, _ = run(model=make("unet"), steps=6, lr=5e-4, accumulate=3)
    assert near(whole, parts, 1e-5) and not near(whole, make("unet").state_dict(), 1e-3)


def test_gradient_checkpointing_changes_nothing():
    plain, _ = run(model=make("unet"), steps=5)
    model = make("unet")
    calls = []
    model["unet"].down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: calls.append(1))
    saved, _ = run(model=model, steps=5, gradient_checkpointing=True)
    assert near(plain, saved, 1e-6)
    assert len(calls) == 10  # once forward and once again, each step
    assert not model["unet"].is_gradient_checkpointing


def test_half_precision_trains_and_weights_stay_whole():
    model = make("unet")
    seen = []
    model["unet"].mid_block.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    weights, history = run(model=model, steps=20, mixed_precision="bf16")
    _, expected = run(model=make("unet"), steps=20)
    assert set(seen) == {torch.bfloat16} and all(v.dtype == torch.float32 for k, v in weights.items())
    assert history.rows[-1]["train_loss"] == pytest.approx(expected.rows[-1]["train_loss"], rel=0.05)


def test_frozen_weights_stay_and_are_not_saved(tmp_path):
    model = make("unet")
    model["unet"].requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    weights, _ = run(tmp_path, model=model, steps=5)
    assert same({k: before[k] for k in before if k.startswith("unet")}, weights)
    assert not same({k: before[k] for k in before if k.startswith("conditioner")}, weights)
    (file,) = tmp_path.glob("run-*/*.safetensors")
    assert not any("unet" in k for k in load_file(file))


def test_a_loss_that_is_not_finite_stops_at_the_last_checkpoint(tmp_path):
    good, _ = run(steps=23, save_every=4)  # what the averaged weights of step 8 are: run to there by hand
    model = make()
    with pytest.raises(BraindecError, match=r"the loss became nan at step 11 of 23") as caught:
        run(tmp_path, model=model, give=batches(poison=(3, 0)))
    message = str(caught.value)
    assert "learning rate" in message and "'condition' of the batch is not finite" in message
    (folder,) = tmp_path.glob("run-*")
    assert str(folder) in message and "step 8" in message
    about = json.loads((folder / "checkpoint.json").read_text())
    assert about["step"] == 8 and not about["finished"]
    kept = load_file(folder / about["file"])
    state = model.state_dict()
    assert all(torch.equal(state[k.removeprefix("average.")], v) for k, v in kept.items() if k.startswith("average."))
    assert not model.training
    assert same(good, run(tmp_path)[0])  # with good data it goes on from there


@pytest.mark.filterwarnings("ignore")
def test_a_gradient_that_is_not_finite_and_a_learning_rate_too_high():
    model = make()
    with pytest.raises(BraindecError, match="gradient became"):
        run(model=model, loss=lambda m, batch, g: (m["unet"].listen.weight * 0).abs().sqrt().sum())
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    with pytest.raises(BraindecError, match=r"(?s)became .* of 200.*lower lr.*there is no checkpoint"):
        run(model=make("unet"), steps=200, lr=1e12, clip_norm=None, schedule="constant")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mixed_precision": "fp16"}, 'needs a GPU'), ({"mixed_precision": "half"}, "no, bf16, fp16"), ({"schedule": "linear"}, "cosine"),
        ({"ema": 1.0}, "ema"), ({"lr": 0.0}, "lr"), ({"accumulate": 0}, "accumulate"), ({"save_every": 0}, "save_every"),
        ({"keep_best": True}, "validation loss"), ({"gradient_checkpointing": True}, "not possible with this model"),
        ({"keep_best": True, "validate": lambda model: {"loss": math.nan}, "validate_every": 1}, "finite"),
        ({"device": "cuda:9"}, "not there"), ({"give": lambda generator: []}, "nothing to train on"),
    ],
)  # fmt: skip
def test_bad_arguments(options, match):
    with pytest.raises(BraindecError, match=match):
        run(**options)


def test_weights_that_cannot_be_trained():
    model = make().half()
    with pytest.raises(BraindecError, match="trained in float32"):
        run(model=model)
    with pytest.raises(BraindecError, match="nothing to train"):
        run(model=make().requires_grad_(False))


def test_bad_losses():
    model = make()
    for options, match in (
        ({"condition_drop": 1.5}, "share of the rows"), ({"min_snr": 0}, "gamma"), ({"noise_offset": -1}, "standard deviation"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=match):
            loss_of(model, **options)
    from diffusers import EDMEulerScheduler

    with pytest.raises(BraindecError, match="cannot be trained with"):
        diffusion_loss(model["unet"], model["conditioner"], EDMEulerScheduler())
    control = presets.controlnet("tiny", block_out_channels=[8, 16], norm_num_groups=4, cross_attention_dim=8)
    with pytest.raises(BraindecError, match="control image for every item"):
        loss_of(model, controlnet=control)(model, next(iter(batches()(torch.Generator()))), torch.Generator())


def test_the_shares_of_dropped_rows_and_the_noise_are_as_asked():
    model = make()
    x = torch.zeros(4000, 1, 8, 8)
    drawn = loss_of(model, condition_drop=0.3, noise_offset=0.5).draw({"x": x}, torch.Generator().manual_seed(0))
    assert drawn["drop"].float().mean() == pytest.approx(0.3, abs=0.03)
    assert drawn["timesteps"].min() == 0 and drawn["timesteps"].max() == 199
    shared = drawn["noise"].mean(dim=(2, 3)).var()
    assert shared == pytest.approx(0.25 + 1 / 64, rel=0.1) and drawn["noise"].var() == pytest.approx(1.25, rel=0.05)
    own = loss_of(model, noise=lambda shape, generator: torch.full(shape, 2.0)).draw({"x": x}, torch.Generator())
    assert (own["noise"] == 2).all()


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_the_loss_is_the_weighted_error_of_its_definition(kind):
    """min-SNR weights by hand: min(snr, g) / snr, min(snr, g), min(snr, g) / (snr + 1)."""
    scheduler = training_scheduler(prediction=kind)
    model = make("unet").eval()
    x, condition = data()
    loss = diffusion_loss(model["unet"], model["conditioner"], scheduler, condition_drop=0.0, min_snr=5)
    batch = loss.draw({"x": x, "condition": condition}, torch.Generator().manual_seed(2))
    a = scheduler.alphas_cumprod[batch["timesteps"]].double()
    kept, noise = a.sqrt()[:, None, None, None], (1 - a).sqrt()[:, None, None, None]
    with torch.no_grad():
        noisy = (kept * x + noise * batch["noise"]).float()
        out = model["unet"](
            noisy, batch["timesteps"], encoder_hidden_states=model["conditioner"](condition)[0]
        ).sample.double()
        found = loss(model, batch, torch.Generator())
    snr = a / (1 - a)
    target = {"epsilon": batch["noise"], "sample": x, "v_prediction": kept * batch["noise"] - noise * x}[kind]
    weight = {
        "epsilon": snr.clamp(max=5) / snr,
        "sample": snr.clamp(max=5),
        "v_prediction": snr.clamp(max=5) / (snr + 1),
    }[kind]
    expected = (weight * (out - target).pow(2).mean(dim=(1, 2, 3))).mean()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_the_control_network_is_trained_and_heard(tmp_path):
    model = make("unet")
    model["controlnet"] = presets.controlnet(denoiser=model["unet"], hint_channels=1)
    model["unet"].requires_grad_(False)
    x, condition = data()
    loss = loss_of(model, controlnet=model["controlnet"], control_drop=0.5)

    def give(generator):
        return ({"x": x[r], "condition": condition[r], "control": x[r].abs()} for r in torch.arange(N).split(8))

    before = {k: v.clone() for k, v in model["controlnet"].state_dict().items()}
    run(model=model, give=give, steps=3, loss=loss)
    assert not same(before, model["controlnet"].state_dict())
    drawn = loss.draw({"x": x, "condition": condition, "control": x.abs()}, torch.Generator().manual_seed(0))
    assert 0.2 < drawn["control_drop"].float().mean() < 0.8
    with torch.no_grad():
        one = loss(model, drawn, torch.Generator())
        other = loss(model, {**drawn, "control_drop": ~drawn["control_drop"]}, torch.Generator())
    assert one != other


@pytest.mark.parametrize("motion", [False, True])
def test_denoisers_of_films_are_trained(motion):
    torch.manual_seed(0)
    unet = presets.film_unet(denoiser=presets.unet("tiny", channels=4)) if motion else presets.film_unet("tiny")
    model = nn.ModuleDict({"unet": unet, "conditioner": Conditioner(dim=DIM, width=32, n_tokens=2)})
    films, condition = torch.randn(8, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)).tanh(), data()[1][:8]
    give = [{"x": films, "condition": condition}]
    _, history = run(model=model, give=lambda generator: give, steps=4, accumulate=2)
    assert math.isfinite(history.rows[-1]["train_loss"])
    assert estimate_sampling(unet, rows=1, frames=3).step > 0


def test_history_is_saved_and_drawn(tmp_path):
    _, history = run(tmp_path)
    (csv,) = tmp_path.glob("run-*/history.csv")
    table = np.genfromtxt(csv, delimiter=",", names=True)
    assert list(table.dtype.names) == ["step", "lr", "train_loss"] and np.array_equal(
        table["train_loss"], history.columns()["train_loss"]
    )
    assert history.best_step == 23 and history.folder == csv.parent
    assert training_curves(history.columns()).axes
    history.save(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == csv.read_bytes()


def test_the_random_state_outside_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    run(steps=3)
    assert torch.equal(torch.rand(3), expected)


JOB = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {here!r})
import {module} as tests
tests.run({work!r}, steps=200, save_every=7)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_it_trains(tmp_path, how):
    """A signal at a moment of no choosing; what is left over is whole, and the end is the same."""
    work, script = tmp_path / "work", tmp_path / "job.py"
    script.write_text(JOB.format(here=str(Path(__file__).parent), module=Path(__file__).stem, work=str(work)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL)
    while job.poll() is None and step_of(work) < 20:
        time.sleep(0.01)
    job.send_signal(how)
    assert job.wait() != 0
    stopped = step_of(work)
    assert 20 <= stopped < 200
    if how != signal.SIGKILL:
        assert next(work.glob("run-*/step-*.safetensors")).stem.endswith(str(stopped))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected, history = run(steps=200, save_every=7)
        weights, resumed = run(work, steps=200, save_every=7)
    finally:
        torch.set_num_threads(threads)
    assert same(expected, weights) and history.rows == resumed.rows
    (folder,) = work.iterdir()
    assert sorted(p.suffix for p in folder.iterdir()) == [".csv", ".json", ".safetensors"]  # nothing half written stays


def step_of(work):
    found = list(work.glob("run-*/checkpoint.json"))
    return json.loads(found[0].read_text())["step"] if found else 0


PROCESSES = """
import os, sys, torch
from safetensors.torch import save_file
torch.set_num_threads(1)
sys.path.insert(0, {here!r})
import {module} as tests
rank = int(os.environ["RANK"])
written = []
import braindec.train.diffusion_run as under_test
whole = under_test.save_tensors
under_test.save_tensors = lambda tensors, path: (written.append(path), whole(tensors, path))
model = tests.make("unet", seed=rank)  # the first process's weights are taken
weights, history = tests.run({work!r}, model=model, accelerate=True, **tests.SHARED)
save_file(weights, {work!r} + f"/rank-{{rank}}.safetensors")
open({work!r} + f"/rank-{{rank}}.txt", "w").write(f"{{len(written)}} {{history.rows[-1]['train_loss']!r}}")
"""
SHARED = {"steps": 6, "lr": 5e-4, "save_every": 3}


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    """Each takes half of every batch: the same weights in both, those of one process with the whole batches to 1e-5."""
    work, script = tmp_path / "work", tmp_path / "job.py"
    work.mkdir()
    script.write_text(PROCESSES.format(here=str(Path(__file__).parent), module=Path(__file__).stem, work=str(work)))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(work / f"rank-{r}.safetensors") for r in (0, 1))
    assert same(first, second)
    alone, history = run(model=make("unet"), **SHARED)
    assert near(first, alone, 1e-5) and not near(alone, make("unet").state_dict(), 1e-3)
    found = [(work / f"rank-{r}.txt").read_text().split() for r in (0, 1)]
    assert [n for n, _ in found] == ["2", "0"]  # only the first process writes
    assert [float(v) for _, v in found] == pytest.approx([history.rows[-1]["train_loss"]] * 2, rel=1e-5)
    resumed, _ = run(
        work, model=make("unet"), give=batches((1, 0)), **SHARED
    )  # one process opens what two have written
    assert same(resumed, first)


def test_an_accelerator_of_one_process_and_one_that_shards():
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    assert same(run(steps=5)[0], run(steps=5, accelerate=accelerator)[0])

    class Sharded:
        distributed_type, device, num_processes = "FSDP", torch.device("cpu"), 2

    with pytest.raises(BraindecError, match="not made for FSDP"):
        run(accelerate=Sharded())
