"""PSTHs: a planted rate, coverage, the width of bins, a test of responses that holds its level."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.spikes.aligned import aligned
from braindec.spikes.psth import optimal_bin_width, psth, response_test
from braindec.types import Spikes


def trials(rate, n_trials, *, n_units=1, seed=0, span=1.0):
    """Trials one after the other with ``rate(t)`` Hz (t from 0 to 1 s)."""
    rng = np.random.default_rng(seed)
    trains = []
    for _ in range(n_units):
        parts = []
        for k in range(n_trials):
            t = rng.uniform(0, span, rng.poisson(200 * span))
            parts.append(2 * k + np.sort(t[rng.random(len(t)) < rate(t) / 200]))
        trains.append(np.concatenate(parts))
    spikes = Spikes.from_trains(trains, start=0.0, stop=2.0 * n_trials)
    return aligned(spikes, pd.DataFrame({"onset": 2.0 * np.arange(n_trials), "side": np.where(np.arange(n_trials) % 2, "left", "right")}), tmin=0.0, tmax=span)  # fmt: skip


def bump(t):
    return 20 + 60 * np.exp(-0.5 * ((t - 0.4) / 0.05) ** 2)


def test_the_rate_comes_out_with_honest_intervals():
    found = psth(trials(bump, 200), width=0.02)
    truth = np.array([bump(np.linspace(a, a + 0.02, 21)).mean() for a in found.times - 0.01])
    inside = (found.low[0, 0] <= truth) & (truth <= found.high[0, 0])
    assert inside.mean() > 0.85 and np.abs(found.values[0, 0] - truth).mean() < 4
    assert found.times[0] == pytest.approx(0.01) and found.n.tolist() == [200]


def test_conditions_have_a_curve_each_and_smoothing_keeps_level_at_edges():
    source = trials(lambda t: np.full_like(t, 40.0), 100)
    found = psth(source, width=0.01, by="side", smooth=0.05)
    assert found.conditions == ["left", "right"] and found.n.tolist() == [50, 50]
    assert abs(found.values[:, 0, 0].mean() - 40) < 5 and abs(found.values.mean() - 40) < 1.5
    both = psth(source, width=0.01).values
    parts = psth(source, width=0.01, by="side").values
    np.testing.assert_allclose(both[0], parts.mean(axis=0))


def test_the_best_width_is_that_of_the_bump_and_grows_without_one():
    fast, _ = optimal_bin_width(trials(bump, 60), 0)
    flat, costs = optimal_bin_width(trials(lambda t: np.full_like(t, 30.0), 60), 0)
    assert 0.01 < fast < 0.08 and flat > 0.12 and costs.shape == (40, 2)
    with pytest.raises(BraindecError, match="fit the window twice"):
        optimal_bin_width(trials(bump, 5), 0, candidates=[3.0])


def test_responses_are_found_and_units_without_are_not():
    rng = np.random.default_rng(5)
    early, late = rng.uniform(0, 0.5, (20, 60)), rng.uniform(0.5, 1, (20, 60))
    trains = []
    for u in range(20):
        keep = rng.random(60) < 0.5
        more = np.concatenate([2 * np.arange(60)[keep] + early[u][keep], 2 * np.arange(60) + late[u]]) if u == 0 else (
            np.concatenate([2 * np.arange(60) + early[u], 2 * np.arange(60) + late[u]]) + 0.0)  # fmt: skip
        trains.append(more[rng.random(len(more)) < 0.8])
    found = aligned(Spikes.from_trains(trains, start=0.0, stop=120.0), 2.0 * np.arange(60), tmin=0.0, tmax=1.0)
    table = response_test(found, before=(0.0, 0.5), after=(0.5, 1.0), n_permutations=499)
    assert table["p_family"][0] < 0.02 and table["low"][0] > 0 and (table["p_family"][1:] > 0.05).all()
    with pytest.raises(BraindecError, match="5 trials"):
        response_test(found.select([0, 1]), before=(0.0, 0.5), after=(0.5, 1.0))


@pytest.mark.slow
def test_the_test_of_responses_holds_its_level():
    source = trials(lambda t: np.full_like(t, 15.0), 20, n_units=600, seed=7)
    table = response_test(source, before=(0.0, 0.5), after=(0.5, 1.0), n_permutations=399)
    assert 0.03 <= (table["p"] <= 0.05).mean() <= 0.07
    family = [response_test(trials(lambda t: np.full_like(t, 15.0), 20, n_units=6, seed=s), before=(0.0, 0.5), after=(0.5, 1.0), n_permutations=99)["p_family"].min()
              for s in range(300)]  # fmt: skip
    assert np.mean(np.array(family) <= 0.05) <= 0.075


@pytest.mark.parametrize("mean", [0.03, 0.2])
def test_intervals_of_bins_with_few_spikes_cover(mean):
    rng = np.random.default_rng(5)
    inside = []
    for _ in range(40):
        counts = rng.poisson(mean, (30, 20))
        trial, place = np.nonzero(counts)
        times = 2.0 * trial + 0.05 * (place + 0.5)
        spikes = Spikes.from_trains([np.repeat(times, counts[trial, place])], start=0.0, stop=60.0)
        found = psth(aligned(spikes, 2.0 * np.arange(30), tmin=0.0, tmax=1.0), width=0.05)
        inside.append((found.low[0, 0] <= mean / 0.05) & (mean / 0.05 <= found.high[0, 0]))
    assert np.mean(inside) > 0.93  # Student's alone: 0.6 of those with mean 0.03
