"""The linear layer for spikes against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.networks.spike_linear import SpikeLinear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_and_gradients_are_those_of_a_linear_layer(dtype, bias):
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(7, 4, 30, generator=generator) < 0.15).to(dtype)
    spikes[0] *= 2.5  # graded spikes too
    weight = torch.randn(7, 4, 80, generator=generator).to(dtype)
    plain, ours = nn.Linear(30, 80, bias=bias).to(dtype), SpikeLinear(30, 80, bias=bias, backend="events").to(dtype)
    ours.load_state_dict(plain.state_dict())
    found = []
    for layer in (plain, ours):
        x = spikes.clone().requires_grad_()
        out = layer(x)
        found.append((out, *torch.autograd.grad((out * weight).sum(), [x, *layer.parameters()])))
    assert found[1][0].grad_fn.name().startswith("_EventProduct")
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)


def test_auto_takes_what_pays():
    wide, sparse, dense = SpikeLinear(40, 64), torch.zeros(9, 40), torch.ones(9, 40)
    sparse[:, 3] = 1
    assert wide(sparse).grad_fn.name().startswith("_EventProduct")
    for layer, x in ((wide, dense), (SpikeLinear(40, 8), sparse), (SpikeLinear(40, 64, backend="torch"), sparse)):
        assert not layer(x).grad_fn.name().startswith("_EventProduct")
    assert wide(sparse.bfloat16().float()).shape == (9, 64)
    assert wide.bfloat16()(sparse.bfloat16()).dtype == torch.bfloat16


def test_silence_gives_the_bias():
    layer = SpikeLinear(5, 3, backend="events")
    torch.testing.assert_close(layer(torch.zeros(2, 5)), layer.bias.expand(2, 3))


def test_wrong_input():
    with pytest.raises(BraindecError, match="did you mean 'events'"):
        SpikeLinear(3, 4, backend="event")
    with pytest.raises(BraindecError, match="float32 and float64"):
        SpikeLinear(3, 4, backend="events").bfloat16()(torch.zeros(2, 3, dtype=torch.bfloat16))
    with pytest.raises(BraindecError, match="another number of inputs"):
        SpikeLinear(3, 4)(torch.zeros(2, 5))
    with pytest.raises(BraindecError, match="found:   list"):
        SpikeLinear(3, 4)([0.0, 1.0, 0.0])
    for sizes in ((0, 4), (3, 2.5), ("a", 4)):
        with pytest.raises(BraindecError, match="features"):
            SpikeLinear(*sizes)
