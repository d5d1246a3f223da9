"""Corrections against scipy, brute force, and simulated error rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control, norm

from braindec.errors import BraindecError
from braindec.stats.fdr import fdr_bh, fdr_by, holm


def test_fdr_equals_scipy():
    p = np.random.default_rng(0).uniform(size=(6, 7)) ** 2
    np.testing.assert_allclose(fdr_bh(p), false_discovery_control(p, axis=None).reshape(p.shape))
    np.testing.assert_allclose(fdr_by(p), false_discovery_control(p, axis=None, method="by").reshape(p.shape))


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])


def test_nan_is_no_test():
    p = np.array([0.01, np.nan, 0.5])
    np.testing.assert_allclose(fdr_bh(p), [0.02, np.nan, 0.5])
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert fdr_bh(np.array([])).shape == (0,)


def test_outside_zero_to_one_is_refused():
    with pytest.raises(BraindecError, match="between 0 and 1"):
        fdr_bh(np.array([0.5, 1.5]))


@pytest.mark.parametrize("correct", [fdr_bh, holm])
def test_family_wise_rate_when_nothing_is_there(correct):
    rng = np.random.default_rng(1)
    found = [correct(rng.uniform(size=20)).min() <= 0.05 for _ in range(2000)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_false_discovery_rate_with_real_effects():
    rng = np.random.default_rng(2)
    rates = []
    for _ in range(600):
        z = rng.normal(size=100) + np.r_[np.full(20, 3.0), np.zeros(80)]
        found = fdr_bh(norm.sf(z)) <= 0.05
        rates.append(found[20:].sum() / max(found.sum(), 1))
    assert 0.03 <= np.mean(rates) <= 0.05  # 5 % times the share of true nulls
