"""Correlograms: one pass over the merged stream against every pair of spikes, against fixtures, on edges of bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels import _threads, correlogram
from braindec.kernels.correlogram import correlogram as count
from braindec.kernels.correlogram import correlogram_lags


def ragged(trains):
    return np.concatenate([np.sort(t) for t in trains]), np.cumsum([0] + [len(t) for t in trains])


def every_pair(ticks, offsets, w, m, edges):
    """Each bin by its own inequality, in whole numbers doubled so that half bins are whole."""
    n = len(offsets) - 1
    bins = range(-m, m + 1) if edges == "centred" else range(-m, m)
    out = np.zeros((n, n, len(bins)), dtype=np.int64)
    for i in range(n):
        for j in range(n):
            a, b = ticks[offsets[i] : offsets[i + 1]], ticks[offsets[j] : offsets[j + 1]]
            lag = 2 * (b[None, :] - a[:, None])
            keep = ~np.eye(len(a), dtype=bool) if i == j else np.ones(lag.shape, dtype=bool)
            for k, step in enumerate(bins):
                low = 2 * step * w - (w if edges == "centred" else 0)
                out[i, j, k] = (keep & (lag >= low) & (lag < low + 2 * w)).sum()
    return out


@settings(max_examples=60, deadline=None)
@given(
    trains=st.lists(st.lists(st.integers(0, 120), max_size=25), min_size=1, max_size=4),
    w=st.integers(1, 7), m=st.integers(1, 6), edges=st.sampled_from(["centred", "left"]),
    shift=st.sampled_from([0, 50_000_000]),
)  # fmt: skip
def test_counts_are_those_of_every_pair(trains, w, m, edges, shift):
    flat, offsets = ragged([np.array(t, dtype=np.int64) for t in trains])
    expected = every_pair(flat, offsets, w, m, edges)
    asked = {"width": w * 1e-4, "max_lag": m * w * 1e-4, "edges": edges, "tick": 1e-4}
    for backend in ("numba", "numpy"):
        found = count((flat + shift) * 1e-4, offsets, backend=backend, **asked)  # the same 5,000 s later
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), edges=st.sampled_from(["centred", "left"]), times=st.floats(1e-3, 1e-2))
def test_compiled_is_the_definition_on_real_times(seed, edges, times):
    rng = np.random.default_rng(seed)
    flat, offsets = ragged([rng.uniform(0, 5, rng.integers(0, 80)) for _ in range(4)])
    asked = {"width": times, "max_lag": 7 * times, "edges": edges, "origin": 0.3}
    found = count(flat, offsets, **asked)
    np.testing.assert_array_equal(found, count(flat, offsets, backend="numpy", **asked))
    pairs = np.array([[2, 1], [0, 0], [1, 2], [2, 1]])
    for backend in ("numba", "numpy"):
        some = count(flat, offsets, pairs=pairs, backend=backend, **asked)
        np.testing.assert_array_equal(some, found[pairs[:, 0], pairs[:, 1]])


def test_counts_of_the_fixture(shared):
    with np.load(shared("spikestats.npz", kind="parity")) as file:
        flat, offsets, rate = file["flat"], file["offsets"], int(file["ccg_ticks_fs"])
        centred, left = file["ccg_centred_1ms_25"].copy(), file["ccg_spikeinterface_50ms_1ms"]
    for unit, n in enumerate(np.diff(offsets)):
        centred[unit, unit, 25] -= n  # the fixture counts each spike with itself
    asked = {"width": 1e-3, "max_lag": 25e-3, "tick": 1 / rate}
    for backend in ("numba", "numpy"):
        np.testing.assert_array_equal(count(flat, offsets, backend=backend, **asked), centred)
        # SpikeInterface's lags are those of the first unit behind the second
        found = count(flat, offsets, edges="left", backend=backend, **asked)
        np.testing.assert_array_equal(found.transpose(1, 0, 2), left)


def test_lags_of_bins():
    np.testing.assert_allclose(correlogram_lags(width=0.01, max_lag=0.02), [-0.02, -0.01, 0.0, 0.01, 0.02], atol=1e-15)
    np.testing.assert_allclose(correlogram_lags(width=0.01, max_lag=0.02, edges="left"), [-0.015, -0.005, 0.005, 0.015])


def test_a_train_and_its_copy_a_little_later_peak_at_that_lag():
    train = np.sort(np.random.default_rng(0).uniform(0, 100, 500))
    found = count(*ragged([train, train + 0.003]), width=1e-3, max_lag=5e-3)
    lags = correlogram_lags(width=1e-3, max_lag=5e-3)
    assert lags[found[0, 1].argmax()] == pytest.approx(0.003) and found[0, 1].max() >= 500
    assert lags[found[1, 0].argmax()] == pytest.approx(-0.003)
    assert found[0, 0, 5] < 20  # no spike meets itself


def test_blocks_tiles_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    flat, offsets = ragged([rng.uniform(0, 20, rng.integers(0, 200)) for _ in range(12)])
    asked = {"width": 2e-3, "max_lag": 0.02}
    expected = count(flat, offsets, **asked)
    monkeypatch.setattr(correlogram, "_TILE", 37)
    np.testing.assert_array_equal(count(flat, offsets, **asked), expected)
    monkeypatch.setattr(correlogram, "_BLOCK", 1000)
    np.testing.assert_array_equal(count(flat, offsets, **asked), expected)
    monkeypatch.setattr(correlogram, "split_rows", lambda rows, *, least: _threads.split_rows(rows, least=1, threads=3))
    monkeypatch.setattr(correlogram, "_BLOCK", 1 << 26)
    np.testing.assert_array_equal(count(flat, offsets, **asked), expected)
    monkeypatch.setattr(correlogram, "_SAFE", 1)  # counters of 64 bits
    np.testing.assert_array_equal(count(flat, offsets, **asked), expected)


def test_no_spikes_and_no_pairs():
    assert count([], [0, 0, 0], width=1e-3, max_lag=2e-3).tolist() == np.zeros((2, 2, 5), int).tolist()
    assert count([1.0], [0, 1], width=1e-3, max_lag=2e-3, pairs=np.zeros((0, 2), int)).shape == (0, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flat": [2.0, 1.0]}, "not sorted"),
        ({"flat": [1.0, np.nan]}, "finite"),
        ({"offsets": [0, 1]}, "do not fit"),
        ({"width": 0.0}, "width of a bin must be"),
        ({"width": -1e-3}, "width of a bin must be"),
        ({"max_lag": 0.0}, "max_lag must be"),
        ({"max_lag": 2.5e-3}, "whole number of bins"),
        ({"max_lag": 1e-4}, "whole number of bins"),
        ({"tick": 3e-4}, "whole number of ticks"),
        ({"tick": 1.0}, "whole number of ticks"),
        ({"tick": 1e-12}, "too many ticks"),
        ({"tick": 1e-8, "flat": [0.0, 5000.0]}, "longer than can be counted"),
        ({"edges": "right"}, "two kinds"),
        ({"pairs": np.array([[0, 2]])}, "unknown unit"),
        ({"pairs": np.array([[-1, 0]])}, "unknown unit"),
        ({"pairs": np.array([0, 1])}, "rows"),
        ({"origin": np.nan}, "origin"),
    ],
)
def test_bad_input(change, message):
    asked = {"flat": [1.0, 2.0], "offsets": [0, 2], "width": 1e-3, "max_lag": 2e-3} | change
    with pytest.raises(BraindecError, match=message):
        count(asked.pop("flat"), asked.pop("offsets"), **asked)
