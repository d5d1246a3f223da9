"""Spikes around events: which spikes and trials belong, ties at edges, counts against a plain loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.spikes.aligned import aligned
from braindec.types import Spikes


def made(seed=0, support=None):
    rng = np.random.default_rng(seed)
    return Spikes.from_trains([np.sort(rng.uniform(0, 60, n)) for n in (300, 0, 90)], start=0.0, stop=60.0) if support is None else (
        Spikes.from_trains([np.sort(rng.uniform(0, 60, 300))], start=0.0, stop=60.0).restrict(support))  # fmt: skip


def test_counts_are_those_of_a_plain_loop():
    spikes, onsets = made(), np.array([5.0, 5.4, 20.0, 59.2])
    found = aligned(spikes, onsets, tmin=-0.5, tmax=0.8)
    counts = found.counts(0.1)
    assert counts.shape == (4, 3, 13) and counts.dtype == np.int32
    for k, onset in enumerate(onsets):
        for u in range(3):
            relative = spikes.train(u) - onset
            mine = relative[(relative >= -0.5) & (relative < 0.8)]
            np.testing.assert_allclose(found.of(k, u), mine, atol=1e-12)
            np.testing.assert_array_equal(counts[k, u], np.histogram(mine, found.edges(0.1))[0])
    np.testing.assert_array_equal(found.counts()[:, :, 0], counts.sum(axis=2))


def test_a_window_has_its_beginning_and_not_its_end_and_edges_hold_written_milliseconds():
    times = np.arange(1000) / 1000 + 7.0  # 7.29 is not 7 + 29 * 0.01 in floating point
    found = aligned(Spikes.from_trains([times], start=7.0, stop=8.0), [7.0], tmin=0.0, tmax=1.0)
    np.testing.assert_array_equal(found.counts(0.01)[0, 0], np.full(100, 10))
    half = aligned(Spikes.from_trains([times], start=7.0, stop=8.0), [7.5], tmin=-0.1, tmax=0.1)
    assert half.counts().sum() == 200


def test_trials_that_were_not_observed_as_a_whole_are_dropped_and_told():
    spikes = made(support=[[0, 10], [12, 30]])
    found = aligned(
        spikes, pd.DataFrame({"onset": [0.2, 9.8, 11.0, 12.5, 29.9], "side": list("abcde")}), tmin=-0.2, tmax=0.2
    )
    assert found.trials["side"].tolist() == ["a", "b", "d"] and found.dropped["row"].tolist() == [2, 4]
    assert found.dropped["why"].str.contains("not observed").all()
    touching = made(support=[[0, 10], [10, 30]])
    assert aligned(touching, [10.0], tmin=-1, tmax=1).n_trials == 1


def test_parts_and_selections_agree_with_aligning_anew():
    spikes, onsets = made(), np.linspace(3, 55, 20)
    found = aligned(spikes, onsets, tmin=-1.0, tmax=1.0)
    part = found.between(0.0, 0.5)
    np.testing.assert_allclose(part.times, aligned(spikes, onsets, tmin=0.0, tmax=0.5).times)
    some = found.select([7, 2])
    np.testing.assert_array_equal(some.counts(0.25), found.counts(0.25)[[7, 2]])
    assert found.select(np.arange(20) < 3).n_trials == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"onsets": []}, "no events"),
        ({"onsets": [1.0, np.nan]}, "not finite"),
        ({"onsets": [5000.0]}, "no event has a window"),
        ({"tmin": 1.0, "tmax": 0.0}, "tmin < tmax"),
        ({"onsets": pd.DataFrame({"time": [1.0]})}, "column 'onset'"),
    ],
)
def test_bad_input_is_one_clear_message(change, says):
    arguments = {"onsets": [10.0], "tmin": 0.0, "tmax": 1.0} | change
    with pytest.raises(BraindecError, match=says):
        aligned(made(), arguments.pop("onsets"), **arguments)
    with pytest.raises(BraindecError, match="needs Spikes"):
        aligned(np.arange(3.0), [1.0], tmin=0, tmax=1)
    with pytest.raises(BraindecError, match="each once"):
        aligned(made(), [10.0, 20.0], tmin=0, tmax=1).select([0, 0])
    with pytest.raises(BraindecError, match="one label for each trial"):
        aligned(made(), [10.0, 20.0], tmin=0, tmax=1).column(["a"])
