"""LAPE against the published numbers, planted specific units, and a last language without units."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.score import Probe
from braindec.llm.scores._active import active_counts, rectified
from braindec.llm.scores.lape import lape, score
from braindec.llm.tiny import tiny_model


def test_the_published_selection(shared):
    numbers = np.load(shared("lape.npz", kind="parity"), allow_pickle=False)
    counts = numbers["over_zero"].reshape(-1, 5)
    found = lape(counts, numbers["n_tokens"], top=float(numbers["top_rate"]), active=float(numbers["filter_rate"]))
    np.testing.assert_array_equal(found.selected, numbers["selected_flat"])
    known = np.isfinite(found.entropy)
    np.testing.assert_allclose(found.entropy[known], numbers["entropy"].ravel()[known], atol=1e-6)
    np.testing.assert_array_equal(found.eligible & known, np.isfinite(numbers["entropy_filtered"].ravel()))
    assert found.threshold == pytest.approx(float(numbers["top_prob_value"]), abs=1e-6)
    assert not counts[~known].any()  # only units that are never active have no entropy


def _counts(n=400, languages=4, seed=0):
    rng = np.random.default_rng(seed)
    tokens = np.array([900, 1000, 1100, 1200, 1300])[:languages]
    return rng.binomial(tokens, rng.uniform(0.1, 0.5, (n, 1))), tokens


def test_planted_units_belong_to_their_language_and_an_empty_last_one_shifts_nothing():
    counts, tokens = _counts()
    for unit, language in ((7, 0), (50, 1), (51, 1), (399, 2)):
        counts[unit] = 5
        counts[unit, language] = 0.9 * tokens[language]
    found = lape(counts, tokens, top=0.01)
    np.testing.assert_array_equal(found.selected, [7, 50, 51, 399])
    np.testing.assert_array_equal(found.languages.sum(axis=0), [1, 2, 1, 0])
    assert found.languages[399, 2] and found.languages[7, 0] and found.languages[[50, 51], 1].all()


def test_entropy_has_its_closed_forms():
    counts = np.array([[10, 10, 10, 10], [10, 0, 0, 0], [10, 10, 0, 0], [0, 0, 0, 0]])
    found = lape(counts, np.full(4, 20), top=0.25, active=0.5)
    np.testing.assert_allclose(found.entropy[:3], [np.log(4), 0, np.log(2)], atol=1e-12)
    assert np.isnan(found.entropy[3]) and tuple(found.selected) == (1,)


def test_ties_and_gate_keep_the_selection_small():
    counts = np.tile([18, 0, 0, 0], (50, 1))
    found = lape(counts, np.full(4, 20), top=0.1, active=0.5)
    assert len(found.selected) == 5 and found.n_tied == 50
    with pytest.raises(BraindecError, match="between 0 and 1"):
        lape(counts, np.full(4, 20), top=0.0)
    with pytest.raises(BraindecError, match="between 0 and the tokens"):
        lape(counts, np.full(4, 10))


def test_the_score_counts_tokens_above_zero():
    languages = {"one": ["ba du ki", "du ba"], "two": ["mo mo ne la", "ne", "la mo"]}
    lm = tiny_model(n_layers=2, n_units=16, n_heads=2)
    probe = Probe(lm, {"languages": languages}, batch_size=2, options={"lape": {"top": 0.05}})
    table = score(probe)
    for name, texts in languages.items():
        values = extract(lm, texts, sites="mlp_act", pool="token").load()
        np.testing.assert_allclose(table[f"lape_rate_{name}"], (values > 0).mean(axis=0), rtol=1e-12)
    assert table["lape_selected"].sum() <= 6
    assert (
        set(table.loc[table["lape_selected"], "lape_languages"]) <= {"one", "two", "one+two"}
        and (table.loc[~table["lape_selected"], "lape_languages"] == "").all()
    )
    with pytest.raises(BraindecError, match="at least 2 names"):
        score(Probe(lm, {"languages": {"one": ["a"]}}))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_gated_unit_is_active_where_its_gate_is(kind):
    lm = tiny_model(kind, n_layers=2, n_units=16, n_heads=2)
    texts = {"a": ["the lamp moves slowly", "a stone"], "b": ["every river finds old windows again"]}
    units, counts, n_tokens = active_counts(Probe(lm, {}), texts)
    for k, own in enumerate(texts.values()):
        pre = extract(lm, own, sites=("mlp_pre",), pool="token").load()
        assert n_tokens[k] == len(pre)
        np.testing.assert_array_equal(counts[:, k], (pre > 0).sum(axis=0))
        product = extract(lm, own, sites=("mlp_act",), pool="token").load()
        assert np.array_equal(counts[:, k], (product > 0).sum(axis=0)) == (kind == "gpt2")
    assert set(units["site"]) == {"mlp_act"} and len(units) == len(counts)
    assert [rectified(lm, 0, s) for s in ("mlp_act", "mlp_pre", "resid_post")] == [kind == "gpt2", True, False]
