"""Liquids: wiring follows distance, the astrocyte steers branching from either side, weights that are held stay, read-outs are honest."""

from dataclasses import replace

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.networks.build import connections
from braindec.networks.liquid import PAIRS, Liquid, read_out
from braindec.networks.spike_patterns import jittered_patterns, steady_input

pytestmark = pytest.mark.filterwarnings("ignore:unit .* no interval below:UserWarning")
SMALL = {"shape": (6, 6, 5), "seed": 1}


@pytest.fixture(scope="module")
def stream():
    trials = jittered_patterns(3, 60, n_channels=60, seed=1)
    return trials.stream(gap=0.2)


def test_synapses_fall_with_distance_as_the_rule_says():
    liquid = Liquid(20, shape=(12, 10, 10), reach=2.0)
    made = connections(liquid.network([np.zeros(0)] * 20), liquid.seed)
    places = {k: v / liquid.spacing for k, v in liquid.populations().items()}
    assert len(places["I"]) == 240
    distance = np.linalg.norm(places["E"][:, None] - places["E"][None], axis=-1)
    there = made["E->E"].matrix().toarray() != 0
    for d in (1.0, 2.0, 3.0):
        at = np.isclose(distance, d)
        p = 0.2 * np.exp(-((d / 2.0) ** 2))
        assert there[at].mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / at.sum()))
    assert not there[distance == 0].any()


def test_a_spike_adds_the_weight_to_the_membrane():
    """All charge of one input spike, integrated over the membrane's decay, is the weight."""
    from braindec.networks.description import Record
    from braindec.networks.simulate import run

    liquid = Liquid(1, shape=(3, 3, 2), input_density=1.0, weight=0.0, tau_m=1.0, tau_syn=2e-3, input_weight=1e-3)
    network = liquid.network([np.array([0.01])])
    v = run(network, 0.06, record=Record(states={"E": ("v",)})).states["E"]["v"]
    assert v.max() == pytest.approx(1e-3, rel=0.03)


@pytest.fixture(scope="module")
def steered():
    """The same liquid steered from strong and from weak synapses, and without the astrocyte."""
    trains, _, seconds = jittered_patterns(4, 60, n_channels=100, seed=1).stream(gap=0.2)
    liquid = Liquid(100, learning=100.0, seed=1)
    kinds = {"strong": {}, "weak": {"weight": 0.5e-3}, "held": {"plasticity": "pair"}}
    return {k: replace(liquid, **v).steer(trains, seconds, stages=3, probe_seconds=10.0) for k, v in kinds.items()}


@pytest.mark.slow
def test_the_astrocyte_steers_strong_and_weak_liquids_to_one_branching_parameter(steered):
    strong, weak = steered["strong"], steered["weak"]
    first, last = (strong.rate[k] - weak.rate[k] for k in (0, -1))
    assert 0 < last < 0.6 * first
    assert abs(strong.branching[-1].m - weak.branching[-1].m) < 0.1
    assert weak.branching[0].explained < 0.3, "weak synapses alone leave no correlation"
    mean = {k: np.mean([np.abs(steered[k].weights[p]).mean() for p in PAIRS]) for k in ("strong", "weak")}
    assert mean["strong"] < 1.9e-3 and mean["weak"] > 0.55e-3, "strong synapses weaken, weak ones grow"
    assert np.all(np.diff(weak.astrocyte) > 0), "the astrocyte follows activity"


@pytest.mark.slow
def test_without_the_astrocyte_a_strong_liquid_runs_away(steered):
    assert steered["held"].rate[-1] > 2 * steered["strong"].rate[-1]


def test_weights_keep_sign_and_bound_and_start_as_they_are_drawn(stream):
    trains, _, _ = stream
    liquid = Liquid(60, **SMALL)
    found = liquid.steer(trains, 4.0, stages=2, probe_seconds=5.0)
    for pair in PAIRS:
        sign = 1 if pair[0] == "E" else -1
        assert (
            np.all(sign * found.weights[pair] >= 0) and np.abs(found.weights[pair]).max() <= liquid.weight_max * 1.001
        )
        np.testing.assert_allclose(found.start[pair], liquid.weights()[pair])
        assert (
            0.5 * liquid.weight
            <= np.abs(found.start[pair]).min()
            <= np.abs(found.start[pair]).max()
            <= 1.5 * liquid.weight
        )
    assert any(np.ptp(found.weights[p] - found.start[p]) > 0 for p in PAIRS)


def test_weights_that_are_given_are_those_that_play(stream):
    """Weights as drawn, given as arrays, give the same spikes; other weights do not."""
    trains, _, _ = stream
    liquid = Liquid(60, input_weight=2e-3, **SMALL)
    drawn, given = liquid.play(trains, 3.0), liquid.play(trains, 3.0, weights=liquid.weights())
    off = liquid.play(trains, 3.0, weights={p: 0 * w for p, w in liquid.weights().items()})
    assert (
        len(drawn.times) > 500 and np.array_equal(drawn.times, given.times) and np.array_equal(drawn.unit, given.unit)
    )
    assert len(off.times) != len(drawn.times)


def test_the_state_of_the_astrocyte_is_that_of_the_engine(stream):
    from braindec.networks.simulate import run

    trains, _, _ = stream
    liquid = Liquid(60, input_weight=2e-3, **SMALL)
    simulation = run(liquid.network(trains, plastic=True), 2.0, seed=liquid.seed)
    assert liquid.astrocyte(simulation.spikes)[-1] == pytest.approx(simulation.modulators["E->E"], rel=1e-6)
    assert abs(simulation.modulators["E->E"] - liquid.baseline) > 1e-4


def test_without_synapses_on_one_another_nothing_branches():
    liquid = Liquid(60, input_weight=2e-3, **SMALL)
    off = {p: 0 * w for p, w in liquid.weights().items()}
    assert liquid.branching(off, seconds=15.0).r1 < 0.05 < liquid.branching(seconds=15.0).r1


def test_a_silent_liquid_has_no_branching_parameter():
    liquid = Liquid(60, input_weight=0.0, weight=0.0, **SMALL)
    assert np.isnan(liquid.branching(seconds=2.0).m) and liquid.branching(seconds=2.0).explained == 0.0


def test_states_count_the_trial_and_nothing_else():
    trials = jittered_patterns(2, 8, n_channels=60, seed=2)
    liquid = Liquid(60, input_weight=2.5e-3, **SMALL)
    whole, halves = liquid.states(trials), liquid.states(trials, n_bins=2)
    assert whole.shape == (8, liquid.n, 1) and np.array_equal(halves.sum(axis=2), whole[:, :, 0]) and whole.sum() > 100
    assert np.array_equal(liquid.states(trials, window=(0.0, 0.15))[:, :, 0], halves[:, :, 0])


def test_a_read_out_names_held_out_trials_of_the_liquid_and_not_of_shuffled_labels():
    trials = jittered_patterns(3, 120, n_channels=60, jitter=5e-3, seed=3)
    counts = Liquid(60, input_weight=2e-3, weight=0.5e-3, **SMALL).states(trials)
    train, test = np.arange(80), np.arange(80, 120)
    assert np.mean(read_out(counts, trials.labels, train=train, test=test) == trials.labels[test]) > 0.8
    wrong = np.random.default_rng(0).permutation(trials.labels)
    assert np.mean(read_out(counts, wrong, train=train, test=test) == wrong[test]) < 0.6
    with pytest.raises(BraindecError, match="different trials"):
        read_out(counts, trials.labels, train=train, test=np.arange(79, 90))
    with pytest.raises(BraindecError, match="one label a trial"):
        read_out(counts, trials.labels[:-1], train=train, test=test)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (1, 1, 2)}, "at least 10"),
        ({"weight": 2.5e-3}, "beyond its bound"),
        ({"plasticity": "hebb"}, "no plasticity"),
        ({"density": {"E->E": 0.1}}, "wrong pairs"),
        ({"inhibitory": 1.0}, "inhibitory"),
    ],
)
def test_wrong_settings_are_one_clear_error(change, words):
    with pytest.raises(BraindecError, match=words):
        Liquid(10, **change)


def test_an_input_of_another_width_is_refused():
    with pytest.raises(BraindecError, match="channels"):
        Liquid(10).network(steady_input(9, 5.0, 1.0))
