"""Binomial statistics against scipy, known values, and simulated coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.stats.binomial import binomial_p, binomial_threshold, clopper_pearson, wilson


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 17), (120, 200)])
def test_intervals_and_p_equal_scipy(k, n):
    test = stats.binomtest(k, n, 0.4, alternative="greater")
    assert binomial_p(k, n, 0.4) == pytest.approx(test.pvalue)
    both = stats.binomtest(k, n)
    np.testing.assert_allclose(clopper_pearson(k, n), both.proportion_ci(method="exact"), atol=1e-12)
    np.testing.assert_allclose(wilson(k, n), both.proportion_ci(method="wilson"), atol=1e-12)


def test_threshold_is_the_smallest_significant_count():
    for n, chance, alpha in ((200, 1 / 200, 0.05), (20, 0.5, 0.05), (40, 0.25, 0.001), (5, 0.5, 0.01), (1, 0.01, 0.05)):
        k = binomial_threshold(n, chance, alpha)
        assert k == n + 1 or binomial_p(k, n, chance) < alpha
        assert k == 0 or binomial_p(k - 1, n, chance) >= alpha
    assert binomial_threshold(200, 1 / 200) == 4
    assert binomial_threshold(5, 0.5, 0.01) == 6  # none of five answers is enough


def test_threshold_and_intervals_hold_their_level():
    rng = np.random.default_rng(0)
    hits = rng.binomial(80, 0.25, size=4000)
    level = binomial_p(binomial_threshold(80, 0.25), 80, 0.25)
    assert np.mean(hits >= binomial_threshold(80, 0.25)) == pytest.approx(level, abs=0.01)
    assert level <= 0.05
    covered = np.mean([lo <= 0.25 <= hi for lo, hi in (clopper_pearson(int(k), 80) for k in hits[:1500])])
    assert covered >= 0.945  # conservative by construction
    covered = np.mean([lo <= 0.25 <= hi for lo, hi in (wilson(int(k), 80) for k in hits[:1500])])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(("k", "n", "chance"), [(3, 2, 0.5), (-1, 2, 0.5), (0, 0, 0.5), (1, 2, 1.0)])
def test_impossible_counts_are_refused(k, n, chance):
    with pytest.raises(BraindecError, match="binomial"):
        binomial_p(k, n, chance)
