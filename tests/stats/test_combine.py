"""Combined p-values against scipy and null simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import combine_pvalues

from braindec.errors import BraindecError
from braindec.stats.combine import cauchy, fisher, prevalence_p, stouffer


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


def test_cauchy_holds_for_tests_that_depend_on_one_another():
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 1)) * 0.7 + rng.normal(size=(2000, 8)) * np.sqrt(1 - 0.49)
    p = norm.sf(z)
    assert np.mean([fisher(row) <= 0.05 for row in p]) > 0.09
    assert 0.03 <= np.mean([cauchy(row) <= 0.05 for row in p]) <= 0.065
    assert cauchy(np.array([0.3])) == pytest.approx(0.3) and cauchy(np.array([1e-4, 1.0])) < 3e-4
