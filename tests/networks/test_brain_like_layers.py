"""EGRU, BDH, Kuramoto oscillators and WKV in torch: numbers of the published implementations, closed forms, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.networks.egru import EGRU, event
from braindec.networks.kuramoto import KuramotoLayer, oscillator_step, unit_oscillators
from braindec.networks.language.bdh import BDH
from braindec.networks.weighted_past import weighted_past, weighted_past_loop


@pytest.fixture
def published(shared):
    with np.load(shared("models.npz", kind="parity")) as file:
        return {k: torch.from_numpy(file[k]) for k in file.files if file[k].dtype.kind in "fi"}


def test_egru_parity(published):
    layer = EGRU(5, 7)
    names = {"kernel": "kernel", "recurrent": "rkernel", "bias": "bias", "recurrent_bias": "rbias", "threshold": "thr"}
    layer.load_state_dict({own: published[f"egru_{name}"] for own, name in names.items()})
    y, trace, state = layer(published["egru_x"].transpose(0, 1))
    torch.testing.assert_close(y.transpose(0, 1), published["egru_y"][1:], atol=1e-6, rtol=0)
    torch.testing.assert_close(trace.transpose(0, 1), published["egru_trace"][1:], atol=1e-6, rtol=0)
    torch.testing.assert_close((y.transpose(0, 1) != 0).float(), published["egru_o"][1:])
    torch.testing.assert_close(state.c, published["egru_h"][-1], atol=1e-6, rtol=0)
    (y**2).sum().backward()
    torch.testing.assert_close(layer.kernel.grad, published["egru_gk"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.recurrent.grad, published["egru_grk"], atol=1e-5, rtol=1e-5)


def test_egru_in_two_parts_is_egru_in_one():
    torch.manual_seed(0)
    layer, x = EGRU(3, 6), torch.randn(2, 20, 3)
    whole, _, last = layer(x)
    first, _, state = layer(x[:, :7])
    second, _, end = layer(x[:, 7:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end.c, last.c)


def test_egru_sends_only_above_its_threshold_and_takes_it_off():
    layer = EGRU(1, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.kernel[0, 0], layer.kernel[0, 2] = -50.0, 50.0  # z = 0, g = 1 while the input is on
        layer.threshold.fill_(0.25)
    x = torch.tensor([[[0.0], [1.0], [0.0]]])
    y, _, state = layer(x)
    assert y[0, :, 0].tolist() == pytest.approx([0.0, 1.0, 0.75 / 2])  # z = 1/2 and g = 0 without input
    assert state.c.item() == pytest.approx(0.75 / 2 - 0.25)


def test_event_gradient_is_the_triangle():
    x = torch.tensor([-2.0, -0.5, 0.0, 0.25, 1.5], requires_grad=True)
    e = event(x, height=0.7, width=1.0)
    assert e.tolist() == [0, 0, 0, 1, 1]
    e.sum().backward()
    assert x.grad.tolist() == pytest.approx([0, 0.35, 0.7, 0.525, 0])


def test_egru_dropout_is_off_in_evaluation_and_on_in_training():
    torch.manual_seed(0)
    layer, x = EGRU(3, 40, drop_connect=0.5, zoneout=0.3), torch.randn(1, 30, 3)
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    layer.train()
    assert not torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 0.0}, {"trace": 1.0}, {"zoneout": 1.0}, {"drop_connect": -0.1}, {"threshold": "x"}, {"n_units": -5},
     {"n_inputs": 0}, {"height": float("nan")}, {"width": -1.0}],
)  # fmt: skip
def test_egru_wrong_settings(wrong):
    settings = {"n_inputs": 2, "n_units": 3} | wrong
    name = next(iter(wrong))
    with pytest.raises(BraindecError, match="surrogate gradient" if name in ("height", "width") else name):
        EGRU(**settings)


def test_egru_says_what_is_wrong_with_its_input():
    layer, x = EGRU(3, 6), torch.randn(2, 5, 3)
    for value in (float("nan"), float("inf")):
        bad = x.clone()
        bad[1, 2, 0] = value
        with pytest.raises(BraindecError, match="NaN or infinite"):
            layer(bad)
    for wrong in (x[..., :2], x[0], x.int(), None):
        with pytest.raises(BraindecError, match="batch, time, input"):
            layer(wrong)
    with pytest.raises(BraindecError, match="wrong shape"):
        layer(x[:, :0])
    for state in ((1, 2), layer.start(3)):
        with pytest.raises(BraindecError, match="state that EGRU"):
            layer(x, state)
    with pytest.raises(BraindecError, match="states of EGRU became NaN"):
        layer(x, layer.start(2)._replace(c=torch.full((2, 6), float("nan"))))


def bdh(published) -> BDH:
    model = BDH(vocab_size=11, dim=16, n_layers=2, n_heads=2, multiplier=8, dropout=0.0)
    names = {
        "embedding.weight": "embed.weight",
        "encoder": "encoder",
        "encoder_v": "encoder_v",
        "decoder": "decoder",
        "head": "lm_head",
    }
    model.load_state_dict({own: published[f"bdh_p_{name}"] for own, name in names.items()})
    return model.eval()


def test_bdh_parity(published):
    model, tokens = bdh(published), published["bdh_idx"]
    torch.testing.assert_close(model(tokens), published["bdh_logits"], atol=1e-6, rtol=0)


def test_bdh_attention_is_a_synapse_matrix():
    torch.manual_seed(1)
    model = BDH(vocab_size=7, dim=8, n_layers=2, n_heads=2, multiplier=4, dropout=0.0).eval()
    tokens = torch.randint(0, 7, (1, 9))
    state = model.synapses(tokens[:, :-1], layer=0)  # what all but the last token left behind
    x = model._norm(model.embedding(tokens)[:, None])
    a = torch.relu(x @ model.encoder)
    turned = model._rope(a, model._turns(9, x))
    read = (turned[:, :, -1:] @ state)[:, :, 0]
    expected = (turned[:, :, -1:] @ turned[:, :, :-1].transpose(2, 3)) @ x[:, :, :-1]
    torch.testing.assert_close(read, expected[:, :, 0])
    assert state.shape == (1, 2, 16, 8)
    for wrong in (-1, 2, None):
        with pytest.raises(BraindecError, match="no such layer"):
            model.synapses(tokens, layer=wrong)


def test_kuramoto_parity(published):
    layer = KuramotoLayer(8, n=4, n_steps=6, gamma=1.0)
    with torch.no_grad():
        layer.coupling.weight[:, :, 0, 0] = published["kuramoto_J"]
        layer.omega.copy_(published["kuramoto_omega"])
    states, energies = layer(published["kuramoto_x0"], published["kuramoto_c"])
    torch.testing.assert_close(states, published["kuramoto_traj"], atol=1e-5, rtol=0)
    torch.testing.assert_close(energies, published["kuramoto_energy"], atol=1e-4, rtol=1e-5)


def test_two_numbers_an_oscillator_are_the_kuramoto_model():
    torch.manual_seed(0)
    m, gamma = 5, 1e-4
    angle, pull = torch.rand(1, m, dtype=torch.float64) * 6.28, torch.randn(m, m, dtype=torch.float64)
    omega = torch.randn(m, dtype=torch.float64)
    x = torch.stack([angle.cos(), angle.sin()], dim=2).flatten(1)  # (1, 2 m)
    towards = (pull @ x.view(m, 2)).view(1, -1)
    after = oscillator_step(x, towards, omega, n=2, gamma=gamma).view(m, 2)
    moved = torch.atan2(after[:, 1], after[:, 0]) - angle[0]
    moved = torch.remainder(moved + torch.pi, 2 * torch.pi) - torch.pi
    theta = angle[0]
    expected = (pull * torch.sin(theta[None, :] - theta[:, None])).sum(dim=1) - omega
    torch.testing.assert_close(moved / gamma, expected, atol=5e-3, rtol=0)


def test_energy_falls_without_rotation_and_with_symmetric_coupling():
    torch.manual_seed(0)
    layer = KuramotoLayer(8, n=4, n_steps=60, gamma=0.05, rotate=False).double()
    with torch.no_grad():
        weight = layer.coupling.weight[:, :, 0, 0]
        layer.coupling.weight[:, :, 0, 0] = (weight + weight.T) * 3
    stimulus = 0.1 * torch.randn(2, 8, 3, 3, dtype=torch.float64)
    states, _ = layer(torch.randn(2, 8, 3, 3, dtype=torch.float64), stimulus)
    # <x, c> + <x, J x> / 2 is what a gradient step raises
    value = torch.stack([((s * stimulus).sum() + (s * layer.coupling(s)).sum() / 2) for s in states])
    assert (torch.diff(value) > -1e-9).all() and value[-1] > value[0] + 0.1
    torch.testing.assert_close(states, torch.stack([unit_oscillators(s, 4) for s in states]))


def test_kuramoto_wrong_shapes():
    with pytest.raises(BraindecError, match="groups of n"):
        KuramotoLayer(9, n=4)
    with pytest.raises(BraindecError, match="odd"):
        KuramotoLayer(8, kernel_size=2)
    for wrong in ({"n_steps": 1.5}, {"n_channels": 0}, {"gamma": float("nan")}, {"gamma": 0.0}):
        with pytest.raises(BraindecError, match=next(iter(wrong))):
            KuramotoLayer(**{"n_channels": 8, **wrong})
    x = torch.randn(1, 8, 3, 3)
    with pytest.raises(BraindecError, match="NaN"):
        KuramotoLayer(8)(x, x * float("nan"))
    with pytest.raises(BraindecError, match="groups of 3"):
        unit_oscillators(x, 3)
    with pytest.raises(BraindecError, match="natural frequency"):
        oscillator_step(x, x, torch.ones(3), n=4)
    with pytest.raises(BraindecError, match="height, width"):
        KuramotoLayer(8)(torch.zeros(1, 8, 3), torch.zeros(1, 8, 3))


def test_weighted_past_scan_and_loop_agree():
    torch.manual_seed(0)
    w, u = torch.randn(2, 4, dtype=torch.float64).unbind()
    k, v = torch.randn(2, 3, 10, 4, dtype=torch.float64).unbind()
    both = []
    for backend in ("fused", "torch"):
        leaves = [a.clone().requires_grad_() for a in (w, u, k, v)]
        y = weighted_past(*leaves, backend=backend)
        (y**2).sum().backward()
        both.append([y.detach(), *(a.grad for a in leaves)])
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(weighted_past, [a.clone().requires_grad_() for a in (w, u, k[:1, :4], v[:1, :4])])
    torch.testing.assert_close(weighted_past_loop(w, u, k, v), both[0][0])


def test_weighted_past_unknown_backend():
    with pytest.raises(BraindecError, match="no such backend"):
        weighted_past(*torch.zeros(2, 3), *torch.zeros(2, 1, 2, 3), backend="gpu")


def test_weighted_past_in_other_types_and_shapes():
    torch.manual_seed(0)
    w, u, k, v = *torch.randn(2, 4), *torch.randn(2, 3, 10, 4)
    whole = weighted_past(w, u, k, v)
    for kind in (torch.float16, torch.bfloat16):  # no compiled scan: torch's loop
        half = weighted_past(*(a.to(kind) for a in (w, u, k, v)))
        assert half.dtype == kind and (half.float() - whole).abs().max() < 0.1
        with pytest.raises(BraindecError, match="float32 and float64"):
            weighted_past(*(a.to(kind) for a in (w, u, k, v)), backend="fused")
    for backend in ("fused", "torch"):
        with pytest.raises(BraindecError, match="one decay and bonus"):
            weighted_past(w[:2], u, k, v, backend=backend)
        with pytest.raises(BraindecError, match="one decay and bonus"):
            weighted_past(w, u, k, v[:, :4], backend=backend)
