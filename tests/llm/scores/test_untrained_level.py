"""Tests of heads hold their level on networks that were never trained: 5 % of their heads are called something."""

from __future__ import annotations

import numpy as np
import pytest

from braindec import registry
from braindec.llm.score import Probe
from braindec.llm.tiny import tiny_model, untrained

N_NETWORKS = 40  # of 8 heads each: the standard error of a share of 5 % is 1.2 %


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_untrained_heads(kind):
    lm = tiny_model(kind, n_layers=2, n_units=32, n_heads=4)
    names = ("induction", "previous_token", "copying")
    p: dict[str, list[float]] = {name: [] for name in names}
    selected = 0
    for seed in range(N_NETWORKS):
        probe = Probe(untrained(lm, seed), {}, seed=seed, options={"copying": {"n_tokens": 64}})
        for name in names:
            p[name] += registry.get("llm.scores", name)(probe)[f"{name}_p"].tolist()
        selected += int(registry.get("llm.scores", "cmr")(probe)["cmr_selected"].sum())
    for name in names:
        assert 0.02 < np.mean(np.array(p[name]) <= 0.05) < 0.085, name
        assert 0.02 < np.mean(np.array(p[name]) >= 0.95) < 0.085, name
    assert selected == 0
