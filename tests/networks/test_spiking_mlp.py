"""The spiking network: it learns, its backends agree, its read-outs are what they say, wrong input."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from braindec.errors import BraindecError
from braindec.networks.spiking_mlp import SpikingMLP


def spike_manifolds(seed, *, n_classes=5, n_units=40, n_steps=60, per_class=80):
    """Each unit fires once, at a time that is a smooth random function of a hidden value; one set of functions a class.

    Rates say nothing: every unit fires exactly once in every trial (after Zenke & Vogels 2021, section 2.1).
    """
    rng = np.random.default_rng(seed)
    phase, amplitude = rng.uniform(size=(n_classes, n_units, 3)), 1 / np.arange(1, 4)
    hidden = rng.uniform(size=(n_classes, per_class, 1, 1))
    curve = (amplitude * np.sin(2 * np.pi * (np.arange(1, 4) * hidden * 0.5 + phase[:, None]))).sum(axis=-1)
    low, high = curve.min(axis=1, keepdims=True), curve.max(axis=1, keepdims=True)
    at = ((curve - low) / (high - low) * (n_steps - 1)).round().astype(int).reshape(-1, n_units)
    spikes = torch.zeros(n_steps, len(at), n_units)
    spikes[torch.from_numpy(at), torch.arange(len(at))[:, None], torch.arange(n_units)] = 1
    return spikes, torch.arange(n_classes).repeat_interleave(per_class)


def accuracy_after_training(model, *, epochs, lr=1e-2):
    x, y = spike_manifolds(0)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, test = order[:300], order[300:]
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train), generator=generator)].split(60):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[:, batch]).readout * 10, y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        out = model(x[:, test])
    return float((out.readout.argmax(dim=1) == y[test]).float().mean()), out


@pytest.mark.parametrize("recurrent", [False, True])
def test_it_learns_to_tell_spike_times_apart(recurrent):
    began = time.process_time()
    model = SpikingMLP((40, 64, 5), recurrent=recurrent, readout="max", decay=0.9, input_rate=1 / 60, detach_reset=True,
                       generator=torch.Generator().manual_seed(0))  # fmt: skip
    accuracy, out = accuracy_after_training(model, epochs=20)
    assert accuracy > 0.9
    assert 0.5 < out.sparsity < 1 and all(0 < rate < 0.5 for rate in out.rates)
    assert time.process_time() - began < 30


def test_the_same_seed_gives_the_same_network_and_training():
    runs = [accuracy_after_training(SpikingMLP((40, 16, 5), generator=torch.Generator().manual_seed(3)), epochs=1)
            for _ in "12"]  # fmt: skip
    assert torch.equal(runs[0][1].readout, runs[1][1].readout)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("readout", ["mean", "max", "last", "sequence"])
def test_backends_agree(readout, recurrent):
    x = (torch.rand(15, 6, 20, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    found = []
    for backend in ("torch", "fused"):
        model = SpikingMLP((20, 70, 12, 3), readout=readout, recurrent=recurrent, backend=backend, input_rate=0.2,
                           learn_decay=True, generator=torch.Generator().manual_seed(0)).double()  # fmt: skip
        out = model(x)
        found.append((out, torch.autograd.grad(out.readout.square().sum(), list(model.parameters()))))
    (plain, slow), (fused, quick) = found
    assert all(torch.equal(a, b) for a, b in zip(plain.spikes, fused.spikes))
    assert min(plain.rates) > 0
    torch.testing.assert_close(plain.readout, fused.readout)
    for a, b in zip(slow, quick):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_readouts():
    x = (torch.rand(15, 6, 20, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    models = {r: SpikingMLP((20, 30, 3), readout=r, generator=torch.Generator().manual_seed(0))
              for r in ("mean", "max", "last", "sequence")}  # fmt: skip
    whole = models["sequence"](x).readout
    assert whole.shape == (15, 6, 3)
    torch.testing.assert_close(models["mean"](x).readout, whole.mean(dim=0))
    torch.testing.assert_close(models["max"](x).readout, whole.amax(dim=0))
    torch.testing.assert_close(models["last"](x).readout, whole[-1])
    batch_first = SpikingMLP((20, 30, 3), batch_first=True, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch_first(x.transpose(0, 1)).readout, models["mean"](x).readout)


def test_going_on_from_a_state_is_the_same_as_not_stopping():
    x = (torch.rand(15, 6, 20, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    model = SpikingMLP((20, 30, 3), readout="sequence", recurrent=True).double()
    first = model(x[:6])
    second = model(x[6:], first.state)
    torch.testing.assert_close(model(x).readout, torch.cat([first.readout, second.readout]))


@pytest.mark.parametrize("n_in", [10, 300, 2000])
@pytest.mark.parametrize("rate", [0.02, 0.2])
def test_first_potentials_do_not_depend_on_the_number_of_inputs(n_in, rate):
    model = SpikingMLP(
        (n_in, 200, 2), decay=0.8, input_rate=rate, reset="none", generator=torch.Generator().manual_seed(0)
    )
    x = (torch.rand(60, 20, n_in, generator=torch.Generator().manual_seed(1)) < rate).float()
    potential = model.neurons[0](model.weights[0](x), keep_potential=True).potential[20:]
    # The same inputs drive all steps: their mean adds to the variance, by (1 + d) / (1 - d) of the rate.
    expected = (1 + rate * (1 + 0.8) / (1 - 0.8) - rate) ** 0.5
    assert float(potential.detach().std()) == pytest.approx(expected, rel=0.25)


def test_wrong_input():
    for sizes in ((5,), (5, 3), (5, 0, 3), (5, 2.5, 3), (True, 4, 2)):
        with pytest.raises(BraindecError, match="sizes"):
            SpikingMLP(sizes)
    with pytest.raises(BraindecError, match="did you mean 'mean'"):
        SpikingMLP((3, 4, 2), readout="meen")
    with pytest.raises(BraindecError, match="input_rate"):
        SpikingMLP((3, 4, 2), input_rate=0)
    with pytest.raises(BraindecError, match="did you mean 'atan'"):
        SpikingMLP((3, 4, 2), surrogate="atam")
    model = SpikingMLP((3, 4, 2))
    with pytest.raises(BraindecError, match="another number of inputs"):
        model(torch.zeros(5, 2, 4))
    with pytest.raises(BraindecError, match="NaN"):
        model(torch.full((5, 2, 3), float("nan")))
    with pytest.raises(BraindecError, match="not as many"):
        model(torch.zeros(5, 2, 3), [])
    for wrong in ({"spread": float("inf")}, {"spread": "x"}, {"input_rate": None}):
        with pytest.raises(BraindecError, match=next(iter(wrong))):
            SpikingMLP((3, 4, 2), **wrong)
    with pytest.raises(BraindecError, match="sizes"):
        SpikingMLP(5)
    with pytest.raises(BraindecError, match="multiplied by 0"):
        SpikingMLP((3, 4, 2), readout_decay=1.0)  # a read-out that would always be 0


@pytest.mark.parametrize("readout", ["mean", "last", "max", "sequence"])
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_a_wrong_state_of_the_readout_is_refused(readout, backend):
    model, x = SpikingMLP((3, 4, 2), readout=readout, backend=backend), torch.zeros(5, 2, 3)
    states = model(x).state
    smaller = [*states[:-1], type(states[-1])(torch.zeros(1, 2), torch.zeros(1, 2))]  # would be spread over the batch
    with pytest.raises(BraindecError, match="does not fit"):
        model(x, smaller)
    nan = [*states[:-1], type(states[-1])(torch.full((2, 2), float("nan")), torch.zeros(2, 2))]
    with pytest.raises(BraindecError, match="NaN"):
        model(x, nan)


@pytest.mark.parametrize("readout", ["mean", "last"])
def test_reading_out_at_once_is_reading_out_step_by_step(readout):
    """Also from a state, and in the state that is handed on."""
    x = (torch.rand(15, 6, 20, generator=torch.Generator().manual_seed(0)) < 0.2).double()
    found = []
    for backend in ("torch", "auto"):
        model = SpikingMLP((20, 30, 3), readout=readout, backend=backend, readout_decay=0.7,
                           generator=torch.Generator().manual_seed(0)).double()  # fmt: skip
        with torch.no_grad():
            model.weights[-1].bias += 0.4
        first = model(x[:6])
        found.append((model(x[6:], first.state), model(x)))
    for plain, fast in zip(*found):
        torch.testing.assert_close(plain.readout, fast.readout)
        torch.testing.assert_close(plain.state[-1].potential, fast.state[-1].potential)
