"""What holds for every network of tokens: causal, saved and built again, sizes as published, clear errors, learns a text."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.networks.token_model import TokenModel

NAMES = registry.names("networks.language")
SMALL = {"spike_gpt": {"dim": 12, "n_layers": 2}, "egru": {"dim": 10, "hidden": [14]},
         "bdh": {"dim": 8, "n_layers": 2, "n_heads": 2, "multiplier": 4}}  # fmt: skip
# SpikeGPT: the published 216 M with the vocabulary of GPT-NeoX; the others by the sums that the papers' sizes give.
EGRU_SIZE = 10_000 * 751 + sum(3 * n * (m + n) + 7 * n for m, n in ((750, 1350), (1350, 1350), (1350, 750)))
BDH_SIZE = 3 * 256 * 128 * 256 + 2 * 256 * 256
PAPER = {"spike_gpt": (50_277, 216e6, 0.01), "egru": (10_000, EGRU_SIZE, 0), "bdh": (256, BDH_SIZE, 0)}


def small(name: str, vocab_size: int = 11) -> TokenModel:
    torch.manual_seed(0)
    return registry.get("networks.language", name).from_preset("tiny", vocab_size=vocab_size, **SMALL.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_later_tokens_change_nothing_before_them(name):
    model = small(name).eval()
    for parameter in model.parameters():  # layers that start at zero would hide a leak
        torch.nn.init.normal_(parameter, std=0.5) if parameter.ndim > 1 else None
    tokens = torch.randint(0, 11, (3, 12), generator=torch.Generator().manual_seed(1))
    other = tokens.clone()
    other[:, 8:] = (other[:, 8:] + 1) % 11
    with torch.no_grad():
        first, second = model(tokens), model(other)
    assert first.shape == (3, 12, 11)
    torch.testing.assert_close(first[:, :8], second[:, :8])
    assert (first[:, 8:] - second[:, 8:]).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_built_again(name, tmp_path):
    model = small(name).eval()
    tokens = torch.arange(10)[None]
    again = TokenModel.load(model.save(tmp_path / "model"))
    assert type(again) is type(model)
    torch.testing.assert_close(again(tokens), model(tokens))


@pytest.mark.parametrize("name", NAMES)
def test_published_size(name):
    vocab, expected, tolerance = PAPER[name]
    with torch.device("meta"):
        model = registry.get("networks.language", name).from_preset("paper", vocab_size=vocab)
    assert model.n_parameters == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    model = small(name)
    tokens = torch.randint(0, 11, (4, 12), generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    reached = set()
    for _ in range(6):  # layers whose weights start at zero pass gradients on after a step
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
        reached |= {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        optimizer.step()
    assert reached == {n for n, _ in model.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_learns_a_rule_and_says_what_it_saves(name):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = small(name, vocab_size=5)
    rng = torch.Generator().manual_seed(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)

    def batch(
        n: int,
    ) -> torch.Tensor:  # 0 1 2 3 4 0 1 ... from a random place: one bit pattern, entropy 0 after the first
        return (torch.randint(0, 5, (n, 1), generator=rng) + torch.arange(12)) % 5

    model.train()
    for _ in range(120):
        tokens = batch(16)
        loss = torch.nn.functional.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if hasattr(model, "constrain"):
            model.constrain()
    model.eval()
    assert model.bits_per_token(batch(64)) < 0.25 < math.log2(5)
    made = model.generate(torch.tensor([[0, 1, 2]]), 6, temperature=0)
    assert made.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3]]
    table = model.sparsity(batch(32))
    assert np.allclose(table["active"] + table["sparsity"], 1) and table["active"].between(0, 1).all()
    assert (table["sparse"] <= table["dense"]).all() and table["active"].mean() < 0.9


def test_reading_a_network_in_training_leaves_out_its_dropout():
    settings = {"dim": 10, "hidden": [14], "drop_embedding": 0.5, "drop_between": 0.5, "drop_connect": 0.5}
    model = registry.get("networks.language", "egru")(vocab_size=11, threshold=0.3, scale=2.0, **settings)
    tokens = torch.randint(0, 11, (4, 12), generator=torch.Generator().manual_seed(2))
    model.eval()
    expected = model.bits_per_token(tokens), model.sparsity(tokens), model.generate(tokens, 3, temperature=0)
    model.train()
    model.layers[0].eval()  # what was set by hand stays so
    assert model.bits_per_token(tokens) == expected[0] and model.sparsity(tokens).equals(expected[1])
    assert torch.equal(model.generate(tokens, 3, temperature=0), expected[2])
    assert model.training and not model.layers[0].training and model.layers[1].training
    assert not torch.equal(model(tokens), model(tokens))


def test_sparsity_counts_events():
    class Half(TokenModel):
        def logits_and_activity(self, tokens):
            sent = torch.zeros(*tokens.shape, 4)
            sent[..., 0] = 2.0
            sent[:, 0, 1] = 1.0
            return torch.zeros(*tokens.shape, self.vocab_size), {"only": sent}

        def consumers(self):
            return {"only": 10}

    row = Half(vocab_size=3).sparsity(torch.zeros(2, 5, dtype=torch.long)).iloc[0]
    assert row["active"] == pytest.approx((1 + 1 / 5) / 4) and row["silent"] == pytest.approx(0.5)
    assert row["dense"] == 40 and row["sparse"] == pytest.approx(12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("tokens", "said"),
    [(torch.zeros(2, 3), "whole numbers"), (torch.zeros(3, dtype=torch.long), "whole numbers"),
     (torch.full((1, 2), 11), "vocabulary"), (torch.full((1, 2), -1), "vocabulary"), (None, "whole numbers"),
     (np.zeros((1, 2), int), "whole numbers"), (torch.zeros(1, 2, dtype=torch.bool), "whole numbers")],
)  # fmt: skip
def test_wrong_tokens(name, tokens, said):
    model = small(name)
    for read in (model, model.sparsity, model.bits_per_token, lambda x: model.generate(x, 1)):
        with pytest.raises(BraindecError, match=said):
            read(tokens)


def test_wrong_sizes():
    get = registry.get
    with pytest.raises(BraindecError, match="even number of neurons"):
        get("networks.language", "bdh")(vocab_size=5, dim=9, n_heads=2, multiplier=3)
    with pytest.raises(BraindecError, match="did you mean 'tiny'"):
        get("networks.language", "egru").from_preset("tin", vocab_size=5)
    with pytest.raises(BraindecError, match="share below 1"):
        get("networks.language", "egru")(vocab_size=5, drop_between=1.0)
    model, tokens = small("bdh"), torch.zeros(1, 2, dtype=torch.long)
    for wrong in (-1, math.nan, "hot"):
        with pytest.raises(BraindecError, match="temperature"):
            model.generate(tokens, 1, temperature=wrong)
    for wrong in (-1, 1.5, "x"):
        with pytest.raises(BraindecError, match="n must be a whole number"):
            model.generate(tokens, wrong)
    with pytest.raises(BraindecError, match="at least two tokens"):
        model.bits_per_token(tokens[:, :1])
    for wrong in ("x", None, 2.5, math.nan):
        with pytest.raises(BraindecError, match="vocab_size"):
            small("bdh", vocab_size=wrong)
    for name in ("spike_gpt", "bdh"):
        for wrong in (2, -0.1, "x"):
            with pytest.raises(BraindecError, match="dropout is a share"):
                get("networks.language", name)(vocab_size=5, dim=8, dropout=wrong)
    with pytest.raises(BraindecError, match="hidden lists"):
        get("networks.language", "egru")(vocab_size=5, dim=8, hidden=5)
