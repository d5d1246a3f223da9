"""Spike counts are eight-bit quantisation: against integers, and spike by spike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.spike_count_linear import SpikeCountLinear, quantise_counts, spike_trains


def random_input(seed=0, shape=(6, 40)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_counts_are_symmetric_eight_bit_quantisation():
    x = random_input()
    counts, scale = quantise_counts(x)
    ratio = x.numpy() * 127 / np.abs(x.numpy()).max()
    np.testing.assert_array_equal(counts, np.sign(ratio) * np.floor(np.abs(ratio) + 0.5))
    assert counts.abs().max() == 127 and counts.to(torch.int8).double().equal(counts)
    assert (counts * scale - x).abs().max() <= scale / 2 * (1 + 1e-9)


def test_a_neuron_with_rising_thresholds_sends_that_many_spikes():
    """The neuron step by step: thresholds 1/2, 3/2, ... on the held input."""
    x = random_input(1, (3, 7))
    counts, scale = quantise_counts(x)
    total = torch.zeros_like(x)
    for t in range(127):
        total += torch.sign(x) * ((x.abs() / scale) >= 0.5 + t).double()
    assert torch.equal(total, counts)
    trains = spike_trains(x)
    assert trains.shape == (127, 3, 7) and set(trains.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.equal(trains.sum(dim=0), counts)


def test_ties_round_away_from_zero():
    counts, _ = quantise_counts(torch.tensor([127.0, 0.5, 1.5, -0.5, -2.5, 0.49, 0.0], dtype=torch.float64))
    assert counts.tolist() == [127, 1, 2, -1, -3, 0, 0]


def test_the_product_is_one_of_eight_bit_integers():
    layer = SpikeCountLinear(40, 9, quantise_weights=True).double()
    x = random_input()
    counts, scale = quantise_counts(x)
    weights, weight_scale = quantise_counts(layer.weight.detach())
    whole = counts.to(torch.int8).numpy().astype(np.int32) @ weights.to(torch.int8).numpy().astype(np.int32).T
    expected = whole * float(scale * weight_scale) + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-12, atol=1e-12)


def test_spike_by_spike_it_is_the_same():
    layer = SpikeCountLinear(40, 9).double()
    x = random_input()
    trains, (_, scale) = spike_trains(x), quantise_counts(x)
    expected = sum(step @ layer.weight.T for step in trains) * scale + layer.bias
    torch.testing.assert_close(layer(x), expected)
    assert layer.spikes_per_input(x) == pytest.approx(float(trains.abs().sum(dim=0).mean()))


def test_it_is_near_the_dense_layer_and_nearer_with_more_steps():
    x, errors = random_input(), []
    for n_steps in (7, 31, 127, 1023):
        torch.manual_seed(0)
        layer = SpikeCountLinear(40, 9, n_steps=n_steps).double()
        dense = torch.nn.functional.linear(x, layer.weight, layer.bias)
        errors.append(float((layer(x) - dense).detach().abs().max()))
        assert errors[-1] <= float(
            quantise_counts(x, n_steps=n_steps)[1] / 2 * layer.weight.detach().abs().sum(dim=1).max()
        )
    assert errors == sorted(errors, reverse=True) and errors[0] > 50 * errors[3]


def test_gradients_pass_straight_through():
    layer = SpikeCountLinear(40, 9).double()
    x = random_input().requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer.weight.sum(dim=0).detach().expand(6, 40))
    counts, scale = quantise_counts(x.detach())
    torch.testing.assert_close(layer.weight.grad, (counts * scale).sum(dim=0).expand(9, 40))


def test_silence():
    layer = SpikeCountLinear(4, 2)
    torch.testing.assert_close(layer(torch.zeros(3, 4)), layer.bias.expand(3, 2))
    assert layer.spikes_per_input(torch.zeros(3, 4)) == 0
    assert SpikeCountLinear(4, 2, bias=False)(torch.zeros(3, 4)).abs().sum() == 0
    tiny = torch.full((3, 4), 1e-44)  # a 127th of it is 0 in float32
    torch.testing.assert_close(layer(tiny), layer.bias.expand(3, 2))


def test_wrong_input():
    for wrong in (0, 2.5, True, "x", None):
        with pytest.raises(BraindecError, match="n_steps"):
            SpikeCountLinear(3, 2, n_steps=wrong)
        with pytest.raises(BraindecError, match="n_steps"):
            quantise_counts(torch.ones(3), n_steps=wrong)
    with pytest.raises(BraindecError, match="another number of inputs"):
        SpikeCountLinear(3, 2)(torch.ones(4, 5))
    with pytest.raises(BraindecError, match="finite"):
        SpikeCountLinear(3, 2)(torch.tensor([[0.0, float("nan"), 1.0]]))
