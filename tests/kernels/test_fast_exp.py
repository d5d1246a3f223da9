"""The polynomial exp against the library's."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from braindec.kernels.fast_exp import fast_exp


@njit
def each(x):
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = fast_exp(x[i])
    return out


def test_both_widths_are_exact_to_roundings():
    x = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-2, 2, 20_001)])
    expected = np.array([math.exp(v) for v in x])
    assert np.abs(each(x) / expected - 1).max() < 6e-16
    small = np.linspace(-86, 87, 20_001).astype(np.float32)
    assert np.abs(each(small).astype(float) / np.exp(small.astype(float)) - 1).max() < 4e-7
    assert each(small).dtype == np.float32


def test_compiled_is_the_definition_bit_for_bit_and_ends_are_kept():
    x = np.random.default_rng(0).uniform(-800, 800, 500)
    np.testing.assert_array_equal(each(x), [fast_exp(float(v)) for v in x])
    ends = each(np.array([1e9, -1e9, np.nan, 0.0]))
    assert ends[0] == each(np.array([708.0]))[0] and ends[1] == each(np.array([-708.0]))[0] < 1e-300
    assert np.isnan(ends[2]) and ends[3] == 1.0
