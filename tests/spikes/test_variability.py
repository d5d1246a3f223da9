"""Fano factors: the published value, closed forms, an exact test, windows that respect gaps, matched means."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.spikes.aligned import aligned
from braindec.spikes.variability import _left_out, _within, fano, fano_factor, mean_matched_fano, windows_of
from braindec.types import Spikes


def from_counts(counts, *, seed=0):
    """Trials of 1 s, one every 2 s, with given counts (trial, unit)."""
    rng = np.random.default_rng(seed)
    trains = [
        np.concatenate([2 * k + rng.uniform(0, 1, n) for k, n in enumerate(column)]) for column in np.asarray(counts).T
    ]
    spikes = Spikes.from_trains(trains, start=0.0, stop=2.0 * len(counts))
    return aligned(spikes, 2.0 * np.arange(len(counts)), tmin=0.0, tmax=1.0)


def test_the_published_value(shared):
    d = np.load(shared("spikestats.npz", kind="parity"))
    assert fano_factor(np.diff(d["offsets"]), ddof=0) == pytest.approx(float(d["fano"]), rel=1e-12)


def test_renewal_and_poisson_processes_have_theirs():
    rng = np.random.default_rng(0)
    gamma = np.cumsum(rng.gamma(4.0, 1 / (4 * 20), 60_000))
    spikes = Spikes.from_trains([gamma[gamma < 2000], rng.uniform(0, 2000, 40_000), []], start=0.0, stop=2000.0)
    table = fano(spikes, window=5.0, n_draws=199)
    assert table["value"][0] == pytest.approx(0.25, abs=0.05)  # CV squared, for long windows
    assert table["p"][0] == pytest.approx(2 / 200) and table["p"][1] > 0.05 and table["low"][1] < 1 < table["high"][1]
    assert np.isnan(table["value"][2]) and table["note"][2] == "no spikes" and table["n"][0] == 400


def test_windows_stay_inside_observed_intervals():
    spikes = Spikes.from_trains([np.arange(0.05, 10, 0.1)], start=0.0, stop=10.0).restrict([[0, 3.5], [5, 10]])
    windows = windows_of(spikes, window=1.0)
    np.testing.assert_allclose(windows[:, 0], [0, 1, 2, 5, 6, 7, 8, 9])
    assert fano(spikes, window=1.0)["value"][0] == 0.0  # a clock: ten spikes in each
    with pytest.raises(BraindecError, match="do not fit"):
        windows_of(spikes, window=20.0)


def test_conditions_are_no_variability():
    rng = np.random.default_rng(1)
    counts = rng.poisson(np.repeat([5.0, 40.0], 60))[:, None]
    found = from_counts(counts)
    side = np.repeat(["a", "b"], 60)
    assert fano(found)["value"][0] > 8
    table = fano(found, by=side)
    assert table["low"][0] < 1 < table["high"][0] and table["p"][0] > 0.05


def test_matched_means_take_a_change_of_rate_away():
    rng = np.random.default_rng(2)
    gain = rng.uniform(2, 40, 60)
    trains = []
    for u in range(60):
        parts = []
        for k in range(80):
            parts += [
                2 * k + rng.uniform(0, 0.5, rng.poisson(gain[u] * 0.5)),
                2 * k + rng.uniform(0.5, 1, rng.poisson(1.6 * gain[u] * 0.5)),
            ]
        trains.append(np.concatenate(parts))
    found = aligned(Spikes.from_trains(trains, start=0.0, stop=160.0), 2.0 * np.arange(80), tmin=0.0, tmax=1.0)
    table = mean_matched_fano(found, width=0.5)
    np.testing.assert_allclose(table["value"], 1, atol=0.1)
    assert (table["n"] > 20).all() and len(table) == 2


@pytest.mark.parametrize(("change", "says"), [({}, "needs window"), ({"window": 0.0}, "window"), ({"window": 1.0, "by": ["a"]}, "conditions are for trials")])  # fmt: skip
def test_bad_options_are_told(change, says):
    with pytest.raises(BraindecError, match=says):
        fano(Spikes.from_trains([[1.0, 2.0]], start=0.0, stop=3.0), **change)
    with pytest.raises(BraindecError, match="2 counts"):
        fano_factor(np.array([3]))
    with pytest.raises(BraindecError, match="0 or more"):
        fano_factor(np.array([3.0, np.nan]))


@pytest.mark.slow
def test_the_test_against_poisson_holds_its_level_and_intervals_cover():
    rng = np.random.default_rng(3)
    found = from_counts(rng.poisson(6.0, (60, 600)))
    table = fano(found, n_draws=199)
    assert 0.03 <= (table["p"] <= 0.05).mean() <= 0.07
    assert 0.93 < ((table["low"] <= 1) & (1 <= table["high"])).mean() < 0.99
    few = fano(from_counts(rng.poisson(0.3, (60, 600))), n_draws=199)
    assert (few["p"] <= 0.05).mean() <= 0.07


@pytest.mark.parametrize("n", [6, 12, 40])
def test_intervals_cover_for_few_trials_and_any_variability(n):
    rng = np.random.default_rng(n)
    for truth, counts in ((0.5, rng.binomial(12, 0.5, (n, 400))), (2.0, rng.poisson(rng.gamma(6.0, 1.0, (n, 400))))):
        table = fano(from_counts(counts), n_draws=0)
        assert 0.92 < ((table["low"] <= truth) & (truth <= table["high"])).mean() <= 1  # resampling: 0.85


def test_leaving_a_count_out_is_that():
    rng = np.random.default_rng(4)
    counts, labels = rng.poisson(3.0, 14), np.array([0] * 6 + [1] * 5 + [2] * 2 + [3])
    counts[-3:] = [0, 0, 4]  # a silent condition, and one with a single trial
    left = [_within(np.delete(counts, i)[None], np.delete(labels, i), 1)[0] for i in range(14)]
    np.testing.assert_allclose(_left_out(counts, labels, 1), left)
