"""Surprisal of words against the probabilities of the model, taken one token at a time."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.llm.load import wrap
from braindec.llm.surprisal import surprisal
from braindec.llm.tiny import made_up_texts, tiny_model
from braindec.llm.words import words_table

TEXTS = [*made_up_texts(2, seed=8), "Unbelievable  lamps (twice) shine, naïve!"]


@functools.lru_cache
def model(kind="gpt2"):
    return tiny_model(kind, n_layers=2, n_units=32, n_heads=4, max_length=40, steps=6)


def one_by_one(lm, ids, begin):
    """Return -log2 p of the tokens from ``begin`` on, each from its own forward pass over what precedes it."""
    found = []
    for k in range(begin, len(ids)):
        with torch.no_grad():
            logits = lm.model(input_ids=torch.tensor([ids[:k]])).logits[0, -1].double()
        found.append(float(-logits.log_softmax(0)[ids[k]] / np.log(2)))
    return np.array(found)


def owners(lm, text, spans):
    """Return ids and, for each token, the first word that ends after the token begins."""
    made = lm.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return made["input_ids"], [
        next((w for w, (_, b) in enumerate(spans) if b > s), None) for s, _ in made["offset_mapping"]
    ]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen", "gemma", "neox", "mamba"])
def test_words_add_up_their_tokens(kind):
    lm = model(kind)
    made = surprisal(lm, dict(zip("abc", TEXTS, strict=True)), batch_size=3)
    for text_id, rows in made.groupby("text_id"):
        text = TEXTS["abc".index(text_id)]
        ids, owner = owners(lm, text, list(zip(rows["start"], rows["stop"], strict=True)))
        bits = one_by_one(lm, [lm.tokenizer.bos_token_id, *ids], 1)
        expected = [bits[[k for k, o in enumerate(owner) if o == w]].sum() for w in range(len(rows))]
        np.testing.assert_allclose(rows["surprisal"], expected, atol=1e-4)
        assert list(rows["n_tokens"]) == [owner.count(w) for w in range(len(rows))]
        assert rows["surprisal"].sum() == pytest.approx(bits.sum(), abs=1e-3)  # the chain rule
    assert made["n_tokens"].max() > 3


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_context_of_n_words(n):
    lm = model()
    made = surprisal(lm, TEXTS, context=n, batch_size=7)
    rows = made[made.text_id == "2"]
    ids, owner = owners(lm, TEXTS[2], list(zip(rows["start"], rows["stop"], strict=True)))
    for w, value in enumerate(rows["surprisal"]):
        kept = [k for k, o in enumerate(owner) if o is not None and max(0, w - n) <= o <= w]
        begin = sum(owner[k] < w for k in kept)
        bits = one_by_one(lm, [lm.tokenizer.bos_token_id, *(ids[k] for k in kept)], 1 + begin)
        assert value == pytest.approx(bits.sum(), abs=1e-4)


def test_all_the_context_is_the_whole_text():
    lm = model("llama")
    a, b = surprisal(lm, TEXTS), surprisal(lm, TEXTS, context=30)
    np.testing.assert_allclose(a["surprisal"], b["surprisal"], atol=1e-4)
    nats = surprisal(lm, TEXTS, unit="nats")
    np.testing.assert_allclose(nats["surprisal"], a["surprisal"] * np.log(2), rtol=1e-6)


def test_long_texts_slide():
    lm = model()
    text = " ".join(made_up_texts(15, seed=1))
    made = surprisal(lm, {"story": text})
    ids = [lm.tokenizer.bos_token_id, *lm.tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert len(ids) > 2.5 * lm.max_length and made["surprisal"].notna().all()
    expected, scored = np.full(len(ids), np.nan), 1
    for start in range(0, len(ids), 20):
        stop = min(start + 40, len(ids))
        with torch.no_grad():
            logs = lm.model(input_ids=torch.tensor([ids[start:stop]])).logits[0].log_softmax(-1).numpy()
        for k in range(scored, stop):
            assert k - start >= 20 or start == 0  # enough before it
            expected[k] = -logs[k - 1 - start, ids[k]] / np.log(2)
        scored = max(scored, stop)
    spans = list(zip(made["start"], made["stop"], strict=True))
    _, owner = owners(lm, text, spans)
    sums = [expected[1:][[k for k, o in enumerate(owner) if o == w]].sum() for w in range(len(made))]
    np.testing.assert_allclose(made["surprisal"], sums, atol=1e-4)
    with pytest.raises(BraindecError, match="smaller context"):
        surprisal(lm, {"story": text}, context=60)


def test_without_a_token_for_the_beginning_the_first_word_is_unknown():
    lm = model()
    lm.tokenizer.bos_token = None
    try:
        whole, single = surprisal(lm, TEXTS[:2]), surprisal(lm, TEXTS[:2], context=0)
    finally:
        lm.tokenizer.bos_token = "<s>"
    assert (whole["surprisal"].isna() == (whole["word_index"] == 0)).all()
    assert single["surprisal"].isna().all()
    assert list(whole["n_tokens"]) == list(surprisal(lm, TEXTS[:2])["n_tokens"])


def test_a_selection_of_words():
    lm = model()
    table = words_table(TEXTS)
    table["onset"] = np.arange(len(table)) * 0.3
    whole = surprisal(lm, table)
    some = surprisal(lm, table.iloc[[2, 11, 5]])
    np.testing.assert_allclose(some["surprisal"], whole["surprisal"].iloc[[2, 11, 5]], atol=1e-5)
    assert "onset" in some and "surprisal" not in table
    pd.testing.assert_frame_equal(whole[table.columns], table)


def test_a_token_that_covers_two_words():
    """Its surprisal goes to the first of them, so that the sum is that of the text."""
    lm = model()
    made = surprisal(lm, words_table([[*"gardener", "lamp"]], separator=""))
    ids = lm.tokenizer("gardenerlamp", add_special_tokens=False)["input_ids"]
    bits = one_by_one(lm, [lm.tokenizer.bos_token_id, *ids], 1)
    assert made["surprisal"].sum() == pytest.approx(bits.sum(), abs=1e-4)
    assert (made.loc[made["n_tokens"] == 0, "surprisal"] == 0).all() and (made["n_tokens"] == 0).any()


def test_a_uniform_model_is_log_of_its_vocabulary():
    class Uniform(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.words, self.blocks = nn.Embedding(size, 4), nn.ModuleList([nn.Linear(4, 4)])

        def forward(self, tokens):
            return torch.zeros(*tokens.shape, self.words.num_embeddings) + 0 * self.blocks[0](self.words(tokens)).sum(
                -1, keepdim=True
            )

    tokenizer = model().tokenizer
    lm = wrap(Uniform(len(tokenizer)), tokenizer=tokenizer, name="uniform")
    made = surprisal(lm, TEXTS)
    np.testing.assert_allclose(made["surprisal"], made["n_tokens"] * np.log2(len(tokenizer)), rtol=1e-6)


def test_training_lowers_it():
    text = made_up_texts(20, seed=77)
    before = surprisal(tiny_model("gpt2", n_layers=1, n_units=32, max_length=40), text)["surprisal"].mean()
    after = surprisal(tiny_model("gpt2", n_layers=1, n_units=32, max_length=40, steps=50), text)["surprisal"].mean()
    assert after < 0.75 * before


def test_models_that_have_none():
    with pytest.raises(BraindecError, match="sees the words that follow") as error:
        surprisal(model("bert"), TEXTS)
    assert "pseudo-likelihood" in error.value.found
    import transformers as hf

    headless = wrap(
        hf.GPT2Model(hf.GPT2Config(vocab_size=500, n_embd=16, n_layer=1, n_head=2)),
        tokenizer=model().tokenizer,
        name="h",
    )
    with pytest.raises(BraindecError, match="does not predict tokens"):
        surprisal(headless, TEXTS)
    with pytest.raises(BraindecError, match="bits, nats"):
        surprisal(model(), TEXTS, unit="bans")
    with pytest.raises(BraindecError, match="context=-2"):
        surprisal(model(), TEXTS, context=-2)
