"""The training loop: interrupted and resumed equals undisturbed, bit for bit; early stopping; one clear error."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from braindec import losses, train
from braindec.errors import BraindecError

N, DIM = 50, 4


def data():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(N, 3, 8, generator=generator)
    y = x.flatten(1) @ torch.randn(24, DIM, generator=generator) + 0.5 * torch.randn(N, DIM, generator=generator)
    return x, y


def model(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(24, 16), nn.BatchNorm1d(16), nn.ELU(), nn.Dropout(0.3), nn.Linear(16, DIM)
        )


def batches(stop_at=None):
    x, y = data()
    calls = [0]

    def give(generator):
        calls[0] += 1
        order = torch.randperm(40, generator=generator)
        for k, rows in enumerate(order.split(8)):
            if stop_at == (calls[0], k):
                raise KeyboardInterrupt
            yield {"x": x[rows], "y": y[rows], "ids": rows}

    return give


def validate(net, loss):
    x, y = data()
    return {"loss": loss(net(x[40:]), y[40:]).item(), "extra": 1.5}


def run(folder=None, *, stop_at=None, epochs=6, net=None, **options):
    net, loss, queue = net or model(), losses.get("infonce"), losses.MemoryQueue(12, DIM)
    settings = {"lr": 5e-3, "patience": None, "schedule": "cosine", "validate": validate, **options}
    history = train.fit(net, loss, batches(stop_at), epochs=epochs, queue=queue, folder=folder, seed=7, **settings)
    return {**net.state_dict(), "scale": loss.log_scale.detach()}, history


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("stop_at", [(1, 0), (1, 3), (2, 0), (4, 2), (6, 4)])
def test_interrupted_and_resumed_is_undisturbed(tmp_path, stop_at):
    expected, history = run()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=stop_at)
    weights, resumed = run(tmp_path)
    assert same(expected, weights)
    assert resumed.rows == history.rows and resumed.best_epoch == history.best_epoch


def test_interrupted_twice_and_with_other_optimiser(tmp_path):
    options = {"optimizer": "adam", "betas": (0.5, 0.999), "clip_norm": 0.5}
    expected, _ = run(**options)
    for stop_at in ((3, 1), (2, 2)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, stop_at=stop_at, **options)
    assert same(expected, run(tmp_path, **options)[0])


@pytest.mark.slow
def test_killed_while_it_trains(tmp_path):
    """kill -9 at a moment of no choosing; what is left over is whole, and the end is the same."""
    script, work = tmp_path / "job.py", tmp_path / "work"
    script.write_text(
        f"import sys, torch\ntorch.set_num_threads(1)\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_loop\ntest_loop.run({str(work)!r}, epochs=40)\n"
    )
    job = subprocess.Popen([sys.executable, str(script)])
    while job.poll() is None and epoch_of(work) < 5:
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    assert 0 < epoch_of(work) < 40
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert same(run(epochs=40)[0], run(work, epochs=40)[0])
    finally:
        torch.set_num_threads(threads)
    (folder,) = work.iterdir()
    assert sorted(p.suffix for p in folder.iterdir()) == [".csv", ".json", ".safetensors"]  # nothing half written stays


def epoch_of(work):
    found = list(work.glob("run-*/checkpoint.json"))
    return json.loads(found[0].read_text())["epoch"] if found else 0


def test_a_finished_run_is_not_trained_again(tmp_path):
    expected, history = run(tmp_path)
    weights, again = run(tmp_path, stop_at=(1, 0))  # would be interrupted if it trained
    assert same(expected, weights) and again.rows == history.rows


def test_other_arguments_do_not_take_the_checkpoint(tmp_path):
    run(tmp_path)
    for options in ({"lr": 1e-3}, {"key": "other data"}, {"net": model(1)}, {"epochs": 7}):
        weights, _ = run(tmp_path, **options)
        assert same(run(**{**options, **({"net": model(1)} if "net" in options else {})})[0], weights)
    assert len(list(tmp_path.iterdir())) == 5


def test_best_weights_are_restored_and_training_stops():
    values = iter([3.0, 2.0, 2.5, 2.0, 9.0, 9.0, 9.0])
    kept = []

    def scripted(net, loss):
        kept.append({k: v.clone() for k, v in net.state_dict().items()})
        return {"loss": next(values)}

    net = model()
    history = train.fit(net, losses.get("infonce"), batches(), epochs=50, validate=scripted, patience=3, seed=1)
    assert history.best_epoch == 2 and len(history.rows) == 5  # an equal value is not better
    assert same(kept[1], net.state_dict()) and not same(kept[4], net.state_dict())
    assert not net.training


def test_without_validation_the_last_epoch_is_kept():
    _, history = run(validate=None, patience=2)
    assert history.best_epoch == 6 and set(history.columns()) == {"epoch", "lr", "train_loss", "best_epoch"}


def test_it_learns_and_the_schedule_is_cosine():
    _, history = run(epochs=20)
    table = history.columns()
    assert table["train_loss"][-1] < 0.7 * table["train_loss"][0]
    assert table["validation_loss"].min() < 0.8 * table["validation_loss"][0]
    np.testing.assert_allclose(table["lr"], 5e-3 * 0.5 * (1 + np.cos(np.pi * np.arange(20) / 20)))
    assert (table["validation_extra"] == 1.5).all()


def test_one_cycle_rises_for_two_epochs_and_falls_to_almost_nothing():
    _, history = run(epochs=20, schedule="onecycle")
    lr = history.columns()["lr"] / 5e-3
    fall = lambda done: 0.5 * (1 + np.cos(np.pi * done))  # noqa: E731
    rising = 1 / 25 + (1 - 1 / 25) * (1 - fall(np.array([0.25, 0.75])))
    falling = 1 / 25_000 + (1 - 1 / 25_000) * fall((np.arange(2, 20) - 1.5) / 18)
    np.testing.assert_allclose(lr, [*rising, *falling])
    assert lr.argmax() == 2 and lr[-1] < 0.01


def test_losses_that_mix_and_change_with_the_epoch_are_resumed_bit_for_bit(tmp_path):
    def go(folder=None, stop_at=None):
        net, loss = (
            model(),
            losses.get("bimixco_softclip", mixco={"temperature": 0.1}, softclip={"temperature": [0.05, 0.2]}),
        )
        train.fit(net, loss, batches(stop_at), epochs=6, lr=5e-3, schedule="onecycle", folder=folder, seed=7)
        return net.state_dict()

    expected = go()
    for stop_at in ((1, 2), (2, 3), (1, 1), (2, 0)):  # while it mixes, and after
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, stop_at)
    assert same(expected, go(tmp_path))


def test_model_and_loss_are_told_how_far_the_training_is():
    told = []

    class Listens(losses.InfoNCE):
        def at(self, progress):
            told.append(progress)

    train.fit(model(), Listens(), batches(), epochs=4)
    assert told == [0.0, 0.25, 0.5, 0.75]


def test_nothing_is_trained_in_no_epochs():
    before = {k: v.clone() for k, v in model().state_dict().items()}
    net = model()
    history = train.fit(net, losses.get("infonce"), batches(), epochs=0)
    assert same(before, net.state_dict()) and history.rows == [] and history.best_epoch == 0


def test_history_keeps_every_digit(tmp_path):
    _, history = run(tmp_path)
    lines = next(tmp_path.glob("run-*/history.csv")).read_text().splitlines()
    assert lines[0] == "epoch,lr,train_loss,validation_loss,validation_extra"
    assert [float(v) for v in lines[3].split(",")] == list(history.rows[2].values())


def test_global_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    assert same(run()[0], run()[0])


def test_a_loss_that_is_not_finite_is_one_clear_error(tmp_path):
    class Breaks(losses.InfoNCE):
        calls = 0

        def forward(self, *given, **named):
            self.calls += 1
            return super().forward(*given, **named) * (float("nan") if self.calls == 13 else 1.0)

    with pytest.raises(BraindecError, match="the loss became nan in epoch 3, batch 3") as error:
        train.fit(model(), Breaks(), batches(), epochs=9, lr=0.25, folder=tmp_path)
    assert "learning rate 0.25" in str(error.value) and "lower lr" in str(error.value)
    assert next(tmp_path.glob("run-*/epoch-*")).name == "epoch-00002.safetensors"  # finished epochs are kept
    with pytest.raises(BraindecError, match="validation loss became inf in epoch 1"):
        train.fit(model(), losses.get("infonce"), batches(), epochs=2, validate=lambda m, loss: {"loss": float("inf")})


def test_weights_decay_and_biases_do_not():
    class Free(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(DIM, 24)), nn.Parameter(torch.ones(DIM))

        def forward(self, x):
            return (x.flatten(1) @ self.weight.T + self.bias) * 0.0

    net = Free()
    train.fit(
        net,
        nn.MSELoss(),
        lambda g: [{"x": torch.ones(2, 3, 8), "y": torch.zeros(2, DIM)}],
        epochs=1,
        lr=0.1,
        weight_decay=0.5,
    )
    assert torch.allclose(net.weight, torch.tensor(0.95)) and (net.bias == 1).all()


def test_constraints_hold_after_each_step():
    net = model()
    net.constrain = lambda: net[1].weight.data.clamp_(-0.01, 0.01)
    train.fit(net, losses.get("infonce"), batches(), epochs=1, lr=0.1)
    assert net[1].weight.abs().max() <= 0.01


def test_devices_and_arguments_are_checked():
    assert train.resolve_device("cpu").type == "cpu"
    assert train.resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(BraindecError, match="asked for and is not there"):
        train.resolve_device(f"cuda:{torch.cuda.device_count()}")
    with pytest.raises(BraindecError, match="no device 'gpu'"):
        train.resolve_device("gpu")
    for wrong in ({"epochs": -1}, {"lr": 0.0}, {"optimizer": "sgd"}, {"schedule": "linear"}, {"patience": 0}):
        with pytest.raises(BraindecError, match=next(iter(wrong))):
            train.fit(model(), losses.get("infonce"), batches(), **{"epochs": 1, **wrong})
    with pytest.raises(BraindecError, match="nothing to train on"):
        train.fit(model(), losses.get("infonce"), lambda g: [], epochs=1)
    with pytest.raises(BraindecError, match="no parameter"):
        train.fit(nn.Flatten(), nn.MSELoss(), batches(), epochs=1)


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(tmp_path, epochs=2)
    path = next(tmp_path.glob("run-*/epoch-*"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BraindecError, match="not the file that its JSON describes"):
        run(tmp_path, epochs=2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_resumed_on_cuda(tmp_path):
    expected, _ = run(device="cuda")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=(3, 2), device="cuda")
    assert same(expected, run(tmp_path, device="cuda")[0])
