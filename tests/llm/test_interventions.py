"""Interventions do what they say, at the units they name, and leave nothing behind."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.extract import extract, iterate_activations
from braindec.llm.interventions import ablate, add_direction, clamp, combine, patch, scale
from braindec.llm.sites import resolve, units_of
from braindec.llm.tiny import made_up_texts, tiny_model
from braindec.types.features import Features

TEXTS = made_up_texts(4, seed=6)
TOKENS = torch.tensor([[5, 9, 17, 40, 2, 31], [7, 7, 8, 120, 11, 3]])
KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba")


@pytest.fixture(scope="module")
def models():
    return {kind: tiny_model(kind, n_layers=3, n_units=32, n_heads=4, max_length=64) for kind in KINDS}


def units(site, pairs):
    return pd.DataFrame([{"layer": layer, "site": site, "index": index} for layer, index in pairs])


def trace_of(lm):
    weights = {k: v.clone() for k, v in lm.model.state_dict().items()}
    hooks = [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in lm.model.modules()]
    return weights, hooks


def unchanged(lm, before):
    weights, hooks = trace_of(lm)
    return hooks == before[1] and all(torch.equal(v, before[0][k]) for k, v in weights.items())


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "mamba"])
def test_ablation_is_the_same_as_columns_of_zeros(models, kind):
    lm = models[kind]
    plain = lm.logits(TOKENS)
    chosen = units("mlp_act", [(0, 3), (0, 77), (2, 0), (2, 127)])
    before = trace_of(lm)
    with torch.no_grad(), ablate(lm, chosen):
        ablated = lm.logits(TOKENS)
    assert unchanged(lm, before)
    other = copy.deepcopy(lm.model)
    for layer, index in ((0, [3, 77]), (2, [0, 127])):
        name = next(n for n, m in lm.model.named_modules() if m is lm.blocks[layer].mlp_down)
        weight = dict(other.named_modules())[name].weight.data
        if kind == "gpt2":
            weight[index] = 0
        else:
            weight[:, index] = 0
    with torch.no_grad():
        lesioned = other(input_ids=TOKENS).logits
        again = lm.logits(TOKENS)
    torch.testing.assert_close(ablated, lesioned, atol=1e-5, rtol=0)
    assert (ablated - plain).abs().max() > 1e-5
    assert torch.equal(again, plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "site",
    ["embedding", "resid_pre", "resid_post", "attn_out", "head_out", "mlp_pre", "mlp_act", "mlp_out", "mixer_out"],
)
def test_a_clamped_unit_has_its_value_and_the_others_theirs(models, kind, site):
    lm = models[kind]
    layer = -1 if site == "embedding" else 1
    if site != "embedding" and site not in lm.blocks[1].taps:
        with pytest.raises(BraindecError, match=site), clamp(lm, units(site, [(1, 0)]), 1.0):
            pass
        return
    chosen = units(site, [(layer, 4), (layer, 9)])
    plain = next(iterate_activations(lm, TEXTS, sites=site, layers=None if layer < 0 else layer)).values[layer, site]
    with clamp(lm, chosen, [2.0, -3.0]):
        held = next(iterate_activations(lm, TEXTS, sites=site, layers=None if layer < 0 else layer)).values[layer, site]
        logits = lm.logits(TOKENS)
    assert (held[..., 4] == 2.0).all() and (held[..., 9] == -3.0).all()
    rest = [k for k in range(plain.shape[-1]) if k not in (4, 9)]
    torch.testing.assert_close(held[..., rest], plain[..., rest])
    assert (logits - lm.logits(TOKENS)).abs().max() > 1e-6


def test_a_head_is_ablated(models):
    """A head set to zero is the model whose output projection ignores its columns."""
    lm = models["llama"]
    whole = units_of(lm, resolve(lm, "head_out", [1]))
    with ablate(lm, whole[whole["head"] == 2]):
        ablated = lm.logits(TOKENS)
    other = copy.deepcopy(lm.model)
    other.model.layers[1].self_attn.o_proj.weight.data[:, 16:24] = 0
    torch.testing.assert_close(ablated, other(input_ids=TOKENS).logits, atol=1e-5, rtol=0)


def test_ablation_to_the_mean(models):
    lm = models["gpt2"]
    chosen = units("mlp_act", [(1, 5), (0, 9), (1, 2)])
    features = extract(lm, TEXTS, sites="mlp_act", pool="token")
    by_hand = [features.load()[:, np.flatnonzero((features.units.layer == a) & (features.units["index"] == b))[0]].mean()
               for a, b in ((1, 5), (0, 9), (1, 2))]  # fmt: skip
    with ablate(lm, chosen, how="mean", means=features):
        one = extract(lm, TEXTS, units=chosen, pool="token").load()
    with ablate(lm, chosen, how="mean", means=by_hand):
        two = extract(lm, TEXTS, units=chosen, pool="token").load()
    np.testing.assert_allclose(one, np.tile(by_hand, (len(one), 1)), rtol=1e-5)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    with pytest.raises(BraindecError, match="needs means"), ablate(lm, chosen, how="mean"):
        pass
    with (
        pytest.raises(BraindecError, match="no unit"),
        ablate(lm, units("mlp_out", [(0, 1)]), how="mean", means=features),
    ):
        pass
    with pytest.raises(BraindecError, match="by 'noise'"), ablate(lm, chosen, how="noise"):
        pass


def test_scale_and_positions(models):
    lm = models["gpt2"]
    chosen = units("mlp_act", [(1, 5), (1, 2)])
    plain = next(iterate_activations(lm, TOKENS.tolist(), sites="mlp_act", layers=1)).values[1, "mlp_act"]
    with scale(lm, chosen, [2.0, 0.5], positions=[1, 3, 99]):
        scaled = next(iterate_activations(lm, TOKENS.tolist(), sites="mlp_act", layers=1)).values[1, "mlp_act"]
    expected = plain.clone()
    expected[:, [1, 3], 5] *= 2
    expected[:, [1, 3], 2] *= 0.5
    torch.testing.assert_close(scaled, expected)
    with pytest.raises(BraindecError, match="from the beginning"), scale(lm, chosen, 2.0, positions=[-1]):
        pass


def test_a_direction_in_the_stream(models):
    lm = models["qwen"]
    direction = np.random.default_rng(0).standard_normal(32)
    sites = {"sites": ("resid_post", "resid_pre"), "layers": [1, 2]}
    plain = next(iterate_activations(lm, TOKENS.tolist(), **sites)).values
    with add_direction(lm, direction, layer=1, strength=3.0, positions=[2]):
        moved = next(iterate_activations(lm, TOKENS.tolist(), **sites)).values
    expected = plain[1, "resid_post"].clone()
    expected[:, 2] += torch.tensor(3.0 * direction, dtype=torch.float32)
    torch.testing.assert_close(moved[1, "resid_post"], expected)
    assert torch.equal(moved[2, "resid_pre"], moved[1, "resid_post"])
    assert torch.equal(moved[2, "resid_post"][:, :2], plain[2, "resid_post"][:, :2])  # the past is the past
    assert (moved[2, "resid_post"][:, 3:] - plain[2, "resid_post"][:, 3:]).abs().max() > 1e-4
    with add_direction(lm, direction, layer=-1, site="embedding"):
        at_start = next(iterate_activations(lm, TOKENS.tolist(), sites="embedding")).values[-1, "embedding"]
    torch.testing.assert_close(at_start, plain[1, "resid_pre"] * 0 + at_start)
    with pytest.raises(BraindecError, match="has 32 values"), add_direction(lm, direction[:5], layer=1):
        pass


@pytest.mark.parametrize("kind", ["gpt2", "bert", "mamba", "neox"])
def test_patching_the_whole_stream_gives_the_other_run(models, kind):
    lm = models[kind]
    source = torch.tensor([[1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4]])
    batch = next(iterate_activations(lm, source.tolist(), sites="resid_post", layers=1))
    with patch(lm, batch):
        patched = lm.logits(TOKENS)
    torch.testing.assert_close(patched, lm.logits(source), atol=1e-6, rtol=0)
    with patch(lm, {(1, "resid_post"): batch.values[1, "resid_post"][:1]}):
        torch.testing.assert_close(lm.logits(TOKENS)[1], lm.logits(source)[0], atol=1e-6, rtol=0)


def test_patching_units_and_tokens(models):
    lm = models["llama"]
    source = [[1, 2, 3, 4, 5, 6, 12, 13]]
    values = next(iterate_activations(lm, source, sites="mlp_act")).values
    plain = next(iterate_activations(lm, TOKENS.tolist(), sites="mlp_act", layers=1)).values[1, "mlp_act"]
    with patch(lm, values, units=units("mlp_act", [(1, 7), (1, 8)]), positions=[2, 5]):
        seen = next(iterate_activations(lm, TOKENS.tolist(), sites="mlp_act", layers=1)).values[1, "mlp_act"]
    expected = plain.clone()
    for t in (2, 5):
        expected[:, t, 7:9] = values[1, "mlp_act"][0, t, 7:9]
    torch.testing.assert_close(seen, expected)
    with (
        pytest.raises(BraindecError, match="differ in length") as error,
        patch(lm, {(1, "mlp_act"): values[1, "mlp_act"]}),
    ):
        lm.logits(TOKENS)
    assert "8 and 6 tokens" in error.value.found
    with pytest.raises(BraindecError, match="no token 7"), patch(lm, values, positions=[7]):
        lm.logits(TOKENS)
    with pytest.raises(BraindecError, match="no values of"), patch(lm, values, units=units("resid_post", [(0, 1)])):
        pass


def test_contexts_nest_and_combine(models):
    lm = models["gpt2"]
    one, two = units("mlp_act", [(1, 5)]), units("mlp_act", [(1, 5), (1, 6)])
    before = trace_of(lm)
    with clamp(lm, one, 2.0), scale(lm, two, 3.0):
        nested = extract(lm, TEXTS, units=two).load()
    assert (nested[:, 0] == 6.0).all()
    with combine(clamp(lm, one, 2.0), scale(lm, two, 3.0)):
        np.testing.assert_array_equal(extract(lm, TEXTS, units=two).load(), nested)
    with clamp(lm, one, 2.0):
        with scale(lm, two, 3.0):
            pass
        assert (extract(lm, TEXTS, units=one).load() == 2.0).all()  # leaving the inner one leaves the outer one
    assert unchanged(lm, before)


def test_everything_is_put_back_after_an_exception(models):
    lm = models["gemma"]
    before, plain = trace_of(lm), lm.logits(TOKENS)
    chosen = units("mlp_act", [(0, 1)])
    with pytest.raises(ZeroDivisionError), combine(ablate(lm, chosen), add_direction(lm, np.ones(32), layer=1)):
        lm.logits(TOKENS)
        1 / 0
    with pytest.raises(BraindecError), combine(ablate(lm, chosen), ablate(lm, units("mlp_act", [(0, 10_000)]))):
        pass
    with pytest.raises(BraindecError), ablate(lm, chosen):
        extract(lm, ["ok", " "])
    assert unchanged(lm, before) and torch.equal(lm.logits(TOKENS), plain)


@pytest.mark.parametrize("site", ["resid_mid", "attn_pattern"])
def test_sites_that_can_only_be_read(models, site):
    with (
        pytest.raises(BraindecError, match="read but not changed") as error,
        ablate(models["gpt2"], units(site, [(0, 1)])),
    ):
        pass
    assert "resid_post" in error.value.allowed and site not in error.value.allowed


def test_a_unit_named_twice(models):
    with pytest.raises(BraindecError, match="stands twice"), ablate(models["gpt2"], units("mlp_act", [(0, 1), (0, 1)])):
        pass
    with pytest.raises(BraindecError, match="no rows"), ablate(models["gpt2"], units("mlp_act", [(0, 1)]).iloc[:0]):
        pass
    with (
        pytest.raises(BraindecError, match="one value each"),
        clamp(models["gpt2"], units("mlp_act", [(0, 1)]), [1.0, 2.0]),
    ):
        pass


def test_one_call_of_a_block_that_runs_twice():
    from torch import nn

    from braindec.llm.load import wrap

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.up, self.down = nn.Linear(8, 8), nn.Linear(8, 20), nn.Linear(20, 8)

        def forward(self, x):
            x = x + self.mix(x.cumsum(1))
            return x + self.down(torch.relu(self.up(x)))

    class Cycles(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.blocks = nn.Embedding(20, 8), nn.ModuleList([Block()])

        def forward(self, tokens):
            x = self.words(tokens)
            for _ in range(3):
                x = self.blocks[0](x)
            return x

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        lm = wrap(Cycles(), name="cycles")
    assert lm.n_layers == 3
    rows = [[1, 2, 3, 4]]
    plain = next(iterate_activations(lm, rows, sites="mlp_act")).values
    with clamp(lm, units("mlp_act", [(1, 4)]), 5.0):
        held = next(iterate_activations(lm, rows, sites="mlp_act")).values
    assert torch.equal(held[0, "mlp_act"], plain[0, "mlp_act"])
    assert (held[1, "mlp_act"][..., 4] == 5).all() and not (held[2, "mlp_act"][..., 4] == 5).any()


def test_features_type(models):
    assert isinstance(extract(models["gpt2"], TEXTS), Features)
