"""Random numbers without state: uniform, independent of neuron and step, the same in numpy and compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import stats

from braindec.kernels.counter_random import (
    hash32,
    key_of,
    poisson_thresholds,
    step_key,
    step_key_numpy,
    uniform64,
    uniforms_numpy,
)
from braindec.kernels.state_update import _unit_of


@njit
def compiled(n, key, step):
    word = step_key(key, step)
    low, high = np.uint32(word & np.uint64(0xFFFFFFFF)), np.uint32(word >> np.uint64(32))
    out = np.empty(n, np.uint32)
    for i in range(n):
        out[i] = hash32(np.uint32(i), low, high)
    return out


@njit
def wide(n, key):
    out = np.empty(n)
    for i in range(n):
        out[i] = uniform64(key, i)
    return out


def test_compiled_and_numpy_draw_the_same():
    for key, step in ((key_of(1, 2), 0), (key_of(0), 12345), (key_of(2**40, -3), 2**31)):
        np.testing.assert_array_equal(compiled(300, key, step), uniforms_numpy(300, key, step))
        assert step_key_numpy(key, step)[0].dtype == np.uint32


def test_bits_are_even_and_independent_across_neurons_and_steps():
    draws = np.array([uniforms_numpy(512, key_of(3, 1), t) for t in range(2000)])
    u = draws / 2.0**32
    assert 0.001 < stats.kstest(u.ravel()[::7], "uniform").pvalue
    bins = np.bincount((draws.ravel() >> np.uint32(24)).astype(int), minlength=256)
    assert 1e-3 < stats.chisquare(bins).pvalue < 1 - 1e-3
    low = np.bincount((draws.ravel() & np.uint32(255)).astype(int), minlength=256)
    assert 1e-3 < stats.chisquare(low).pvalue < 1 - 1e-3
    z = (u - 0.5) * np.sqrt(12)
    n = z.size
    for lag in range(1, 6):  # neighbours in time, neighbours in space, and both
        for a, b in ((z[lag:], z[:-lag]), (z[:, lag:], z[:, :-lag]), (z[lag:, lag:], z[:-lag, :-lag])):
            assert abs((a * b).mean()) < 4.5 / np.sqrt(n)
    counts = (u < 0.01).sum(axis=0)  # spikes of each neuron are binomial, and so are those of a step
    assert 1e-3 < stats.chi2.sf(((counts - 20) ** 2 / 19.8).sum(), 512) < 1 - 1e-3
    counts = (u < 0.01).sum(axis=1)
    assert 1e-3 < stats.chi2.sf(((counts - 5.12) ** 2 / (5.12 * 0.99)).sum(), 2000) < 1 - 1e-3


def test_other_keys_are_other_streams():
    a, b = (uniforms_numpy(50_000, key_of(s, 1), 0) / 2.0**32 - 0.5 for s in (0, 1))
    assert abs((a * b).mean() * 12) < 4.5 / np.sqrt(50_000)
    assert len({key_of(s, k) for s in range(100) for k in range(100)}) == 10_000


def test_poisson_numbers_have_their_distribution():
    for mean in (0.003, 0.7, 2.0, 40.0):
        bits = np.concatenate([uniforms_numpy(4000, key_of(5), t) for t in range(50)])
        found = (bits[:, None] > poisson_thresholds(mean)[None, :]).sum(axis=1)
        assert abs(found.mean() - mean) < 4.5 * np.sqrt(mean / len(bits))
        assert abs(found.var() / mean - 1) < 4.5 * np.sqrt(2 / len(bits) + 1 / (len(bits) * mean))
    assert len(poisson_thresholds(0.0)) == 0


def test_wide_numbers_are_even():
    u = wide(100_000, key_of(9))
    assert u.min() >= 0 and u.max() < 1 and 0.001 < stats.kstest(u, "uniform").pvalue


def test_random_bits_become_numbers_below_one_that_are_as_small_as_asked():
    bits = np.array([0, 2, 4292, 4300, 2**31, 2**32 - 1], dtype=np.uint32)
    for dtype in ("float32", "float64"):
        unit = _unit_of(dtype)
        found = np.array([unit(b) for b in bits])
        assert (found < 1).all() and found[0] == 0 and found[4] == 0.5
        assert 0 < found[1] < 1e-9
        assert found[2] < 1e-6 <= found[3]  # a millionth of all bits lies below 1e-6: 4294.97 of them
