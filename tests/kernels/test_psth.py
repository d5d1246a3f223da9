"""Spikes around events: compiled against the definition and against numpy's histogram of relative times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels import _threads
from braindec.kernels import psth as module
from braindec.kernels.psth import psth


def trains(rng, n_units=3, most=80):
    parts = [np.sort(rng.uniform(0, 10, rng.integers(0, most + 1))) for _ in range(n_units)]
    return np.concatenate(parts), np.cumsum([0] + [len(p) for p in parts])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), n_events=st.integers(0, 8), tmin=st.floats(-1.0, 1.0), width=st.floats(0.005, 0.5),
    n_bins=st.integers(1, 40), shift=st.sampled_from([0.0, 5000.0]),
)  # fmt: skip
def test_compiled_is_the_definition(seed, n_events, tmin, width, n_bins, shift):
    rng = np.random.default_rng(seed)
    flat, offsets = trains(rng)
    events = rng.uniform(-1, 11, n_events)
    asked = {"tmin": tmin, "width": width, "n_bins": n_bins}
    apart = psth(flat + shift, offsets, events + shift, by_trial=True, **asked)
    total = psth(flat + shift, offsets, events + shift, **asked)
    assert apart.shape == (n_events, 3, n_bins) and apart.dtype == np.int32 and total.dtype == np.int64
    np.testing.assert_array_equal(total, apart.sum(axis=0))
    for by_trial, found in ((True, apart), (False, total)):
        again = psth(flat + shift, offsets, events + shift, by_trial=by_trial, backend="numpy", **asked)
        np.testing.assert_array_equal(found, again)
    for e, event in enumerate(events):  # random times never lie on edges
        for unit in range(3):
            relative = flat[offsets[unit] : offsets[unit + 1]] - event
            edges = tmin + width * np.arange(n_bins + 1)
            np.testing.assert_array_equal(apart[e, unit], np.histogram(relative, edges)[0])


def test_spikes_on_edges_begin_a_bin():
    flat = np.arange(0, 50) / 100  # every 10 ms, with bins of 10 ms from an event on the grid
    for backend in ("numba", "numpy"):
        found = psth(flat, [0, 50], [0.29, 0.07], tmin=-0.05, width=0.01, n_bins=12, by_trial=True, backend=backend)
        np.testing.assert_array_equal(found, 1)


def test_any_number_of_threads_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    flat, offsets = trains(rng, n_units=20)
    events = rng.uniform(0, 10, 30)
    one = psth(flat, offsets, events, tmin=-0.5, width=0.1, n_bins=10)
    monkeypatch.setattr(module, "split_rows", lambda w, *, least: _threads.split_rows(w, least=1, threads=3))
    np.testing.assert_array_equal(psth(flat, offsets, events, tmin=-0.5, width=0.1, n_bins=10), one)
    assert one.sum() > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flat": [2.0, 1.0]}, "not sorted"),
        ({"events": [np.nan]}, "times of events must be finite"),
        ({"events": [[1.0]]}, "one dimension"),
        ({"width": 0.0}, "width"),
        ({"n_bins": 0}, "n_bins"),
        ({"tmin": np.nan}, "tmin"),
        ({"offsets": [0, 3]}, "offsets do not fit"),
    ],
)
def test_bad_input(change, message):
    asked = {"flat": [1.0, 2.0], "offsets": [0, 2], "events": [1.0], "tmin": 0.0, "width": 1.0, "n_bins": 3} | change
    with pytest.raises(BraindecError, match=message):
        psth(asked.pop("flat"), asked.pop("offsets"), asked.pop("events"), **asked)
