"""EEGNet against a NumPy forward pass and the published sizes; constraints hold after a step."""

import numpy as np
import pytest
import torch

from braindec.encoders.eegnet import EEGNet
from braindec.errors import BraindecError


def normalised(x, norm):
    mean, var, weight, bias = (
        getattr(norm, n).detach().numpy() for n in ("running_mean", "running_var", "weight", "bias")
    )
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) / np.sqrt(var + norm.eps).reshape(shape) * weight.reshape(shape) + bias.reshape(
        shape
    )


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def same(x, kernel):
    """Correlate the last axis of x (..., time) with kernel, zeros outside, the extra sample of an even kernel at the end."""
    left = (len(kernel) - 1) // 2
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(left, len(kernel) - 1 - left)])
    return np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=-1) @ kernel


def pooled(x, width):
    n = x.shape[-1] // width
    return x[..., : n * width].reshape(*x.shape[:-1], n, width).mean(-1)


def test_forward_pass_in_numpy():
    torch.manual_seed(0)
    model = EEGNet(n_chans=3, n_times=70, dim=4, f1=2, depth=2, kernel=8, kernel_separable=6).eval()
    for norm in (model.norm_temporal, model.norm_spatial, model.norm_separable):
        for value in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
            value.uniform_(0.5, 1.5)
    x = np.random.default_rng(0).normal(size=(2, 3, 70)).astype(np.float32)
    w = {k: v.numpy() for k, v in model.state_dict().items()}
    h = np.stack([same(x, w["temporal.weight"][f, 0, 0]) for f in range(2)], axis=1)  # (batch, f1, channel, time)
    h = normalised(h, model.norm_temporal)
    h = np.stack([np.einsum("bct,c->bt", h[:, g // 2], w["spatial.weight"][g, 0, :, 0]) for g in range(4)], axis=1)
    h = pooled(elu(normalised(h, model.norm_spatial)), 4)
    h = np.stack([same(h[:, g], w["depthwise.weight"][g, 0, 0]) for g in range(4)], axis=1)
    h = np.einsum("bgt,og->bot", h, w["pointwise.weight"][..., 0, 0])
    h = pooled(elu(normalised(h, model.norm_separable)), 8)
    expected = h.reshape(2, -1) @ w["out.weight"].T + w["out.bias"]
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("n_chans", "n_times", "dim", "expected"), [(64, 128, 2, 2258), (22, 256, 4, 1972)])
def test_published_sizes(n_chans, n_times, dim, expected):
    """8*64 + 16*C + 16*16 + 16*16 weights, 2*(8 + 16 + 16) of the norms, 16*(T // 32)*N + N outputs."""
    model = EEGNet.from_preset("paper", n_chans=n_chans, n_times=n_times, dim=dim)
    by_hand = 8 * 64 + 16 * n_chans + 16 * 16 + 16 * 16 + 2 * (8 + 16 + 16) + 16 * (n_times // 32) * dim + dim
    assert model.n_parameters == by_hand == expected


def test_norms_are_constrained():
    torch.manual_seed(0)
    model = EEGNet.from_preset("tiny", n_chans=5, n_times=64, dim=3)
    with torch.no_grad():
        model.spatial.weight.mul_(50)
        model.out.weight[0].mul_(50)
        small = model.out.weight[1].mul_(1e-3).clone()
    model.constrain()
    np.testing.assert_allclose(model.spatial.weight.flatten(1).norm(dim=1).detach(), 1.0, atol=1e-5)
    assert model.out.weight[0].norm().item() == pytest.approx(0.25, abs=1e-5)
    torch.testing.assert_close(model.out.weight[1], small)  # what is small enough stays


def test_short_windows_are_refused_with_the_minimum():
    EEGNet.from_preset("paper", n_chans=4, n_times=32, dim=2)
    with pytest.raises(BraindecError, match="at least 32 samples"):
        EEGNet.from_preset("paper", n_chans=4, n_times=31, dim=2)
