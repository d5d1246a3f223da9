"""Bins of spikes: compiled against the definition, against numpy's histogram, against the fixture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels import _threads
from braindec.kernels.binning import bin_spikes


def trains(rng, n_units, most, low=0.0, high=10.0):
    parts = [np.sort(rng.uniform(low, high, rng.integers(0, most + 1))) for _ in range(n_units)]
    return np.concatenate(parts), np.cumsum([0] + [len(p) for p in parts])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), n_units=st.integers(1, 5), most=st.integers(0, 60),
    width=st.floats(0.01, 5.0), n_bins=st.integers(1, 300), start=st.floats(-3.0, 9.0),
)  # fmt: skip
def test_compiled_is_the_definition(seed, n_units, most, width, n_bins, start):
    flat, offsets = trains(np.random.default_rng(seed), n_units, most)
    asked = {"start": start, "width": width, "n_bins": n_bins}
    found = bin_spikes(flat, offsets, **asked)
    assert found.dtype == np.int32 and found.shape == (n_units, n_bins)
    np.testing.assert_array_equal(found, bin_spikes(flat, offsets, backend="numpy", **asked))
    for unit in range(n_units):
        mine = flat[offsets[unit] : offsets[unit + 1]]
        inside = mine[(mine >= start) & (mine < start + width * n_bins)]
        assert abs(int(found[unit].sum()) - len(inside)) <= np.isclose(mine, start + width * n_bins).sum()


@settings(max_examples=20, deadline=None)
@given(ticks=st.lists(st.integers(0, 400), max_size=40), shift=st.sampled_from([0.0, 5000.0, -7.5]))
def test_spikes_on_edges_begin_a_bin_wherever_time_begins(ticks, shift):
    flat = np.sort(np.array(ticks, dtype=float)) / 100 + shift  # every 10 ms: bins of 10 ms begin exactly there
    expected = np.bincount(np.array(ticks, dtype=int), minlength=401)[:401]
    for backend in ("numba", "numpy"):
        found = bin_spikes(flat, [0, len(flat)], start=shift, width=0.01, n_bins=401, backend=backend)
        np.testing.assert_array_equal(found[0], expected)


def test_counts_of_the_fixture(shared):
    with np.load(shared("spikestats.npz", kind="parity")) as file:
        flat, offsets, expected = file["flat"], file["offsets"], file["binned_5ms"]
    np.testing.assert_array_equal(bin_spikes(flat, offsets, start=0.0, width=0.005, n_bins=4000), expected)
    moved = bin_spikes(flat + 5000.0, offsets, start=5000.0, width=0.005, n_bins=4000)
    np.testing.assert_array_equal(moved, expected)


def test_any_number_of_threads_gives_the_same(monkeypatch):
    flat, offsets = trains(np.random.default_rng(3), 40, 200)
    one = bin_spikes(flat, offsets, start=0.0, width=0.05, n_bins=200)
    monkeypatch.setattr(
        "braindec.kernels.binning.split_rows", lambda w, *, least: _threads.split_rows(w, least=1, threads=3)
    )
    np.testing.assert_array_equal(bin_spikes(flat, offsets, start=0.0, width=0.05, n_bins=200), one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flat": [2.0, 1.0]}, "not sorted"),
        ({"flat": [np.nan, 1.0]}, "finite"),
        ({"width": 0.0}, "width"),
        ({"width": np.nan}, "width"),
        ({"n_bins": 0}, "n_bins"),
        ({"n_bins": 2.5}, "n_bins"),
        ({"start": np.inf}, "start"),
        ({"offsets": [0, 3]}, "offsets do not fit"),
    ],
)
def test_bad_input(change, message):
    asked = {"flat": [1.0, 2.0], "offsets": [0, 2], "start": 0.0, "width": 1.0, "n_bins": 3} | change
    with pytest.raises(BraindecError, match=message):
        bin_spikes(asked.pop("flat"), asked.pop("offsets"), **asked)
