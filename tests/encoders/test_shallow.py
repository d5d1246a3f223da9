"""ShallowFBCSPNet: both orders agree, a NumPy forward pass, published size, and it decodes band power."""

import numpy as np
import pytest
import torch

from braindec.encoders.shallow import ShallowFBCSPNet
from braindec.errors import BraindecError


def test_combined_kernel_equals_two_convolutions():
    torch.manual_seed(0)
    sizes = {"n_chans": 6, "n_times": 120, "dim": 3, "dropout": 0.0}
    plain, fast = (ShallowFBCSPNet(**sizes, order=o).double() for o in ("plain", "fast"))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(5, 6, 120, dtype=torch.float64)
    a, b = plain(x), fast(x)
    torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
    a.square().sum().backward(), b.square().sum().backward()
    for (name, p), q in zip(plain.named_parameters(), fast.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q[1].grad, atol=1e-8, rtol=1e-8, msg=name)


def test_forward_pass_in_numpy():
    torch.manual_seed(0)
    model = ShallowFBCSPNet(
        n_chans=3, n_times=40, dim=2, n_filters_time=4, n_filters_space=5, kernel=7, pool=10, stride=4
    ).eval()
    for value in (model.norm.running_mean, model.norm.running_var, model.norm.weight.data, model.norm.bias.data):
        value.uniform_(0.5, 1.5)
    w = {k: v.numpy() for k, v in model.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 3, 40)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(x, 7, axis=2)  # (batch, channel, step, kernel)
    h = np.einsum("bcsk,fk->bfcs", patches, w["temporal.weight"][:, 0, 0]) + w["temporal.bias"][None, :, None, None]
    h = np.einsum("bfcs,gfc->bgs", h, w["spatial.weight"][..., 0])
    scale = w["norm.weight"] / np.sqrt(w["norm.running_var"] + 1e-5)
    h = ((h - w["norm.running_mean"][:, None]) * scale[:, None] + w["norm.bias"][:, None]) ** 2
    h = np.log(np.lib.stride_tricks.sliding_window_view(h, 10, axis=2)[:, :, ::4].mean(-1))
    expected = h.reshape(2, -1) @ w["out.weight"].T + w["out.bias"]
    np.testing.assert_allclose(model(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-4)


def test_published_size():
    """22 channels, 4.5 s at 250 Hz, 4 classes: 40*25+40 + 40*40*22 + 2*40 + 40*69*4+4."""
    model = ShallowFBCSPNet.from_preset("paper", n_chans=22, n_times=1125, dim=4)
    assert model.n_parameters == 40 * 25 + 40 + 40 * 40 * 22 + 2 * 40 + 40 * 69 * 4 + 4 == 47_364


def test_it_learns_band_power():
    rng, n = np.random.default_rng(0), 80
    label = torch.arange(n) % 2
    phase = rng.uniform(0, 2 * np.pi, size=(n, 1))
    wave = np.sin(2 * np.pi * 10 * np.arange(100) / 100 + phase)  # no evoked mean: power tells the classes apart
    x = rng.normal(size=(n, 4, 100))
    x[:, 1] += wave * np.where(label == 1, 2.0, 0.2)[:, None]
    x = torch.from_numpy(x.astype(np.float32))
    torch.manual_seed(0)
    model = ShallowFBCSPNet.from_preset("tiny", n_chans=4, n_times=100, dim=2)
    step = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        step.zero_grad()
        torch.nn.functional.cross_entropy(model(x[:60]), label[:60]).backward()
        step.step()
    assert (model.eval()(x[60:]).argmax(1) == label[60:]).float().mean() >= 0.9


def test_short_windows_are_refused_with_the_minimum():
    ShallowFBCSPNet.from_preset("paper", n_chans=4, n_times=99, dim=2)
    with pytest.raises(BraindecError, match="at least 99 samples"):
        ShallowFBCSPNet.from_preset("paper", n_chans=4, n_times=98, dim=2)
