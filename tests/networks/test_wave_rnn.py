"""Waves: they walk round the ring, keep the past, follow the equation; gradients; wrong input."""

from __future__ import annotations

import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.wave_rnn import WaveRNN


def test_an_input_walks_one_place_a_step_round_the_ring():
    layer = WaveRNN(1, 7)
    with torch.no_grad():
        layer.inputs[0, 0] = 1.0
    x = torch.zeros(15, 1, 1)
    x[0] = 2.0
    found, last = layer(x)
    assert torch.equal(found[:, 0, 0].argmax(dim=1), torch.arange(15) % 7)
    assert torch.equal(found.sum(dim=(1, 2, 3)), torch.full((15,), 2.0))
    assert torch.equal(last, found[-1])


@pytest.mark.parametrize("width", [3, 5])
def test_place_n_holds_the_input_of_n_steps_ago(width):
    """Untrained, the state is the recent past: exactly, while inputs are positive."""
    layer = WaveRNN(1, 12, width=width)
    with torch.no_grad():
        layer.inputs[0, 0] = 1.0
    x = torch.rand(12, 3, 1, generator=torch.Generator().manual_seed(0))
    _, last = layer(x)
    torch.testing.assert_close(last[:, 0], x[:, :, 0].flip(0).T)


def test_equation_by_hand():
    """Against the sum written out, with weights that are all different."""
    torch.manual_seed(0)
    layer = WaveRNN(2, 5, n_channels=3)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)
    x, h = torch.randn(4, 2, 2), torch.zeros(2, 3, 5)
    for t in range(4):
        new = torch.zeros(2, 3, 5)
        for b in range(2):
            for c in range(3):
                for n in range(5):
                    total = layer.bias[c, 0] + (layer.inputs[c, n] * x[t, b]).sum()
                    for other in range(3):
                        for k in range(3):
                            total = total + layer.kernel[c, other, k] * h[b, other, (n + k - 1) % 5]
                    new[b, c, n] = torch.relu(total).detach()
        h = new
    torch.testing.assert_close(layer(x)[1].detach(), h)


def test_going_on_and_batch_first():
    layer = WaveRNN(2, 6, n_channels=2)
    x = torch.rand(9, 3, 2)
    whole, last = layer(x)
    first, state = layer(x[:4])
    second, again = layer(x[4:], state)
    assert torch.equal(whole, torch.cat([first, second])) and torch.equal(last, again)
    swapped = WaveRNN(2, 6, n_channels=2, batch_first=True)
    swapped.load_state_dict(layer.state_dict())
    assert torch.equal(swapped(x.transpose(0, 1))[0].transpose(0, 1), whole)


def test_gradients():
    layer = WaveRNN(2, 5, n_channels=2, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        layer.bias += 0.3  # away from the corner of the rectifier
    x = torch.rand(4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], (x,))
    layer(x)[0].sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in layer.parameters())


def test_wrong_input():
    with pytest.raises(BraindecError, match="n_places"):
        WaveRNN(2, 0)
    for width in (1, 4, 9):
        with pytest.raises(BraindecError, match="width"):
            WaveRNN(2, 7, width=width)
    layer = WaveRNN(2, 7)
    with pytest.raises(BraindecError, match="another number of inputs"):
        layer(torch.zeros(3, 2, 4))
    with pytest.raises(BraindecError, match="go on from"):
        layer(torch.zeros(3, 2, 2), torch.zeros(2, 1, 6))
    with pytest.raises(BraindecError, match="NaN"):
        layer(torch.full((3, 2, 2), float("nan")))
    with pytest.raises(BraindecError, match="became NaN"):
        layer(torch.zeros(3, 2, 2), torch.full((2, 1, 7), float("nan")))
    with torch.no_grad():
        layer.kernel.fill_(1e30)  # runs away
    with pytest.raises(BraindecError, match="became NaN or infinite"):
        layer(torch.ones(3, 2, 2), torch.ones(2, 1, 7))
    with pytest.raises(BraindecError, match="spread"):
        WaveRNN(2, 7, spread=float("nan"))
