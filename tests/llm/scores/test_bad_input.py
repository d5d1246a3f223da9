"""Scores of units given the wrong stimuli, sites, layers or options: one clear error each."""

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.tiny import tiny_model

TEXTS = [
    f"The cat {w} near the old lamp today and the dog {w} again." for w in "sat ran slept sang jumped hid ate".split()
]


@pytest.fixture(scope="module")
def lm():
    return tiny_model(n_layers=2, n_units=16, n_heads=2, max_length=64)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"sites": ("mlp_atc",)}, "did you mean 'mlp_act'"), ({"layers": [9]}, "no layer 9"), ({"layers": "all"}, "is no layer"), ({"batch_size": 0}, "batch_size"),
     ({"options": {"lape": 3}}, "'lape' are no mapping"), ({"options": 3}, "no mapping")],
)  # fmt: skip
def test_probe(lm, options, says):
    with pytest.raises(BraindecError, match=says):
        Probe(lm, {}, **options)


YEARS = pd.DataFrame({"text": [f"In {y}" for y in range(1900, 1940)], "value": np.arange(1900.0, 1940)})


@pytest.mark.parametrize(
    ("score", "stimuli", "says"),
    [("sparsity", {"texts": [*TEXTS, np.nan]}, "not text"), ("dead", {"texts": pd.DataFrame({"text": [*TEXTS, None]})}, "not text"),
     ("universal", {"texts": TEXTS, "seeds": ["gpt2"]}, "models of other seeds"), ("universal", {"texts": TEXTS, "seeds": None}, "models of other seeds"),
     ("gradient_activation", {"targets": pd.DataFrame({"text": [7], "target": ["x"]})}, "are text"), ("weber_fechner", {"years": YEARS.assign(text="In 1900")}, "text of its own"),
     ("weber_fechner_unit", {"years": YEARS.assign(text="In 1900")}, "text of its own"), ("word_class", {"word_classes": pd.DataFrame({"class": ["a"]})}, "no column word"),
     ("word_class", {"word_classes": pd.DataFrame({"class": ["a", None], "word": ["x", "y"]})}, "1 rows without a class")],
)  # fmt: skip
def test_stimuli(lm, score, stimuli, says):
    with pytest.raises(BraindecError) as error:
        registry.get("llm.scores", score)(Probe(lm, stimuli))
    assert says in str(error.value)
