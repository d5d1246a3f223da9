"""Networks that do not fit are one clear error each; networks that explode stop and keep what was recorded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from braindec import registry
from braindec.errors import BraindecError
from braindec.networks.build import connections
from braindec.networks.description import CurrentDrive, Network, Normal, PoissonDrive, Population, Projection, Record
from braindec.networks.rules.fixed_in_degree import FixedInDegree
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.rules.from_matrix import FromMatrix
from braindec.networks.simulate import run

E = Population("E", 8, sign="excitatory")
I = Population("I", 4, sign="inhibitory")  # noqa: E741
CELL = Population("C", 8, model="lif_conductance")
ALL = {"name": "all_to_all"}
PAIR = registry.get("networks.plasticity", "pair_stdp")


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Population("E", 8, model="lff"), "has no 'lff'; did you mean 'lif'"),
    (lambda: Population("E", 8, params={"tau_n": 1}), "has no parameter 'tau_n'; did you mean 'tau_m'"),
    (lambda: Population("E", 8, params={"tau_m": 0.0}), "'tau_m' is a time constant, above 0 s"),
    (lambda: Population("E", 8, params={"v_rest": np.zeros(7)}), "has 7 values for 8 neurons"),
    (lambda: Population("E", 8, params={"v_rest": np.nan}), "not finite"),
    (lambda: Population("E", 8, initial={"V": 0.0}), "has no variable 'V'; did you mean 'v'"),
    (lambda: Population("E", 0), "needs neurons"),
    (lambda: Population("E", 8, sign="excitatoryy"), "did you mean 'excitatory'"),
    (lambda: Population("E", 8, positions=np.zeros((8, 2))), "positions have another shape"),
    (lambda: Network([]), "needs a population"),
    (lambda: Network([E, E]), "two populations are called 'E'"),
    (lambda: Network([E], dt=0.0), "time step above 0"),
    (lambda: Network([E], dt=0.006), "time step is longer than tau_e of the population 'E'"),
    (lambda: Network([CELL], dt=0.03), "time step is longer than tau_e"),
    (lambda: Network([Population("Z", 2, model="exponential_if", params={"capacitance": 1e-12})]), "longer than capacitance / g_leak"),
    (lambda: Network([E], [Projection("E", "F", ALL)]), "there is no population 'F'"),
    (lambda: Network([E], [Projection("E", "E", ALL), Projection("E", "E", ALL)]), "two projections are called"),
    (lambda: Network([E], [Projection("E", "E", ALL, delay=5e-5)]), "delay shorter than the time step"),
    (lambda: Network([E], [Projection("E", "E", ALL, delay=Normal(1e-5, 0.0))]), "delay shorter than the time step"),
    (lambda: Network([E], [Projection("E", "E", ALL, weight=-1e-3)]), r"weights of the wrong sign: 'E' is excitatory"),
    (lambda: Network([E, I], [Projection("I", "E", ALL, weight=1e-3)]), r"weights of the wrong sign: 'I' is inhibitory"),
    (lambda: Network([E], [Projection("E", "E", ALL, weight=np.array([1.0, -1.0]))]), "1 of 2 below zero"),
    (lambda: Network([I, CELL], [Projection("I", "C", ALL, weight=-1e-9)]), "weights of the receptor 'inhibitory'"),
    (lambda: Network([I, CELL], [Projection("I", "C", ALL, weight=1e-9, receptor="excitatory")]), "receptor='inhibitory'"),
    (lambda: Network([E], [Projection("E", "E", ALL, weight=1e-3, receptor="exitatory")]), "did you mean 'excitatory'"),
    (lambda: Network([E], [Projection("E", "E", ALL, weight=np.nan)]), "weights that are not finite"),
    (lambda: Network([E, I], [Projection("E", "I", FromMatrix(np.ones((8, 4))))]), "rows='sources'"),
    (lambda: Network([E, I], [Projection("E", "I", FromMatrix(np.ones((4, 9))))]), "another shape"),
    (lambda: Network([E, I], [Projection("E", "I", FromMatrix(np.full((4, 8), np.inf)))]), "not finite"),
    (lambda: Network([E, I], [Projection("E", "I", FromMatrix(sparse.csr_array(-np.eye(4, 8))))]), "wrong sign"),
    (lambda: Network([E, I], [Projection("E", "I", {"name": "one_to_one"})]), "populations of one size"),
    (lambda: Projection("E", "E", {"name": "fixed_probabilty", "p": 1}), "did you mean 'fixed_probability'"),
    (lambda: Projection("E", "E", {"name": "fixed_probability", "q": 1}), "has no parameter 'q'"),
    (lambda: Projection("E", "E", "fixed_probability"), "lacks a parameter"),
    (lambda: Network([E], [Projection("E", "E", FixedProbability(1.5))]), "is a probability"),
    (lambda: Network([E, I], [Projection("I", "E", FixedInDegree(5, multapses=False), weight=-1.0)]), "asks for 5 sources"),
    (lambda: Network([E], [Projection("E", "E", {"name": "distance_dependent", "c": 0.1, "scale": 1e-3})]), "needs positions"),
    (lambda: Network([E, Population("R", 2, model="recorded")], [Projection("E", "R", ALL)]), "whose spikes are given"),
    (lambda: Network([E], [], [PoissonDrive("E", rate=-1.0, weight=1e-3)]), "below zero"),
    (lambda: Network([E], [], [PoissonDrive("E", rate=np.ones(3), weight=1e-3)]), "rate has another shape"),
    (lambda: Network([E], [], [CurrentDrive("E", np.ones((3, 8)))]), "needs bin_width"),
    (lambda: Network([Population("P", 2, model="poisson")], [], [CurrentDrive("P", 1.0)]), "takes no current"),
    (lambda: Network([Population("P", 2, model="poisson", params={"rate": 1e5})]), "does not fit the time step"),
    (lambda: Population(3, 8), "name of a population is a text"),
    (lambda: Population("E", "many"), "needs neurons"),
    (lambda: Population("E", None), "needs neurons"),
    (lambda: Population("E", -1), "found:   n=-1"),
    (lambda: Population("E", 8, sign=["excitatory"]), "allowed: 'excitatory', 'inhibitory'"),
    (lambda: Population("E", 8, params=[("tau_m", 1.0)]), "params are a dict"),
    (lambda: Population("E", 8, params={"v_rest": [-0.05] * 7}), "has 7 values for 8 neurons"),
    (lambda: Population("E", 8, params={"tau_m": "20 ms"}), "'tau_m' is no number"),
    (lambda: Population("E", 8, params={"tau_m": None}), "'tau_m' is no number"),
    (lambda: Population("E", 8, params={"t_ref": -1e-3}), "'t_ref' is a time, 0 s or more"),
    (lambda: Population("E", 8, model="exponential_if", params={"delta_t": 0.0}), "'delta_t' is above 0"),
    (lambda: Population("E", 8, model="lif_conductance", params={"capacitance": -1e-12}), "'capacitance' is above 0"),
    (lambda: Population("E", 8, initial={"v": np.nan}), "the start of 'v' is not finite"),
    (lambda: Population("E", 8, initial={"v": np.zeros((8, 2))}), "starts with 16 values for 8 neurons"),
    (lambda: Population("E", 8, initial={"v": (-0.05, -0.06)}), "lower end is above"),
    (lambda: Population("E", 8, positions=np.full((8, 3), np.nan)), "positions is not finite"),
    (lambda: Normal(1.0, -1.0), "not below zero"),
    (lambda: Network(E), "populations of a network are a list of Population"),
    (lambda: Network([{"name": "E"}]), "populations of a network are a list of Population"),
    (lambda: Network([E], [("E", "E")]), "projections of a network are a list of Projection"),
    (lambda: Network([E], [], [3.0]), "drives of a network are a list of PoissonDrive or CurrentDrive"),
    (lambda: Network([E], dt="0.1 ms"), "dt is no number"),
    (lambda: Projection("E", "E", None), "a connection rule is an object"),
    (lambda: Projection("E", "E", FixedProbability), "a connection rule is an object"),
    (lambda: Projection("E", "E", ALL, plasticity=3), "plasticity is a rule or its name"),
    (lambda: Network([E], [Projection("E", "E", FixedProbability("a"))]), "is no number"),
    (lambda: Network([E], [Projection("E", "E", FixedInDegree(2.5))]), "is a whole number"),
    (lambda: Network([E], [Projection("E", "E", ALL, weight="1 mV")]), "weight is no number"),
    (lambda: Network([E], [Projection("E", "E", ALL, delay="1 ms")]), "a delay is no number"),
    (lambda: Network([E], [Projection("E", "E", ALL, delay=150.0)]), "delays are in s"),
    (lambda: Network([E], [Projection("E", "E", ALL, delay=np.nan)]), "delay shorter than the time step"),
    (lambda: Network([E, I], [Projection("E", "I", FromMatrix(np.ones((4, 8), dtype=complex)))]), "the matrix is no number"),
    (lambda: Network([E], [], [PoissonDrive("E", rate="5 Hz", weight=1e-3)]), "the rate is no number"),
    (lambda: Network([E], [], [PoissonDrive("E", rate=5.0, weight=np.nan)]), "weight=nan does not work"),
    (lambda: Network([E], [], [PoissonDrive("E", rate=5.0, weight=1e-3, n_synapses=-1)]), "n_synapses=-1 does not work"),
    (lambda: Network([E], [], [PoissonDrive("E", rate=5.0, weight=-1e-3, receptor="excitatory")]), "wrong sign for the receptor"),
    (lambda: Network([E], [], [CurrentDrive("E", np.zeros((0, 8)), bin_width=0.01)]), "current has another shape"),
    (lambda: Network([E], [], [CurrentDrive("E", np.zeros((2, 8)), bin_width=2.5e-4)]), "no whole number of steps"),
    (lambda: Network([E], [], [CurrentDrive("E", 0.0), CurrentDrive("E", 0.1)]), "two current drives"),
    (lambda: Network([Population("P", 2, model="poisson", params={"rate": np.ones((3, 2)), "bin_width": 1e-5})]), "shorter than a step"),
    (lambda: Network([Population("P", 2, model="poisson", params={"rate": np.ones((0, 2)), "bin_width": 1e-3})]), "without bins"),
    (lambda: Record(state_every=0.0), "state_every=0.0 does not work"),
    (lambda: Record(weights_every=-1.0), "weights_every=-1.0 does not work"),
])  # fmt: skip
def test_what_does_not_fit_is_one_clear_error(make, message):
    with pytest.raises(BraindecError, match=message):
        make()


@pytest.mark.parametrize(("how", "message"), [
    ({"seconds": 0.0}, "a run needs time"),
    ({"dtype": "float16"}, "allowed: 'float32', 'float64'"),
    ({"threads": 0}, "needs a thread"),
    ({"backend": "nump"}, "did you mean 'numpy'"),
    ({"record": Record(spikes=["F"])}, "no population 'F'"),
    ({"record": Record(states={"E": ("w",)})}, "has no variable 'w'"),
    ({"record": Record(states={"E": ("v",)}, state_neurons={"E": [8]})}, "no neuron 8"),
    ({"record": Record(states={"E": ("v",)}, state_neurons={"E": [0.5]})}, "no neuron 0.5"),
    ({"seconds": np.inf}, "seconds is not finite"),
    ({"seconds": "1 s"}, "seconds is no number"),
    ({"seconds": 4e-5}, "a run needs time"),
    ({"seed": 1.5}, "seed of a run is a whole number"),
    ({"threads": 1.5}, "needs a thread"),
    ({"record": {"spikes": True}}, "record of a run is a Record"),
    ({"start": 3}, "start of a run is a Simulation"),
])  # fmt: skip
def test_runs_that_cannot_be(how, message):
    with pytest.raises(BraindecError, match=message):
        run(Network([E]), **{"seconds": 0.01, **how})


def test_sources_that_are_not_sorted_or_doubled_are_told():
    given = {"times": np.array([2e-3, 1e-3, 1.02e-3]), "neurons": np.array([0, 1, 1])}
    with pytest.raises(BraindecError, match="share a neuron and a time step"):
        run(Network([Population("R", 2, model="recorded", params=given)]), 0.01)
    given["times"] = np.array([2e-3, 1e-3, 1.2e-3])
    found = run(Network([Population("R", 2, model="recorded", params=given)]), 0.01).spikes
    np.testing.assert_allclose(found.times, [1e-3, 1.2e-3, 2e-3])
    np.testing.assert_array_equal(found.unit, [1, 1, 0])


@pytest.mark.parametrize(("given", "message"), [
    ({"times": [1e-3], "neurons": [0.5]}, "names neuron 0.5"),
    ({"times": [1e-3], "neurons": [-1]}, "names neuron -1"),
    ({"times": [np.nan], "neurons": [0]}, "finite and not negative"),
    ({"times": [1e-3, 2e-3], "neurons": [0]}, "differ in number"),
    ({"spikes": "a file"}, "are given as Spikes"),
])  # fmt: skip
def test_given_spikes_that_cannot_be(given, message):
    with pytest.raises(BraindecError, match=message):
        run(Network([Population("R", 2, model="recorded", params=given)]), 0.01)


def test_names_of_one_variable_and_lists_of_numbers_are_understood():
    cells = Population("Exc", 3, params={"v_rest": [-0.06, -0.055, -0.04]})
    found = run(Network([cells]), 0.05, record=Record(spikes="Exc", states={"Exc": "g_e"}, state_neurons={"Exc": 1}))
    assert set(found.neurons["Exc"].tolist()) == {2} and found.states["Exc"]["g_e"].shape == (1, 50)


def test_drawn_delays_below_a_step_are_drawn_again():
    network = Network([Population("N", 200)], [Projection("N", "N", ALL, weight=1e-3, delay=Normal(3e-4, 3e-4))])
    steps = connections(network, 0)["N->N"].delay_steps
    counts = np.bincount(steps)[1:4] / len(steps)
    edges = np.array([1e-4, 1.5e-4, 2.5e-4, 3.5e-4])
    expected = np.diff(stats.norm.cdf(edges, 3e-4, 3e-4)) / stats.norm.sf(1e-4, 3e-4, 3e-4)
    np.testing.assert_allclose(counts, expected, atol=0.01)


def test_a_plastic_projection_has_one_sign_and_weights_in_its_bounds():
    for weight, message in ((2.0, "outside the bounds"), (np.array([0.5] * 28 + [-0.5] * 28), "both signs")):
        free = Population("N", 8)
        network = Network([free], [Projection("N", "N", ALL, weight=weight, plasticity=PAIR, receptor="excitatory")])
        with pytest.raises(BraindecError, match=message):
            run(network, 0.01)


def test_a_network_that_explodes_is_stopped_and_says_when_and_which():
    wild = Population("wild", 20, model="lif_delta", params={"t_ref": 0.0}, initial={"v": (0.0, 0.03)})
    network = Network([E, wild], [Projection("wild", "wild", ALL, weight=5e-3, receptor="excitatory")])
    found = run(network, 1.0)
    assert "'wild' exploded: 1000 Hz a neuron or more" in found.stopped and found.stop <= 0.05
    assert f"{found.stop:g} s" in found.stopped
    assert len(found.steps["wild"]) > 20 and found.spikes.stop == found.stop
    with pytest.raises(BraindecError, match="cannot go on"):
        run(network, 0.1, start=found)


def test_no_way_of_running_hides_an_explosion():
    cells = Population("E", 10, model="lif_delta", params={"t_ref": 0.0, "i": 10.0})
    network = Network([cells], [Projection("E", "E", ALL, weight=1e-3, plasticity=PAIR, receptor="excitatory")])
    free = Network([cells])
    in_pieces = run(free, 4e-3)
    for _ in range(4):  # each is too short to tell
        in_pieces = in_pieces if in_pieces.stopped else run(free, 4e-3, start=in_pieces)
    found = {"weights copied often": run(network, 0.1, record=Record(weights_every=5e-4)), "in pieces": in_pieces,
             "definition": run(free, 0.1, backend="numpy"), "threads": run(free, 0.1, threads=2),
             "every step of 1 ms": run(Network([cells], dt=1e-3), 0.5)}  # fmt: skip
    for how, simulation in found.items():
        assert "'E' exploded: 1000 Hz a neuron or more" in str(simulation.stopped), how
        assert simulation.stop <= (0.02 if how != "every step of 1 ms" else 0.2), how
        assert len(simulation.steps["E"]) == round(10 * (simulation.stop - simulation.start) / simulation.network.dt), (
            how
        )


def test_a_population_that_fills_its_log_at_once_is_seen_to_explode():
    many = Population("E", 70_000, model="lif_delta", params={"t_ref": 0.0, "i": 10.0})
    network = Network([many], [Projection("E", "E", "one_to_one", weight=1e-3, delay=1e-4, autapses=True)])
    assert "'E' exploded" in run(network, 0.02).stopped


def test_sources_that_are_told_to_fire_fast_do_not_explode():
    found = run(Network([Population("P", 50, model="poisson", params={"rate": 4000.0})]), 0.1)
    assert found.stopped is None and found.rate("P") == pytest.approx(4000.0, rel=0.05)


def test_a_variable_that_is_not_finite_stops_the_network():
    cell = Population("cell", 3, model="adaptive_exponential", params={"a": -1e-3, "v_peak": 1e6, "i": -1e-9})
    record = Record(states={"cell": ("v",)})
    found = run(Network([E, cell], dt=1e-4), 1.0, record=record)
    assert "'cell' exploded: a variable was not finite" in found.stopped and found.stop < 0.2
    assert found.states["cell"]["v"].shape[1] == round(found.stop * 1e3)


def test_more_spikes_than_memory_has_room_for_stop_the_run(monkeypatch):
    monkeypatch.setattr("braindec.networks._compiled.MAX_SPIKES", 500)
    monkeypatch.setattr("braindec.networks._compiled.CHUNK", 500)
    found = run(Network([Population("E", 100, params={"i": 0.02})]), 1.0)
    assert found.stopped.startswith("more than 500 spikes by") and 0.05 <= found.stop < 1.0
    assert found.spikes.stop == found.stop and len(found.steps["E"]) > 500


def test_weights_of_another_number_than_synapses():
    network = Network([E], [Projection("E", "E", ALL, weight=np.ones(3))])
    with pytest.raises(BraindecError, match="3 weights for 56 synapses"):
        connections(network, 0)


def test_every_model_and_rule_says_what_it_is():
    for kind in ("networks.neurons", "networks.rules"):
        for name in registry.names(kind):
            module = registry.load_module(kind, name)
            assert module.__doc__ and registry.get(kind, name).__doc__, name
