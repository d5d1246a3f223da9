"""Scores of heads: hand-made patterns with known answers, and a transformer whose induction circuit was set by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.load import wrap
from braindec.llm.score import Probe
from braindec.llm.scores._repeats import by_lag, make_repeats, more_than_control, recent_attention, repeats_of
from braindec.llm.scores.copying import alignment, copying_of_logits
from braindec.llm.scores.previous_token import more_than_others
from braindec.llm.scores.verbatim_memory import without_heads
from braindec.llm.suma import Attention
from braindec.llm.tiny import tiny_model

LENGTH = 14
WORDS = [f"w{k}" for k in range(36)]
N, PLACES = len(WORDS) + 1, 112  # tokens (with the unknown one), positions
WIDTH, DIM = 2 * PLACES, PLACES  # residual stream: token | earlier token | heard again, then positions


class ByHand(nn.Module):
    """Two layers of two heads. Layer 0, head 0 carries the token before; layer 1, head 0 looks for the place whose token
    before is the current one and says its token. The other heads are 0: they look everywhere alike."""

    def __init__(self):
        super().__init__()
        self.max_length = PLACES
        self.embed, self.places = nn.Embedding(N, WIDTH), nn.Parameter(torch.zeros(PLACES, WIDTH))
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.head = nn.Linear(WIDTH, N, bias=False)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        one = torch.eye(N)
        with torch.no_grad():
            self.embed.weight[:, :N] = one
            self.places[:, WIDTH - PLACES :] = torch.eye(PLACES)
            sharp = 40.0 * DIM**0.5
            first, second = (layer.attention for layer in self.layers)
            first.q_proj.weight[: PLACES - 1, WIDTH - PLACES + 1 :] = sharp * torch.eye(
                PLACES - 1
            )  # place i asks for i - 1
            first.k_proj.weight[:PLACES, WIDTH - PLACES :] = torch.eye(PLACES)
            first.v_proj.weight[:N, :N] = one
            first.o_proj.weight[N : 2 * N, :N] = one
            second.q_proj.weight[:N, :N] = sharp * one
            second.k_proj.weight[:N, N : 2 * N] = one
            second.v_proj.weight[:N, :N] = one
            second.o_proj.weight[2 * N : 3 * N, :N] = one
            self.head.weight[:, 2 * N : 3 * N] = 6.0 * one

    def forward(self, tokens):
        x = self.embed(tokens) + self.places[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention(WIDTH, 2)

    def forward(self, x):
        return x + self.attention(x)[0]


@pytest.fixture(scope="module")
def probe():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0} | {w: k + 1 for k, w in enumerate(WORDS)}
    pieces = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="<unk>")
    lm = wrap(ByHand(), tokenizer=tokenizer, name="by-hand")
    options = {"repeats": {"length": LENGTH, "n_prompts": 8}, "copying": {"n_tokens": 30}}
    return Probe(lm, {"nouns": WORDS}, options=options)


def score(name, probe):
    return registry.get("llm.scores", name)(probe)


def test_patterns_with_known_answers():
    length, offset, n = 12, 1, 25
    uniform = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    induction = np.zeros((n, n))
    at = np.arange(offset + length, n)
    induction[at, at - length + 1] = 1.0
    curve, logs = by_lag(np.stack([uniform, induction])[None], length=length, offset=offset)
    queries = offset + length + np.arange(5, length - 5)
    np.testing.assert_allclose(curve[0, 0], np.mean(1 / (queries + 1)))
    np.testing.assert_allclose(logs[0, 0], np.mean(-np.log(queries + 1)))
    np.testing.assert_allclose(curve[0, 1], np.eye(11)[6])
    assert np.isfinite(logs).all()


def test_prompts_repeat_only_where_they_should():
    repeated, control = make_repeats(np.arange(5, 90), n_prompts=20, length=30, start=1, rng=np.random.default_rng(0))
    assert (repeated[:, 0] == 1).all() and (repeated[:, 1:31] == repeated[:, 31:]).all()
    assert (repeated[:, :31] == control[:, :31]).all()
    assert all(len(set(row)) == 61 for row in control.tolist())
    with pytest.raises(BraindecError, match="vocabulary of 40"):
        make_repeats(np.arange(40), n_prompts=1, length=30, start=None, rng=np.random.default_rng(0))


def test_induction_circuit_is_found(probe):
    induction = score("induction", probe).set_index(["layer", "head"])
    assert induction.loc[(1, 0), "induction"] > 0.99 and induction.loc[(1, 0), "induction_q"] < 1e-6
    others = induction.drop(index=(1, 0))
    assert (others["induction"] < 0.1).all() and (others["induction_p"] > 0.01).all()
    dead = induction.loc[[(0, 1), (1, 1)]]
    np.testing.assert_allclose(dead["induction"], dead["induction_chance"], rtol=1e-5)
    previous = score("previous_token", probe).set_index(["layer", "head"])
    assert previous.loc[(0, 0), "previous_token"] > 0.99 and previous.loc[(0, 0), "previous_token_q"] < 1e-6
    assert (previous.drop(index=(0, 0))["previous_token_p"] > 0.01).all()
    np.testing.assert_allclose(
        previous.loc[(1, 1), "previous_token"], previous.loc[(1, 1), "previous_token_chance"], rtol=1e-5
    )
    copying = score("copying", probe).set_index(["layer", "head"])
    assert copying.loc[(1, 0), "copying"] > 0.99 and copying.loc[(1, 0), "copying_p"] < 1e-4
    np.testing.assert_allclose(copying.drop(index=(1, 0))["copying"], 0.0, atol=1e-6)


def test_a_perfect_induction_head_is_not_human_like(probe):
    table = score("cmr", probe).set_index(["layer", "head"])
    assert table.loc[(1, 0), "cmr"] < 0.5 and table.loc[(1, 0), "cmr_corner"]
    assert not table["cmr_selected"].any()
    np.testing.assert_allclose(
        table.loc[(1, 0), [f"cmr_lag_{k}" for k in range(-5, 6)]].astype(float), np.eye(11)[6], atol=1e-6
    )


def test_the_circuit_is_a_verbatim_memory_and_ablating_it_is_the_end_of_it(probe):
    table = score("verbatim_memory", probe).set_index("layer")
    assert table.loc[1, "verbatim_memory_p"] < 1e-6
    assert table.loc[1, "verbatim_memory"] < table.loc[1, "verbatim_memory_new"] - 0.03
    assert table.loc[0, "verbatim_memory"] == pytest.approx(1.0) and table.loc[0, "verbatim_memory_p"] == 1.0
    change = without_heads(probe).set_index(["layer", "head"])["verbatim_memory_change"]
    assert (
        change[(1, 0)] > 0.1 and change[(0, 0)] > 0.03
    )  # what is left without the carrier is that a noun follows a comma
    np.testing.assert_allclose(change[[(0, 1), (1, 1)]], 0.0, atol=1e-9)


def test_a_control_that_looks_at_a_fixed_distance_is_no_induction():
    rng = np.random.default_rng(1)
    same = rng.uniform(0.5, 0.6, (3, 16))
    assert (more_than_control(same, same) == 1.0).all()
    noisy = same + rng.normal(0, 0.01, same.shape)
    assert (more_than_control(noisy, same) > 0.01).all()


def test_p_of_heads_holds_its_level():
    rng = np.random.default_rng(2)
    a, b = rng.gamma(2.0, 1.0, (2, 4000, 16))
    assert 0.03 < np.mean(more_than_control(a, b) <= 0.05) < 0.07
    paired = stats.ttest_rel(a[:50], b[:50], axis=1, alternative="greater").pvalue
    np.testing.assert_allclose(more_than_control(a[:50], b[:50]), paired)


def test_copying_of_known_matrices():
    rng = np.random.default_rng(3)
    noise = 0.01 * rng.standard_normal((40, 40)) + 5 * rng.standard_normal(40)  # some tokens are always favoured
    for sign in (1, -1):
        assert copying_of_logits(sign * np.eye(40) + noise) == pytest.approx(sign)
    assert abs(copying_of_logits(rng.standard_normal((200, 200)))) < 0.15
    assert copying_of_logits(np.ones((5, 5))) == 0.0
    with pytest.raises(BraindecError, match="square"):
        copying_of_logits(np.zeros((3, 4)))


def test_alignment_is_the_deviate_over_rotations():
    rng = np.random.default_rng(4)
    written, read = rng.standard_normal((60, 24)) @ rng.standard_normal((24, 24)), rng.standard_normal((60, 24))
    null = []
    for _ in range(3000):
        q, r = np.linalg.qr(rng.standard_normal((24, 24)))
        null.append(
            np.trace((written - written.mean(axis=0)).T @ (read - read.mean(axis=0)) @ (q * np.sign(np.diag(r))))
        )
    here = np.trace((written - written.mean(axis=0)).T @ (read - read.mean(axis=0)))
    assert abs(np.mean(null)) < 0.1 * np.std(null)
    assert alignment(written, read) == pytest.approx(here / np.std(null), rel=0.05, abs=0.05)
    assert alignment(read, read) > 4 and alignment(-read, read) < -4 and alignment(0 * read, read) == 0.0


def test_copying_holds_its_level_on_random_circuits_whose_unembedding_is_the_embedding():
    rng = np.random.default_rng(5)
    z = []
    for _ in range(1500):
        tokens = rng.standard_normal((48, 32))
        z.append(alignment(tokens @ rng.standard_normal((32, 8)) @ rng.standard_normal((8, 32)), tokens))
    assert 0.03 < np.mean(stats.norm.sf(z) <= 0.05) < 0.07


def test_previous_token_holds_its_level_on_heads_with_preferences_for_places():
    rng = np.random.default_rng(6)
    recent = 1 + 0.01 * rng.standard_normal((4000, 20))
    assert 0.03 < np.mean(more_than_others(recent) <= 0.05) < 0.07
    recent[:, 0] += 0.05
    assert np.mean(more_than_others(recent) <= 0.05) > 0.95
    assert (more_than_others(np.ones((2, 20))) == 1.0).all()


def test_recent_attention_is_relative_to_uniform():
    n = 40
    uniform = np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None]
    previous = np.eye(n, k=-1)
    found = recent_attention(np.stack([uniform, previous])[None], offset=1)
    np.testing.assert_allclose(found[0, 0], 1.0)
    np.testing.assert_allclose(found[0, 1], np.mean(np.arange(21, n) + 1) * np.eye(20)[0])


def test_heads_of_other_layers_are_left_alone_and_models_without_heads_are_refused():
    lm = tiny_model("llama", n_layers=3, n_units=32, n_heads=4)
    options = {"repeats": {"n_prompts": 3, "length": 12}, "copying": {"n_tokens": 20}}
    probe = Probe(lm, {}, layers=[2], options=options)
    assert repeats_of(probe) is repeats_of(probe)  # run once
    for name in ("induction", "previous_token", "copying", "cmr"):
        table = score(name, probe)
        assert table[["layer", "head"]].to_numpy().tolist() == [[2, k] for k in range(4)]
    mamba = Probe(tiny_model("mamba", n_layers=2, n_units=16, n_heads=4), {})
    for name in ("induction", "copying"):
        with pytest.raises(BraindecError, match="no attention heads"):
            score(name, mamba)
    with pytest.raises(BraindecError, match="no option 'lenght'"):
        score("induction", Probe(lm, {}, options={"repeats": {"lenght": 3}}))


def test_same_seed_same_table_whatever_the_batches():
    lm = tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2)
    options = {"repeats": {"n_prompts": 4, "length": 12}, "copying": {"n_tokens": 20}}
    for name in ("induction", "cmr", "copying"):
        one, two = (score(name, Probe(lm, {}, batch_size=b, options=options)) for b in (2, 7))
        pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-5, check_exact=False)
