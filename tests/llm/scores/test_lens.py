"""Logit lens and verbatim memory: the last layer is the model, chance is chance, lists that repeat are told from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._tokens import token_windows
from braindec.llm.tiny import made_up_texts, tiny_model, train_on

logit_lens, verbatim = (registry.get("llm.scores", name) for name in ("logit_lens", "verbatim_memory"))
TEXTS = made_up_texts(120)


@pytest.fixture(scope="module")
def trained():
    lm = tiny_model("gpt2", n_layers=2, n_units=32, n_heads=2)
    before = logit_lens(Probe(lm, {"texts": TEXTS}))
    train_on(lm, TEXTS, steps=60)
    return lm, before


def test_the_last_layer_is_the_model(trained):
    lm, _ = trained
    table = logit_lens(Probe(lm, {"texts": TEXTS}, batch_size=7))
    windows = torch.as_tensor(token_windows(lm, TEXTS))
    with torch.no_grad():
        logits = lm.logits(windows)[:, :-1]
    bits = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item() / np.log(2)
    last = table.iloc[-1]
    assert last["logit_lens"] == pytest.approx(bits, rel=1e-4) and last["logit_lens_kl"] == pytest.approx(0, abs=1e-9)
    assert last["logit_lens_top"] == pytest.approx(
        (logits.argmax(-1) == windows[:, 1:]).double().mean().item(), abs=2e-3
    )
    assert (
        table["logit_lens_low"].lt(table["logit_lens"]).all() and table["logit_lens_high"].gt(table["logit_lens"]).all()
    )
    assert (table["logit_lens_kl"].iloc[:-1] > 0).all()


def test_training_leaves_chance(trained):
    lm, before = trained
    after = logit_lens(Probe(lm, {"texts": TEXTS}))
    assert before["logit_lens"].iloc[-1] == pytest.approx(before["logit_lens_chance"].iloc[-1], abs=0.3)
    assert after["logit_lens"].iloc[-1] < before["logit_lens"].iloc[-1] - 2.0
    assert after["logit_lens"].iloc[-1] < after["logit_lens"].iloc[0]
    assert after["logit_lens_rank"].iloc[-1] < before["logit_lens_rank"].iloc[-1] / 4


def test_divergence_against_a_direct_sum(trained):
    from braindec.llm.scores.logit_lens import _measures

    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 5, 11, generator=generator)
    target = torch.randint(11, (3, 5), generator=generator)
    bits, divergence, rank = _measures(a, b, target)
    p, q = b.softmax(-1).double().numpy(), a.softmax(-1).double().numpy()
    np.testing.assert_allclose(divergence, (p * np.log2(p / q)).sum(-1), atol=1e-5)
    np.testing.assert_allclose(bits, -np.log2(np.take_along_axis(q, target.numpy()[..., None], -1)[..., 0]), atol=1e-5)
    order = np.argsort(-q, axis=-1)
    np.testing.assert_array_equal(
        np.take_along_axis(order, rank.astype(int)[..., None] - 1, -1)[..., 0], target.numpy()
    )


def test_only_layers_that_are_asked_for(trained):
    lm, _ = trained
    whole, part = (logit_lens(Probe(lm, {"texts": TEXTS}, layers=layers)) for layers in (None, [0]))
    assert part["layer"].tolist() == [0]
    assert part["logit_lens_kl"].iloc[0] == pytest.approx(whole["logit_lens_kl"].iloc[0], rel=1e-5)


def test_models_that_read_both_ways_are_refused():
    probe = Probe(tiny_model("bert", n_layers=1, n_units=16, n_heads=2), {"texts": TEXTS})
    for score in (logit_lens, verbatim):
        with pytest.raises(BraindecError, match="reads both ways"):
            score(probe)


def test_verbatim_memory_of_an_untrained_model_is_none():
    p = []
    for seed in range(6):
        lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2, seed=seed)
        table = verbatim(Probe(lm, {}, seed=seed, options={"verbatim_memory": {"n_lists": 8, "n_words": 4}}))
        assert table["verbatim_memory"].between(0.9, 1.1).all()
        p += table["verbatim_memory_p"].tolist()
    assert min(p) > 0.001


def test_few_nouns_and_a_short_context_are_refused():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    with pytest.raises(BraindecError, match="need 16 nouns"):
        verbatim(Probe(lm, {"nouns": ["lamp", "river"]}))
    with pytest.raises(BraindecError, match="a context of 16"):
        verbatim(Probe(tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2, max_length=16), {}))
