"""Parameters of plasticity rules that cannot be: one clear error when the rule is made, not NaN weights after a run."""

import numpy as np
import pytest

from braindec import registry
from braindec.errors import BraindecError
from braindec.kernels.short_term import transmit_factors
from braindec.kernels.stdp import apply_to_trains
from braindec.networks.description import Network, Population, Projection
from braindec.networks.plasticity_rule import PlasticityRule, Trace
from braindec.networks.simulate import run

BAD = [
    ("pair_stdp", {"tau_plus": 0.0}, "tau_plus"),
    ("pair_stdp", {"tau_minus": -0.02}, "tau_minus"),
    ("pair_stdp", {"a_plus": float("nan")}, "a_plus"),
    ("pair_stdp", {"a_plus": "0.01"}, "is a number"),
    ("pair_stdp", {"w_min": 2.0}, "above w_max"),
    ("triplet_stdp", {"tau_x": float("inf")}, "tau_x"),
    ("homeostatic", {"period": 0.0}, "period"),
    ("homeostatic", {"target": 0.0}, "target"),
    ("oja", {"rate": 0.0}, "rate"),
    ("short_term", {"use": 1.5}, "use"),
    ("short_term", {"tau_recovery": -0.1}, "tau_recovery"),
    ("astrocyte_stdp", {"tau_astrocyte": 0.0}, "tau_astrocyte"),
    ("astrocyte_stdp", {"plus": 1.0}, "names of populations"),
]


@pytest.mark.parametrize(("name", "changes", "says"), BAD)
def test_a_parameter_out_of_range_is_refused(name, changes, says):
    with pytest.raises(BraindecError, match=says):
        registry.get("networks.plasticity", name).with_params(**changes)


def test_a_rule_needs_the_parameters_that_it_names():
    with pytest.raises(BraindecError, match="tau_fast"):
        PlasticityRule("mine", {"w_max": 1.0}, pre_traces=(Trace("tau_fast"),))
    assert registry.get("networks.plasticity", "pair_stdp").with_params(w_max=float("inf")).number("w_max") == np.inf


@pytest.mark.parametrize("name", ["pair_stdp", "homeostatic", "astrocyte_stdp"])
def test_a_step_longer_than_a_time_constant_is_refused(name):
    rule = registry.get("networks.plasticity", name)
    with pytest.raises(BraindecError, match="dt is larger than"):
        apply_to_trains(rule, [1.0], [2.0], 0.5, dt=1.5)
    quick = rule.with_params(
        **{k: 5e-4 for k in rule.params if k.startswith("tau_")}, w_max=1e-3, **({"plus": "E"} if "plus" in rule.params else {})
    )  # fmt: skip
    spikes = {"times": np.array([0.01]), "neurons": np.array([0])}
    populations = [Population("in", 1, model="recorded", params=spikes), Population("E", 1)]
    network = Network(populations, [Projection("in", "E", "all_to_all", weight=1e-4, delay=1e-3, plasticity=quick)], dt=1e-3)  # fmt: skip
    with pytest.raises(BraindecError, match="dt is larger than"):
        run(network, 0.1, seed=0)


def test_trains_need_a_rule_and_numbers():
    rule = registry.get("networks.plasticity", "homeostatic")
    for call, says in (
        (lambda: apply_to_trains("pair_stdp", [1.0], [2.0], 0.5), "not its name"),
        (lambda: transmit_factors("short_term", [1.0]), "not its name"),
        (lambda: apply_to_trains(rule, [1.0], [2.0], "a"), "numbers"),
        (lambda: apply_to_trains(rule, [1.0], [2.0], 0.5, stop=float("nan")), "stop"),
    ):
        with pytest.raises(BraindecError, match=says):
            call()


def test_without_recovery_time_every_spike_finds_full_resources():
    rule = registry.get("networks.plasticity", "short_term").with_params(tau_recovery=0.0, use=0.3)
    for backend in ("numpy", "numba"):
        np.testing.assert_allclose(transmit_factors(rule, [0.1, 0.101, 0.2], backend=backend), 0.3, rtol=1e-12)
