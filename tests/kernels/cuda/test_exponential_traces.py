"""Exponential traces by one thread a unit and time."""

from __future__ import annotations

import numpy as np

from braindec.kernels.exponential_traces import exponential_traces


def test_traces_are_the_same():
    rng = np.random.default_rng(0)
    flat, offsets = np.concatenate([np.sort(rng.uniform(0, 2, n)) for n in (20, 0, 13)]), np.array([0, 20, 20, 33])
    at = np.sort(np.append(rng.uniform(-0.2, 3.0, 14), [flat[3], 2.5]))
    for tau in (0.005, 0.3):
        found, expected = (exponential_traces(flat, offsets, tau=tau, at=at, backend=b) for b in ("cuda", "numpy"))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-20)
        assert expected.max() >= 1.0
    assert exponential_traces(flat, offsets, tau=0.1, at=[], backend="cuda").shape == (3, 0)
