"""The compiled loop against its numpy definition, and runs that are cut in two or shared by threads."""

from __future__ import annotations

import numpy as np
import pytest

from braindec import registry
from braindec.networks.description import (
    CurrentDrive,
    Network,
    Normal,
    PoissonDrive,
    Population,
    Projection,
    Record,
    Uniform,
)
from braindec.networks.rules.fixed_in_degree import FixedInDegree
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.simulate import run


def everything(*, plastic: bool = False, spread: bool = True) -> Network:
    """A small network with sources, two models, drawn weights, delays of all kinds, and drives of all kinds."""
    rng = np.random.default_rng(3)
    rule = registry.get("networks.plasticity", "pair_stdp").with_params(w_max=8e-3, a_plus=0.1, a_minus=0.12)
    rates = np.array([[0.0], [400.0], [50.0]])
    populations = [
        Population("in", 20, model="poisson", params={"rate": rates, "bin_width": 0.02}),
        Population("E", 30, initial={"v": (-0.06, -0.05)}, params={"tau_m": rng.uniform(0.015, 0.025, 30)}, sign="excitatory"),
        Population("I", 14, model="lif_delta", params={"v_rest": -0.06, "v_reset": -0.06, "v_threshold": -0.05}, initial={"v": -0.06},
                   sign="inhibitory"),
        Population("given", 3, model="recorded", params={"times": np.array([0.001, 0.03, 0.03]), "neurons": np.array([2, 0, 1])}),
    ]  # fmt: skip
    projections = [
        Projection("in", "E", FixedProbability(0.4), weight=4e-3, delay=1e-3),
        Projection(
            "E", "E", FixedProbability(0.3), weight=Normal(3e-3, 1e-3), delay=Uniform(1e-3, 4e-3) if spread else 2e-3
        ),
        Projection("E", "I", FixedInDegree(8), weight=1.5e-3, delay=5e-4, plasticity=rule if plastic else None),
        Projection("I", "E", FixedProbability(0.5), weight=Normal(-1e-3, 3e-4)),
        Projection("given", "E", {"name": "all_to_all"}, weight=9e-3, receptor="excitatory", delay=2e-3),
    ]
    drives = [
        PoissonDrive("I", rate=rng.uniform(0, 500, 14), weight=1e-3, n_synapses=4),
        PoissonDrive("I", rate=1500.0, weight=1e-3, receptor="excitatory"),
        CurrentDrive("E", np.array([[2e-3], [6e-3]]), bin_width=0.03),
    ]
    return Network(populations, projections, drives, dt=1e-4)


RECORD = Record(states={"E": ("v", "g_e"), "I": ("v",)}, state_every=3e-4, state_neurons={"E": [0, 7, 29]})


def assert_equal(a, b, exact=True):
    for name in a.steps:
        assert np.array_equal(a.steps[name], b.steps[name]) and np.array_equal(a.neurons[name], b.neurons[name]), name
    same = np.testing.assert_array_equal if exact else lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
    for name in a.states:
        for variable in a.states[name]:
            same(a.states[name][variable], b.states[name][variable])


@pytest.mark.parametrize("plastic", [False, True])
def test_the_compiled_loop_is_its_definition(plastic):
    network = everything(plastic=plastic)
    a = run(network, 0.08, seed=5, dtype="float64", record=RECORD, backend="numpy")
    b = run(network, 0.08, seed=5, dtype="float64", record=RECORD)
    assert len(a.steps["E"]) > 40 and len(a.steps["I"]) > 20 and len(a.steps["in"]) > 100
    assert_equal(a, b, exact=not plastic)
    if plastic:
        np.testing.assert_allclose(a.weights["E->I"], b.weights["E->I"], rtol=1e-9)
        assert a.weights["E->I"].std() > 1e-5


@pytest.mark.parametrize(("name", "dtype"), [("lif_conductance", "float64"), ("exponential_if", "float64"), ("adaptive_exponential", "float64"),
                                             ("izhikevich", "float64"), ("lif_conductance", "float32")])  # fmt: skip
def test_models_are_the_same_compiled_and_not(name, dtype):
    drive = {"lif_conductance": 3e-10, "exponential_if": 6e-10, "adaptive_exponential": 1e-9, "izhikevich": 12.0}[name]
    weight = {"exponential_if": 1e-10, "izhikevich": 1e-3}.get(name, 5e-9)
    cells = Population("C", 6, model=name, params={"i": drive * np.linspace(0.9, 1.1, 6)})
    network = Network(
        [cells], [Projection("C", "C", {"name": "all_to_all"}, weight=weight, receptor="excitatory")], dt=5e-5
    )
    record = Record(states={"C": ("v",)}, state_every=5e-5)
    a, b = (run(network, 0.04, dtype=dtype, record=record, backend=k) for k in ("numpy", None))
    if dtype == "float64":
        assert_equal(a, b)
        assert len(a.steps["C"]) >= 6
    else:  # exp in float32 differs by a rounding
        early = slice(0, 60)
        np.testing.assert_allclose(a.states["C"]["v"][:, early], b.states["C"]["v"][:, early], rtol=1e-4)


@pytest.mark.parametrize("plastic", [False, True])
def test_a_run_cut_in_three_is_the_undisturbed_run(plastic):
    network = everything(plastic=plastic)
    whole = run(network, 0.08, seed=5, record=RECORD)
    first = run(network, 0.0205, seed=5, record=RECORD)
    second = run(network, 0.0312, seed=5, record=RECORD, start=first)
    again = run(network, 0.0312, seed=5, record=RECORD, start=first)  # the first state was not used up
    third = run(network, 0.0283, seed=5, record=RECORD, start=second, threads=1 if plastic else 2)
    assert_equal(second, again)
    for name in whole.steps:
        joined = np.concatenate([p.steps[name] for p in (first, second, third)])
        assert np.array_equal(whole.steps[name], joined), name
    for name in whole.states:
        for variable in whole.states[name]:
            parts = np.concatenate([p.states[name][variable] for p in (first, second, third)], axis=1)
            np.testing.assert_array_equal(whole.states[name][variable], parts)
    assert third.stop == pytest.approx(0.08)
    if plastic:
        np.testing.assert_array_equal(whole.weights["E->I"], third.weights["E->I"])


def test_threads_give_the_same_spikes_and_variables():
    rng = np.random.default_rng(0)
    n = 600  # five blocks of neurons, shared unevenly
    cells = Population("E", n, initial={"v": rng.uniform(-0.06, -0.05, n)})
    network = Network(
        [cells],
        [Projection("E", "E", FixedProbability(0.05), weight=Normal(1e-3, 5e-4), delay=1.5e-3, receptor="excitatory"),
         Projection("E", "E", FixedProbability(0.05), weight=-5e-3, delay=Uniform(2e-3, 9e-3), name="slow", receptor="inhibitory")],
        [PoissonDrive("E", rate=500.0, weight=1e-3)],
    )  # fmt: skip
    record = Record(states={"E": ("v", "g_i")})
    one, two, three = (run(network, 0.2, seed=1, threads=k, record=record) for k in (1, 2, 3))
    assert len(one.steps["E"]) > 500
    assert_equal(one, two)
    assert_equal(one, three)
