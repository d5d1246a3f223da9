"""Compressed time in planted layers and units: scale and reference are found, nothing is found where nothing is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._log_time import fit_units, log_scale, references_of
from braindec.llm.scores.weber_fechner import correlation_distances, layer_test, score
from braindec.llm.scores.weber_fechner_unit import score as unit_score
from braindec.llm.scores.weber_fechner_unit import unit_test
from braindec.llm.tiny import tiny_model

YEARS = np.arange(1550.0, 2500.0, 12.0)


def test_the_scale_is_odd_about_its_reference_and_takes_logarithms():
    np.testing.assert_allclose(log_scale(np.array([0.0, 1.0, 2.0, 3.0]), 1.0), [-np.log(2), 0, np.log(2), np.log(3)])
    np.testing.assert_array_equal(references_of(np.array([5.0, 9.0]), 3), [5, 7, 9, 0])
    assert 0.0 not in references_of(np.array([-5.0, 9.0]), 4)


@pytest.mark.parametrize("reference", [1800.0, 2025.0])
def test_a_planted_logarithmic_layer_is_told_from_a_linear_one(reference):
    log = log_scale(YEARS, reference)
    noise = 0.05 * np.random.default_rng(0).normal(size=(2, len(YEARS), len(YEARS)))
    noise = (noise + noise.transpose(0, 2, 1)) / 2
    linear, compressed, found, p = layer_test(np.abs(log[:, None] - log) + noise[0], YEARS, permutations=39)
    assert compressed > 0.97 and compressed - linear > 0.1 and abs(found - reference) < 30 and p == 1 / 40
    gap = np.abs(YEARS[:, None] - YEARS) / 1000
    linear, compressed, _, p = layer_test(gap + noise[1], YEARS, permutations=39)
    assert linear > 0.95 and linear > compressed and p == 1 / 40


def test_planted_units_have_their_scale_and_reference_and_explained_variance():
    rng = np.random.default_rng(1)
    signal = np.stack([log_scale(YEARS, 1900.0), log_scale(YEARS, 2200.0), YEARS, rng.normal(size=len(YEARS))], axis=1)
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    values = signal + np.sqrt(0.25) * rng.normal(size=signal.shape)  # explained: 1 / (1 + 0.25)
    found, p = unit_test(values, YEARS, permutations=99)
    np.testing.assert_allclose(found.log[:2], 0.8, atol=0.06)
    assert found.linear[2] == pytest.approx(0.8, abs=0.06) and found.linear[3] < 0.1 and found.log[3] < 0.1
    assert (found.log[:2] - found.linear[:2] > 0.05).all() and found.linear[2] > found.log[2]
    assert abs(found.reference[0] - 1900) < 40 and abs(found.reference[1] - 2200) < 40
    assert (p[:3] == 0.01).all() and p[3] > 0.05


def test_linear_fits_are_those_of_least_squares():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(len(YEARS), 3)) + YEARS[:, None] / 500
    found = fit_units(values, YEARS, np.array([1900.0]))
    scores = []
    for train, test in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        line = np.polyfit(YEARS[train], values[train], 1)
        left = ((values[test] - np.outer(YEARS[test], line[0]) - line[1]) ** 2).sum(axis=0)
        scores.append(1 - left / ((values[test] - values[train].mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(found.linear, np.mean(scores, axis=0), rtol=1e-9)


def test_p_of_units_and_layers_holds_its_level():
    rng = np.random.default_rng(3)
    years = YEARS[::3]
    p = np.concatenate(
        [unit_test(rng.normal(size=(len(years), 200)), years, permutations=59, rng=k)[1] for k in range(12)]
    )
    assert 0.035 < (p <= 0.05).mean() < 0.065
    layers = [
        layer_test(
            correlation_distances(rng.normal(size=(14, 6))),
            YEARS[:14],
            references=np.array([1600.0, 1650.0]),
            permutations=39,
            rng=k,
        )[3]
        for k in range(300)
    ]
    assert 0.025 < (np.array(layers) <= 0.05).mean() < 0.08


def test_the_scores_name_layers_and_units():
    lm = tiny_model(n_layers=2, n_units=16, n_heads=2)
    years = pd.DataFrame({"text": [f"in the year {v}" for v in range(1900, 1930)], "value": range(1900, 1930)}).sample(
        frac=1, random_state=0
    )
    options = {"weber_fechner": {"permutations": 19}, "weber_fechner_unit": {"permutations": 19}}
    probe = Probe(lm, {"years": years}, sites=("resid_post",), options=options)
    layers, units = score(probe), unit_score(probe)
    assert layers[["layer", "site"]].to_numpy().tolist() == [[0, "resid_post"], [1, "resid_post"]] and len(units) == 32
    np.testing.assert_allclose(layers["weber_fechner"], layers["weber_fechner_log"] - layers["weber_fechner_linear"])
    assert units["weber_fechner_unit_p"].between(0.05, 1).all()


@pytest.mark.parametrize(
    "table",
    [
        ["1900"],
        pd.DataFrame({"text": ["a"] * 20, "value": [1.0] * 20}),
        pd.DataFrame({"text": ["a"] * 3, "value": [1, 2, 3]}),
    ],
)
def test_bad_input_gets_one_clear_message(table):
    with pytest.raises(BraindecError, match="numbers"):
        score(Probe(tiny_model(n_layers=1, n_units=16, n_heads=2), {"years": table}))
