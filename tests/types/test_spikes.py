"""Spikes: what is refused, what is warned of, and parts that agree with brute force."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.types import Spikes


def two(times=(0.1, 0.2, 0.5, 0.9), unit=(0, 1, 0, 1), start=0.0, stop=1.0, **rest) -> Spikes:
    return Spikes(np.array(times), np.array(unit), pd.DataFrame({"name": ["a", "b"]}), start, stop, **rest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"times": (0.2, 0.1, 0.5, 0.9)}, "sorted"),
        ({"times": (-0.1, 0.2, 0.5, 0.9)}, "outside the observed stretch"),
        ({"times": (0.1, 0.2, 0.5, 1.9)}, "outside the observed stretch"),
        ({"times": (0.1, np.nan, 0.5, 0.9)}, "finite"),
        ({"times": (0.1, 0.2, 0.5, np.inf)}, "finite"),
        ({"unit": (0, 2, 0, 1)}, "unknown unit"),
        ({"unit": (0, -1, 0, 1)}, "unknown unit"),
        ({"unit": (0, 1, 0)}, "differ in number"),
        ({"unit": (0.0, 1.5, 0.0, 1.0)}, "whole numbers"),
        ({"start": 1.0, "stop": 1.0}, "start < stop"),
        ({"start": np.nan}, "start < stop"),
        ({"stop": np.inf}, "start < stop"),
        ({"support": [[0.0, 0.3], [0.4, 0.4]]}, "empty or not finite"),
        ({"support": [[0.0, 0.3], [0.5, 0.4]]}, "empty or not finite"),
        ({"support": [[0.0, np.nan]]}, "empty or not finite"),
        ({"support": [[0.0, 0.6], [0.5, 1.0]]}, "overlap or are out of order"),
        ({"support": [[0.6, 1.0], [0.0, 0.5]]}, "overlap or are out of order"),
        ({"support": [[0.0, 1.5]]}, "leave the observed stretch"),
        ({"support": [[0.0, 0.3], [0.6, 1.0]]}, "lie in gaps of the support"),
        ({"support": np.zeros((0, 2))}, "table of"),
        ({"support": [0.0, 1.0]}, "table of"),
    ],
)
def test_bad_input_is_one_clear_error(change, said):
    with pytest.raises(BraindecError, match=said):
        two(**change)


def test_doubled_spikes_are_told_once_and_can_be_left_out():
    with pytest.warns(UserWarning, match="2 spikes are doubled"):
        spikes = two((0.1, 0.1, 0.1, 0.4), (0, 0, 0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spikes.without_duplicates().times.tolist() == [0.1, 0.4]
        assert spikes.restrict([[0.0, 0.3]]).times.tolist() == [0.1] * 3  # a part does not warn again
        two((0.1, 0.1, 0.5, 0.9), (0, 1, 0, 1))  # two units at one time are no double


def test_milliseconds_passed_as_seconds():
    rng = np.random.default_rng(0)
    train = np.cumsum(2.0 + rng.exponential(100, 300))  # 10 Hz, refractory 2 ms, in ms
    with pytest.warns(UserWarning, match="divide them by 1000"):
        Spikes.from_trains([train], start=0.0, stop=float(train[-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Spikes.from_trains([train / 1000], start=0.0, stop=float(train[-1]) / 1000)
    with pytest.warns(UserWarning, match="no neuron does"):  # seconds passed as kiloseconds, or a stretch in ks
        Spikes.from_trains([train / 1e6], start=0.0, stop=float(train[-1]) / 1e6)


def test_slow_neurons_are_not_accused():
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Spikes.from_trains([np.sort(rng.uniform(0, 2000, 120))], start=0.0, stop=2000.0)  # 0.06 Hz
        Spikes.from_trains([[], []], start=0.0, stop=10.0)


def test_warnings_name_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="doubled") as caught:
        two((0.1, 0.1, 0.5, 0.9), (0, 0, 0, 1))
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="doubled") as caught:
        Spikes.from_trains([[0.1, 0.1]], start=0.0, stop=1.0)
    assert caught[0].filename == __file__


def test_units_without_spikes_and_no_units():
    spikes = Spikes.from_trains([[], [0.5], []], start=0.0, stop=1.0)
    flat, offsets = spikes.trains()
    assert offsets.tolist() == [0, 0, 1, 1] and flat.tolist() == [0.5]
    assert spikes.counts(0.5).signal.read().tolist() == [[0, 0], [0, 1], [0, 0]]
    none = Spikes.from_trains([], start=0.0, stop=1.0)
    assert none.n_units == 0 and none.trains()[1].tolist() == [0] and "0 units" in repr(none)


def test_from_trains_sorts_and_refuses_other_shapes():
    spikes = Spikes.from_trains([[0.9, 0.1], [0.5]], start=0.0, stop=1.0)
    assert spikes.times.tolist() == [0.1, 0.5, 0.9] and spikes.unit.tolist() == [0, 1, 0]
    assert spikes.train(0).tolist() == [0.1, 0.9] and spikes.train("unit001").tolist() == [0.5]
    with pytest.raises(BraindecError, match="1 trains, 2 units"):
        Spikes.from_trains([[0.1]], start=0.0, stop=1.0, units=pd.DataFrame({"name": ["a", "b"]}))


def test_select():
    spikes = two()
    assert spikes.select(["b", "a"]).units["name"].tolist() == ["b", "a"]
    assert spikes.select(["b", "a"]).unit.tolist() == [1, 0, 1, 0]
    assert spikes.select([1]).times.tolist() == spikes.select(np.array([False, True])).times.tolist() == [0.2, 0.9]
    for asked, said in (
        (["c"], "are called"),
        ([5], "no such unit"),
        ([0, 0], "twice"),
        (np.array([True]), "another length"),
        ([0.5], "no such unit"),
    ):
        with pytest.raises(BraindecError, match=said):
            spikes.select(asked)


def test_restrict_counts_only_what_was_observed():
    spikes = two(support=[[0.0, 0.3], [0.45, 1.0]])
    part = spikes.restrict([[0.2, 0.5]])
    assert part.support.tolist() == [[0.2, 0.3], [0.45, 0.5]] and part.times.tolist() == [0.2]  # 0.5 is the end
    assert part.duration == pytest.approx(0.15) and (part.start, part.stop) == (0.2, 0.5)
    assert spikes.restrict([[0.0, 2.0]]).times.tolist() == spikes.times.tolist()
    for asked, said in (
        ([[0.31, 0.44]], "nothing that was observed"),
        ([[0.5, 0.5]], "empty"),
        ([[0.0, 0.6], [0.5, 1.0]], "overlap"),
    ):
        with pytest.raises(BraindecError, match=said):
            spikes.restrict(asked)


def test_the_last_spike_of_the_recording_is_kept():
    spikes = two((0.1, 0.2, 0.5, 1.0))
    assert spikes.restrict([[0.0, 1.0]]).times[-1] == 1.0 and spikes.restrict(
        [[0.0, 0.5], [0.5, 1.0]]
    ).times.tolist() == [0.1, 0.2, 0.5, 1.0]


def test_events_outside_a_part_stay_with_the_recording():
    spikes = two(events=pd.DataFrame({"onset": [0.0, 0.6], "duration": 0.1, "trial_type": ["x", "y"]}))
    assert spikes.restrict([[0.0, 0.5]]).events["trial_type"].tolist() == ["x", "y"]
    assert two().with_events(spikes.events.iloc[1:]).events["trial_type"].tolist() == ["y"]


def test_counts_are_exact_far_from_zero():
    for shift in (0.0, 5000.0, 1e6):
        spikes = Spikes.from_trains([np.arange(29) * 0.01 + shift + 0.005], start=shift, stop=shift + 0.29)
        assert spikes.counts(0.01).signal.read().tolist() == [[1.0] * 29]
    with pytest.raises(BraindecError, match="above 0 s"):
        two().counts(0.0)
    with pytest.raises(BraindecError, match="do not fit"):
        two().counts(2.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 999), max_size=20, unique=True), min_size=1, max_size=4),
    st.lists(st.integers(0, 1000), min_size=2, max_size=6, unique=True),
)
def test_restrict_and_trains_agree_with_brute_force(trains, edges):
    spikes = Spikes.from_trains([np.array(t, dtype=float) for t in trains], start=0.0, stop=1000.0)
    edges = sorted(edges)[: len(edges) // 2 * 2]
    intervals = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    part = spikes.restrict(intervals)
    flat, offsets = part.trains()
    for unit, train in enumerate(trains):
        kept = sorted(t for t in train if any(a <= t < b for a, b in intervals))
        assert flat[offsets[unit] : offsets[unit + 1]].tolist() == kept == part.train(unit).tolist()
    assert part.duration == pytest.approx(sum(b - a for a, b in intervals))
    assert np.all(np.diff(part.times) >= 0)


@pytest.mark.parametrize(("change", "said"), [
    ({"times": np.array(["a", "b"])}, "times must be numbers"), ({"unit": np.array(["a", "b"])}, "must be numbers"),
    ({"unit": np.array([2**32, 0])}, "unknown unit"), ({"unit": np.array([-1, 0])}, "found:   -1"),
    ({"units": ["a", "b"]}, "units are a table"), ({"start": "x"}, "start of spikes"), ({"stop": None}, "start < stop"),
    ({"support": [[0, 1], [2]]}, "must be numbers"), ({"events": pd.DataFrame({"time": [1.0]})}, "column 'onset'"),
])  # fmt: skip
def test_what_is_no_number_or_no_table_is_told(change, said):
    given = {
        "times": np.array([1.0, 2.0]),
        "unit": np.array([0, 1]),
        "units": pd.DataFrame({"name": ["a", "b"]}),
        "start": 0.0,
        "stop": 3.0,
    }
    with pytest.raises(BraindecError, match=said):
        Spikes(**{**given, **change})


def test_wrong_questions_are_told():
    spikes = Spikes.from_trains([[0.1, 0.5], [0.2]], start=0.0, stop=1.0)
    for call in (lambda: spikes.select([np.nan]), lambda: spikes.counts("a"), lambda: spikes.counts(1e-12), lambda: spikes.restrict(None),
                 lambda: spikes.with_events(pd.DataFrame({"x": [1]})), lambda: Spikes.from_trains(5, start=0, stop=1)):  # fmt: skip
        with pytest.raises(BraindecError):
            call()
    assert spikes.select(1).units["name"].tolist() == ["unit001"]


def test_bins_that_nobody_observed_are_told():
    spikes = Spikes.from_trains([[0.1, 0.5, 0.95]], start=0.0, stop=1.0)
    assert not spikes.counts(0.1).info.get("warnings")
    cut = spikes.restrict([[0.0, 0.3], [0.65, 1.0]]).counts(0.1)
    assert cut.info["warnings"][0].startswith("4 of 10 bins")  # 0.3 to 0.6, and half of 0.6 to 0.7


def test_milliseconds_read_as_seconds_with_a_few_short_intervals_are_seen():
    rng = np.random.default_rng(0)
    train = np.cumsum(rng.exponential(160.0, 700))  # 6 Hz for 2 min, in ms: some intervals are below half a "second"
    assert np.diff(train).min() < 0.5
    with pytest.warns(UserWarning, match="are the times in ms"):
        Spikes.from_trains([train], start=0.0, stop=float(train[-1]) + 1)


def test_counts_are_those_of_the_kernel_far_from_zero():
    from braindec.kernels.binning import bin_spikes

    rng = np.random.default_rng(0)
    start = 5000.0
    times = [start + np.sort(rng.integers(0, 2000, 300)) * 1e-3 for _ in range(3)]  # every spike on an edge
    spikes = Spikes.from_trains([np.unique(t) for t in times], start=start, stop=start + 2.0)
    flat, offsets = spikes.trains()
    expected = bin_spikes(flat, offsets, start=start, width=1e-3, n_bins=2000)
    np.testing.assert_array_equal(spikes.counts(1e-3).load(), expected)
    assert expected.max() == 1 and expected.sum() == len(spikes.times)  # each in a bin of its own
