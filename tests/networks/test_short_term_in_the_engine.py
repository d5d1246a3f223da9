"""Short-term plasticity in the engine: what arrives is the weight times the recursion of Tsodyks, Pawelzik & Markram."""

import math

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.short_term import transmit_factors
from braindec.networks.description import Network, Population, Projection
from braindec.networks.simulate import Record, run

DT, TAU = 1e-3, 0.02


@pytest.mark.parametrize("backend", [None, "numpy"])
@pytest.mark.parametrize("params", [{}, {"tau_facilitation": 1.0, "tau_recovery": 0.13, "use": 0.03}])
def test_what_arrives_is_the_weight_times_the_factor(params, backend):
    rule = registry.get("networks.plasticity", "short_term").with_params(**params)
    steps = np.unique(np.random.default_rng(0).integers(1, 900, 40))
    given = {"times": steps * DT, "neurons": np.zeros(len(steps), dtype=int)}
    populations = [
        Population("in", 1, model="recorded", params=given),
        Population("E", 1, model="lif_delta", params={"v_threshold": 10.0, "tau_m": TAU}),  # never fires
    ]
    network = Network(populations, [Projection("in", "E", "one_to_one", weight=1e-3, delay=DT, plasticity=rule)], dt=DT)
    record = Record(states={"E": ("v",)}, state_every=DT)
    v = run(network, 1.0, seed=0, dtype="float64", record=record, backend=backend).states["E"]["v"][0]
    jumps = v[1:] - v[:-1] * math.exp(-DT / TAU)
    arrived = jumps[np.abs(jumps) > 1e-9] / 1e-3
    expected, u, r, before = [], 0.0, 1.0, None
    tau_f, tau_r, use = (rule.number(k) for k in ("tau_facilitation", "tau_recovery", "use"))
    for t in steps * DT:  # equations 3 and 4 of the paper, from spike to spike
        if before is None:
            u = use
        else:
            gone, kept = math.exp(-(t - before) / tau_r), math.exp(-(t - before) / tau_f) if tau_f else 0.0
            r = r * (1 - u) * gone + 1 - gone
            u = u * kept + use * (1 - u * kept)
        before = t
        expected.append(u * r)
    np.testing.assert_allclose(arrived, expected, rtol=1e-9)
    np.testing.assert_allclose(transmit_factors(rule, steps * DT), expected, rtol=1e-9)
