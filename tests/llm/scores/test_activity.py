"""Scores of activity over text: closed forms, planted units, and levels that hold on units that follow nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._tokens import sample_model, text_list, token_sample, token_windows
from braindec.llm.scores.dead import active_share
from braindec.llm.scores.massive import typical_size
from braindec.llm.scores.ngram import _types, held_out_share
from braindec.llm.scores.positional import position_share
from braindec.llm.scores.sparsity import hoyer, treves_rolls
from braindec.llm.tiny import tiny_model
from braindec.stats.permutation import permutation_p

WORDS = "the small lamp moves slowly behind green river again every clever pilot finds old stone near window".split()


def texts(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) for _ in range(n)]


@pytest.fixture(scope="module")
def probe():
    lm = tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2)
    first, second = (block.mlp_up for block in lm.architecture.blocks)
    with torch.no_grad():
        first.weight[:, 3], first.bias[3] = 0.0, -30.0  # never active: GELU(-30) = 0
        second.weight[:, 8], second.bias[8] = 0.0, 2000.0  # one huge value throughout
    return Probe(lm, {"texts": texts()}, options={"texts": {"length": 24}, "positional": {"n_permutations": 99}})


def score(name, probe):
    return registry.get("llm.scores", name)(probe).set_index(["layer", "site", "index"])


def test_windows_are_the_texts_one_after_the_other():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    windows = token_windows(lm, texts(), length=20)
    ids = lm.tokenizer(" ".join(texts()), add_special_tokens=False)["input_ids"]
    assert windows.shape[1] == 20 and windows.ravel().tolist() == ids[: windows.size]
    assert token_windows(lm, texts(), max_tokens=100).size <= 100
    with pytest.raises(BraindecError, match="too short"):
        token_windows(lm, ["one lamp"])


def test_texts_come_in_several_forms():
    table = pd.DataFrame({"text_id": ["a", "b", "a"], "text": ["x y", "z", "w"]})
    assert text_list(table) == ["x y w", "z"] and text_list(table[["text"]]) == ["x y", "z", "w"]
    assert text_list({"k": "x"}) == ["x"] and text_list([["x", "y"], "z"]) == ["x y", "z"]
    for wrong in ("text", 3, [], pd.DataFrame({"a": [1]}), ["  "]):
        with pytest.raises(BraindecError):
            text_list(wrong)


def test_activations_on_disk_are_those_in_memory(probe):
    tokens = token_sample(probe).tokens
    small = sample_model(probe.model, tokens, sites=["mlp_act"], batch_size=5, max_bytes=1)
    large = sample_model(probe.model, tokens, sites=["mlp_act"])
    assert isinstance(small.values[0, "mlp_act"].base, np.memmap) or isinstance(small.values[0, "mlp_act"], np.memmap)
    for key, values in large.values.items():
        np.testing.assert_allclose(small.values[key], values, atol=1e-5)


def test_dead_and_huge_units_are_named(probe):
    dead, massive = score("dead", probe), score("massive", probe)
    assert (
        dead["dead"].sum() == 1
        and dead.loc[(0, "mlp_act", 3), "dead"] == 1
        and dead.loc[(0, "mlp_act", 3), "dead_constant"]
    )
    n = token_sample(probe).tokens.size
    assert dead.loc[(0, "mlp_act", 3), "dead_active_high"] == pytest.approx(1 - 0.025 ** (1 / n))  # exact, none of n
    assert massive["massive_flag"].sum() == 1 and massive.loc[(1, "mlp_act", 8), "massive_flag"]
    assert massive.loc[(1, "mlp_act", 8), "massive"] > 1e4
    np.testing.assert_allclose(active_share(np.array([[1.0, -1, 0], [2, -3, 0]])), [1, 0, 0])
    np.testing.assert_allclose(active_share(np.array([[1.0, -1, 0], [2, -3, 0]]), rectified=False), [1, 1, 0])


def test_constant_units_have_no_position_or_token(probe):
    for name in ("positional", "ngram"):
        table = score(name, probe)
        missing = table.index[table[name].isna()].tolist()
        assert missing == [(0, "mlp_act", 3), (1, "mlp_act", 8)]
    assert score("sparsity", probe)["sparsity"].isna().sum() == 1  # always 0; the huge one is just not sparse


def test_sparsity_of_known_activity():
    x = np.zeros((50, 3))
    x[7, 0], x[:, 1], x[:25, 2] = 4.0, -2.0, 1.0
    first, second = np.abs(x).sum(axis=0), np.square(x).sum(axis=0)
    np.testing.assert_allclose(treves_rolls(first, second, 50), [1.0, 0.0, 0.5 / (1 - 1 / 50)])
    np.testing.assert_allclose(hoyer(first, second, 50), [1.0, 0.0, (50**0.5 - 25**0.5) / (50**0.5 - 1)], atol=1e-12)


def test_share_of_position_is_that_of_a_one_way_analysis_and_flips_are_real_flips():
    rng = np.random.default_rng(1)
    for length in (6, 7):
        x = rng.standard_normal((5, length, 3))
        x[..., 0] += 3 * np.arange(length)
        share, null, peak = position_share(x, n_permutations=8, rng=4)
        centred = x - x.mean(axis=(0, 1))
        np.testing.assert_allclose(
            share, 5 * np.square(centred.mean(axis=0)).sum(axis=0) / np.square(centred).sum(axis=(0, 1))
        )
        signs = np.random.default_rng(4).choice((-1.0, 1.0), size=(8, 5))
        for row, sign in zip(null, signs, strict=True):
            mean = (sign[:, None, None] * centred).mean(axis=0)
            by_hand = 5 * length * mean.var(axis=0) / np.square(centred).sum(axis=(0, 1))
            np.testing.assert_allclose(row, by_hand)
        assert peak[0] in (0, length - 1)


def test_position_holds_its_level_on_slow_units_and_finds_planted_ones():
    rng = np.random.default_rng(2)
    n, length, n_units = 24, 32, 1500
    noise = rng.standard_normal((length + 60, n, n_units))
    for t in range(1, len(noise)):
        noise[t] += 0.9 * noise[t - 1]  # as slow as topics are
    x = noise[60:].swapaxes(0, 1).copy()
    share, null, _ = position_share(x, n_permutations=99, rng=3)
    assert 0.03 < np.mean(permutation_p(share, null) <= 0.05) < 0.07
    x[..., :100] += 2.0 * x.std() * (np.arange(length) < 2)[None, :, None]
    share, null, _ = position_share(x[..., :100], n_permutations=99, rng=3)
    assert np.mean(permutation_p(share, null) <= 0.05) > 0.9


@pytest.mark.parametrize("kind", ["little context", "first token", "drift"])
def test_position_holds_its_level_where_only_the_spread_goes_with_position(kind):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((30, 24, 1500))
    if kind == "little context":
        x /= np.sqrt(1 + np.arange(24))[:, None]  # the mean of ever more tokens
    elif kind == "first token":
        x[:, 0] *= 6
    else:
        x = x.cumsum(axis=1)
    share, null, _ = position_share(x, n_permutations=199, rng=7)
    assert 0.03 < np.mean(permutation_p(share, null) <= 0.05) < 0.075


def test_the_typical_size_is_that_of_all_positions_and_of_sparse_layers(monkeypatch):
    from braindec.llm.scores import massive

    x = np.random.default_rng(8).standard_normal((50, 16, 20))
    x[:, 0] *= 1000
    monkeypatch.setattr(massive, "_SAMPLE", x.size // 16)  # every 16th token is the first of its window
    assert typical_size(x.reshape(800, 20), 16) == pytest.approx(0.6745, rel=0.2)
    sparse = np.maximum(x[:, 1:].reshape(-1, 20) - 1.5, 0.0)
    assert typical_size(sparse, 15) == pytest.approx(np.median(sparse[sparse > 0]), rel=0.3)
    assert typical_size(np.zeros((40, 3)), 4) == 0.0


def test_tokens_explain_planted_units_and_nothing_else():
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 40, (60, 30))
    before = np.concatenate([np.full((60, 1), 39), tokens[:, :-1]], axis=1)
    x = rng.standard_normal((60, 30, 4))
    x[..., 0] = (tokens == 7) + 0.01 * x[..., 0]
    x[..., 1] = ((tokens < 8) & (before < 8)) + 0.01 * x[..., 1]
    x[..., 2] = np.arange(60)[:, None]  # slow: one value a text
    single, pair = held_out_share(x, tokens)
    assert single[0] > 0.95 and abs(pair[0]) < 0.02
    assert pair[1] > 0.2
    assert single[2] < 0.02 and single[3] < 0.01  # in-sample, 40 means explain about 40 / 1800 of noise
    labels = tokens.ravel()
    found = _types(np.stack([labels == 7, labels < 20, labels < 0], axis=1).astype(float), labels, 40)
    assert found[0] == 1 and 18 <= found[1] <= 20 and np.isnan(found[2])


def test_scores_of_text_need_text(probe):
    with pytest.raises(BraindecError, match="no stimuli called 'texts'"):
        score("dead", Probe(probe.model, {}))


def test_same_seed_same_table_whatever_the_batches(probe):
    for name in ("positional", "ngram", "sparsity"):
        one, two = (
            score(name, Probe(probe.model, probe.stimuli, batch_size=b, options=probe.options)) for b in (3, 64)
        )
        pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)
