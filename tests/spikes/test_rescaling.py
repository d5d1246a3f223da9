"""Time rescaling: uniform p for the true model in coarse bins, small p for a wrong one."""

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.rescaling import rescale, rescaling_table


def simulated(seed, family, n=800):
    rng = np.random.default_rng(seed)
    mean = np.clip(0.25 * np.exp(0.8 * np.sin(np.arange(n) / 40)), 0, 0.9)  # coarse bins: a quarter of a spike in each
    return (rng.poisson(mean) if family == "poisson" else (rng.random(n) < mean).astype(int)), mean


@pytest.mark.slow
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_p_is_uniform_under_the_true_model(family):
    made = [simulated(seed, family) for seed in range(2000)]
    table = rescaling_table(np.array([y for y, _ in made]), np.array([m for _, m in made]), family=family)
    assert 0.035 <= np.mean(table["p"] < 0.05) <= 0.065 and stats.kstest(table["p"], "uniform").pvalue > 0.01
    assert 0.035 <= np.mean(table["p_correlation"] < 0.05) <= 0.065


def test_intervals_are_exponential_where_the_plain_formula_is_not():
    y, mean = simulated(0, "bernoulli", n=60_000)
    assert stats.kstest(rescale(y, mean, family="bernoulli"), "expon").pvalue > 0.01
    at = np.flatnonzero(y)
    plain = np.diff(np.cumsum(mean)[at])  # integrated probability between bins
    assert stats.kstest(plain, "expon").pvalue < 1e-6


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_a_wrong_model_is_found(family):
    y, _mean = simulated(1, family, n=6000)
    table = rescaling_table(y[None], np.full((1, 6000), y.mean()), family=family)
    assert table["p"][0] < 1e-3 or table["p_correlation"][0] < 1e-3


def test_the_sum_of_intervals_is_the_integrated_rate():
    z = rescale([0, 2, 0, 1], [0.5, 1.0, 0.25, 1.0])
    assert len(z) == 3 and z.min() >= 0 and 1.75 < z.sum() < 2.75 and 0.5 < z[0] < 1.5


@pytest.mark.parametrize(
    ("y", "mean", "family", "said"),
    [
        ([1, 0], [0.5], "poisson", "same bins"),
        ([1, 0], [0.5, -1], "poisson", "0 or more"),
        ([1, 0], [0.5, 1.0], "bernoulli", "below 1"),
        ([1, 0], [0.5, 0.5], "gamma", "no family"),
    ],
)
def test_wrong_input_is_one_clear_error(y, mean, family, said):
    with pytest.raises(BraindecError, match=said):
        rescale(y, mean, family=family)


def test_too_few_spikes_give_no_p():
    table = rescaling_table(np.eye(2, 50, dtype=int), np.full((2, 50), 0.1))
    assert table["p"].isna().all() and (table["n"] == 1).all()
