"""Surrogates by one thread a train and surrogate: the same bytes as the definition."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.kernels.spike_surrogates import dither, jitter, shift, shuffle_intervals


@pytest.mark.parametrize("make", [jitter, dither, shuffle_intervals, shift])
@pytest.mark.parametrize("refractory", [0.0, 0.02])
def test_surrogates_are_the_same(make, refractory):
    rng = np.random.default_rng(0)
    flat, offsets = np.concatenate([np.sort(rng.uniform(0, 2, n)) for n in (20, 0, 30)]), np.array([0, 20, 20, 50])
    asked = {"start": 0.0, "stop": 2.0, "n_surrogates": 2, "seed": 4, "support": np.array([[0, 0.9], [0.9, 2.0]])}
    asked |= {} if make is shuffle_intervals else {"width": 0.4}
    asked |= {} if make is shift else {"refractory": refractory}
    found, expected = (make(flat, offsets, backend=b, **asked) for b in ("cuda", "numpy"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)  # a device may fuse a product and a sum
    assert np.abs(expected - flat).max() > 0.01
    assert make([], [0, 0], backend="cuda", **asked).shape == (2, 0)
