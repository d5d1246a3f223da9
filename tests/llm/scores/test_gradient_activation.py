"""Attribution against finite differences and a linear closed form; control filtering; messages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.interventions import scale
from braindec.llm.load import wrap
from braindec.llm.planted import planted_model, planted_sentences
from braindec.llm.score import Probe
from braindec.llm.scores.gradient_activation import attribution, score
from braindec.llm.tiny import tiny_model


@pytest.fixture(scope="module")
def tiny():
    return tiny_model(n_layers=2, n_units=16, n_heads=2, seed=3)


def _ids(lm, text):
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def _explained(lm, text, target):
    ids = _ids(lm, text)
    wanted = _ids(lm, " " + target)[0]
    with torch.no_grad():
        logits = lm.logits(torch.tensor([ids]))[0, -1].double()
    return float(torch.log_softmax(logits, dim=-1)[wanted]), float(logits[wanted])


@pytest.mark.parametrize("tokens", ["last", "all"])
def test_it_is_the_derivative_of_scaling_a_unit(tiny, tokens):
    texts, targets = ["the small dog sleeps", "a bird"], ["near", "sings"]
    units, values = attribution(tiny, texts, targets, tokens=tokens, sites=("mlp_act", "resid_post"), batch_size=2)
    for unit in (0, 20, 70, 100, 159):
        one = units.iloc[[unit]]
        for i, (text, target) in enumerate(zip(texts, targets, strict=True)):
            where = None if tokens == "all" else [len(_ids(tiny, text)) - 1]
            ends = []
            for factor in (1.02, 0.98):
                with scale(tiny, one, factor, positions=where):
                    ends.append(_explained(tiny, text, target)[0])
            assert values[i, unit] == pytest.approx((ends[0] - ends[1]) / 0.04, abs=2e-4)


def test_units_that_nothing_depends_on_have_none_and_foils_give_differences_of_logits(tiny):
    texts = ["the small dog sleeps"]
    _, a = attribution(tiny, texts, ["near"], foils=["sings"], sites=("resid_post",))
    _, b = attribution(tiny, texts, ["sings"], foils=["near"], sites=("resid_post",))
    np.testing.assert_allclose(a, -b, atol=1e-7)
    assert np.abs(a).max() > 0


def test_a_linear_model_is_explained_completely():
    """Where the logit is a sum over units, the attributions are its terms."""

    class Linear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed = torch.nn.Embedding(50, 6)
            self.layers = torch.nn.ModuleList([torch.nn.Linear(6, 6, bias=False) for _ in range(2)])
            self.head = torch.nn.Linear(6, 50, bias=False)

        def forward(self, tokens):
            x = self.embed(tokens)
            for layer in self.layers:
                x = layer(x)
            return self.head(x)

    module = Linear()
    tokenizer = tiny_model(n_layers=1, n_units=16, n_heads=2).tokenizer
    module.embed, module.head = torch.nn.Embedding(len(tokenizer), 6), torch.nn.Linear(6, len(tokenizer), bias=False)
    lm = wrap(module, tokenizer=tokenizer, name="linear")
    _, values = attribution(lm, ["the dog"], ["near"], foils=["sings"], sites=("resid_post",))
    first, second = (_ids(lm, f" {w}")[0] for w in ("near", "sings"))
    with torch.no_grad():
        logits = lm.logits(torch.tensor([_ids(lm, "the dog")]))[0, -1]
    gap = float(logits[first] - logits[second])
    np.testing.assert_allclose(
        values.reshape(2, 6).sum(axis=1), gap, rtol=1e-4
    )  # each layer by itself sums to all of it


def test_units_that_name_the_class_are_found_and_those_of_the_control_are_not():
    lm, truth = planted_model()
    texts = [t for t in planted_sentences(160, 5, n_words=9) if truth["classes"][t.split()[-1]] in ("noun", "verb")]
    table = pd.DataFrame({"text": [" ".join(t.split()[:-1]) for t in texts], "target": [t.split()[-1] for t in texts]})
    table["kind"] = np.where(table["target"].map(truth["classes"]) == "noun", "target", "control")
    found = score(Probe(lm, {"targets": table}, layers=[1, 2]))
    marked = found.merge(truth["language"][["layer", "site", "index"]], how="left", indicator=True)
    language = (marked["_merge"] == "both").to_numpy()
    size = marked["gradient_activation"].abs().to_numpy()
    assert np.median(size[language]) > 5 * np.median(size[~language])
    chosen = marked["gradient_activation_selected"].to_numpy()
    assert 0 < chosen.sum() <= 7 and language[chosen].mean() > 0.8
    top_control = marked["gradient_activation_control"].nlargest(7).index
    assert not chosen[top_control].any()


def test_bad_input_gets_one_clear_message(tiny):
    for arguments, says in (
        ((["a"], ["dog", "cat"]), "every text needs a word"),
        ((["the " * 600], ["dog"]), "no more of them"),
    ):
        with pytest.raises(BraindecError, match=says):
            attribution(tiny, *arguments)
    with pytest.raises(BraindecError, match="same token"):
        attribution(tiny, ["the"], ["dog"], foils=["dog"])
    with pytest.raises(BraindecError, match="left to right"):
        attribution(tiny_model("bert", n_layers=1, n_units=16, n_heads=2), ["the"], ["dog"])
    with pytest.raises(BraindecError, match="target or control"):
        score(Probe(tiny, {"targets": pd.DataFrame({"text": ["a"], "target": ["b"], "kind": ["other"]})}))
