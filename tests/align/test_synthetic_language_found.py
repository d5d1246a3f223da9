"""What is planted in synthetic brains is found with units of a language model and with the tests of the package."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from braindec.align.tagging import tag
from braindec.llm.extract import extract
from braindec.llm.tiny import tiny_model
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain, tagged_seeg


def auc(labels, scores):
    labels, ranks = np.asarray(labels, dtype=bool), rankdata(scores)
    n1, n0 = labels.sum(), (~labels).sum()
    return (ranks[labels].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)


@pytest.fixture(scope="module")
def units():
    stories = make_stories(24, seed=0)
    lm = tiny_model("gpt2", seed=0)
    return stories, extract(
        lm, stories["text"].tolist(), ids=stories["stimulus_id"].tolist(), sites=("resid_post", "mlp_act")
    )


@pytest.mark.parametrize("site", ["resid_post", "mlp_act"])
def test_driving_units_of_a_language_model(units, site):
    stories, features = units
    windows, truth = language_brain(features, driving_layer=2, site=site, stimuli=stories, seed=1)
    X = features.load().astype(float)
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    score = np.zeros(X.shape[1])
    for window in windows:
        language = window.channels["region"].isin(["IFG", "AntTemp", "PostTemp"]).to_numpy()
        Y = (
            pd.DataFrame(window.load()[:, language, 0])
            .groupby(window.trials["stimulus_id"].to_numpy())
            .mean()
            .loc[features.ids]
            .to_numpy()
        )
        score += np.abs(X.T @ ((Y - Y.mean(axis=0)) / Y.std(axis=0)) / len(X)).max(axis=1)
    chosen = features.units[truth.driving]
    assert set(chosen["layer"]) == {2} and set(chosen["site"]) == {site} and truth.driving.sum() == 18
    assert auc(truth.driving, score) > 0.95


@pytest.mark.parametrize("control", [None, "random"])
def test_tagged_channels(control):
    windows, truth = tagged_seeg(seed=2)
    rates = truth.rates if control is None else {r: truth.rates[r] for r in ("sentence", "phrase")}  # words are in both
    found = {rate: ([], []) for rate in rates}
    for window in windows:
        table = tag(window, rates=dict(truth.rates), condition="sentence", control=control, drop_onset=1.0).table
        for rate, (labels, ps) in found.items():
            labels += truth.tagged(window.trials["subject"][0], rate).tolist()
            ps += table.loc[table["rate"] == rate, "p"].tolist()
    for rate, (labels, ps) in found.items():
        assert auc(labels, -np.array(ps)) > 0.95, (rate, control)
        assert np.mean(np.array(ps)[~np.array(labels)] <= 0.05) <= 0.15, "channels without the tag are not found"
