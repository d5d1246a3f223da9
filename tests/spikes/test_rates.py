"""Rates: published values, coverage of intervals, kernels with known integrals, the optimal width."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes.rates import garwood, mean_rate, optimal_bandwidth, rate_ratio, smoothed_rate
from braindec.types import Spikes


def poisson(rates, seconds, seed=0):
    rng = np.random.default_rng(seed)
    return Spikes.from_trains(
        [rng.uniform(0, seconds, rng.poisson(r * seconds)) for r in rates], start=0.0, stop=seconds
    )


def test_smoothed_rate_is_the_published_one(shared):
    d = np.load(shared("spikestats.npz", kind="parity"))
    spikes = Spikes.from_trains(
        [d["flat"][a:b] for a, b in zip(d["offsets"][:-1], d["offsets"][1:], strict=True)], start=0.0, stop=20.0
    )
    curve = smoothed_rate(spikes, sigma=0.05, width=0.01, edges="none")
    np.testing.assert_allclose(curve.values[0], d["rate_gauss50ms_0"], atol=1e-9)


def test_edges_and_gaps_are_corrected():
    spikes = poisson([200.0], 200.0).restrict([[0, 40], [60, 200]])
    curve, plain = (
        smoothed_rate(spikes, sigma=1.0, width=0.1),
        smoothed_rate(spikes, sigma=1.0, width=0.1, edges="none"),
    )
    near = np.abs(curve.times - 39.5) < 0.5
    assert abs(curve.values[0, near].mean() - 200) < 20 and plain.values[0, near].mean() < 150
    assert np.isnan(curve.values[0, np.abs(curve.times - 50) < 3]).all()  # nothing was observed within 5 sigma
    assert np.isfinite(curve.values[0, np.abs(curve.times - 50) > 6]).all()


@pytest.mark.parametrize("kernel", ["gaussian", "boxcar", "exponential", "alpha"])
def test_a_kernel_has_area_1_its_width_and_causality(kernel):
    spikes = Spikes.from_trains([[5.0005]], start=0.0, stop=10.0)
    curve = smoothed_rate(spikes, sigma=0.1, width=0.001, kernel=kernel, edges="none")
    weight = curve.values[0] * 0.001
    lag = curve.times - 5.0005
    assert weight.sum() == pytest.approx(1, abs=2e-3)
    assert np.sqrt((weight * lag**2).sum() - (weight * lag).sum() ** 2) == pytest.approx(0.1, rel=0.02)
    if kernel in ("exponential", "alpha"):
        assert weight[lag < -1e-3].max() < 1e-9


def test_garwood_covers_and_is_that_of_the_tables():
    np.testing.assert_allclose(garwood(0), (0, 3.6889), atol=1e-4)
    np.testing.assert_allclose(garwood(10), (4.7954, 18.3904), atol=1e-4)
    n = np.arange(60)
    low, high = garwood(n)
    for mean in (0.7, 3.3, 11.0):
        assert stats.poisson.pmf(n, mean)[(low <= mean) & (mean <= high)].sum() >= 0.95


def test_mean_rates_divide_by_observed_time_and_a_wandering_rate_has_a_wider_interval():
    rng = np.random.default_rng(1)
    slow = np.repeat(rng.gamma(2.0, 10.0, 40), 10)  # Hz in each s
    wander = np.concatenate([k + rng.uniform(0, 1, rng.poisson(r)) for k, r in enumerate(slow)])
    spikes = Spikes.from_trains([rng.uniform(0, 400, 8000), wander, []], start=0.0, stop=400.0)
    table = mean_rate(spikes, block=10.0)
    assert (
        table["value"][0] == 20.0
        and table["value"][2] == 0
        and table["poisson_high"][2] == pytest.approx(3.689 / 400, rel=1e-3)
    )
    wide = (table["high"] - table["low"]) / (table["poisson_high"] - table["poisson_low"])
    assert 0.6 < wide[0] < 1.5 and wide[1] > 3
    assert mean_rate(spikes.restrict([[0, 100], [300, 400]]))["seconds"][0] == 200


def test_rate_ratio_finds_what_is_there_and_its_exact_interval():
    rng = np.random.default_rng(2)
    found = rate_ratio(rng.poisson(25, 30), rng.poisson(32, 30), seconds=(1.0, 1.0))
    assert found["low"] < 32 / 25 < found["high"] and found["p"] < 0.005 and found["poisson_p"] < 0.005
    assert found["poisson_low"] < found["value"] < found["poisson_high"]
    with pytest.raises(BraindecError, match="2 blocks or more"):
        rate_ratio([3], [4, 5], seconds=(1.0, 1.0))
    with pytest.raises(BraindecError, match="spikes in both"):
        rate_ratio([0, 0], [4, 5], seconds=(1.0, 1.0))


@pytest.mark.slow
def test_rate_ratio_holds_its_level_where_the_poisson_test_does_not():
    rng = np.random.default_rng(3)
    p, exact = [], []
    for seed in range(600):
        counts = rng.poisson(rng.gamma(4.0, 5.0, 40))  # variance 6 times the mean
        found = rate_ratio(counts[:20], counts[20:], seconds=(1.0, 1.0), n_permutations=199, n_bootstrap=100, seed=seed)
        p.append(found["p"])
        exact.append(found["poisson_p"])
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07
    assert np.mean(np.array(exact) <= 0.05) > 0.3


def test_the_optimal_width_follows_the_rate():
    rng = np.random.default_rng(4)

    def thinned(period):
        t = np.sort(rng.uniform(0, 60, 60 * 80))
        return t[rng.random(len(t)) < 0.5 * (1 + np.sin(2 * np.pi * t / period))]

    fast, slow = (optimal_bandwidth(Spikes.from_trains([thinned(p)], start=0.0, stop=60.0), 0)[0] for p in (0.5, 8.0))
    assert 0.01 < fast < 0.12 and slow > 3 * fast
    times = np.sort(rng.uniform(0, 20, 60))
    widths = np.array([0.05, 0.2])
    _, costs = optimal_bandwidth(Spikes.from_trains([times], start=0.0, stop=20.0), 0, candidates=widths)
    gap = times[:, None] - times[None]
    for w, cost in costs:
        plain = stats.norm.pdf(gap, scale=np.sqrt(2) * w).sum() - 2 * (
            stats.norm.pdf(gap, scale=w).sum() - 60 * stats.norm.pdf(0, scale=w)
        )
        assert cost == pytest.approx(plain / 20, rel=1e-6)


@pytest.mark.parametrize(("change", "says"), [({"sigma": 0.0}, "sigma"), ({"width": 1.0}, "wider than the kernel"), ({"kernel": "gausian"}, "gaussian"),
                                              ({"edges": "mirror"}, "corrected, none")])  # fmt: skip
def test_bad_options_are_told(change, says):
    with pytest.raises(BraindecError, match=says):
        smoothed_rate(poisson([5.0], 10.0), **({"sigma": 0.1} | change))


def test_elephant_gives_the_same_curve():
    pytest.importorskip("elephant")
    import neo
    import quantities as pq
    from elephant.kernels import GaussianKernel
    from elephant.statistics import instantaneous_rate

    spikes = poisson([15.0], 8.0)
    train = neo.SpikeTrain(spikes.times * pq.s, t_start=0 * pq.s, t_stop=8 * pq.s)
    theirs = instantaneous_rate(train, 20 * pq.ms, kernel=GaussianKernel(100 * pq.ms), border_correction=False)
    ours = smoothed_rate(spikes, sigma=0.1, width=0.02, edges="none")
    np.testing.assert_allclose(ours.values[0], theirs.magnitude[: ours.values.shape[1], 0], atol=1e-9)


def test_rates_of_unequal_variability_and_number_are_not_different():
    rng = np.random.default_rng(5)
    p = []
    for seed in range(200):
        few, many = rng.poisson(8 * rng.gamma(2.0, 0.5, 12)), rng.poisson(8.0, 50)
        p.append(rate_ratio(few, many, seconds=(1.0, 1.0), n_permutations=99, n_bootstrap=100, seed=seed)["p"])
    assert np.mean(np.array(p) <= 0.05) <= 0.11  # 0.2 for the difference itself
    found = rate_ratio([4, 4, 4, 4, 4], [8, 8, 8, 8, 8], seconds=(1.0, 1.0))  # nothing varies
    assert found["value"] == 2 and found["p"] < 0.02


def test_a_silent_unit_has_the_interval_of_poisson_and_no_other():
    table = mean_rate(Spikes.from_trains([[], np.arange(0.5, 100)[:40]], start=0.0, stop=100.0))
    assert np.isnan(table.loc[0, ["low", "high"]].astype(float)).all() and table["value"][0] == 0
    assert table["poisson_high"][0] == pytest.approx(-np.log(0.025) / 100) and np.isfinite(table["high"][1])
