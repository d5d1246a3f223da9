"""The score finds planted tagged units, keeps the form of scores, and refuses stimuli without a control."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.planted import planted_model, planted_sentences
from braindec.llm.score import Probe
from braindec.llm.tag_stimuli import tag_conditions
from braindec.stats.tagging import Design


@pytest.fixture(scope="module")
def probe():
    lm, truth = planted_model()
    texts = dict.fromkeys(planted_sentences(300, 1, n_words=4, whole=True))
    made = tag_conditions(
        [t.split() for t in texts][:240], Design(n_sentences=6), controls=("within_sentence_shuffle", "slot_shuffle")
    )
    return Probe(lm, {"tagged": made}), truth


def test_planted_units_are_found(probe):
    probe, truth = probe
    score = registry.get("llm.scores", "frequency_tag")
    table = score(probe)
    keys = ["layer", "site", "index"]
    for rate, column in (("sentence", "frequency_tag"), ("phrase", "frequency_tag_phrase")):
        planted = pd.MultiIndex.from_frame(table[keys]).isin(pd.MultiIndex.from_frame(truth[f"tagged_{rate}"][keys]))
        assert planted.sum() == 24 and roc_auc_score(planted, table[column].fillna(0.0)) > 0.95
        assert (table.loc[planted, f"{column}_q"] <= 0.05).all()
    assert table["frequency_tag"].between(0, 1).all() and len(table) == 4 * 384
    again = score(probe)
    pd.testing.assert_frame_equal(table, again)


def test_planted_units_follow_classes_and_so_does_the_slot_shuffle(probe):
    probe, truth = probe
    score = registry.get("llm.scores", "frequency_tag")
    table = score(Probe(probe.model, probe.stimuli, options={"frequency_tag": {"control": "slot_shuffle"}}))
    assert (table["frequency_tag_p_max"] <= 0.05).sum() == 0 and 0.01 < (table["frequency_tag_p"] <= 0.05).mean() < 0.12
    assert np.isfinite(truth["chance"])


def test_what_it_refuses(probe):
    probe, _ = probe
    score = registry.get("llm.scores", "frequency_tag")
    for stimuli, options, message in (
        ({}, {}, "no stimuli called 'tagged'"), ({"tagged": {"sentence": probe.stimuli["tagged"]["sentence"]}}, {}, "at least one control"),
        (probe.stimuli, {"control": "slot_shufle"}, "did you mean"), (probe.stimuli, {"rate": 1}, "no option 'rate'"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            score(Probe(probe.model, stimuli, options={"frequency_tag": options}))
