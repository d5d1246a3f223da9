"""The specificity score against its formula, the bisection, planted kinds, prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from braindec.errors import BraindecError
from braindec.llm.score import Probe
from braindec.llm.scores._active import active_counts, rates
from braindec.llm.scores.language_specificity import language_specificity, score
from braindec.llm.tiny import tiny_model


def _rates(seed: int = 0) -> np.ndarray:
    """100 agnostic, 30 of two languages, 20 of one, the others rarely active."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.15, (1000, 5))
    p[:100] = rng.uniform(0.7, 0.9, (100, 5))
    for u in range(100, 130):
        p[u, rng.choice(5, 2, replace=False)] = rng.uniform(0.7, 0.9, 2)
    for u in range(130, 150):
        p[u, rng.integers(5)] = rng.uniform(0.7, 0.9)
    return p


def test_the_score_is_its_formula():
    p = _rates()
    found = language_specificity(p, weight=0.07)
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5
    expected = [entropy(row) / np.log(5) - 0.07 * row.max() / (harmonic / 5) for row in p]
    np.testing.assert_allclose(found.score, expected, rtol=1e-12)
    assert found.weight == 0.07 and found.selected.sum() == 100
    np.testing.assert_array_equal(np.sort(found.score)[:100], np.sort(found.score[found.selected]))


def test_planted_kinds_are_found():
    found = language_specificity(_rates(), top=0.05, active=0.884)
    kind = np.repeat(["agnostic", "related", "specific", ""], [100, 30, 20, 850])
    assert (found.kind[:150] == kind[:150]).mean() > 0.98 and (found.kind[150:] == "").all()


def test_the_weight_is_the_largest_without_a_unit_of_all_languages():
    p = _rates(1)
    found = language_specificity(p, top=0.1, active=0.85)
    assert not found.languages[found.selected].all(axis=1).any()
    more = language_specificity(p, top=0.1, active=0.85, weight=found.weight + 2e-4)
    assert more.languages[more.selected].all(axis=1).any()


def test_what_cannot_be_met_is_said_and_silent_units_have_no_score():
    p = np.full((50, 3), 0.9)
    p[:10] = 0.1
    with pytest.raises(BraindecError, match="lowest entropy"):
        language_specificity(p, top=1.0, active=0.1)
    with pytest.raises(BraindecError, match="from 0 to 1"):
        language_specificity(p * 2)
    p = _rates()
    p[0] = 0
    found = language_specificity(p)
    assert np.isnan(found.score[0]) and found.kind[0] == "" and not found.selected[0]
    free = language_specificity(np.random.default_rng(0).uniform(0, 0.2, (200, 3)) * [1, 1, 0.01])
    assert np.isfinite(free.weight)  # no unit is active in all languages, whatever the weight


def test_tokens_of_a_prefix_are_not_counted():
    lm = tiny_model(n_layers=2, n_units=16, n_heads=2)
    start = {"one": ["say it:"] * 3, "two": ["do it:"] * 3}
    full = {k: [f"{p} {w}" for p, w in zip(v, ("ba", "du ki", "ne"), strict=True)] for k, v in start.items()}
    options = {"language_specificity": {"weight": 0.1}}
    table = score(Probe(lm, {"languages": full, "languages_prefix": start}, options=options))
    probe = Probe(lm, {})
    (_, a, n), (_, b, m) = active_counts(probe, full), active_counts(probe, start)
    expected = language_specificity(rates(a - b, n - m), weight=0.1)
    np.testing.assert_allclose(table["language_specificity"], expected.score)
    with pytest.raises(BraindecError, match="go on from its prefix"):
        score(Probe(lm, {"languages": full, "languages_prefix": {k: ["no"] * 3 for k in full}}))
