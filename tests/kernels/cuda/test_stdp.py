"""Plasticity on CUDA equals its definition, rule after rule, with fewer threads than synapses fill a block."""

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.short_term import transmit_factors
from braindec.kernels.stdp import apply_to_trains


def ragged(rng, n, most):
    trains = [np.sort(rng.uniform(0, 0.1, rng.integers(0, most))) for _ in range(n)]
    return np.concatenate(trains), np.concatenate([[0], np.cumsum([len(t) for t in trains])]).astype(np.int64)


@pytest.mark.parametrize("name", ["pair_stdp", "triplet_stdp", "homeostatic", "astrocyte_stdp"])
def test_cuda_equals_the_definition(name):
    rng = np.random.default_rng(2)
    rule = registry.get("networks.plasticity", name)
    pre, post, w0 = ragged(rng, 5, 6), ragged(rng, 5, 6), rng.uniform(0.2, 0.8, 5)
    options = {"dt": 1e-3, "stop": 0.25, "modulator": rng.uniform(0.1, 0.2, 90)}
    a, b = (apply_to_trains(rule, pre, post, w0, backend=k, **options) for k in ("numpy", "cuda"))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(right, left, rtol=0, atol=1e-12)
    assert np.ptp(a.final - w0) > 0


def test_short_term_factors_on_cuda_equal_the_definition():
    rng = np.random.default_rng(4)
    rule = registry.get("networks.plasticity", "short_term").with_params(tau_facilitation=0.3)
    trains = ragged(rng, 4, 9)
    a, b = (transmit_factors(rule, trains, backend=k) for k in ("numpy", "cuda"))
    np.testing.assert_allclose(b, a, rtol=1e-13)
