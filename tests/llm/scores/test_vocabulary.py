"""Neurons read through the unembedding: moments, kinds, folded norms, agreement of two models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._unembed import centres, gain_of, lens_logits, unembedding_of
from braindec.llm.scores.vocabulary import logit_moments, neuron_kinds, same_top_token
from braindec.llm.tiny import tiny_model

vocabulary = registry.get("llm.scores", "vocabulary")


def test_moments_are_those_of_all_logits_at_once_whatever_the_chunks():
    generator = torch.Generator().manual_seed(0)
    directions, unembedding = torch.randn(37, 16, generator=generator), torch.randn(211, 16, generator=generator)
    directions[5] = 0.0
    logits = (directions.double() @ unembedding.double().T).numpy()
    for max_bytes in (1, 50_000, 10**9):
        found = logit_moments(directions, unembedding, top=3, max_bytes=max_bytes)
        keep = np.arange(37) != 5
        np.testing.assert_allclose(found["variance"][keep], logits.var(axis=1)[keep], rtol=1e-5)
        np.testing.assert_allclose(found["skew"][keep], stats.skew(logits, axis=1)[keep], atol=1e-5)
        np.testing.assert_allclose(
            found["kurtosis"][keep], stats.kurtosis(logits, axis=1, fisher=False)[keep], rtol=1e-5
        )
        np.testing.assert_array_equal(found["top"][keep], np.argsort(-logits, axis=1)[keep, :3])
        np.testing.assert_array_equal(found["bottom"][keep], np.argsort(logits, axis=1)[keep, :3])
        assert np.isnan(found["kurtosis"][5]) and found["variance"][5] == 0


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.n_bytes = max(self.n_bytes, tensor.numel() * tensor.element_size())
        return out


def test_no_tensor_is_larger_than_a_chunk():
    directions, unembedding = torch.randn(500, 8), torch.randn(3000, 8)
    with Largest() as seen:
        logit_moments(directions, unembedding, max_bytes=480_000)
    assert seen.n_bytes == 480_000  # all logits at once are 12 MB


def test_planted_kinds_are_told_apart():
    rng = np.random.default_rng(0)
    n, n_tokens, width = 60, 400, 48
    unembedding = rng.standard_normal((n_tokens, width)) / np.sqrt(width)
    sides = rng.choice((-1.0, 1.0), n_tokens)
    unembedding[:, 0] = 3 * sides  # a direction in which the vocabulary falls into two halves
    unembedding[:, 1] = 0.0  # one that no token reads
    rare = np.zeros(n_tokens)
    rare[[7, 11]] = 30.0
    unembedding[:, 2] = rare
    directions = rng.standard_normal((n, width)) * 0.1
    directions[:, :3] = 0.0
    directions[0, 0], directions[1, 2], directions[2, 2], directions[3] = 3.0, 2.0, -2.0, 0.0
    directions[3, 1] = 40.0
    directions[3, 3] = 0.001
    found = logit_moments(torch.tensor(directions), torch.tensor(unembedding))
    kinds = neuron_kinds(found["kurtosis"], found["skew"], found["variance"], np.linalg.norm(directions, axis=1))
    assert kinds[:4].tolist() == ["partition", "prediction", "suppression", "entropy"]
    assert (kinds[4:] == "other").mean() > 0.9
    assert set(found["top"][1, :2]) == {7, 11} == set(found["bottom"][2, :2])


@pytest.mark.parametrize(("kind", "centred"), [("gpt2", True), ("llama", False), ("gemma", False), ("neox", True)])
def test_gain_and_centring_of_norms_are_found(kind, centred):
    lm = tiny_model(kind, n_layers=1, n_units=16, n_heads=2)
    norm = lm.architecture.final_norm
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.3, 1.7, 16))
    gain = norm.weight + 1 if kind == "gemma" else norm.weight
    assert torch.allclose(gain_of(norm, 16), gain, atol=1e-4) and centres(norm, 16) is centred
    hidden = torch.randn(1, 1, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scale = (hidden - hidden.mean() if centred else hidden).square().mean().sqrt()
        bias = norm.bias if getattr(norm, "bias", None) is not None else torch.zeros(16)
        ours = hidden @ unembedding_of(lm).T / scale + bias @ unembedding_of(lm, fold=False).T
    torch.testing.assert_close(ours, lens_logits(lm, hidden), atol=1e-4, rtol=1e-3)


def test_a_neuron_that_writes_one_token_is_named_for_it():
    lm = tiny_model("gpt2", n_layers=2, n_units=32, n_heads=2)
    down = lm.architecture.blocks[1].mlp_down  # Conv1D: weight (neuron, unit)
    token = lm.tokenizer("river", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        down.weight[9] = 3 * unembedding_of(lm)[token]
    table = vocabulary(Probe(lm, {})).set_index(["layer", "index"])
    assert table.loc[(1, 9), "vocabulary_token"] == token
    assert table.loc[(1, 9), "vocabulary_top"].split(" | ")[0] == lm.tokenizer.decode([token])
    assert len(table) == 2 * 128 and (table["site"] == "mlp_act").all()


def test_models_whose_head_is_more_than_a_norm_and_a_map_are_refused():
    with pytest.raises(BraindecError, match="more than a norm"):
        vocabulary(Probe(tiny_model("bert", n_layers=1, n_units=16, n_heads=2), {}))


def test_agreement_of_two_models():
    keys = {"layer": np.repeat([0, 1], 6), "site": "mlp_act", "index": np.tile(np.arange(6), 2)}
    a = pd.DataFrame({**keys, "vocabulary_token": [1, 2, 3, 1, 2, 3, 5, 5, 5, 5, 5, 5]})
    b = pd.DataFrame({**keys, "vocabulary_token": [1, 2, 3, 2, 3, 1, 5, 5, 5, 6, 6, 6]})
    found = same_top_token(a, b)
    np.testing.assert_allclose(found["share"], [0.5, 0.5])
    np.testing.assert_allclose(found["chance"], [1 / 3, 0.5])
    assert found["n"].tolist() == [6, 6]
    with pytest.raises(BraindecError, match="no neurons"):
        same_top_token(a, b.assign(layer=7))
