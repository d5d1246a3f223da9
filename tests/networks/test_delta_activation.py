"""Delta activation: sums give the quantised signal back, slow signals are sparse, penalty and step can be trained."""

from __future__ import annotations

import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.delta_activation import DeltaActivation, DeltaLinear


def slow_signal(seed=0, n=30, dtype=torch.float64):
    steps = torch.randn(200, 4, n, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return steps.cumsum(dim=0) * 0.02


def test_summed_changes_are_the_quantised_signal():
    x = slow_signal()
    delta = DeltaActivation(step=0.1)
    changes = delta(x)
    torch.testing.assert_close(changes.cumsum(dim=0), delta.quantise(x))
    assert (delta.quantise(x) - x).abs().max() <= 0.05 + 1e-12
    levels = changes / 0.1
    torch.testing.assert_close(levels, levels.round(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("backend", ["events", "torch", "auto"])
def test_accumulated_output_is_the_dense_one_up_to_the_quantiser(backend):
    x = slow_signal()
    layer = DeltaLinear(30, 70, step=0.05, backend=backend).double()
    out, changes = layer(x)
    expected = layer.linear(layer.delta.quantise(x))
    torch.testing.assert_close(out, expected, atol=1e-9, rtol=0)
    bound = 0.025 * layer.linear.weight.abs().sum(dim=1).max() + 1e-9
    assert (out - layer.dense(x)).abs().max() <= bound
    assert layer.delta.sparsity(changes) > 0.5


def test_sparsity_is_what_it_says_and_grows_with_the_step():
    x = slow_signal()
    found = []
    for step in (0.01, 0.05, 0.2):
        changes = DeltaActivation(step=step)(x)
        found.append(DeltaActivation.sparsity(changes))
        assert found[-1] == pytest.approx(float((changes == 0).double().mean()))
    assert found == sorted(found) and found[0] < 0.5 < 0.85 < found[2]


def test_a_constant_signal_costs_its_first_step_only():
    changes = DeltaActivation(step=0.1)(torch.full((10, 1, 2), 0.73))
    assert not changes[1:].any()
    torch.testing.assert_close(changes[0], torch.full((1, 2), 0.7))


def test_going_on_is_the_same_as_not_stopping():
    x, delta = slow_signal(), DeltaActivation(step=0.1)
    first = delta(x[:80])
    second = delta(x[80:], delta.quantise(x[79]))
    assert torch.equal(torch.cat([first, second]), delta(x))


def test_penalty_trains_for_fewer_changes():
    """A mixing layer before the activation learns to send less, at the same task."""
    x = slow_signal(dtype=torch.float32, n=6) + 0.3 * torch.randn(200, 4, 6, generator=torch.Generator().manual_seed(9))
    target = x.mean(dim=2, keepdim=True)
    found = []
    for weight in (0.0, 0.3):
        torch.manual_seed(0)
        mix, layer = torch.nn.Linear(6, 6), DeltaLinear(6, 1, step=0.1)
        optimizer = torch.optim.Adam([*mix.parameters(), *layer.parameters()], lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            out, changes = layer(mix(x))
            loss = (out - target).square().mean()
            (loss + weight * layer.delta.penalty(changes)).backward()
            optimizer.step()
        found.append((layer.delta.sparsity(changes), float(loss.detach())))
    assert found[1][0] > found[0][0] + 0.2
    assert found[1][1] < float(target.var()) / 2


def test_gradient_passes_straight_through_and_reaches_the_step():
    x = slow_signal().requires_grad_()
    delta = DeltaActivation(step=0.1, learn_step=True).double()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (delta(x).cumsum(dim=0) * weight).sum().backward()
    torch.testing.assert_close(x.grad, weight)
    levels = x.detach() / delta.step.detach()
    expected = (weight * (levels.round() - levels)).sum() * delta.step.detach()  # learned step size, through its log
    torch.testing.assert_close(delta.log_step.grad, expected)


def test_wrong_input():
    for step in (0, -1.0, float("inf"), float("nan"), "wide"):
        with pytest.raises(BraindecError, match="step"):
            DeltaActivation(step=step)
    with pytest.raises(BraindecError, match="wrong shape"):
        DeltaActivation()(torch.zeros(3, 4))
    with pytest.raises(BraindecError, match="NaN"):
        DeltaActivation()(torch.full((2, 1, 3), float("nan")))
    with pytest.raises(BraindecError, match="go on from"):
        DeltaActivation()(torch.zeros(2, 1, 3), torch.zeros(1, 2))
