"""Measures of activity on trains of which everything is known, and Brunel's regimes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.networks.description import Network, Population
from braindec.networks.published import REGIMES, brunel, coba, cuba
from braindec.networks.regimes import activity, regime, shifted_depth
from braindec.networks.simulate import run


def trains(probability, n=1000, seed=0):
    """A run of ``n`` neurons that fire with a probability a step, independently."""
    rng = np.random.default_rng(seed)
    hit = rng.random((len(probability), n)) < probability[:, None]
    steps, neurons = np.nonzero(hit)
    network = Network([Population("E", n)])
    return SimpleNamespace(
        steps={"E": steps}, neurons={"E": neurons}, network=network, start=0.0, stop=len(probability) * 1e-4
    )


def test_independent_poisson_neurons_have_no_depth_and_irregular_intervals():
    found = activity(trains(np.full(20_000, 0.004)))
    assert found.rate == pytest.approx(40.0, rel=0.02)
    assert found.depth < 0.05 and found.fano == pytest.approx(1.0, abs=0.15)
    assert found.cv == pytest.approx(1.0, abs=0.03) and regime(found) == "AI"


def test_depth_and_frequency_of_a_common_rhythm():
    t = np.arange(10_000) * 1e-4
    run_ = trains(0.005 * (1 + 0.98 * np.sin(2 * np.pi * 60 * t)))
    found = activity(run_)
    assert found.depth == pytest.approx(0.98 / np.sqrt(2), abs=0.03) and found.frequency == pytest.approx(60, abs=5)
    assert regime(found) == "SI"
    assert shifted_depth(run_, begin=0.0, n=9, seed=1).max() < 0.1


def test_neurons_that_fire_together_and_evenly_are_synchronous_and_regular():
    probability = np.zeros(10_000)
    probability[::30] = 1.0
    found = activity(trains(probability, n=50))
    assert found.cv == 0 and regime(found) == "SR" and found.rate == pytest.approx(333.3, rel=0.01)


def test_a_silent_population_has_no_regime_and_a_run_that_goes_on_is_measured_from_its_start():
    assert regime(activity(trains(np.zeros(1000)))) == "silent"
    sources = Network([Population("P", 200, model="poisson", params={"rate": 40.0})])
    first = run(sources, 0.5, seed=1)
    second = run(sources, 0.5, start=first)
    assert activity(second).rate == pytest.approx(40.0, rel=0.1) and activity(second).depth < 0.3
    assert shifted_depth(second, begin=0.0, n=3, seed=0).max() < 0.3


def test_activity_needs_time():
    with pytest.raises(BraindecError, match="50 ms or more"):
        activity(trains(np.full(1000, 0.01)), begin=0.06)


def test_published_networks_have_their_sizes():
    network = cuba(1000)
    assert [p.n for p in network.populations] == [800, 200]
    found = run(network, 0.2, seed=3)
    assert sum(s.n for s in found.final.synapses) == pytest.approx(80_000, rel=0.02)
    assert found.final.synapses[0].n == pytest.approx(0.64 * 80_000, rel=0.05)
    assert not cuba(1000, connected=False).projections
    alone = run(brunel(5.0, 2.0, n_excitatory=400, connected=False), 0.5, seed=1)
    mean, tau = 0.040, 0.020  # of the potential, were there no threshold; noise of the drive is small against it
    expected = 1 / (0.002 + tau * np.log((mean - 0.010) / (mean - 0.020)))
    assert alone.rate("E") == pytest.approx(expected, rel=0.1)


def test_coba_sustains_itself():
    found = activity(run(coba(), 0.5, seed=1), begin=0.2)
    assert 5 < found.rate < 40 and 0.5 < found.cv < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", list(REGIMES))
def test_brunels_regimes_are_told_apart_as_published(name):
    point = REGIMES[name]
    found = activity(run(brunel(point["g"], point["eta"]), 0.6, seed=7), begin=0.2)
    assert regime(found) == point["regime"]
    if "rate" in point:
        assert found.rate == pytest.approx(point["rate"], rel=0.25)
    if "population_frequency" in point:
        assert found.frequency == pytest.approx(point["population_frequency"], rel=0.15)
    if name == "SR":
        assert found.cv < 0.02 and found.rate > 250
