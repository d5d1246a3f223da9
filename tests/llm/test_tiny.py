"""Tiny models: seven architectures, same seed same weights, trained when asked, nothing global disturbed."""

from __future__ import annotations

import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.load import wrap
from braindec.llm.tiny import made_up_texts, tiny_model, train_on, untrained

KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba")


def same(a, b):
    one, two = a.model.state_dict(), b.model.state_dict()
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(kind):
    state = torch.random.get_rng_state()
    lm = tiny_model(kind, n_layers=2, n_units=16, n_heads=2, max_length=24, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (lm.n_layers, lm.hidden_size, lm.max_length) == (2, 16, 24)
    assert lm.name == f"tiny-{kind}" and lm.vocab_size == len(lm.tokenizer) <= 2000
    assert not lm.model.training and not any(p.requires_grad for p in lm.model.parameters())
    assert same(lm, tiny_model(kind, n_layers=2, n_units=16, n_heads=2, max_length=24, seed=1))
    assert not same(lm, tiny_model(kind, n_layers=2, n_units=16, n_heads=2, max_length=24, seed=2))
    other = untrained(lm, 5)
    assert same(other, untrained(lm, 5)) and not same(other, lm)
    assert other.tokenizer is lm.tokenizer and other.name == f"tiny-{kind}-untrained-5"
    assert other.logits(torch.tensor([[1, 2, 3]])).shape == (1, 3, lm.vocab_size)
    assert lm.n_heads(0) == (0 if kind == "mamba" else 2)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_training(kind):
    state = torch.random.get_rng_state()
    lm = tiny_model(kind, n_layers=1, n_units=16, n_heads=2, steps=6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert lm.name == f"tiny-{kind}-trained"
    assert same(lm, tiny_model(kind, n_layers=1, n_units=16, n_heads=2, steps=6))
    assert not same(lm, tiny_model(kind, n_layers=1, n_units=16, n_heads=2))
    losses = train_on(lm, made_up_texts(50), steps=15)
    assert sum(losses[-5:]) < sum(losses[:5])
    assert not lm.model.training and not any(p.requires_grad for p in lm.model.parameters())


def test_texts_decide_the_vocabulary():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2, texts=["zyzzyva zyzzyva quokka"] * 20)
    assert len(lm.tokenizer("zyzzyva", add_special_tokens=False)["input_ids"]) == 1
    for text in ("Ünïcödé 老师\t\n!", "gardener"):
        assert lm.tokenizer.decode(lm.tokenizer(text, add_special_tokens=False)["input_ids"]) == text  # any character


def test_made_up_texts():
    assert made_up_texts(10, seed=3) == made_up_texts(10, seed=3) != made_up_texts(10, seed=4)
    assert len(set(made_up_texts(200))) > 190


def test_what_cannot_be_built():
    with pytest.raises(BraindecError, match="did you mean 'llama'"):
        tiny_model("lama")
    with pytest.raises(BraindecError, match="do not divide"):
        tiny_model("gpt2", n_units=10, n_heads=4)


def test_fresh_weights_of_a_plain_torch_model():
    from torch import nn

    class Plain(nn.Module):
        def __init__(self, own=False):
            super().__init__()
            self.words, self.blocks = (
                nn.Embedding(20, 8),
                nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))]),
            )
            if own:
                self.shift = nn.Parameter(torch.zeros(8))

        def forward(self, tokens):
            return self.blocks[0](self.words(tokens))

    lm = wrap(Plain(), name="plain")
    fresh = untrained(lm, 1)
    assert not same(fresh, lm) and same(fresh, untrained(lm, 1))
    with pytest.raises(BraindecError, match="reset_parameters") as error:
        untrained(wrap(Plain(own=True), name="own"), 1)
    assert "fresh=" in error.value.fix
    made = wrap(Plain(own=True), name="own", fresh=lambda: Plain(own=True))
    assert not same(untrained(made, 1), made)
