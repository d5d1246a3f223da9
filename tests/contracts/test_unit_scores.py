"""What holds for every registered score of units: keys, names of columns, numbers, and the same table for the same seed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.llm.score import KEYS, Probe, UnitScore
from braindec.llm.tag_stimuli import tag_conditions
from braindec.llm.tiny import tiny_model, untrained
from braindec.llm.unit_table import unit_table
from braindec.loaders import language_stimuli as made_up
from braindec.stats.tagging import Design

NAMES = registry.names("llm.scores")


@cache
def stimuli():
    """Small made-up stimuli of every kind that scores read."""
    pairs = made_up.make_word_pairs(4)
    ends = pairs[pairs["prompt"] != pairs["text"]]
    design = Design({"word": 1, "phrase": 2, "sentence": 4}, n_sentences=4, unit_rate=4.0, drop=1)
    return {
        "texts": made_up.make_stories(8), "localizer": made_up.make_localizer(12, n_words=8), "languages": made_up.make_languages(3, 8),
        "concepts": pairs.rename(columns={"concept": "group", "relation": "concept"}), "years": made_up.make_years(16),
        "targets": ends.assign(text=ends["prompt"], target=ends["word2"])[["text", "target"]],
        "word_classes": made_up.make_word_classes(8).rename(columns={"word_class": "class"}),
        "tagged": tag_conditions(made_up.make_tagged_corpus(48, 4), design), "seeds": [replace(model(7), name="other")],
    }  # fmt: skip


@cache
def model(seed=0):
    texts = [" ".join(part) for _, part in made_up.make_stories(8).groupby("text_id")["text"]]
    return tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2, seed=seed, texts=texts)


def probe():
    return Probe(model(), stimuli(), sites=("mlp_act", "resid_post"), untrained=[untrained(model(), 1)])


@cache
def table_of(name):
    return registry.get("llm.scores", name)(probe())


def with_stimuli(name):
    score = registry.get("llm.scores", name)
    if lacking := [need for need in score.needs if need not in stimuli()]:
        about = unit_table(probe(), [name]).about.iloc[0]
        assert about["status"] == "lacking" and all(need in about["reason"] for need in lacking)
        pytest.skip(f"{name} needs the stimuli {', '.join(lacking)}, of which there are no made-up ones")
    return score


@pytest.mark.parametrize("name", NAMES)
def test_a_score_says_what_it_is(name):
    score = registry.get("llm.scores", name)
    assert isinstance(score, UnitScore) and score.name == name and score.level in KEYS
    assert isinstance(score.needs, tuple) and score.version and score.describe and score.source
    assert "Source:" in registry.load_module("llm.scores", name).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_numbers(name):
    score, table = with_stimuli(name), table_of(name)
    keys = list(KEYS[score.level])
    assert len(table) and table[keys].notna().all(axis=None) and not table.duplicated(keys).any()
    assert (table["model"] == model().name).all()
    assert all(c in keys or c == name or c.startswith(f"{name}_") for c in table)
    assert pd.api.types.is_numeric_dtype(table[name]) and np.isfinite(table[name]).mean() > 0.5
    for column in table.select_dtypes("number"):
        assert not np.isinf(table[column].to_numpy(dtype=float)).any(), column
        if column.removeprefix(name) in ("_p", "_q"):
            known = table[column].dropna()
            assert known.between(0, 1).all() and (column.endswith("_q") or len(known)), column
    if score.level == "unit":
        sizes = table.groupby(["layer", "site"])["index"].agg(["min", "max", "size"])
        for (layer, site), row in sizes.iterrows():
            assert (row["min"], row["max"], row["size"]) == (
                0,
                model().n_units(site, layer) - 1,
                model().n_units(site, layer),
            )
    elif score.level == "head":
        assert table[["layer", "head"]].to_numpy().tolist() == [[k, h] for k in range(2) for h in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_table(name):
    score = with_stimuli(name)
    pd.testing.assert_frame_equal(table_of(name), score(probe()), check_exact=True)


def test_one_table_has_them_all():
    table = unit_table(probe())
    done = table.about.set_index("score")["status"]
    assert set(done.index) == set(NAMES) and "failed" not in set(done), table.about.loc[
        table.about["status"] == "failed", "reason"
    ].tolist()
    for name in table.scores:
        level = registry.get("llm.scores", name).level
        joined, alone = table.level(level), table_of(name)
        keys = list(KEYS[level])
        both = alone[[*keys, name]].merge(joined[[*keys, name]], on=keys, suffixes=("", "_joined"))
        assert len(both) == len(alone)
        np.testing.assert_array_equal(both[name], both[f"{name}_joined"])
