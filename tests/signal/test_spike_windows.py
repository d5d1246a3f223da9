"""Windows of spike counts: brute force agrees, what was not observed is left out, wrong inputs are one clear error."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.signal.spike_windows import spike_windows
from braindec.types import Spikes


@pytest.fixture
def spikes():
    rng = np.random.default_rng(0)
    events = pd.DataFrame({"onset": np.arange(1.0, 9.5, 0.7), "duration": 0.1, "trial_type": ["a", "b"] * 6 + ["a"]})
    return Spikes.from_trains([np.sort(rng.uniform(0, 10, 300)), np.sort(rng.uniform(0, 10, 80)), []], start=0.0, stop=10.0, events=events,
                              info={"subject": "s", "run": "1"})  # fmt: skip


def test_counts_agree_with_brute_force(spikes):
    found = spike_windows(spikes, width=0.05, tmin=-0.2, tmax=0.65)
    assert found.shape == (12, 3, 17) and found.tmin == -0.2 and found.sfreq == pytest.approx(20)
    assert found.info["dropped"] == ["1: 1 of 13 windows leave what was observed"] and set(found.trials["run"]) == {"1"}
    for row, onset in enumerate(found.trials["onset"]):
        for unit in range(3):
            train = spikes.train(unit)
            edges = onset - 0.2 + 0.05 * np.arange(18)
            assert found.load([row])[0, unit].tolist() == [
                ((train >= a) & (train < b)).sum() for a, b in pairwise(edges)
            ]


def test_scales_selection_and_names(spikes):
    count = spike_windows(spikes, width=0.1, tmin=0, tmax=0.5, select=["b"]).load()
    np.testing.assert_allclose(
        spike_windows(spikes, width=0.1, tmin=0, tmax=0.5, select=["b"], scale="sqrt").load() ** 2, count, rtol=1e-6
    )
    np.testing.assert_allclose(
        spike_windows(spikes, width=0.1, tmin=0, tmax=0.5, select=["b"], scale="rate").load() / 10, count, rtol=1e-6
    )
    renamed = spike_windows(spikes, width=0.1, tmin=0, tmax=0.5, rename={"a": "x"}, select=["x"])
    assert set(renamed.trials["trial_type"]) == {"x"}


def test_pauses_are_no_data(spikes):
    part = spikes.restrict([[0.0, 4.0], [5.0, 10.0]])
    found = spike_windows(part, width=0.1, tmin=-0.5, tmax=0.5)
    onsets = found.trials["onset"].to_numpy()
    assert not ((onsets > 3.5) & (onsets < 5.5)).any() and len(found) == 10


def test_two_recordings(spikes):
    other = Spikes(spikes.times, spikes.unit, spikes.units, 0.0, 10.0, spikes.events, {"subject": "s", "run": "2"})
    found = spike_windows([spikes, other], width=0.1, tmin=0, tmax=0.5)
    assert found.trials["run"].value_counts().to_dict() == {"1": 13, "2": 13} and len(found.recordings) == 2
    half = len(found) // 2
    np.testing.assert_array_equal(found.load(np.arange(half)), found.load(np.arange(half, 2 * half)))


def test_a_spike_on_an_edge_belongs_to_the_bin_that_begins_there():
    events = pd.DataFrame({"onset": [5000.0], "duration": 0.0, "trial_type": "a"})
    made = Spikes.from_trains([5000.0 + 0.1 * np.arange(10)], start=4999.0, stop=5002.0, events=events)
    assert spike_windows(made, width=0.1, tmin=0, tmax=1.0).load()[0, 0].tolist() == [1.0] * 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0.3}, "do not divide"), ({"width": 0.0}, "width > 0"), ({"tmax": -1.0}, "tmax > tmin"), ({"scale": "root"}, "is unknown"),
        ({"column": "trial_typ"}, "did you mean 'trial_type'"), ({"select": ["c"]}, "no event has trial_type = 'c'"),
        ({"tmax": 20.0}, "no window of spikes is left"),
    ],
)  # fmt: skip
def test_bad_input(spikes, change, said):
    with pytest.raises(BraindecError, match=said):
        spike_windows(spikes, **{"width": 0.1, "tmin": 0.0, "tmax": 0.5, **change})


def test_other_units_are_refused(spikes):
    with pytest.raises(BraindecError, match="different units"):
        spike_windows([spikes, spikes.select([0])], width=0.1, tmin=0, tmax=0.5)
