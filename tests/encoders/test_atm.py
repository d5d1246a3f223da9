"""ATM-S: published sizes, no channel is lost, subjects are known or unknown and never off by one."""

import pytest
import torch

from braindec.encoders.atm import ATM, ChannelAttention
from braindec.errors import BraindecError


def small(**changes):
    torch.manual_seed(0)
    return ATM.from_preset("tiny", n_chans=6, n_times=60, dim=8, n_subjects=3, **changes).eval()


def test_published_sizes():
    """Sum over the layers of section 2.4 for 63 channels, 250 samples, dim 1024, 10 subjects and one unknown."""
    value = 250 * 250 + 250
    tokens = 11 * 250
    attention = 3 * (250 * 248 + 248) + 248 * 250 + 250
    wide = 250 * 256 + 256 + 256 * 250 + 250
    norms = 3 * 2 * 250
    convolution = 103_680
    projector = 1440 * 1024 + 1024 + 1024 * 1024 + 1024 + 2 * 1024
    model = ATM.from_preset("paper", n_chans=63, n_times=250, dim=1024)
    assert model.n_parameters == value + tokens + attention + wide + norms + convolution + projector == 3_075_412


def test_every_channel_counts():
    model, x = small(), torch.randn(2, 6, 60)
    base = model(x)
    for channel in range(6):
        changed = x.clone()
        changed[:, channel] += torch.randn(60)
        assert (model(changed) - base).abs().max() > 1e-4, channel


def test_each_subject_has_a_token_and_unknown_is_explicit():
    model, x = small(), torch.randn(1, 6, 60)
    out = {s: model(x, subject=torch.tensor([s])) for s in (-1, 0, 1, 2)}
    assert all((out[a] - out[b]).abs().max() > 1e-4 for a in out for b in out if a < b)
    torch.testing.assert_close(model(x), out[-1])
    for wrong in (3, -2):
        with pytest.raises(BraindecError, match="ATM knows 3 subjects"):
            model(x, subject=torch.tensor([wrong]))
    with pytest.raises(BraindecError, match="shape \\(1,\\)"):
        model(x, subject=torch.tensor([0, 1]))


def test_unknown_token_is_trained_by_hiding_subjects():
    model = small(unknown_rate=1.0).train()
    model(torch.randn(8, 6, 60), subject=torch.arange(8) % 3).square().sum().backward()
    gradient = model.subject_token.weight.grad.abs().sum(1)
    assert gradient[3] > 0 and (gradient[:3] == 0).all()
    with pytest.raises(BraindecError, match="unknown_rate"):
        small(unknown_rate=1.5)


def test_attention_is_that_of_torch():
    """The attention block equals nn.MultiheadAttention with the same weights, then add and normalise."""
    torch.manual_seed(1)
    layer = ChannelAttention(12, n_heads=3, d_head=4, d_ff=5, dropout=0.0).eval()
    reference = torch.nn.MultiheadAttention(12, 3, batch_first=True).eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([f.weight for f in (layer.query, layer.key, layer.read)]))
        reference.in_proj_bias.copy_(torch.cat([f.bias for f in (layer.query, layer.key, layer.read)]))
        reference.out_proj.load_state_dict(layer.out.state_dict())
    x = torch.randn(2, 7, 12)
    h = layer.norm_attention(x + reference(x, x, x, need_weights=False)[0])
    expected = layer.norm_wide(h + layer.narrow(torch.nn.functional.gelu(layer.wide(h))))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
