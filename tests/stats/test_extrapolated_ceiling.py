"""The ceiling extrapolated over subjects, against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.stats.ceilings import extrapolated_ceiling, subject_ceiling


def subjects(noise, *, n=8, items=1200, targets=12, seed=0):
    """One shared signal of variance 1 and independent noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, items, targets)) + np.sqrt(noise) * rng.normal(size=(n, items, targets))


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_truth_is_reached_by_the_curve_that_fits(noise):
    data = subjects(noise)
    truth = 1 / np.sqrt(1 + noise)
    found = extrapolated_ceiling(data, form="reliability", n_bootstrap=20)
    assert abs(found.extra["correlation"].mean() - truth) < 0.02
    assert abs(found.share.mean() - truth**2) < 0.03 and found.kind == "extrapolated"
    exponential = extrapolated_ceiling(data, n_bootstrap=20)
    lower = subject_ceiling(data).extra["lower"].mean()
    assert lower - 0.03 < exponential.extra["correlation"].mean() < truth  # the published form levels off too soon
    assert not found.extra["failed"].any() and (found.low <= found.high).all()


def test_curve_is_recovered_exactly():
    x = np.arange(1, 8)
    curve = 0.6 * (1 - np.exp(-x / 2.0))
    data = np.zeros((8, 5, 1))

    def score(pool, held):
        return np.array([curve[len(pool) - 1]])

    found = extrapolated_ceiling(data, score=score, n_bootstrap=0)
    assert found.extra["correlation"][0] == pytest.approx(0.6, abs=2e-3) and found.extra["rate"][0] == pytest.approx(
        2.0, rel=0.05
    )


def test_a_fit_that_fails_says_so():
    def rising(pool, held):
        return np.array([0.01 * len(pool), -0.1])  # never levels off; below 0

    found = extrapolated_ceiling(np.zeros((6, 5, 2)), score=rising, n_bootstrap=5)
    assert (
        np.isnan(found.share).all()
        and found.extra["failed"].tolist() == [1.0, 1.0]
        and "no curve for 2 of 2" in found.note
    )
    few = extrapolated_ceiling(np.random.default_rng(0).normal(size=(3, 20, 2)))
    assert np.isnan(few.share).all() and "too few" in few.note
    with pytest.raises(BraindecError, match="unknown"):
        extrapolated_ceiling(np.zeros((6, 5, 2)), form="linear")


def test_nothing_is_held_to_one():
    def score(pool, held):
        return np.array([1.3 * (1 - np.exp(-len(pool)))])

    assert extrapolated_ceiling(np.zeros((6, 5, 1)), score=score, n_bootstrap=0).extra["correlation"][0] > 1.25
