"""du_in: published sizes, patches that do not see each other, subjects, stages."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from braindec.encoders._du_in_layers import PatchTokens, TokenPatches, blocks, places
from braindec.encoders._du_in_stages import Autoencoder, MaskedCodes
from braindec.encoders.du_in import DuIN
from braindec.errors import BraindecError


def tiny(**changes):
    torch.manual_seed(0)
    return DuIN.from_preset("tiny", **{"n_chans": 5, "n_times": 160, "dim": 4, **changes})


def test_the_published_count_part_by_part():
    model = DuIN.from_preset("paper", n_chans=10, n_times=3000, dim=61)
    counted = model.published_count()
    assert sum(counted.values()) == 4_377_639
    assert counted == {"learned": 4_182_813, "places in time": 30 * 160, "attention scales": 8, "vector quantiser": 179_713, "contrastive head": 10_305}  # fmt: skip
    assert counted["learned"] == model.n_parameters == sum(p.numel() for p in model.parameters())
    subject, tokens, block = 10 * 16 + 16, model.tokenizer, model.blocks[0]
    assert sum(p.numel() for p in model.subject_layers.parameters()) == subject
    convolutions = 16 * 128 * 19 + 128 + 128 * 128 * 3 + 128 + 128 * 16 * 3 + 16 + 2 * (128 + 128 + 16)
    assert sum(p.numel() for p in tokens.parameters()) == convolutions
    attention = 3 * (160 * 512 + 512) + 512 * 160 + 160 + 4 * 64
    assert sum(p.numel() for p in block.parameters()) == attention + 160 * 320 + 320 + 320 * 160 + 160 + 4 * 160
    assert sum(p.numel() for p in model.head.parameters()) == 4800 * 128 + 128 + 128 * 61 + 61


def test_published_shapes():
    model = DuIN.from_preset("paper", n_chans=10, n_times=3000, dim=61)
    assert (model.n_tokens, model.width, model.patch) == (30, 160, 100)
    first = model.tokenizer.layers[0]
    assert (first.kernel_size, first.stride, first.padding) == ((19,), (10,), (9,))
    assert not any(isinstance(m, (torch.nn.GELU, torch.nn.ReLU)) for m in model.tokenizer.modules()), "as published"
    assert model.eval()(torch.randn(2, 10, 3000)).shape == (2, 61)
    assert model.attend(model.tokens(torch.randn(1, 10, 4000))).shape == (1, 40, 160), "4 s in pre-training"
    autoencoder = Autoencoder(model).eval()
    assert autoencoder(torch.randn(1, 10, 4000)).values.shape == (1, 10, 4000)
    assert autoencoder.quantizer.codes.shape == (2048, 64) and len(autoencoder.blocks) == 4


def test_without_activation_a_token_is_a_linear_function_of_its_patch():
    layer = PatchTokens(3, (6, 6, 4), patch=20, steps=5, activation=None).eval()
    a, b = torch.randn(2, 1, 3, 20)
    zero = layer(torch.zeros(1, 3, 20))
    torch.testing.assert_close(layer(2 * a + b) - zero, 2 * (layer(a) - zero) + layer(b) - zero, atol=1e-4, rtol=1e-4)
    bent = PatchTokens(3, (6, 6, 4), patch=20, steps=5, activation="gelu").eval()
    zero = bent(torch.zeros(1, 3, 20))
    assert (bent(2 * a) - zero - 2 * (bent(a) - zero)).abs().max() > 1e-3


def test_a_token_is_made_of_its_patch_alone():
    model = tiny().eval()
    x = torch.randn(1, 5, 160)
    changed = x.clone()
    changed[:, :, 40:80] += 1
    moved = (model.tokens(x) - model.tokens(changed)).abs().amax(dim=(0, 2))
    assert moved[1] > 0.01 and moved[[0, 2, 3]].max() == 0
    assert ((model.attend(model.tokens(x)) - model.attend(model.tokens(changed))).abs().amax(dim=(0, 2)) > 0).all()


def test_places_in_time():
    table = places(7, 6).numpy()
    t, i = np.arange(7)[:, None], np.arange(3)
    np.testing.assert_allclose(table[:, 0::2], np.sin(t / 1e4 ** (2 * i / 6)), atol=1e-6)
    np.testing.assert_allclose(table[:, 1::2], np.cos(t / 1e4 ** (2 * i / 6)), atol=1e-6)
    with pytest.raises(BraindecError, match="even"):
        places(3, 5)


def test_attention_against_its_formula():
    torch.manual_seed(0)
    block = blocks(1, 8, n_heads=2, d_head=3, d_ff=10, dropout=0.5)[0].eval()
    x = torch.randn(1, 4, 8)
    heads = []
    for h in range(2):
        q, k, v = (f(x)[..., 3 * h : 3 * h + 3] for f in (block.query, block.key, block.read))
        q, k = block.norm_query(q), block.norm_key(k)
        heads.append(torch.softmax(q @ k.transpose(1, 2) / 3**0.5, dim=2) @ v)
    h = block.norm_attention(x + block.out(torch.cat(heads, dim=2)))
    wanted = block.norm_wide(h + block.narrow(F.gelu(block.wide(h))))
    torch.testing.assert_close(block(x), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("patch", "steps"), [(20, 5), (100, 10), (48, 4), (6, 6)])
def test_patches_come_back_at_their_length(patch, steps):
    tokens = PatchTokens(3, (4, 4, 2), patch=patch, steps=steps, activation=None)
    back = TokenPatches(3, (4, 4, 2), patch=patch, steps=steps, activation=None)
    x = torch.randn(2, 3, 4 * patch)
    assert tokens(x).shape == (2, 4, 2 * steps) and back(tokens(x)).shape == x.shape


def test_a_patch_in_s_at_any_sampling_frequency():
    for sfreq, samples in ((1000.0, 100), (512.0, 50), (2048.0, 200), (400.0, 40)):
        model = DuIN(
            n_chans=2, n_times=400, dim=3, patch_seconds=0.1, sfreq=sfreq, steps=10, filters=[4, 4, 2], n_layers=1
        )
        assert model.patch == samples
        assert model(torch.randn(2, 2, 400)).shape == (2, 3)


def test_subjects_with_channels_of_their_own():
    model = tiny(n_chans={"a": 3, "b": 5}).eval()
    x, subject = torch.randn(4, 5, 160), torch.tensor([0, 1, 0, 1])
    out = model(x, subject=subject)
    beyond = x.clone()
    beyond[:, 3:] += 5.0
    torch.testing.assert_close(model(beyond, subject=subject)[[0, 2]], out[[0, 2]])
    assert (model(beyond, subject=subject) - out)[[1, 3]].abs().max() > 1e-3
    found = Autoencoder(model).eval()(x, subject=subject)
    assert found.values.shape == (4, 5, 160) and (found.values[[0, 2], 3:] == 0).all()
    assert found.sizes.tolist() == [3, 5, 3, 5]
    wider = model.with_subject("c", 4)
    torch.testing.assert_close(wider.eval()(x, subject=subject), out)
    with pytest.raises(BraindecError, match="subject of each window"):
        model(x)


def test_hidden_tokens_are_guessed_without_being_seen():
    model = MaskedCodes(tiny()).eval()
    x, mask = torch.randn(2, 5, 160), torch.tensor([[True, False, True, False], [False, True, False, True]])
    logits = model(x, mask=mask).logits
    assert logits.shape == (2, 4, 64)
    for token in range(4):
        other = x.clone()
        other[:, :, 40 * token : 40 * token + 40] = torch.randn(2, 5, 40)
        moved = (model(other, mask=mask).logits - logits).abs().amax(dim=2)
        assert moved[:, token].max() == 0, "its own content has no say"
        same = mask == mask[:, token : token + 1]  # those hidden together do not see it, the others do
        assert (moved[same] == 0).all() and (moved[~same] > 0).all()


def test_an_autoencoder_learns_what_is_there():
    torch.manual_seed(0)
    model = Autoencoder(tiny(n_codes=16, n_times=80))
    shapes = torch.randn(4, 5, 40)
    x = torch.stack(
        [torch.cat([shapes[a], shapes[b]], dim=1) for a in range(4) for b in range(4)]
    ) + 0.05 * torch.randn(16, 5, 80)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(80):
        model.quantizer.passing = step < 40
        found = model(x)
        loss = (found.values - x).square().mean() + found.loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    index = model.code_index(x)
    assert (model(x).values - x).square().mean().item() < 0.5 * x.square().mean().item()
    firsts = [set(index[4 * a : 4 * a + 4, 0].tolist()) for a in range(4)]
    assert all(not (firsts[a] & firsts[b]) for a in range(4) for b in range(a)), "another shape, another code"


def test_weights_move_between_windows_of_different_length():
    long, short = tiny(n_times=400, dim=1), tiny(n_times=120)
    with torch.no_grad():
        long.subject_layers[0].weight.add_(1.0)
    head = short.head[1].weight.clone()
    short.load_body(long.body())
    x = torch.randn(2, 5, 120)
    torch.testing.assert_close(short.eval().tokens(x), long.eval().tokens(x))
    assert torch.equal(short.head[1].weight, head)


def test_a_fixed_seed_gives_fixed_numbers():
    x = torch.linspace(-1, 1, 800).reshape(1, 5, 160)
    a, b = tiny().eval()(x), tiny().eval()(x)
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"activation": "gleu"}, "did you mean 'gelu'"), ({"patch": 41}, "no whole number of 5 steps"), ({"n_times": 30}, "one patch"),
     ({"patch_seconds": 0.1}, "needs the sampling frequency"), ({"patch_seconds": 0.001, "sfreq": 400.0}, "fewer samples"),
     ({"filters": [4, 4]}, "three"), ({"dropout": 1.0}, "shares"), ({"hidden": 0}, "whole number"), ({"late": 1.0}, "shares")],
)  # fmt: skip
def test_refusals(wrong, message):
    with pytest.raises(BraindecError, match=message):
        tiny(**wrong)
