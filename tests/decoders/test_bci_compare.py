"""Comparing decoders: runs in their order of time, and intervals of differences that hold where runs differ."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders._bci_compare import adapt_over_folds, paired_difference
from braindec.decoders.adaptive_q import AdaptiveQ
from braindec.types import Split, Windows


def test_the_tenth_run_is_adapted_to_after_the_ninth(monkeypatch):
    rng = np.random.default_rng(0)
    runs = np.repeat([str(k + 1) for k in range(11)], 4)
    trials = {"trial_type": np.tile(["a", "b"], 22), "run": runs, "onset": np.tile(np.arange(4) * 5.0, 11)}
    windows = Windows.from_arrays(rng.normal(size=(44, 3, 30)).astype("float32"), trials, sfreq=30.0)
    seen, plain = [], AdaptiveQ.adapt_stream

    def noted(self, held, feedback):
        seen.extend(held.trials["run"].tolist())
        return plain(self, held, feedback)

    monkeypatch.setattr(AdaptiveQ, "adapt_stream", noted)
    split = Split(np.arange(4), [], np.arange(4, 44), by="run", ids=windows.ids, name="later runs")
    adapt_over_folds(AdaptiveQ(epochs=1, n_filters=1), windows, windows.trials["trial_type"].to_numpy(), [split],
                     statistics={"metrics": ["accuracy"], "n_permutations": 0, "n_bootstrap": 100})  # fmt: skip
    assert seen == runs[4:].tolist()


@pytest.mark.parametrize("n_runs", [6, 24])
def test_differences_between_decoders_that_are_ahead_in_different_runs(n_runs):
    """Equally good over all runs, apart by 0.2 in one: over single windows 63 % of the intervals held 0."""
    covered = []
    for seed in range(120):
        rng = np.random.default_rng([seed, n_runs])
        run = np.repeat(np.arange(n_runs), 24)
        lead = 0.1 * rng.standard_normal(n_runs)[run]
        luck = rng.random(len(run))
        a, b = (luck < 0.7 + lead).astype(float), (luck < 0.7 - lead).astype(float)
        found = paired_difference(a, b, rng.integers(2, size=len(run)), clusters=run, n_bootstrap=400, seed=seed)
        assert found["note"].endswith("interval over runs")
        covered.append(found["low"] <= 0 <= found["high"])
    assert 0.88 <= np.mean(covered) <= 0.995
    few = paired_difference(a[:48], b[:48], np.tile([0, 1], 24), clusters=run[:48])
    assert few["note"].endswith("windows of these 2 runs")
