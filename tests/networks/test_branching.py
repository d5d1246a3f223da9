"""Multistep regression finds the branching parameter of simulated processes, also where few neurons are seen."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.networks.branching import branching_factor, branching_process, spike_ratio


@pytest.mark.parametrize("m", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("seen", [1.0, 0.1])
def test_the_branching_parameter_is_found_under_subsampling(m, seen):
    counts = branching_process(m, 20, 40_000, seed=1, seen=seen)
    got = branching_factor(counts, bin_width=4e-3, n_bootstrap=60)
    assert got.m == pytest.approx(m, abs=0.1 if m == 0.5 else 0.01)
    assert got.low <= m <= got.high or abs(got.m - m) < 0.005
    if m > 0.5:
        assert got.tau == pytest.approx(-4e-3 / np.log(m), rel=0.2)
    if seen < 1:
        assert got.r1 < m - 0.1, "the slope at lag 1 is biased where few neurons are seen, the other is not"
    else:
        assert got.b == pytest.approx(1.0, abs=0.05)


def test_the_ratio_of_counts_tells_nothing_about_driven_activity():
    for m in (0.5, 0.9):
        assert spike_ratio(branching_process(m, 20, 20_000, seed=2)) == pytest.approx(1.0, abs=0.03)


def test_no_correlation_is_a_branching_parameter_of_0():
    got = [
        branching_factor(np.random.default_rng(s).poisson(20, 10_000), bin_width=4e-3, n_bootstrap=0).m
        for s in range(10)
    ]
    assert np.mean(np.array(got) == 0.0) >= 0.8


def test_trials_are_pooled():
    table = np.stack([branching_process(0.9, 20, 1000, seed=s) for s in range(40)])
    got = branching_factor(table, bin_width=4e-3, n_bootstrap=60)
    assert got.m == pytest.approx(0.9, abs=0.015) and got.low < got.m < got.high


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    held = 0
    for seed in range(40):
        got = branching_factor(branching_process(0.9, 20, 8000, seed=seed), bin_width=4e-3, n_bootstrap=60, max_lag=30)
        held += got.low <= 0.9 <= got.high
    assert held >= 31


def test_wider_bins_have_the_power_of_the_parameter():
    counts = branching_process(0.95, 20, 60_000, seed=5)
    fine = branching_factor(counts, bin_width=1e-3, n_bootstrap=0)
    assert fine.tau == pytest.approx(-1e-3 / np.log(0.95), rel=0.2)
    coarse = branching_factor(counts.reshape(-1, 4).sum(axis=1), bin_width=4e-3, max_lag=20, n_bootstrap=0)
    assert coarse.m == pytest.approx(0.95**4, abs=0.03)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: branching_factor(np.ones(200), bin_width=1e-3), "never changes"),
        (lambda: branching_factor([1, -1] * 100, bin_width=1e-3), "not negative"),
        (lambda: branching_factor(np.arange(20), bin_width=1e-3), "too short"),
        (lambda: branching_factor(np.arange(100), bin_width=0.0), "bin_width"),
        (lambda: branching_process(1.0, 1, 10, seed=0), "0 <= m < 1"),
    ],
)
def test_wrong_input_is_one_clear_error(call, words):
    with pytest.raises(BraindecError, match=words):
        call()
