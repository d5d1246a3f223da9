"""The engine's plasticity is that of given trains: the spikes that it made, through the definition, give its weights."""

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.stdp import apply_to_trains
from braindec.networks.build import connections
from braindec.networks.description import Network, PoissonDrive, Population, Projection
from braindec.networks.simulate import run

pytestmark = pytest.mark.filterwarnings("ignore:unit .* no interval below:UserWarning")
SLOW = ["weight_dependent_stdp", "triplet_stdp", "vogels_inhibitory", "oja", "homeostatic", "astrocyte_stdp"]
RULES = ["pair_stdp", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]  # each compiles a loop of its own


def rule_of(name):
    """A rule that changes weights visibly, in volt."""
    more = {"w_max": 1e-3}
    more |= (
        {"w_unit": 3e-3}
        if name == "oja"
        else {"w_unit": 3e-4, "plus": "E", "minus": "in"}
        if name == "astrocyte_stdp"
        else {}
    )
    more |= {"eta": 0.05} if name in ("oja", "weight_dependent_stdp", "homeostatic") else {}
    return registry.get("networks.plasticity", name).with_params(**more)


def network_of(rule, dt):
    rng = np.random.default_rng(1)
    steps = np.sort(rng.choice(round(1.0 / dt), (6, 25)), axis=1)
    spikes = [np.unique(s) for s in steps]
    given = {"times": np.concatenate(spikes) * dt, "neurons": np.repeat(np.arange(6), [len(s) for s in spikes])}
    populations = [Population("in", 6, model="recorded", params=given), Population("E", 5, sign="excitatory")]
    plastic = Projection("in", "E", {"name": "fixed_probability", "p": 0.7}, weight=4e-4, delay=2 * dt, plasticity=rule)
    return Network(populations, [plastic], [PoissonDrive("E", rate=400.0, weight=1.5e-3)], dt=dt)


@pytest.mark.parametrize("name", RULES)
def test_weights_of_the_engine_are_those_of_its_spikes(name):
    dt, seconds, rule = 5e-4, 1.0, rule_of(name)
    network = network_of(rule, dt)
    got = run(network, seconds, seed=3, dtype="float64")
    made = connections(network, 3)["in->E"]
    spikes = got.spikes
    trains = [np.rint(spikes.times[spikes.unit == u] / dt) * dt for u in range(11)]
    assert sum(map(len, trains[6:])) > 20
    pre, post = ([trains[i] + 2 * dt for i in made.sources], [trains[6 + i] for i in made.targets])
    pre = [t[t < seconds - dt / 2] for t in pre]  # what arrives later is not seen
    ragged = [(np.concatenate(t), np.concatenate([[0], np.cumsum([len(x) for x in t])])) for t in (pre, post)]
    modulator = _astrocyte(rule, trains, dt, seconds) if rule.modulator else None
    expected = apply_to_trains(rule, *ragged, 4e-4, dt=dt, stop=seconds - dt, modulator=modulator).final
    assert np.ptp(expected) > 1e-6, "the weights changed, each its own way"
    np.testing.assert_allclose(got.weights["in->E"], expected, rtol=1e-9)


def _astrocyte(rule, trains, dt, seconds):
    """State at each step: that after the spikes of the step before."""
    n = round(seconds / dt)
    drive = np.zeros(n)
    for u, t in enumerate(trains):
        np.add.at(drive, np.rint(t / dt).astype(int), 1.0 if u >= 6 else -1.0)
    state, m = np.zeros(n), rule.number("baseline")
    for k in range(n):
        state[k] = m
        m += dt / rule.number("tau_astrocyte") * (rule.number("gain") * drive[k] + rule.number("baseline") - m)
    return state


def test_a_bound_far_above_the_first_weights_is_told():
    import warnings

    from braindec import registry
    from braindec.networks.published import cuba

    rule = registry.get("networks.plasticity", "pair_stdp")
    with pytest.warns(UserWarning, match="times its first weights"):
        cuba(100, plasticity=rule)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cuba(100, plasticity=rule.with_params(w_max=5e-3))
