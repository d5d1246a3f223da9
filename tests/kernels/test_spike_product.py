"""Products with spikes against the dense product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.spike_product import events_of, spike_product, spike_product_transposed


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.tuples(*(st.integers(1, 20),) * 3), st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from([np.float32, np.float64]), st.booleans(),
)  # fmt: skip
def test_it_is_the_dense_product(seed, shape, density, dtype, graded):
    rows, n_in, n_out = shape
    rng = np.random.default_rng(seed)
    spikes = (rng.random((rows, n_in)) < density).astype(dtype)
    spikes = spikes * rng.normal(size=spikes.shape).astype(dtype) if graded else spikes
    weights, grad = rng.normal(size=(n_in, n_out)).astype(dtype), rng.normal(size=(rows, n_out)).astype(dtype)
    bias = rng.normal(size=n_out).astype(dtype)
    events = events_of(spikes)
    assert events.density == pytest.approx(np.count_nonzero(spikes) / spikes.size)
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    for backend in ("numpy", "numba"):
        found = spike_product(events, weights, bias, backend=backend)
        np.testing.assert_allclose(found, spikes @ weights + bias, rtol=tolerance, atol=tolerance)
        found = spike_product_transposed(events, grad, backend=backend)
        np.testing.assert_allclose(found, spikes.T @ grad, rtol=tolerance, atol=tolerance)


def test_sums_in_the_same_order_as_the_definition_and_for_any_threads():
    rng = np.random.default_rng(0)
    spikes = (rng.random((200, 60)) < 0.3).astype(np.float32)
    weights, grad = rng.normal(size=(60, 33)).astype(np.float32), rng.normal(size=(200, 33)).astype(np.float32)
    events = events_of(spikes, threads=2)
    for function, dense in ((spike_product, weights), (spike_product_transposed, grad)):
        expected = function(events, dense, backend="numpy")
        for threads in (1, 2, 3):
            np.testing.assert_array_equal(function(events, dense, threads=threads), expected)


def test_too_dense_is_none():
    assert events_of(np.ones((3, 4)), densest=0.5) is None
    assert events_of(np.eye(4), densest=0.25).density == 0.25
    assert events_of(np.zeros((3, 4)), densest=0.0).density == 0


def test_nan_is_not_lost():
    spikes = np.zeros((2, 3))
    spikes[1, 2] = np.nan
    assert np.isnan(spike_product(events_of(spikes), np.ones((3, 2)))[1]).all()


def test_wrong_input():
    events = events_of(np.eye(3))
    with pytest.raises(BraindecError, match="weights"):
        spike_product(events, np.ones((2, 3)))
    with pytest.raises(BraindecError, match="weights"):
        spike_product(events, np.ones((3, 3), np.float32))
    for backend in ("numpy", "numba"):
        with pytest.raises(BraindecError, match="bias"):
            spike_product(events, np.ones((3, 2)), np.ones(3), backend=backend)
    with pytest.raises(BraindecError, match="gradient"):
        spike_product_transposed(events, np.ones((2, 3)))
    with pytest.raises(BraindecError, match="wrong shape or type"):
        events_of(np.eye(3, dtype=int))
