"""Spikes delivered and neurons stepped by CUDA threads, and whole runs of a few neurons."""

from __future__ import annotations

import numpy as np
import pytest

from braindec import registry
from braindec.kernels.propagation import propagation
from braindec.kernels.state_update import from_blocks, state_update, to_blocks
from braindec.networks.description import CurrentDrive, Network, Normal, PoissonDrive, Population, Projection, Record
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.simulate import run


@pytest.mark.parametrize("constant", [True, False])
def test_propagation_is_the_same(constant):
    rng = np.random.default_rng(0)
    offsets = np.array([0, 3, 3, 9, 10])
    targets = rng.integers(0, 6, 10).astype(np.int32)
    weights = 0.5 if constant else rng.normal(size=10)
    spikes = np.array([0, 2, 3], dtype=np.int32)
    found, expected = (
        propagation(offsets, targets, weights, spikes, np.zeros(6), backend=b) for b in ("cuda", "numpy")
    )
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["lif", "adaptive_exponential", "izhikevich", "poisson"])
def test_state_update_is_the_same(name):
    kind = registry.get("networks.neurons", name)
    rng = np.random.default_rng(1)
    n = 20
    start = {"v": rng.uniform(-0.07, 0.04, n) / kind.unit.get("v", 1.0)}
    rows = [start.get(s, np.zeros(n)) for s in kind.states]
    constants = kind.constants({**kind.params, **({"rate": 3000.0} if name == "poisson" else {"i": 0.0})}, 1e-4)
    bodies = kind.bodies(())
    values = np.array([float(v) for v in constants.values()])
    blocks = {b: to_blocks(rows, np.float64) for b in ("cuda", "numpy")}
    fired = {b: state_update(bodies, blocks[b], values, n, key=7, step=3, backend=b) for b in blocks}
    np.testing.assert_array_equal(fired["cuda"], fired["numpy"])
    assert 0 < len(fired["numpy"]) < n
    for row in range(len(kind.states)):
        np.testing.assert_allclose(*(from_blocks(blocks[b], row, n) for b in blocks), rtol=1e-13)


def test_a_small_network_runs_the_same():
    rng = np.random.default_rng(2)
    cells = Population(
        "E", 6, initial={"v": rng.uniform(-0.052, -0.0501, 6)}, params={"tau_m": rng.uniform(0.015, 0.02, 6)}
    )
    given = Population(
        "in", 3, model="recorded", params={"times": np.array([1e-4, 5e-4, 5e-4]), "neurons": np.array([0, 1, 2])}
    )
    network = Network(
        [cells, given],
        [Projection("E", "E", FixedProbability(0.4), weight=Normal(2e-3, 5e-4), delay=2e-4, receptor="excitatory"),
         Projection("in", "E", FixedProbability(0.8), weight=20e-3, receptor="excitatory")],
        [PoissonDrive("E", rate=4000.0, weight=2e-3), CurrentDrive("E", 0.01)],
    )  # fmt: skip
    record = Record(states={"E": ("v",)}, state_every=1e-4)
    found, expected = (
        run(network, 1.2e-3, seed=4, dtype="float64", record=record, backend=b) for b in ("cuda", "numpy")
    )
    assert len(expected.steps["E"]) >= 4
    for name in expected.steps:
        np.testing.assert_array_equal(found.steps[name], expected.steps[name])
        np.testing.assert_array_equal(found.neurons[name], expected.neurons[name])
    np.testing.assert_allclose(found.states["E"]["v"], expected.states["E"]["v"], rtol=1e-12)


def test_an_explosion_is_seen_and_what_came_before_is_kept():
    wild = Population("wild", 2, model="lif_delta", params={"t_ref": 0.0, "i": 10.0})
    found = run(Network([wild]), 0.02, backend="cuda")
    assert found.stopped.startswith("the population 'wild' exploded: 1000 Hz") and found.stop == pytest.approx(0.0128)
    assert len(found.steps["wild"]) == 256
    lost = Population("lost", 1, model="adaptive_exponential", initial={"w": 1e308})
    found = run(Network([lost]), 0.01, backend="cuda", dtype="float64")
    assert "'lost' exploded: a variable was not finite" in found.stopped and found.stop == pytest.approx(0.0064)
