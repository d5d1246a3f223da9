"""The made-up recording has what its truth says."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.intervals import interval_statistics
from braindec.spikes.planted_recording import planted_recording


def test_rates_irregularity_tuning_and_pair_are_those_of_the_truth():
    made = planted_recording(n_trials=200, seed=3)
    truth, spikes = made.truth, made.spikes
    lv = interval_statistics(spikes, refractory=0.002).query("metric == 'lvr'")["value"].to_numpy()
    plain = (truth["tuning"] == 1) & (truth["gain"] == 0) & (truth["partner"] < 0)
    np.testing.assert_allclose(lv[plain], truth["lv"][plain], atol=0.08)
    rate = np.bincount(spikes.unit) / spikes.duration
    np.testing.assert_allclose(rate[plain], truth["rate"][plain], rtol=0.1)
    assert (truth["tuning"] > 1).sum() >= 3 and (truth["gain"] > 0).sum() >= 3 and (truth["shape"] > 1).sum() >= 3
    a, b = (spikes.train(u) for u in truth.index[truth["partner"] >= 0])
    near = np.abs(b[np.clip(np.searchsorted(b, a), 1, len(b) - 1)] - a) < 1e-3
    assert near.sum() > 0.4 * spikes.duration  # a shared spike a second, some of them later than the partner's
    tuned = int(truth.index[truth["tuning"] > 1][0])
    onset = spikes.events.groupby("trial_type")["onset"].apply(np.array)
    counts = {
        k: sum(np.sum((spikes.train(tuned) >= t + 0.1) & (spikes.train(tuned) < t + 0.9)) for t in v) / len(v)
        for k, v in onset.items()
    }
    assert counts["right"] / counts["left"] == pytest.approx(2.0, rel=0.15)
    assert made.field.std() == pytest.approx(np.sqrt(1.25), rel=0.05) and len(made.field) == pytest.approx(
        spikes.duration * made.sfreq, abs=1
    )


def test_the_same_seed_gives_the_same_bytes_and_nonsense_is_refused():
    first, again = (planted_recording(n_trials=10, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.spikes.times, again.spikes.times)
    for change in ({"n_units": 3}, {"duration": 0.5}, {"rhythm": 400.0}, {"gain": -1.0}):
        with pytest.raises(BraindecError):
            planted_recording(**change)
