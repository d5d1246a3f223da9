"""Combined p-values against scipy and null simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import combine_pvalues

from braindec.errors import BraindecError
from braindec.stats.combine import fisher, prevalence_p, stouffer


def test_equal_to_scipy():
    p = np.array([0.02, 0.4, 0.11, 0.9])
    assert fisher(p) == pytest.approx(combine_pvalues(p, method="fisher").pvalue)
    w = np.array([1.0, 2.0, 3.0, 0.5])
    assert stouffer(p, w) == pytest.approx(combine_pvalues(p, method="stouffer", weights=w).pvalue)


@pytest.mark.parametrize("combine", [fisher, stouffer])
def test_level_under_the_null(combine):
    rng = np.random.default_rng(0)
    assert 0.03 <= np.mean([combine(rng.uniform(size=8)) <= 0.05 for _ in range(3000)]) <= 0.07


def test_prevalence_counts_significant_subjects():
    assert prevalence_p(np.array([0.01, 0.5, 0.6, 0.03])) == pytest.approx(1 - 0.95**4 - 4 * 0.05 * 0.95**3)


def test_zero_is_refused():
    with pytest.raises(BraindecError, match="above 0"):
        fisher(np.array([0.0, 0.3]))
