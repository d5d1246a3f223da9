"""Recurrent LIF neurons: the fused recurrence against the step loop and against plain LIF neurons."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.lif_layer import LIF, LIFState
from braindec.networks.recurrent_lif import RecurrentLIF

KINDS = list(product(("soft", "hard", "none"), (False, True)))


@pytest.mark.parametrize("reset, delay", KINDS)
def test_fused_is_the_step_loop(reset, delay):
    x = torch.randn(12, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5
    weight = torch.randn(12, 3, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for detach, decay_input, learn, keep in product((False, True), repeat=4):
        found = []
        for backend in ("torch", "fused"):
            layer = RecurrentLIF(
                5, spread=2.0, generator=torch.Generator().manual_seed(0), decay=[0.5, 0.6, 0.7, 0.8, 0.9],
                threshold=[0.5, 0.8, 0.9, 1.0, 1.1], reset=reset, reset_delay=delay, detach_reset=detach, v_reset=-0.2,
                decay_input=decay_input, v_rest=0.1, learn_decay=learn, learn_threshold=learn, backend=backend,
            ).double()  # fmt: skip
            drive = x.clone().requires_grad_()
            state = LIFState(*(torch.full((3, 5), v, dtype=torch.float64).requires_grad_() for v in (0.3, 1.0)))
            out = layer(drive, state, keep_potential=keep)
            loss = (out.spikes * weight).sum() + out.state.potential.square().sum()
            loss = loss + (out.potential * weight).sum() if keep else loss
            inputs = [drive, *state, *layer.parameters()]
            found.append((out, torch.autograd.grad(loss, inputs, materialize_grads=True, allow_unused=True)))
        (plain, slow), (fused, quick) = found
        assert torch.equal(plain.spikes, fused.spikes) and 0 < plain.spikes.mean() < 1
        torch.testing.assert_close(plain.state.potential, fused.state.potential)
        for a, b in zip(slow, quick):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_without_recurrent_weights_it_is_the_lif_layer(backend):
    x = torch.randn(9, 2, 4, generator=torch.Generator().manual_seed(0))
    layer = RecurrentLIF(4, spread=0.0, backend=backend)
    assert torch.equal(layer(x).spikes, LIF()(x).spikes)
    assert torch.equal(RecurrentLIF(4, spread=0.0, batch_first=True)(x.transpose(0, 1)).spikes.transpose(0, 1),
                       layer(x).spikes)  # fmt: skip


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_a_ring_passes_one_spike_on(backend):
    layer = RecurrentLIF(5, decay=0.5, backend=backend)
    with torch.no_grad():
        layer.weight.copy_(torch.roll(torch.eye(5), 1, dims=0) * 1.5)
    x = torch.zeros(10, 1, 5)
    x[0, 0, 0] = 1.0
    spikes = layer(x).spikes[:, 0]
    assert torch.equal(spikes.argmax(dim=1), torch.arange(10) % 5)
    assert torch.equal(spikes.sum(dim=1), torch.ones(10))


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_going_on_from_a_state_is_the_same_as_not_stopping(backend):
    x = torch.randn(12, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = RecurrentLIF(4, spread=1.0, backend=backend, generator=torch.Generator().manual_seed(0)).double()
    first = layer(x[:5])
    second = layer(x[5:], first.state)
    assert torch.equal(layer(x).spikes, torch.cat([first.spikes, second.spikes]))
    second.spikes.sum().backward()  # the history is kept
    assert layer.weight.grad.abs().sum() > 0


def test_wrong_input():
    with pytest.raises(BraindecError, match="n_neurons"):
        RecurrentLIF(0)
    with pytest.raises(BraindecError, match="another number of neurons"):
        RecurrentLIF(3)(torch.rand(4, 2, 5))
    with pytest.raises(BraindecError, match="NaN"):
        RecurrentLIF(3)(torch.full((4, 2, 3), float("nan")))
    with pytest.raises(BraindecError, match="does not fit"):
        RecurrentLIF(3)(torch.rand(4, 2, 3), LIFState(torch.zeros(1, 3), torch.zeros(1, 3)))
    for spread in (float("nan"), -1.0, "x"):
        with pytest.raises(BraindecError, match="spread"):
            RecurrentLIF(3, spread=spread)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_what_becomes_nan_is_not_silent(backend):
    layer, x = RecurrentLIF(3, backend=backend), torch.rand(4, 2, 3)
    bad = LIFState(torch.full((2, 3), float("nan")), torch.zeros(2, 3))
    with pytest.raises(BraindecError, match="became NaN or infinite"):
        layer(x, bad)
    with torch.no_grad():
        layer.weight[0, 1] = float("nan")
    with pytest.raises(BraindecError, match="became NaN or infinite"):
        layer(x)
