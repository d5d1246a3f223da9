"""Tuning: planted preferences, exact values of information, tests that hold their level over units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.aligned import aligned
from braindec.spikes.tuning import count_information, dprime, tuning
from braindec.types import Spikes


def recorded(rates, *, seed=0, columns=None):
    """Trials of 1 s every 2 s, rates (trial, unit) in Hz."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rates)
    trains = [np.concatenate([2 * k + rng.uniform(0, 1, n) for k, n in enumerate(column)]) for column in counts.T]
    table = pd.DataFrame({"onset": 2.0 * np.arange(len(counts)), **(columns or {})})
    return aligned(Spikes.from_trains(trains, start=0.0, stop=2.0 * len(counts)), table, tmin=0.0, tmax=1.0), counts


def test_planted_tuning_is_found_and_untuned_units_are_not():
    side = np.tile(["left", "right"], 30)
    rates = np.full((60, 8), 12.0)
    rates[side == "right", 0] = 24.0
    found, counts = recorded(rates, columns={"side": side})
    result = tuning(found, "side", n_permutations=499)
    tests = result.tests
    assert (
        tests["p_family"][0] == pytest.approx(1 / 500)
        and tests["preferred"][0] == "right"
        and (tests["p_family"][1:] > 0.05).all()
    )
    assert tests["value"][0] == pytest.approx(
        stats.f_oneway(counts[side == "left", 0], counts[side == "right", 0]).statistic
    )
    assert (
        tests["dprime"][0] == pytest.approx(dprime(counts[side == "right", 0], counts[side == "left", 0]))
        and 1.5 < tests["dprime"][0] < 4.5
    )
    assert (
        tests["information"][0] > 0.4 and abs(tests["information"][1:]).max() < 0.2 and tests["information_p"][0] < 0.01
    )
    rate = result.rates.set_index(["unit", "condition"])
    assert (
        rate.loc[(0, "right"), "value"] == pytest.approx(counts[side == "right", 0].mean())
        and (rate["low"] <= rate["value"]).all()
    )


def test_directions():
    angles = np.tile(np.arange(8) * np.pi / 4, 15)
    rates = np.stack([15 + 12 * np.cos(angles - np.pi / 2), np.full(120, 15.0)], axis=1)
    found, _ = recorded(rates, columns={"angle": angles})
    tests = tuning(found, "angle", angles="angle", n_permutations=199).tests
    assert abs(tests["direction"][0] - np.pi / 2) < 0.2 and tests["resultant"][0] == pytest.approx(0.4, abs=0.06)
    assert tests["resultant_p"][0] == 1 / 200 and tests["resultant_p"][1] > 0.02 and tests["resultant"][1] < 0.12


def test_a_window_and_blocks():
    side = np.tile(["a", "b"], 20)
    found, _ = recorded(np.full((40, 1), 20.0), columns={"side": side, "run": np.repeat(["1", "2"], 20)})
    half = tuning(found, "side", window=(0.0, 0.5), within="run", n_permutations=99)
    np.testing.assert_allclose(half.rates["value"].mean(), found.between(0, 0.5).counts().mean() / 0.5)
    with pytest.raises(BraindecError, match="2 conditions"):
        tuning(found, np.full(40, "a"))
    with pytest.raises(BraindecError, match="did you mean 'side'"):
        tuning(found, "sides")


def test_information_of_known_tables():
    assert count_information([0] * 50 + [9] * 50, ["a"] * 50 + ["b"] * 50, correct=None) == pytest.approx(1.0)
    assert count_information([3] * 100, ["a"] * 50 + ["b"] * 50) == pytest.approx(0.0)
    rng = np.random.default_rng(0)
    draws = [(rng.poisson(4, 80), rng.integers(0, 4, 80)) for _ in range(200)]
    plain, first, shuffled = (
        np.mean([count_information(c, s, correct=how, n_shuffles=50) for c, s in draws])
        for how in (None, "panzeri_treves", "shuffle")
    )
    assert (
        plain > 0.2 and abs(shuffled) < 0.01 and abs(shuffled) < first < 0.5 * plain
    )  # without tuning all of it is bias
    counts = np.concatenate([rng.poisson(3, 20_000), rng.poisson(7, 20_000)])
    k = np.arange(60)
    p = np.stack([stats.poisson.pmf(k, 3), stats.poisson.pmf(k, 7)]) / 2
    truth = np.nansum(p * np.log2(p / (p.sum(0) * 0.5), where=p > 0, out=np.zeros_like(p)))
    assert count_information(counts, np.repeat([0, 1], 20_000), n_shuffles=3) == pytest.approx(truth, abs=0.01)


def test_silent_units_are_not_tuned():
    found, _ = recorded(np.stack([np.zeros(20), np.full(20, 5.0)], axis=1), columns={"side": np.tile(["a", "b"], 10)})
    tests = tuning(found, "side", n_permutations=99).tests
    assert tests["value"][0] == 0 and tests["p"][0] == 1 and np.isnan(tests["dprime"][0])


@pytest.mark.slow
def test_tests_hold_their_level_over_units_and_over_families():
    rng = np.random.default_rng(4)
    gain = rng.gamma(3.0, 1 / 3.0, (40, 1))  # shared by all units: they are correlated
    one, family, bits = [], [], []
    for seed in range(300):
        found, _ = recorded(np.full((40, 4), 8.0) * rng.permutation(gain), seed=seed)
        tests = tuning(found, rng.integers(0, 2, 40), n_permutations=99, seed=seed).tests
        one.append(tests["p"][0])
        bits.append(tests["information_p"][0])
        family.append(tests["p_family"].min())
    for values in (one, family, bits):
        assert 0.028 <= np.mean(np.array(values) <= 0.05) <= 0.072
