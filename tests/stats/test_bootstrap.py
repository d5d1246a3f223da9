"""Bootstrap intervals: coverage in simulations, agreement with scipy, resampling of clusters and strata."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.stats.bootstrap import bootstrap_interval, bootstrap_weights, interval_of


@pytest.mark.parametrize("n", [3, 12, 25])
def test_the_interval_of_a_mean_covers_it(n):
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        low, high = bootstrap_interval(rng.normal(1.0, 2.0, size=n), n=400, rng=rng)
        covered += low <= 1.0 <= high
    assert 0.925 <= covered / 600 <= 0.975


def test_clusters_widen_the_interval_as_they_must():
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(12), 20)
    covered = naive = 0
    for _ in range(400):
        values = rng.normal(size=12)[clusters] + rng.normal(size=240)
        low, high = bootstrap_interval(values, n=300, rng=rng, clusters=clusters)
        covered += low <= 0 <= high
        low, high = bootstrap_interval(values, n=300, rng=rng)
        naive += low <= 0 <= high
    assert 0.925 <= covered / 400 <= 0.975
    assert naive / 400 <= 0.75


def test_bca_agrees_with_scipy():
    values = np.random.default_rng(2).exponential(size=80)
    ours = bootstrap_interval(values, np.mean, n=4000, rng=0, method="bca")
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, rtol=0.03)


def test_another_statistic_and_the_same_seed():
    values = np.random.default_rng(3).normal(size=(40, 2))

    def correlation(rows):
        return np.corrcoef(rows.T)[0, 1]

    first = bootstrap_interval(values, correlation, n=200, rng=5)
    assert first == bootstrap_interval(values, correlation, n=200, rng=5)
    assert first.low < correlation(values) < first.high


def test_weights_keep_strata_and_units_together():
    units = np.array([0, 0, 1, 2, 3, 3])
    strata = np.array([0, 0, 0, 1, 1, 1])
    weights = bootstrap_weights(units, strata, n=2000, rng=np.random.default_rng(4))
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert np.array_equal(weights[:, 4], weights[:, 5])
    assert (weights[:, 0] + weights[:, 2] == 2).all()
    assert (weights[:, 3] + weights[:, 4] == 2).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.06)


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(BraindecError, match="at least 2"):
        bootstrap_interval(np.array([1.0]))
    with pytest.raises(BraindecError, match="not finite"):
        interval_of(np.array([1.0, np.nan]))
    with pytest.raises(BraindecError, match="percentile, bca"):
        bootstrap_interval(np.arange(5.0), method="studentized")
