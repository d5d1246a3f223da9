"""The LIF layer: published libraries' numbers, the fused scan against the step loop, gradients, states, wrong input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.lif_layer import LIF, LeakyIntegrator, LIFState, spike_sparsity

KINDS = list(product(("soft", "hard", "none"), (False, True)))
REFERENCES = {  # settings that are the LIF of another library, and its numbers
    "sjlif": ({"decay": 0.5, "decay_input": True, "reset": "hard", "surrogate": "atan"}, "v", "s"),
    "snnleaky": ({"decay": 0.9, "reset": "soft", "reset_delay": True, "detach_reset": True}, "m", "s"),
}


@pytest.fixture(scope="module")
def models(shared):
    with np.load(shared("models.npz", kind="parity")) as file:
        return {name: file[name] for name in file}


@pytest.mark.parametrize("backend", ["fused", "torch"])
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_numbers_of_other_libraries(models, name, backend):
    settings, potential, spikes = REFERENCES[name]
    x = torch.from_numpy(models[f"{name}_x"])[:, None].requires_grad_()
    out = LIF(**settings, backend=backend)(x, keep_potential=True)
    out.spikes.sum().backward()
    np.testing.assert_array_equal(out.spikes[:, 0].detach(), models[f"{name}_{spikes}"])
    np.testing.assert_allclose(out.potential[:, 0].detach(), models[f"{name}_{potential}"], atol=1e-6)
    np.testing.assert_allclose(x.grad[:, 0], models[f"{name}_gx"], atol=1e-6)


@pytest.mark.parametrize("wrong", [{"reset": "hard"}, {"reset_delay": False}, {"detach_reset": False}])
def test_each_setting_of_the_reset_matters(models, wrong):
    """The parity above could not hold with another reset: the modes are not mixed up."""
    x = torch.from_numpy(models["snnleaky_x"])[:, None].requires_grad_()
    out = LIF(**{**REFERENCES["snnleaky"][0], **wrong})(x, keep_potential=True)
    out.spikes.sum().backward()
    same = np.allclose(out.potential[:, 0].detach(), models["snnleaky_m"], atol=1e-3)
    assert not (same and np.allclose(x.grad[:, 0], models["snnleaky_gx"], atol=1e-3))


def both(settings, *, dtype, keep, seed=1, shape=(12, 3, 5), kind=LIF, **more):
    """Outputs and gradients of the two backends for one problem."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(shape, generator=generator) + 0.5).to(dtype)
    weight = torch.randn(shape, generator=generator).to(dtype)
    found = []
    for backend in ("torch", "fused"):
        layer = kind(**more, **settings, backend=backend).to(dtype)
        drive = x.clone().requires_grad_()
        state = LIFState(torch.full(shape[1:], 0.3, dtype=dtype).requires_grad_(),
                         torch.ones(shape[1:], dtype=dtype).requires_grad_())  # fmt: skip
        out = layer(drive, state, keep_potential=keep)
        loss = (out.spikes * weight).sum() + out.state.potential.square().sum() + out.state.spikes.sum()
        loss = loss + (out.potential * weight.flip(0)).sum() if keep else loss
        inputs = [drive, *state, *layer.parameters()]
        found.append((out, torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)))
    return found


@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid", "triangle", "straight_through", "gaussian"])
@pytest.mark.parametrize("reset, delay", KINDS)
def test_fused_is_the_step_loop(reset, delay, surrogate):
    for detach, decay_input, learn, keep in product((False, True), repeat=4):
        settings = {"decay": [0.5, 0.6, 0.7, 0.8, 0.9], "threshold": [0.5, 0.8, 0.9, 1.0, 1.1], "v_reset": -0.2,
                        "reset": reset, "reset_delay": delay, "detach_reset": detach, "decay_input": decay_input,
                        "v_rest": 0.1 * learn, "learn_decay": learn, "learn_threshold": learn, "surrogate": surrogate}  # fmt: skip
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
            (plain, slow), (fused, quick) = both(settings, dtype=dtype, keep=keep)
            assert torch.equal(plain.spikes, fused.spikes)
            assert torch.equal(plain.state.potential, fused.state.potential)
            assert 0 < plain.spikes.mean() < 1
            assert len(slow) == (5 if learn else 3)
            for a, b in zip(slow, quick):
                torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * max(1.0, float(a.abs().max())))


@pytest.mark.parametrize("backend", ["fused", "torch"])
@pytest.mark.parametrize("reset, delay", KINDS)
def test_gradcheck_of_the_potentials(reset, delay, backend):
    """Where no spike flips, and with the reset's spike detached, the potentials are smooth: torch checks them."""
    layer = LIF(decay=0.8, reset=reset, reset_delay=delay, detach_reset=True, learn_decay=True, v_rest=0.05,
                decay_input=True, v_reset=0.1, backend=backend).double()  # fmt: skip
    x = (torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4).requires_grad_()
    v0 = torch.zeros(2, 3, dtype=torch.float64).requires_grad_()

    def run(x, v0, decay):
        with torch.no_grad():  # gradcheck moves the parameter itself
            layer._decay.copy_(decay)
        out = torch.func.functional_call(layer, {"_decay": decay}, (x, LIFState(v0, torch.zeros_like(v0).detach())),
                                         {"keep_potential": True})  # fmt: skip
        return out.potential, out.state.potential

    decay = layer._decay.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(run, (x, v0, decay))


def test_gradcheck_of_the_surrogate_with_a_smooth_stand_in():
    """One step without reset: its gradient is that of the smooth function of which the surrogate is the derivative."""
    x = torch.linspace(-1, 3, 40, dtype=torch.float64).reshape(1, 1, 40).requires_grad_()
    LIF(surrogate="sigmoid", reset="none")(x).spikes.sum().backward()
    smooth = x.detach().clone().requires_grad_()
    torch.sigmoid(4 * (smooth - 1)).sum().backward()
    torch.testing.assert_close(x.grad, smooth.grad)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_going_on_from_a_state_is_the_same_as_not_stopping(backend):
    x = torch.randn(20, 4, 6, generator=torch.Generator().manual_seed(0)) + 0.4
    for reset, delay in KINDS:
        layer = LIF(reset=reset, reset_delay=delay, backend=backend)
        first = layer(x[:9])
        second = layer(x[9:], first.state.detach())
        whole = layer(x, keep_potential=True)
        assert torch.equal(whole.spikes, torch.cat([first.spikes, second.spikes]))
        assert torch.equal(whole.state.potential, second.state.potential)
        assert torch.equal(whole.potential[-1], whole.state.potential)
        assert not second.state.detach().potential.requires_grad


def test_the_state_is_not_kept_between_calls():
    x = torch.ones(5, 2, 3)
    layer = LIF()
    assert torch.equal(layer(x).spikes, layer(x).spikes)


def test_batch_first():
    x = torch.randn(7, 4, 3, generator=torch.Generator().manual_seed(0))
    time_first = LIF()(x, keep_potential=True)
    batch_first = LIF(batch_first=True)(x.transpose(0, 1), keep_potential=True)
    assert torch.equal(time_first.spikes, batch_first.spikes.transpose(0, 1))
    assert torch.equal(time_first.potential, batch_first.potential.transpose(0, 1))


def test_steady_rate_of_a_perfect_integrator():
    """Without leak and with a soft reset no charge is lost: the rate is drive over threshold."""
    out = LIF(decay=1.0, threshold=0.7)(torch.full((4000, 1, 1), 0.1, dtype=torch.float64))
    assert float(out.spikes.mean()) == pytest.approx(0.1 / 0.7, abs=1e-3)


def test_potential_relaxes_to_rest():
    layer = LIF(decay=0.5, v_rest=0.3, reset="none")
    out = layer(torch.zeros(60, 1, 1, dtype=torch.float64), LIFState(*torch.zeros(2, 1, 1, dtype=torch.float64)))
    assert float(out.state.potential) == pytest.approx(0.3)
    assert float(layer.initial_state(torch.zeros(1, 1)).potential) == pytest.approx(0.3)


def test_learned_values_start_where_they_should_and_stay_in_range():
    layer = LIF(decay=[0.2, 0.99], threshold=0.5, learn_decay=True, learn_threshold=True)
    torch.testing.assert_close(layer.decay, torch.tensor([0.2, 0.99]))
    torch.testing.assert_close(layer.threshold, torch.tensor(0.5))
    optimizer = torch.optim.SGD(layer.parameters(), lr=3.0)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.rand(9, 2, 2, generator=torch.Generator().manual_seed(0))).spikes.sum().backward()
        optimizer.step()
    assert ((layer.decay >= 0) & (layer.decay <= 1)).all() and layer.threshold > 0
    assert not torch.allclose(layer.decay, torch.tensor([0.2, 0.99]))


def test_a_learned_decay_is_recovered():
    """Potentials of a neuron with another decay: gradient descent finds it."""
    x = torch.rand(60, 8, 1, generator=torch.Generator().manual_seed(0)) * 0.5
    target = LIF(decay=0.85, reset="none")(x, keep_potential=True).potential
    layer = LIF(decay=0.5, reset="none", learn_decay=True)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        (layer(x, keep_potential=True).potential - target).square().mean().backward()
        optimizer.step()
    assert float(layer.decay.detach()) == pytest.approx(0.85, abs=0.01)


def test_saved_and_loaded():
    layer = LIF(decay=[0.2, 0.9], learn_threshold=True)
    with torch.no_grad():
        layer._threshold += 0.3
    again = LIF(decay=[0.5, 0.5], learn_threshold=True)
    again.load_state_dict(layer.state_dict())
    x = torch.rand(9, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x).spikes, again(x).spikes)


def test_other_types_and_no_gradient():
    x = torch.rand(9, 2, 2, generator=torch.Generator().manual_seed(0)) * 2
    with torch.inference_mode():
        assert LIF()(x).spikes.mean() > 0
    half = LIF()(x.to(torch.bfloat16))
    assert half.spikes.dtype == torch.bfloat16 and half.spikes.mean() > 0
    with pytest.raises(BraindecError, match="float32 and float64"):
        LIF(backend="fused")(x.to(torch.bfloat16))
    with pytest.raises(BraindecError, match="on meta"):
        LIF(backend="fused")._fused(torch.empty(1, 1, 1, device="meta"))
    assert not LIF()._fused(torch.empty(1, 1, 1, device="meta"))  # auto: the step loop elsewhere


def test_backward_twice():
    x = torch.rand(9, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    total = LIF()(x).spikes.sum()
    total.backward(retain_graph=True)
    first = x.grad.clone()
    total.backward()
    assert torch.equal(x.grad, 2 * first)


def test_leaky_integrator_is_an_exponential_filter():
    x = torch.randn(30, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, state = LeakyIntegrator(decay=0.8)(x)
    lag = torch.arange(30)[:, None] - torch.arange(30)
    kernel = torch.where(lag >= 0, 0.2 * 0.8 ** lag.clamp(min=0).double(), 0.0)
    torch.testing.assert_close(found, torch.einsum("ts,sbn->tbn", kernel, x))
    assert torch.equal(found[-1], state.potential)


def test_spike_sparsity():
    assert spike_sparsity(torch.tensor([0.0, 1.0, 0.0, 0.0])) == 0.75
    assert spike_sparsity([torch.zeros(2), torch.ones(6)]) == 0.25
    with pytest.raises(BraindecError, match="no spikes"):
        spike_sparsity([])


@pytest.mark.parametrize("settings, message", [
    ({"decay": 0.0}, "decay"), ({"decay": 1.2}, "decay"), ({"decay": float("nan")}, "decay"),
    ({"decay": [0.5, -0.1]}, "decay"), ({"decay": "fast"}, "decay"), ({"decay": [[0.5]]}, "decay"),
    ({"decay": 1.0, "learn_decay": True}, "decay"), ({"decay": [0.9, 1.0], "decay_input": True}, "multiplied by 0"), ({"decay": []}, "decay"),
    ({"threshold": 0.0}, "threshold"), ({"threshold": float("inf")}, "threshold"),
    ({"reset": "softt"}, "did you mean 'soft'"), ({"backend": "fusd"}, "did you mean 'fused'"),
    ({"surrogate": "atann"}, "did you mean 'atan'"), ({"v_reset": float("nan")}, "v_reset"),
    ({"reset_by": float("inf")}, "reset_by"), ({"v_reset": "low"}, "v_reset"), ({"reset_by": "x"}, "reset_by"),
])  # fmt: skip
def test_wrong_settings_are_one_clear_error(settings, message):
    with pytest.raises(BraindecError, match=message):
        LIF(**settings)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_wrong_input_is_one_clear_error(backend):
    layer = LIF(decay=[0.5, 0.6, 0.7], backend=backend)
    x = torch.rand(5, 2, 3)
    for wrong, message in (
        (x[0], r"float32 of shape \(2, 3\)"), (x.long(), "int64"), (x[:0], "shape"), ("spikes", "found:   str"),
        (x[..., :2], "3 values, 2 neurons"), (x.index_fill(0, torch.tensor(2), float("nan")), "6 of 30"),
        (x.index_fill(0, torch.tensor(2), float("inf")), "NaN or infinite"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            layer(wrong)
    for state in (LIFState(torch.zeros(2, 2), torch.zeros(2, 2)), torch.zeros(2, 3), 3, (x[0], x[0])):
        with pytest.raises(BraindecError, match="does not fit"):
            layer(x, state)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_large_finite_drive_is_not_taken_for_infinite(backend):
    x = torch.full((3, 2, 4), 1e38)
    assert LIF(backend=backend)(x).spikes.sum() == x.numel()
    with pytest.raises(BraindecError, match="with a finite input"):
        LIF(backend=backend)(x * 3)  # the potentials themselves run over


def test_parameters_that_ran_away_are_told():
    layer = LIF(learn_decay=True)
    with torch.no_grad():
        layer._decay.fill_(float("nan"))
    with pytest.raises(BraindecError, match="decay nan"):
        layer(torch.ones(3, 2, 4))


def test_infinite_drive_does_not_hide_behind_a_hard_reset():
    x = torch.zeros(5, 1, 2)
    x[1, 0, 0] = float("inf")
    for delay in (False, True):
        with pytest.raises(BraindecError, match="NaN or infinite"):
            LIF(reset="hard", reset_delay=delay)(x)
