"""Spikes around events counted by one thread a unit and event."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.kernels.psth import psth


@pytest.mark.parametrize("by_trial", [False, True])
def test_psth_is_the_same(by_trial):
    rng = np.random.default_rng(0)
    flat, offsets = np.concatenate([np.sort(rng.uniform(0, 2, n)) for n in (20, 0, 13)]), np.array([0, 20, 20, 33])
    events = np.array([1.2, 0.1, 1.9, 0.4])
    asked = {"tmin": -0.2, "width": 0.1, "n_bins": 7, "by_trial": by_trial}
    found, expected = (psth(flat, offsets, events, backend=b, **asked) for b in ("cuda", "numpy"))
    assert expected.sum() > 20 and found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert not psth(flat, offsets, [], backend="cuda", **asked).any()
