"""The joined table: a failing score takes no other with it, rows are named as units are, what is saved comes back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.score import Probe
from braindec.llm.tiny import made_up_texts, tiny_model
from braindec.llm.unit_table import UnitTable, unit_table

SCORES = ["dead", "sparsity", "massive", "vocabulary", "induction", "copying", "logit_lens", "universal"]


@pytest.fixture(scope="module")
def probe():
    lm = tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2)
    return Probe(
        lm, {"texts": made_up_texts(60)}, sites=("mlp_act", "resid_post"), options={"copying": {"n_tokens": 50}}
    )


@pytest.fixture(scope="module")
def table(probe):
    return unit_table(probe, SCORES)


def test_levels_stand_below_one_another(table):
    wide = table.wide
    assert not wide.duplicated(["model", "layer", "site", "index"]).any()
    assert (
        len(table.level("unit")) == 2 * (64 + 16) and len(table.level("head")) == 4 and len(table.level("layer")) == 2
    )
    heads = wide[wide["site"] == "head"]
    assert heads["induction"].notna().all() and heads["dead"].isna().all()
    whole = wide[wide["index"] == -1]
    assert whole["logit_lens"].notna().all() and set(whole["site"]) == {"resid_post"}
    np.testing.assert_array_equal(table.level("head")["copying"], registry.get("llm.scores", "copying")(
        Probe(tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2), {}, options={"copying": {"n_tokens": 50}}))["copying"])  # fmt: skip


def test_a_score_without_stimuli_is_listed_with_what_it_needs(table):
    row = table.about.set_index("score").loc["universal"]
    assert row["status"] == "lacking" and row["reason"] == "needs the stimuli seeds" and "universal" not in table.scores
    with pytest.raises(BraindecError, match="no score 'universal'"):
        table.columns_of("universal")


def test_a_score_that_fails_names_itself_and_loses_nothing():
    mamba = Probe(
        tiny_model("mamba", n_layers=2, n_units=16, n_heads=2), {"texts": made_up_texts(60)}, sites=("resid_post",)
    )
    table = unit_table(mamba, ["dead", "induction", "vocabulary", "sparsity"])
    about = table.about.set_index("score")
    assert about["status"].tolist() == ["done", "failed", "failed", "done"]
    assert "no attention heads" in about.loc["induction", "reason"] and "no MLP" in about.loc["vocabulary", "reason"]
    assert table.wide[["dead", "sparsity"]].notna().all(axis=None) and len(table.wide) == 32


def test_unknown_names_are_refused(probe):
    with pytest.raises(BraindecError, match="did you mean 'induction'"):
        unit_table(probe, ["inductoin"])


@pytest.mark.parametrize("name", ["units.csv", "units.h5"])
def test_what_is_saved_comes_back(table, tmp_path, name):
    again = table.save(tmp_path / name)
    assert again.scores == table.scores and list(again.wide) == list(table.wide)
    pd.testing.assert_frame_equal(again.wide, table.wide, check_dtype=False, rtol=1e-6)
    assert again.level("head").shape == table.level("head").shape
    again.save(tmp_path / f"twice-{name}")
    assert (tmp_path / f"twice-{name}").read_bytes() == (tmp_path / name).read_bytes()
    for wrong in (tmp_path / "other.csv", tmp_path / "none.h5"):
        with pytest.raises(BraindecError, match="no unit table"):
            UnitTable.open(wrong)


def test_other_features_are_no_unit_table(probe, tmp_path):
    extract(probe.model, ["a lamp"], sites=("mlp_act",)).save(tmp_path / "other.h5")
    with pytest.raises(BraindecError, match="are no unit table"):
        UnitTable.open(tmp_path / "other.h5")


def test_units_of_features_find_their_scores(probe, table):
    features = extract(probe.model, ["a lamp", "the river"], sites=("resid_post", "mlp_act"))
    joined = table.attach(features.units, ["dead", "sparsity", "vocabulary_kind"])
    assert len(joined) == features.shape[1] and joined["sparsity"].notna().all()
    pd.testing.assert_frame_equal(joined[["layer", "site", "index"]], features.units[["layer", "site", "index"]])
    alone = registry.get("llm.scores", "sparsity")(probe).set_index(["layer", "site", "index"])["sparsity"]
    np.testing.assert_array_equal(
        joined["sparsity"], alone.loc[list(joined[["layer", "site", "index"]].itertuples(index=False, name=None))]
    )
    with pytest.raises(BraindecError, match="joined on model, layer, site, index; no site"):
        table.attach(features.units.drop(columns="site"))
    as_features = table.features()
    assert as_features.shape[1] == len(table.wide) and list(as_features.units)[:4] == [
        "model",
        "layer",
        "site",
        "index",
    ]


def test_summary_is_the_mean_of_each_layer(table):
    summary = table.summary().set_index(["score", "layer", "site"])
    units = table.level("unit")
    part = units[(units["layer"] == 1) & (units["site"] == "mlp_act")]
    row = summary.loc[("sparsity", 1, "mlp_act")]
    assert row["mean"] == pytest.approx(part["sparsity"].mean()) and row["high"] == pytest.approx(
        part["sparsity"].quantile(0.95)
    )
    assert row["n"] == 64 and row["n_missing"] == 0
    assert summary.loc[("massive", 0, "resid_post"), "selected"] == part["massive_flag"].astype(float).mean() == 0
    assert ("vocabulary", 0, "resid_post") not in summary.index and summary.loc[("induction", 0, "head"), "n"] == 2


def test_long_form_holds_every_number(table):
    long = table.long()
    assert set(long["score"]) == set(table.scores) and long["value"].notna().all()
    one = long[(long["column"] == "sparsity_hoyer")]
    assert len(one) == 160 and "vocabulary_top" not in set(long["column"])


def test_tables_of_several_models_are_stacked(probe, table):
    from dataclasses import replace

    other = unit_table(replace(probe, model=replace(probe.model, name="second"), memory={}), ["dead", "universal"])
    both = UnitTable.concat([table, other])
    assert set(both.wide["model"]) == {"tiny-gpt2", "second"} and len(both.wide) == len(table.wide) + len(other.wide)
    assert both.about["score"].is_unique and set(both.scores) == set(table.scores)
    with pytest.raises(BraindecError, match="two tables hold the model"):
        UnitTable.concat([table, table])
