"""Intervals of a replay that decides every half second: windows of one trial are one piece of evidence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.online.drift import score_interval
from braindec.online.replay import Replay


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auc"])
def test_windows_of_one_trial_are_resampled_together(metric):
    """Scores that wander and know nothing, two runs: over single windows 69 to 75 % of the intervals held chance."""
    covered = []
    for seed in range(80):
        rng = np.random.default_rng([seed, 5])
        codes = np.concatenate([np.repeat(rng.permutation(np.arange(12) % 2), 8) for _ in range(2)])
        value = rng.standard_normal(192)
        for k in range(1, 192):
            value[k] = 0.85 * value[k - 1] + np.sqrt(1 - 0.85**2) * value[k]
        table = pd.DataFrame(
            {"run": np.repeat(["1", "2"], 96), "true": np.array(["a", "b"])[codes], "score_a": -value, "score_b": value}
        )
        table["predicted"] = np.where(value > 0, "b", "a")
        found = Replay(table, None, [], [], np.array(["a", "b"]), 0.0)
        low, high, how = score_interval(found, metric, n_bootstrap=200, seed=seed)
        covered.append(low <= 0.5 <= high)
    assert how == "interval over blocks of windows of one class"
    assert np.mean(covered) >= 0.85
    if metric == "auc":  # one class in one block: nothing can be said
        one = Replay(table[:16].assign(true=np.repeat(["a", "b"], 8)), None, [], [], np.array(["a", "b"]), 0.0)
        low, high, how = score_interval(one, metric, n_bootstrap=200)
        assert (low, high) == (0.0, 1.0) and "everything" in how
