"""Soft reset and membrane-potential rectifier against the published code's numbers and against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks._lif_function import spike
from braindec.networks.membrane_rectifier import RECTIFIED, RectifiedLIF, rectifier_loss, rectify
from braindec.networks.surrogate import resolve


@pytest.fixture(scope="module")
def models(shared):
    with np.load(shared("models.npz", kind="parity")) as file:
        return {name: file[name] for name in file}


def test_rectified_potentials_are_the_published_ones(models):
    np.testing.assert_allclose(rectify(torch.from_numpy(models["mpr_u"])), models["mpr_out"], atol=3e-7)


@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_neurons_are_the_published_ones(models, backend):
    x = torch.from_numpy(models["reloss_x"])[:, None].requires_grad_()
    out = RectifiedLIF(backend=backend)(x, keep_potential=True)
    out.spikes.sum().backward()
    np.testing.assert_array_equal(out.spikes[:, 0].detach(), models["reloss_spk"])
    np.testing.assert_allclose(out.potential[:, 0].detach(), models["reloss_mem"], atol=1e-6)
    np.testing.assert_allclose(x.grad[:, 0], models["reloss_gx"], atol=1e-6)


def test_one_surrogate_is_the_step_behind_the_rectifier():
    """The chain rule through phi and the straight-through step, by autograd, is the surrogate's closed form."""
    u = torch.linspace(-0.5, 1.5, 201, dtype=torch.float64).requires_grad_()
    behind = spike(rectify(u) - 0.5, resolve("straight_through"))
    behind.sum().backward()
    inside = (u.detach() - 0.5).abs() < 0.4999
    torch.testing.assert_close(u.grad[inside], RECTIFIED.derivative(u.detach() - 0.5)[inside])
    far = (u.detach() - 0.5).abs() > 0.5001
    assert not u.grad[far].any() and not RECTIFIED.derivative(u.detach() - 0.5)[far].any()
    assert torch.equal(behind.detach(), (u.detach() >= 0.5).double())


def test_rectifier_is_smooth_rises_and_narrows_the_gap():
    u = torch.linspace(-2, 3, 2001, dtype=torch.float64).requires_grad_()
    phi = rectify(u)
    assert (phi.diff() > 0).all() and phi.diff().max() < 0.01
    torch.testing.assert_close(rectify(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([0.0, 0.5, 1.0]))
    phi.sum().backward()
    assert torch.isfinite(u.grad).all() and (u.grad > 0).all()
    off = (u.detach() % 1 != 0) & (u.detach() != 0.5)
    spikes = (u >= 0.5).double()
    assert ((phi - spikes).abs() <= (u - spikes).abs() + 1e-12)[off].all()
    assert rectifier_loss(u) < (u - spikes).square().mean()


def test_other_reset():
    """Everything in units of V: twice the reset and twice the drive give the same spikes, and half the gradient."""
    x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3
    grads = []
    for scale in (1.0, 2.0):
        drive = (x * scale).requires_grad_()
        out = RectifiedLIF(reset_by=scale)(drive)
        (out.spikes * x).sum().backward()
        grads.append((out.spikes.detach(), drive.grad))
    assert torch.equal(grads[0][0], grads[1][0])
    torch.testing.assert_close(grads[0][1], grads[1][1] * 2)


def test_wrong_settings():
    with pytest.raises(BraindecError, match="its own threshold"):
        RectifiedLIF(threshold=1.0)
    with pytest.raises(BraindecError, match="reset_by"):
        RectifiedLIF(reset_by=0)
    with pytest.raises(BraindecError, match="decay"):
        RectifiedLIF(decay=2.0)
