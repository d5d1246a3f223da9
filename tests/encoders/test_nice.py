"""The re-ordered convolution equals the plain order: outputs, gradients, running statistics; published sizes."""

import numpy as np
import pytest
import torch

from braindec.encoders._tsconv import TSConv, moving_average
from braindec.encoders.nice import NICE
from braindec.errors import BraindecError

SMALL = {"n_chans": 5, "n_times": 97, "n_filters": 4, "n_out": 3, "kernel": 7, "pool": 20, "stride": 3, "dropout": 0.0}


def both(dtype=torch.float64, **changes):
    torch.manual_seed(0)
    plain = TSConv(**{**SMALL, **changes}, order="plain").to(dtype)
    fast = TSConv(**{**SMALL, **changes}, order="fast").to(dtype)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_fast_order_equals_plain_order_in_training(offset):
    plain, fast = both()
    x = (torch.randn(6, 5, 97, dtype=torch.float64) + offset).requires_grad_()
    other = x.detach().clone().requires_grad_()
    weights = torch.randn(6, plain.n_features, dtype=torch.float64)
    a, b = plain(x), fast(other)
    torch.testing.assert_close(a, b, atol=1e-9 if offset else 1e-12, rtol=1e-9)
    (a * weights).sum().backward(), (b * weights).sum().backward()
    if not offset:
        torch.testing.assert_close(x.grad, other.grad, atol=1e-12, rtol=1e-9)
        for (name, p), q in zip(plain.named_parameters(), fast.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad, atol=1e-10, rtol=1e-8, msg=name)
    for (name, p), q in zip(plain.named_buffers(), fast.buffers(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-8, rtol=1e-9, msg=name)
    plain.eval(), fast.eval()  # with the running statistics that were just made
    torch.testing.assert_close(plain(x), fast(x), atol=1e-8, rtol=1e-9)


def test_float32_rounding_at_the_published_size():
    """To 1e-6 of the plain order; against float64 the fast order rounds no worse than the plain one."""
    torch.manual_seed(0)
    plain, fast, exact = (TSConv(n_chans=63, n_times=250, dropout=0.0, order=o) for o in ("plain", "fast", "plain"))
    fast.load_state_dict(plain.state_dict())
    exact.load_state_dict(plain.state_dict())
    exact.double()
    x = torch.randn(8, 63, 250)
    for mode in (True, False):
        a, b, c = plain.train(mode)(x), fast.train(mode)(x), exact.train(mode)(x.double())
        assert (a - b).norm() < 1.5e-6 * a.norm() and (b - c).norm() < 1e-6 * c.norm()
        assert (b - c).abs().max() < 1.5 * (a - c).abs().max()
    assert (a - b).abs().max() < 1e-6  # in evaluation, value by value


def test_fast_order_survives_a_large_offset_in_float32():
    plain, fast = both(torch.float32)
    x = torch.randn(8, 5, 97)
    torch.testing.assert_close(
        fast(x + 1000.0), plain(x.double().float()), atol=2e-3, rtol=0
    )  # offset is removed by BatchNorm


def test_moving_average_is_the_mean_of_neighbours():
    x = np.random.default_rng(0).normal(size=(2, 3, 40))
    expected = np.lib.stride_tricks.sliding_window_view(x, 9, axis=2).mean(-1)
    np.testing.assert_allclose(moving_average(torch.from_numpy(x), 9).numpy(), expected, atol=1e-13)


def test_published_sizes():
    """Temporal 40*25+40, two norms 80 each, spatial 40*40*63+40, mix 40*40+40; 1440 -> 768, 768 -> 768, norm 2*768."""
    model = NICE.from_preset("paper", n_chans=63, n_times=250, dim=768)
    encoder = 40 * 25 + 40 + 2 * 80 + 40 * 40 * 63 + 40 + 40 * 40 + 40
    projector = 40 * 36 * 768 + 768 + 768 * 768 + 768 + 2 * 768
    assert (encoder, projector) == (103_680, 1_698_816)
    assert sum(p.numel() for p in model.encoder.parameters()) == encoder
    assert sum(p.numel() for p in model.projector.parameters()) == projector
    assert model.n_parameters == 1_802_496


def test_both_orders_have_the_same_state():
    plain, fast = (NICE.from_preset("tiny", n_chans=4, n_times=60, dim=8, order=o) for o in ("plain", "fast"))
    assert {k: v.shape for k, v in plain.state_dict().items()} == {k: v.shape for k, v in fast.state_dict().items()}
    assert fast.state_dict()["encoder.temporal.weight"].shape == (16, 1, 1, 9)
    assert fast.state_dict()["encoder.spatial.weight"].shape == (16, 16, 4, 1)


def test_short_windows_are_refused_with_the_minimum():
    NICE.from_preset("paper", n_chans=4, n_times=75, dim=8)
    with pytest.raises(BraindecError, match="at least 75 samples"):
        NICE.from_preset("paper", n_chans=4, n_times=74, dim=8)
    with pytest.raises(BraindecError, match="no order 'quick'"):
        NICE.from_preset("tiny", n_chans=4, n_times=74, dim=8, order="quick")
