"""Delivering spikes: against the definition and against a dense product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError
from braindec.kernels.propagation import propagation


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_propagation_is_its_definition_and_a_product(seed, n_source, n_target, constant):
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.integers(0, n_target, rng.integers(0, 6))) for _ in range(n_source)]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    targets = np.concatenate(rows).astype(np.int32)
    weights = 0.25 if constant else rng.normal(size=len(targets))
    spikes = np.flatnonzero(rng.random(n_source) < 0.5).astype(np.int32)
    start = rng.normal(size=n_target)
    a, b = (propagation(offsets, targets, weights, spikes, start.copy(), backend=k) for k in ("numpy", None))
    np.testing.assert_array_equal(a, b)
    dense = np.zeros((n_source, n_target))
    np.add.at(dense, (np.repeat(np.arange(n_source), np.diff(offsets)), targets), weights)
    np.testing.assert_allclose(a, start + dense[spikes].sum(axis=0), atol=1e-12)


def test_what_is_out_of_range_is_told():
    with pytest.raises(BraindecError, match="a target is out of range"):
        propagation(np.array([0, 1]), np.array([3]), 1.0, np.array([0]), np.zeros(3))
    with pytest.raises(BraindecError, match="a spike is out of range"):
        propagation(np.array([0, 1]), np.array([0]), 1.0, np.array([1]), np.zeros(3))
