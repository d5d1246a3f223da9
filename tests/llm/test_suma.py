"""SUMA: its size, its equation, its use as a language model, and that it is a control."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm import suma as module
from braindec.llm.extract import extract
from braindec.llm.suma import PRESETS, Suma, suma
from braindec.llm.tiny import tiny_model, untrained

TEXTS = ["the small lamp moves", "a river again", "every clever pilot finds the old stone"]


@pytest.fixture(scope="module")
def lm():
    return suma(tokenizer=tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2).tokenizer, seed=3)


def test_size_of_the_published_network():
    with torch.device("meta"):
        network = Suma(**PRESETS["paper"])
    size, vocabulary = 4096, 32_000
    assert sum(p.numel() for p in network.parameters()) == vocabulary * size + 4 * size**2 + size == 198_184_960
    assert (network.layers[0].self_attn.num_heads, network.num_cycles) == (512, 2)
    assert not any("bias" in name or "position" in name for name, _ in network.named_parameters())


def test_weights_are_those_said():
    network = Suma(hidden_size=128, num_heads=16, vocab_size=3000, seed=1)
    for parameter in map(torch.Tensor.detach, network.parameters()):
        if parameter.ndim == 2:
            assert abs(float(parameter.std()) - 0.02) < 5e-4 and abs(float(parameter.mean())) < 5e-4
        else:
            assert (parameter == 1).all()
    again = Suma(hidden_size=128, num_heads=16, vocab_size=3000, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    state = torch.get_rng_state()
    Suma(seed=2)
    assert torch.equal(state, torch.get_rng_state())


def test_a_cycle_is_norm_attention_and_sum():
    network = Suma(hidden_size=12, num_heads=3, num_cycles=2, vocab_size=20, seed=0)
    tokens = torch.tensor([[4, 9, 2, 4]])
    with torch.no_grad():
        x = network.embed_tokens.weight[tokens[0]].double().numpy()
        q, k, v, o = (getattr(network.layers[0].self_attn, f"{n}_proj").weight.double().numpy() for n in "qkvo")
        for _ in range(2):
            y = x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-5)
            heads = []
            for h in range(3):
                part = slice(4 * h, 4 * h + 4)
                scores = (y @ q.T[:, part]) @ (y @ k.T[:, part]).T / 2.0
                scores[np.triu_indices(4, 1)] = -np.inf
                weight = np.exp(scores - scores.max(axis=1, keepdims=True))
                heads.append(weight / weight.sum(axis=1, keepdims=True) @ (y @ v.T[:, part]))
            x = x + np.concatenate(heads, axis=1) @ o.T
        np.testing.assert_allclose(network(tokens)[0].numpy(), x, atol=1e-6)


def test_units_of_every_cycle_can_be_read(lm):
    features = extract(lm, TEXTS, sites=("resid_post", "attn_out", "head_out"))
    assert features.shape == (3, 2 * 3 * 64) and set(features.units["layer"]) == {0, 1}
    tokens = torch.tensor([lm.tokenizer(TEXTS[1], add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        direct = lm.model(tokens)[0, -1].numpy()
    last = (features.units["layer"] == 1) & (features.units["site"] == "resid_post")
    np.testing.assert_allclose(features.load()[1, last.to_numpy()], direct, atol=1e-6)
    assert lm.n_heads(0) == 8 and lm.n_layers == 2


def test_padding_changes_nothing(lm):
    one, many = (extract(lm, TEXTS, sites=("resid_post",), batch_size=b).load() for b in (1, 3))
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_other_seeds_are_other_networks_of_one_kind(lm):
    other = untrained(lm, 8)
    assert other.n_layers == 2 and not torch.equal(other.model.embed_tokens.weight, lm.model.embed_tokens.weight)
    assert abs(float(other.model.embed_tokens.weight.std()) - 0.02) < 1e-3


def test_it_says_that_it_is_a_control():
    assert "control" in module.__doc__ and "position and word rate" in module.__doc__


def test_odd_input_is_refused(lm):
    with pytest.raises(BraindecError, match="did you mean 'paper'"):
        suma("papers", tokenizer=lm.tokenizer)
    with pytest.raises(BraindecError, match="heads that divide"):
        Suma(hidden_size=10, num_heads=4)
    with pytest.raises(BraindecError, match="smaller than the tokenizer"):
        suma(tokenizer=lm.tokenizer, vocab_size=5)


def test_a_recipe_can_take_it_as_its_model():
    from braindec.llm.source import ModelSource

    source = ModelSource(tiny="suma", n_layers=2, n_units=32, n_heads=8)
    lm = source.open()
    first, second = source.untrained(2, like=lm)
    units = extract(lm, ["the small gardener watches a river"], sites=["resid_post"])
    assert units.shape == (1, 64) and set(units.units["layer"]) == {0, 1}
    others = [extract(m, ["the small gardener watches a river"], sites=["resid_post"]).load() for m in (first, second)]
    assert not np.allclose(others[0], others[1]) and not np.allclose(others[0], units.load())
    with pytest.raises(BraindecError, match="not trained"):
        ModelSource(tiny="suma", steps=5).open()
