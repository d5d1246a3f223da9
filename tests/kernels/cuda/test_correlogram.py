"""Lags counted by one thread a spike of the merged stream are those of every pair."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.kernels import correlogram
from braindec.kernels.correlogram import correlogram as count


@pytest.mark.parametrize("edges", ["centred", "left"])
def test_correlogram_is_the_same(edges, monkeypatch):
    rng = np.random.default_rng(0)
    flat = np.concatenate([np.sort(rng.integers(0, 200, n)) * 1e-3 for n in (20, 0, 13, 9)])
    offsets = np.array([0, 20, 20, 33, 42])
    asked = {"width": 4e-3, "max_lag": 0.02, "tick": 1e-3, "edges": edges}
    expected = count(flat, offsets, backend="numpy", **asked)
    assert expected.sum() > 100
    np.testing.assert_array_equal(count(flat, offsets, backend="cuda", **asked), expected)
    monkeypatch.setattr(correlogram, "_BLOCK", 100)  # two units at a time
    np.testing.assert_array_equal(count(flat, offsets, backend="cuda", **asked), expected)
    assert not count([], [0, 0], backend="cuda", **asked).any()
