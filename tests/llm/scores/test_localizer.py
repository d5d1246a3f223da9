"""The localizer finds planted units, is reliable, gates, counts tokens, keeps its level, and reads the published stimuli whole."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.planted import planted_model, planted_nonwords, planted_sentences
from braindec.llm.score import Probe
from braindec.llm.scores.average_precision import score as concepts
from braindec.llm.scores.localizer import localize, score
from braindec.llm.tiny import tiny_model, untrained

KEYS = ["layer", "site", "index"]


@pytest.fixture(scope="module")
def planted():
    return planted_model(seed=0)


@pytest.fixture(scope="module")
def stimuli():
    return {"sentence": planted_sentences(60, 1), "nonword": planted_nonwords(60, 1)}


def _auc(positive, negative):
    return float(stats.mannwhitneyu(positive, negative).statistic / len(positive) / len(negative))


def _split(table, truth, column):
    """Values of planted language units, and of units that are not selective."""
    marked = table.merge(truth["language"][KEYS].assign(language=True), how="left").merge(
        truth["selective"][KEYS].assign(selective=True), how="left"
    )
    return marked.loc[marked["language"].eq(True), column].to_numpy(), marked.loc[
        marked["selective"].isna(), column
    ].to_numpy()


@pytest.mark.parametrize(("pool", "absolute"), [("last", False), ("last", True), ("mean", False)])
def test_planted_language_units_are_found(planted, stimuli, pool, absolute):
    lm, truth = planted
    found = localize(lm, stimuli, pool=pool, absolute=absolute, percent=3)
    own, other = _split(found.table(), truth, "localizer")
    assert _auc(own, other) > 0.95
    chosen = found.chosen.merge(truth["selective"][KEYS], how="left", indicator=True)
    assert len(chosen) == int(1536 * 0.03) and (chosen["_merge"] == "both").mean() > 0.95


def test_planted_units_are_found_in_held_out_halves_alike(planted, stimuli):
    found = localize(planted[0], stimuli, percent=3)
    assert found.reliability.r > 0.8 and found.reliability.within > 0.8
    fresh = localize(untrained(planted[0], 0), stimuli, percent=3)
    assert fresh.reliability.r < found.reliability.r and len(fresh.selection) < 10


def test_the_score_is_the_contrast_of_extracted_activations(planted, stimuli):
    lm, _ = planted
    table = score(
        Probe(lm, {"localizer": stimuli}, layers=[1], options={"localizer": {"pool": "mean", "percent": 2.0}})
    )
    a, b = (extract(lm, stimuli[c], sites="mlp_act", layers=1, pool="mean").load() for c in ("sentence", "nonword"))
    other = stats.ttest_ind(a.astype(float), b.astype(float), equal_var=False)
    np.testing.assert_allclose(table["localizer"], other.statistic, rtol=1e-6)
    np.testing.assert_allclose(table["localizer_p"], other.pvalue, rtol=1e-5)
    q = stats.false_discovery_control(other.pvalue)
    np.testing.assert_allclose(table["localizer_q"], q, rtol=1e-5)
    odd = stats.ttest_ind(a[::2].astype(float), b[::2].astype(float), equal_var=False).statistic
    np.testing.assert_allclose(table["localizer_odd"], odd, rtol=1e-5)
    assert table["localizer_selected"].sum() == 7
    assert not (table["localizer_selected"] & ((q > 0.05) | (other.statistic < 0))).any()


def test_the_gate_leaves_a_model_without_effect_without_units(planted):
    lm, _ = planted
    same = {"a": planted_sentences(20, 5), "b": planted_sentences(20, 6)}
    asked = {"conditions": ("a", "b"), "percent": 5.0}
    gated = localize(lm, same, **asked)
    assert len(gated.selection) <= 2 and gated.selection.asked == 76
    assert len(localize(lm, same, gate=None, **asked).selection) == 76


def test_streamed_from_a_file_it_is_the_same(planted, stimuli, tmp_path):
    given = {"localizer": stimuli}
    whole = score(Probe(planted[0], given, layers=[1]))
    streamed = score(Probe(planted[0], given, layers=[1], options={"localizer": {"path": tmp_path / "units.h5"}}))
    pd.testing.assert_frame_equal(whole, streamed)
    assert (tmp_path / "units.h5").exists()


def test_token_counts_are_told_and_can_be_matched(planted):
    lm, _ = planted
    longer = planted_sentences(30, 2, n_words=12) + planted_sentences(30, 3, n_words=14)
    lists = planted_nonwords(30, 2, n_words=14) + planted_nonwords(10, 3, n_words=18)
    stimuli = {"sentence": longer, "nonword": lists}
    told = localize(lm, stimuli, layers=[1])
    assert "differ in length: 13.0 tokens a sentence and 15.0 tokens a nonword" in told.notes[0]
    matched = localize(lm, stimuli, layers=[1], match_tokens=True)
    counts = matched.stimuli.groupby(["condition", "n_tokens"]).size()
    assert counts.to_dict() == {("nonword", 14): 30, ("sentence", 14): 30}
    assert "40 of 100 texts are left out" in matched.notes[0] and "matched in length" in matched.notes[1]
    with pytest.raises(BraindecError, match="same number of tokens"):
        localize(lm, {"sentence": planted_sentences(20, n_words=6), "nonword": planted_nonwords(20)}, match_tokens=True)


def test_a_unit_without_variance_is_counted_and_not_selected():
    lm = tiny_model(n_layers=1, n_units=16, n_heads=2)
    layer = lm.model.transformer.h[0].mlp.c_fc
    layer.weight[:, 3], layer.bias[3] = 0.0, 1.0
    table = pd.DataFrame(
        {
            "text": planted_sentences(10, n_words=6) + planted_nonwords(10, n_words=6),
            "condition": ["sentence"] * 10 + ["nonword"] * 10,
        }
    )
    found = localize(lm, table, percent=100, gate=None)
    row = found.table().query("index == 3").iloc[0]
    assert (
        np.isnan(row["localizer"]) and not row["localizer_selected"] and "1 of 64 units never change" in found.notes[-1]
    )


@pytest.mark.parametrize(
    ("stimuli", "options", "says"),
    [
        (["a text"], {}, "neither a table nor a mapping"),
        (pd.DataFrame({"texts": ["a"], "condition": ["b"]}), {}, "no column text"),
        ({"sentence": ["a b"] * 8, "lists": ["c d"] * 8}, {}, "two conditions"),
        ({"sentence": list("abc"), "nonword": list("efghijkl")}, {}, "at least 4 texts"),
        (
            {"sentence": ["a b"] * 8, "nonword": ["c d"] * 8},
            {"percentage": 2},
            "no option 'percentage'; did you mean 'percent'",
        ),
        ({"sentence": list("abcd"), "nonword": [f"{k} " * 600 for k in "efgh"]}, {}, "512"),
    ],
)
def test_bad_input_gets_one_clear_message(planted, stimuli, options, says):
    with pytest.raises(BraindecError, match=says):
        score(Probe(planted[0], {"localizer": stimuli}, layers=[0], options={"localizer": options}))


@pytest.mark.slow
def test_p_holds_its_level_on_untrained_networks_and_halves_of_sentences_of_one_kind():
    """Units of one network depend on one another, so the level is a mean over networks and halves."""
    lm = tiny_model(n_layers=2, n_units=32, n_heads=2, texts=planted_sentences(200))
    texts = list(dict.fromkeys(planted_sentences(400, 9, n_words=7)))
    rates = []
    for seed in range(6):
        values = extract(untrained(lm, seed), texts, sites=("mlp_act", "resid_post"), pool="mean")
        rng = np.random.default_rng(seed)
        for _ in range(20):
            condition = rng.permutation(np.repeat(["a", "b"], [len(texts) // 3, len(texts) - len(texts) // 3]))
            table = pd.DataFrame({"text": texts, "condition": condition})
            found = localize(lm, table, conditions=("a", "b"), features=values)
            rates.append((found.welch.p() <= 0.05).mean())
    assert 0.03 < np.mean(rates) < 0.07


def test_the_published_stimuli_are_read_whole(shared):
    from braindec.loaders.language_stimuli import read_localizer

    table = read_localizer(shared("language-stimuli") / "langloc").drop_duplicates("text")
    lm = tiny_model(n_layers=2, n_units=32, n_heads=2, texts=table["text"].tolist())
    kept = pd.concat([g.head(60) for _, g in table.groupby("condition")])
    found = localize(lm, kept, sites=("resid_post",), absolute=True, percent=5)
    n_words = kept["text"].str.split().str.len()
    assert (n_words == 12).all() and (found.stimuli["n_tokens"] >= 12).all()  # nothing was cut at 12 tokens
    assert len(found.stimuli) == 120 and "none truncated" in found.notes[0]
    assert np.isfinite(found.reliability.r) and len(found.selection) <= 3
    assert found.units["model"].iloc[0] == "tiny-gpt2"  # random weights: nothing of this is language


def test_a_text_that_stands_twice_is_refused(planted, stimuli):
    again = {"sentence": [*stimuli["sentence"], stimuli["sentence"][3]], "nonword": stimuli["nonword"]}
    for wrong in (again, {"sentence": stimuli["sentence"], "nonword": [*stimuli["nonword"], stimuli["sentence"][0]]}):
        with pytest.raises(BraindecError, match="1 texts of the stimuli 'localizer' stand there before"):
            localize(planted[0], wrong, layers=[1])
    with pytest.raises(BraindecError, match="'concepts' stand there before"):
        concepts(Probe(planted[0], {"concepts": again}, layers=[1]))
