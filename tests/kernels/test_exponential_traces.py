"""Exponential traces: the recursion against the sum over spikes, closed forms, and a simulated membrane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels import _threads
from braindec.kernels import exponential_traces as module
from braindec.kernels.exponential_traces import exponential_traces


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), most=st.integers(0, 50), n_times=st.integers(0, 60), tau=st.floats(1e-3, 10.0),
    shift=st.sampled_from([0.0, 5000.0]),
)  # fmt: skip
def test_recursion_is_the_sum(seed, most, n_times, tau, shift):
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.integers(0, 1024, rng.integers(0, most + 1)) / 128) for _ in range(3)]  # exact when shifted
    flat, offsets = np.concatenate(parts), np.cumsum([0] + [len(p) for p in parts])
    at = np.sort(rng.integers(-128, 1200, n_times) / 128)
    found = exponential_traces(flat + shift, offsets, tau=tau, at=at + shift)
    direct = exponential_traces(flat, offsets, tau=tau, at=at, backend="numpy")
    assert found.shape == (3, n_times)
    np.testing.assert_allclose(found, direct, rtol=1e-12, atol=1e-250)
    for unit, train in enumerate(parts):
        for k, now in enumerate(at):
            by_hand = sum(np.exp(-(now - t) / tau) for t in train if t <= now)
            assert direct[unit, k] == pytest.approx(by_hand, rel=1e-12, abs=1e-300)


def test_a_regular_train_has_a_closed_form():
    period, tau = 0.01, 0.02
    found = exponential_traces(np.arange(1000) * period, [0, 1000], tau=tau, start=0.0, sfreq=100.0, n_samples=1000)
    q = np.exp(-period / tau)
    np.testing.assert_allclose(found[0], (1 - q ** np.arange(1, 1001)) / (1 - q), rtol=1e-9)


def test_spikes_on_the_grid_count_at_once_wherever_time_begins():
    spikes = 5000.0 + np.arange(100) * 0.01  # some of them an eyelash above 5000 + k / 100
    for backend in ("numba", "numpy"):
        found = exponential_traces(
            spikes, [0, 100], tau=1e-3, start=5000.0, sfreq=100.0, n_samples=100, backend=backend
        )
        np.testing.assert_allclose(found[0], 1 / (1 - np.exp(-10)), atol=1e-4)


def test_a_grid_is_its_times_and_traces_that_have_died_are_zero():
    flat, offsets = np.array([0.5, 0.5, 2.0]), [0, 2, 3]
    grid = exponential_traces(flat, offsets, tau=1e-3, start=0.0, sfreq=10.0, n_samples=31)
    np.testing.assert_array_equal(grid, exponential_traces(flat, offsets, tau=1e-3, at=np.arange(31) / 10))
    assert grid[0, 5] == 2.0 and grid[0, 4] == 0.0 and grid[0, 30] == 0.0 and grid[1, 20] == 1.0


def test_any_number_of_threads_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    flat, offsets = np.concatenate([np.sort(rng.uniform(0, 5, 40)) for _ in range(9)]), np.arange(10) * 40
    one = exponential_traces(flat, offsets, tau=0.1, start=0.0, sfreq=50.0, n_samples=250)
    monkeypatch.setattr(module, "split_rows", lambda w, *, least: _threads.split_rows(w, least=1, threads=3))
    again = exponential_traces(flat, offsets, tau=0.1, start=0.0, sfreq=50.0, n_samples=250)
    np.testing.assert_array_equal(again, one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flat": [2.0, 1.0]}, "not sorted"),
        ({"tau": 0.0}, "tau"),
        ({"tau": -1.0}, "tau"),
        ({"at": [2.0, 1.0]}, "must be sorted"),
        ({"at": [np.nan]}, "finite"),
        ({"at": None}, "times or a grid"),
        ({"sfreq": 10.0}, "times or a grid"),
        ({"at": None, "start": 0.0, "sfreq": 10.0}, "times or a grid"),
        ({"at": None, "start": 0.0, "sfreq": 0.0, "n_samples": 3}, "sfreq"),
        ({"at": None, "start": 0.0, "sfreq": 1.0, "n_samples": 0}, "n_samples"),
        ({"offsets": [0, 3]}, "offsets do not fit"),
    ],
)
def test_bad_input(change, message):
    asked = {"flat": [1.0, 2.0], "offsets": [0, 2], "tau": 0.1, "at": [1.0, 3.0]} | change
    with pytest.raises(BraindecError, match=message):
        exponential_traces(asked.pop("flat"), asked.pop("offsets"), **asked)
