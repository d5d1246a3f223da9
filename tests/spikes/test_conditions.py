"""Conditions laid out as one recording, and stretches cut into blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.spikes.conditions import in_blocks, laid_out
from braindec.spikes.intervals import interspike_intervals
from braindec.types import Spikes


def test_conditions_are_laid_out_with_gaps_that_nobody_observed():
    low = Spikes.from_trains([[0.5, 9.5]], start=0.0, stop=10.0)
    high = Spikes.from_trains([[100.25, 101.0, 104.75]], start=100.0, stop=105.0, support=[[100, 102], [103, 105]])
    both = laid_out({"low": low, "high": high}, pause=2.0)
    np.testing.assert_allclose(both.train(0), [0.5, 9.5, 12.25, 13.0, 16.75])
    np.testing.assert_allclose(both.support, [[0, 10], [12, 14], [15, 17]])
    assert (
        both.events["trial_type"].tolist() == ["low", "high"]
        and both.events["onset"].tolist() == [0, 12]
        and both.duration == 14
    )
    np.testing.assert_allclose(interspike_intervals(both)[0].lengths, [9.0, 0.75])
    with pytest.raises(BraindecError, match="same neurons"):
        laid_out({"low": low, "two": Spikes.from_trains([[1.0], [2.0]], start=0.0, stop=3.0)})


def test_blocks_fit_what_was_observed():
    spikes = Spikes.from_trains([[1.0]], start=0.0, stop=20.0, support=[[0, 3.5], [5, 20]],
                                events=pd.DataFrame({"onset": [0.0, 10.0], "duration": [10.0, 4.2], "side": ["a", "b"]}))  # fmt: skip
    events = in_blocks(spikes, length=2.0).events
    assert (
        events["onset"].tolist() == [0, 5, 7, 10, 12]
        and events["side"].tolist() == list("aaabb")
        and (events["duration"] == 2).all()
    )
    assert in_blocks(spikes, length=4.1).events["side"].tolist() == ["a", "b"]  # the first: 5 to 10 s alone
    assert in_blocks(spikes, length=4.5).events["side"].tolist() == ["a"]  # the second is too short
    with pytest.raises(BraindecError, match="fit no event"):
        in_blocks(spikes, length=8.0)
    with pytest.raises(BraindecError, match="with a duration"):
        in_blocks(Spikes.from_trains([[1.0]], start=0.0, stop=2.0), length=1.0)


def test_lengths_that_do_not_add_up_in_binary_are_laid_out():
    rng = np.random.default_rng(0)
    for _ in range(60):
        parts = {}
        for name in "abc":
            a, length = rng.uniform(-5, 5), np.round(rng.uniform(0.1, 30), 2)
            parts[name] = Spikes.from_trains([[a, a + length]], start=a, stop=a + length)
        both = laid_out(parts, pause=float(np.round(rng.uniform(0.1, 2), 2)))
        assert len(both.times) == 6 and both.stop == both.support[-1, 1]
