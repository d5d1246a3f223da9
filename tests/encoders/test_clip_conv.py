"""clip_conv and deep_mel: published sizes, the parts against closed forms, sensors by place, subjects."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from braindec.encoders._dilated import DilatedConvolutions
from braindec.encoders._spatial_attention import SpatialAttention, fourier_embedding
from braindec.encoders.clip_conv import ClipConv
from braindec.encoders.deep_mel import DeepMel
from braindec.errors import BraindecError

RNG = np.random.default_rng(0)
TINY = {"n_chans": 9, "n_times": 40, "dim": 5, "pool": "none"}


def places(n, seed=0):
    return np.random.default_rng(seed).random((n, 2)).round(3).tolist()


def tiny(**changes):
    torch.manual_seed(0)
    return ClipConv.from_preset("tiny", **{**TINY, "positions": places(9), "n_subjects": 3, **changes})


# number of subjects and sensors of the four published data sets -> parameters
@pytest.mark.parametrize(
    ("n_subjects", "n_chans", "expected"),
    [(27, 208, 9_565_054), (96, 273, 14_595_154), (19, 128, 8_981_854), (33, 60, 10_002_454), (0, 208, 7_596_754)],
)
def test_the_paper_preset_has_the_published_parameters(n_subjects, n_chans, expected):
    model = ClipConv.from_preset(
        "paper", n_chans=n_chans, n_times=343, dim=1024, positions=places(n_chans), n_subjects=n_subjects
    )
    assert model.n_parameters == expected == 7_596_754 + 72_900 * n_subjects
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert parts == {"merger": 552_960, "mix": 73_170, "convolutions": 6_108_800, "head": 861_824}
    assert model.convolutions.receptive_field == 135


def test_the_paper_preset_keeps_every_sample():
    model = ClipConv.from_preset("paper", n_chans=20, n_times=343, dim=1024, positions=places(20), n_subjects=2, pool="none").eval()  # fmt: skip
    with torch.no_grad():
        out = model(torch.randn(2, 20, 343), subject=torch.tensor([1, 0]))
    assert out.shape == (2, 1024, 343)


def test_deep_mel_has_768_features_at_each_sample():
    model = DeepMel.from_preset("paper", n_chans=120, n_times=343, dim=768, pool="none")
    first, rest = 120 * 320 * 3 + 320, 9 * (320 * 320 * 3 + 320)
    gates, norms, head = 5 * (320 * 640 * 3 + 640), 10 * 640, 320 * 640 + 640 + 640 * 768 + 768
    assert model.n_parameters == first + rest + gates + norms + head
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 120, 343)).shape == (1, 768, 343)


def test_a_forward_pass_with_a_fixed_seed_gives_these_numbers():
    torch.manual_seed(0)
    model = ClipConv.from_preset("tiny", **{**TINY, "positions": places(9), "n_subjects": 3}).eval()
    with torch.no_grad():
        out = model(torch.sin(torch.arange(2 * 9 * 40).float()).reshape(2, 9, 40), subject=torch.tensor([0, 2]))
    expected = torch.tensor(PINNED)
    torch.testing.assert_close(out[:, :2, [0, 20]].flatten(), expected, atol=1e-5, rtol=1e-4)


def test_the_fourier_embedding_is_that_of_the_paper():
    points = torch.rand(7, 2, dtype=torch.float64)
    found = fourier_embedding(points, 32)
    assert found.shape == (7, 2048)
    for k, m in ((0, 0), (1, 0), (0, 31), (5, 17), (31, 31)):
        angle = 2 * math.pi * (k * (points[:, 0] + 0.2) + m * (points[:, 1] + 0.2)) / 1.4
        torch.testing.assert_close(found[:, 32 * k + m], angle.cos())
        torch.testing.assert_close(found[:, 1024 + 32 * k + m], angle.sin())


def test_weights_of_sensors_are_a_softmax_over_known_places():
    layer = SpatialAttention([[0.1, 0.2], None, [0.9, 0.5], [0.4, None]], 6, n_waves=4, radius=0.2)
    scores = fourier_embedding(torch.tensor([[0.1, 0.2], [0.9, 0.5]]), 4) @ layer.queries.T  # (2, 6)
    weights = layer.weights()[0]
    torch.testing.assert_close(weights[:, [0, 2]], scores.T.softmax(1))
    assert (weights[:, [1, 3]] == 0).all()


def test_training_leaves_out_the_sensors_of_one_disc():
    layer = SpatialAttention(places(200), 4, n_waves=4, radius=0.2).train()
    x = torch.eye(200)[None]  # the output is the weights
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        out = layer(x)[0]
        torch.manual_seed(seed)
        centre = torch.rand(2)
        near = (torch.tensor(places(200)) - centre).norm(dim=1) <= 0.2
        assert torch.equal(out == 0, near.expand_as(out)), "exactly the disc is left out"
        torch.testing.assert_close(out.sum(1), torch.ones(4))
        seen.add(int(near.sum()))
    assert len(seen) > 5, "the disc moves"
    torch.testing.assert_close(layer.eval()(x)[0], layer.weights()[0])


def test_when_the_disc_covers_all_sensors_none_is_left_out():
    layer = SpatialAttention([[0.5, 0.5], [0.51, 0.5]], 3, n_waves=2, radius=0.99).train()
    assert torch.isfinite(layer(torch.randn(2, 2, 5))).all()


def test_the_order_of_sensors_does_not_matter_when_places_move_along():
    x, order = torch.randn(2, 9, 40), RNG.permutation(9)
    a = tiny().eval()
    b = tiny(positions=[places(9)[i] for i in order]).eval()
    torch.testing.assert_close(a(x), b(x[:, order]), atol=1e-5, rtol=1e-4)


def test_each_subject_has_a_layer_and_unknown_ones_get_the_mean():
    model, x = tiny().eval(), torch.randn(1, 9, 40)
    merged = model.mix(model.merger(x))
    outs = [model(x, subject=torch.tensor([s])) for s in range(3)]
    assert not torch.allclose(outs[0], outs[1])
    expected = model.head(model.convolutions(model.subject_layers.mean(0) @ merged))
    torch.testing.assert_close(model(x, subject=torch.tensor([-1])), expected)
    torch.testing.assert_close(model(x), expected)
    mixed = model(x.expand(3, -1, -1), subject=torch.tensor([2, 0, 1]))
    torch.testing.assert_close(mixed, torch.cat([outs[2], outs[0], outs[1]]), atol=1e-5, rtol=1e-4)


def test_subjects_may_have_sensors_of_their_own():
    layouts = [places(9, seed=s) for s in range(2)] + [[*places(5, seed=2), None, None, None, None]]
    model, x = tiny(positions=layouts).eval(), torch.randn(1, 9, 40)
    other = x.clone()
    other[:, 5:] = 100.0  # padding of the third subject
    third = torch.tensor([2])
    torch.testing.assert_close(model(x, subject=third), model(other, subject=third))
    assert not torch.allclose(model(x, subject=torch.tensor([0])), model(other, subject=torch.tensor([0])))
    with pytest.raises(BraindecError, match="must be a known one"):
        model(x)


def test_convolutions_are_those_of_the_paper():
    """The same numbers from layers written out one by one."""
    torch.manual_seed(1)
    model = DilatedConvolutions(6, 8, 4).eval()
    x = torch.randn(2, 6, 30)
    h = x
    for k in range(4):
        convolution = nn.Conv1d(h.shape[1], 8, 3, padding=2**k, dilation=2**k)
        convolution.load_state_dict(model.convolutions[k].state_dict())
        made = nn.functional.gelu(model.norms[k](convolution(h)))
        h = made if k == 0 else h + made
        if k in (1, 3):
            gate = model.gates[str(k)]
            wide = nn.functional.conv1d(h, gate.weight, gate.bias, padding=1)
            h = wide[:, :8] * torch.sigmoid(wide[:, 8:])
    torch.testing.assert_close(model(x), h)


def test_a_sample_depends_on_the_receptive_field_only():
    model = DilatedConvolutions(1, 3, 10).double().eval()
    x = torch.randn(1, 1, 401, dtype=torch.float64, requires_grad=True)
    model(x)[0, :, 200].sum().backward()
    reach = torch.nonzero(x.grad[0, 0]).flatten()
    assert reach.min() == 200 - 67 and reach.max() == 200 + 67 and model.receptive_field == 135


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": places(8)}, "positions do not fit"),
        ({"positions": [places(9), places(9)]}, "one for each of 3 subjects"),
        ({"positions": [[0.1, 1.2]] * 9}, "outside the unit square"),
        ({"positions": [None] * 9}, "without any known place"),
        ({"positions": [0.1, 0.2]}, "lists of \\[x, y\\]"),
        ({"pool": "max"}, "mean, none"),
        ({"width": 0}, "whole number"),
        ({"n_subjects": -1}, "number of subjects"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(BraindecError, match=message):
        tiny(**changes)


def test_an_unknown_number_of_a_subject_is_refused():
    with pytest.raises(BraindecError, match="knows 3 subjects"):
        tiny()(torch.randn(2, 9, 40), subject=torch.tensor([0, 3]))


PINNED = [0.103589, 0.104065, 0.394605, 0.40078, 0.107912, 0.109364, 0.394133, 0.402955]
