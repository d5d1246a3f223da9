"""Intervals between spikes: published values, closed forms of renewal processes, gaps of the support."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.intervals import interspike_intervals, interval_histogram, interval_statistics
from braindec.types import Spikes


def gamma_train(shape, rate, seconds, rng):
    times = np.cumsum(rng.gamma(shape, 1 / (shape * rate), int(2 * rate * seconds)))
    return times[times < seconds]


def values(table, metric):
    return table[table["metric"] == metric].set_index("unit")["value"]


def test_measures_are_the_published_ones(shared):
    d = np.load(shared("spikestats.npz", kind="parity"))
    trains = [d["flat"][a:b] for a, b in zip(d["offsets"][:-1], d["offsets"][1:], strict=True)]
    for shift in (0.0, 5000.0):
        spikes = Spikes.from_trains([t + shift for t in trains], start=shift, stop=shift + 20.0)
        table = interval_statistics(spikes)
        for metric in ("cv", "cv2", "lv", "lvr"):
            np.testing.assert_allclose(values(table, metric), d[metric], rtol=1e-9)


def test_renewal_processes_have_the_values_of_theory():
    rng = np.random.default_rng(0)
    spikes = Spikes.from_trains([gamma_train(k, 20.0, 600.0, rng) for k in (1.0, 4.0)], start=0.0, stop=600.0)
    table = interval_statistics(spikes, refractory=0.0)
    np.testing.assert_allclose(values(table, "cv"), [1, 0.5], rtol=0.03)
    np.testing.assert_allclose(
        values(table, "lv"), [1, 3 / (2 * 4 + 1)], rtol=0.04
    )  # 3 / (2 k + 1) for gamma of shape k
    np.testing.assert_allclose(values(table, "lvr"), values(table, "lv"))
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    local = table[(table["unit"] == 1) & (table["metric"] == "lv")].iloc[0]
    assert local["low"] < 1 / 3 < local["high"] and local["high"] - local["low"] < 0.05


def test_a_slow_change_of_rate_raises_cv_and_not_the_local_measures():
    rng = np.random.default_rng(1)
    rate = 20 * (1 + 0.9 * np.sin(2 * np.pi * np.arange(0, 400, 0.001) / 40))
    warp = np.cumsum(rate) * 0.001  # operational time
    unit = np.cumsum(rng.gamma(4.0, 0.25, 20_000))
    times = np.interp(unit[unit < warp[-1]], warp, np.arange(len(warp)) * 0.001)
    table = interval_statistics(Spikes.from_trains([times], start=0.0, stop=400.0), refractory=0.0)
    assert values(table, "cv")[0] > 0.8 and values(table, "lv")[0] < 0.42


def test_no_interval_goes_across_a_gap():
    spikes = Spikes.from_trains([[0.1, 0.2, 0.4, 5.0, 5.3, 5.7]], start=0.0, stop=6.0).restrict([[0, 1], [4.5, 6]])
    found = interspike_intervals(spikes)[0]
    np.testing.assert_allclose(found.lengths, [0.1, 0.2, 0.3, 0.4])
    assert found.follows.tolist() == [False, True, False, True]
    np.testing.assert_allclose(np.array(found.pairs()), [[0.1, 0.3], [0.2, 0.4]])
    touching = Spikes.from_trains([[0.1, 0.9, 1.2]], start=0.0, stop=2.0, support=[[0, 1], [1, 2]])
    np.testing.assert_allclose(interspike_intervals(touching)[0].lengths, [0.8, 0.3])


def test_units_with_too_few_spikes_say_so():
    table = interval_statistics(Spikes.from_trains([[], [1.0], [1.0, 2.0]], start=0.0, stop=3.0))
    assert table["value"].isna().all() and (table["note"] == "too few intervals").all()


def test_the_histogram_is_a_density():
    rng = np.random.default_rng(2)
    spikes = Spikes.from_trains([rng.uniform(0, 100, 2000)], start=0.0, stop=100.0)
    density, edges = interval_histogram(spikes, 0)
    assert (density * np.diff(edges)).sum() == pytest.approx(1)
    density, edges = interval_histogram(spikes, 0, edges=np.arange(0, 0.2, 0.01))
    np.testing.assert_allclose(density[0] / density[5], np.exp(20 * 0.05), rtol=0.25)
    with pytest.raises(BraindecError, match="rise"):
        interval_histogram(spikes, 0, edges=[1.0, 0.0])
    with pytest.raises(BraindecError, match="2 or more"):
        interval_histogram(Spikes.from_trains([[1.0]], start=0.0, stop=2.0), 0)


def test_elephant_gives_the_same_measures():
    pytest.importorskip("elephant")
    import quantities as pq
    from elephant import statistics

    rng = np.random.default_rng(4)
    spikes = Spikes.from_trains([np.sort(rng.uniform(0, 30, 400))], start=0.0, stop=30.0)
    table = interval_statistics(spikes, refractory=0.003).set_index("metric")["value"]
    gaps = np.diff(spikes.train(0))
    for metric in ("cv", "cv2", "lv"):
        assert table[metric] == pytest.approx(float(getattr(statistics, metric)(gaps)), rel=1e-9)
    assert table["lvr"] == pytest.approx(float(statistics.lvr(gaps * pq.s, R=3 * pq.ms)), rel=1e-9)


@pytest.mark.parametrize(("shape", "n"), [(1.0, 20), (1.0, 100), (4.0, 40)])
def test_intervals_of_measures_cover(shape, n):
    rng = np.random.default_rng(int(10 * shape) + n)
    trains = [np.cumsum(rng.gamma(shape, 0.05 / shape, n + 1)) for _ in range(250)]
    table = interval_statistics(Spikes.from_trains(trains, start=0.0, stop=max(t[-1] for t in trains)), refractory=0.0)
    for metric, truth in (("cv", 1 / np.sqrt(shape)), ("lv", 3 / (2 * shape + 1))):
        mine = table[table["metric"] == metric]
        share = ((mine["low"] <= truth) & (truth <= mine["high"])).mean()
        assert 0.9 <= share <= 0.99, (metric, share)  # percentiles of resampled runs: 0.75 to 0.85


def test_a_clock_has_an_interval_of_no_width():
    table = interval_statistics(Spikes.from_trains([np.arange(1.0, 65.0) / 64], start=0.0, stop=2.0)).set_index(
        "metric"
    )
    assert table.loc["lv", ["value", "low", "high"]].tolist() == [0.0, 0.0, 0.0]
