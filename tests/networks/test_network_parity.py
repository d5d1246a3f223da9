"""Trajectories and statistics against those of Brian2 and NEST, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from braindec import registry
from braindec.networks.description import CurrentDrive, Network, Population, Projection, Record
from braindec.networks.neurons.izhikevich import TYPES
from braindec.networks.published import cuba
from braindec.networks.rules.from_matrix import FromMatrix
from braindec.networks.simulate import run

EVERY = 1e-4


@pytest.fixture(scope="module")
def brian(shared):
    return np.load(shared("neurons_brian2.npz", kind="parity"), allow_pickle=False)


def test_cuba_neuron_has_brian2s_trajectory(brian):
    given = Population(
        "in", 2, model="recorded", params={"times": brian["cuba_in_t_ms"] * 1e-3, "neurons": brian["cuba_in_i"]}
    )
    synapses = [
        Projection("in", "C", FromMatrix([[1.62e-3, 0.0]]), name="e"),
        Projection("in", "C", FromMatrix([[0.0, -9e-3]]), name="i"),
    ]
    network = Network([given, Population("C", 1, initial={"v": -0.060})], synapses)
    found = run(network, 0.15, dtype="float64", record=Record(states={"C": ("v", "g_e", "g_i")}, state_every=EVERY))
    for variable, key in (("v", "cuba_v_mV"), ("g_e", "cuba_ge_mV"), ("g_i", "cuba_gi_mV")):
        np.testing.assert_allclose(found.states["C"][variable][0] * 1e3, brian[key], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.spikes.train("C0") * 1e3, brian["cuba_spikes_ms"], atol=1e-9)
    np.testing.assert_allclose(found.state_times * 1e3, brian["cuba_t_ms"], atol=1e-9)


def test_rate_against_current_is_brian2s_and_the_closed_form(brian):
    drive = brian["lif_fI_I_mV"] * 1e-3
    params = {"v_rest": -0.060, "v_reset": -0.060, "v_threshold": -0.040, "t_ref": 0.002}
    network = Network([Population("C", len(drive), params=params)], (), [CurrentDrive("C", drive)])
    counts = np.bincount(run(network, 2.0, dtype="float64").spikes.unit, minlength=len(drive))
    edge = np.isclose(drive, 0.020)  # the potential tends to the threshold itself: rounding decides
    np.testing.assert_array_equal(counts[~edge], brian["lif_fI_counts_2s"][~edge])
    above = drive > 0.0205
    interval = 0.002 + 0.020 * np.log(drive[above] / (drive[above] - 0.020))
    assert np.all(np.abs(2.0 / interval - counts[above]) < 2.0 / interval**2 * 1e-4 + 1)


def test_adaptive_exponential_has_brian2s_trajectory(brian):
    cell = Population("C", 1, model="adaptive_exponential", params={"i": 1e-9, "v_peak": -0.040})
    found = run(
        Network([cell], dt=1e-5), 0.3, dtype="float64", record=Record(states={"C": ("v", "w")}, state_every=EVERY)
    )
    np.testing.assert_allclose(found.states["C"]["v"][0] * 1e3, brian["adex_v_mV"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.states["C"]["w"][0] * 1e9, brian["adex_w_nA"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.spikes.times * 1e3, brian["adex_spikes_ms"], atol=1e-9)


def test_five_izhikevich_types_have_brian2s_trajectories(brian):
    a, b, c, d = brian["izh_params"].T
    assert [(t["a"], t["b"], t["v_reset"], t["d"]) for t in TYPES.values()] == list(zip(a, b, c / 1e3, d))
    cell = Population(
        "C",
        5,
        model="izhikevich",
        params={"a": a, "b": b, "v_reset": c / 1e3, "d": d, "i": 10.0},
        initial={"u": -65.0 * b},
    )
    found = run(Network([cell]), 0.3, dtype="float64", record=Record(states={"C": ("v", "u")}, state_every=EVERY))
    np.testing.assert_allclose(found.states["C"]["v"] * 1e3, brian["izh_v"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.states["C"]["u"], brian["izh_u"], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.spikes.unit, brian["izh_spk_i"])
    np.testing.assert_allclose(found.spikes.times * 1e3, brian["izh_spk_t_ms"], atol=1e-9)


def test_a_plastic_synapse_ends_at_brian2s_weight(brian):
    """A spike counts when it arrives, one step after it was sent: it is sent one step before Brian2's."""
    pre, post = brian["stdp_train_pre_ms"] * 1e-3, brian["stdp_train_post_ms"] * 1e-3
    rule = registry.get("networks.plasticity", "pair_stdp").with_params(w_max=1.0, a_plus=0.01, a_minus=0.0105)
    force = Population("post", 1, model="recorded", params={"times": post - 1e-4, "neurons": np.zeros(len(post), int)})
    source = Population("pre", 1, model="recorded", params={"times": pre - 1e-4, "neurons": np.zeros(len(pre), int)})
    cell = Population("C", 1, model="lif_delta", params={"t_ref": 0.0, "v_threshold": 0.02, "tau_m": 1e-3})
    network = Network(
        [source, force, cell],
        [Projection("pre", "C", {"name": "one_to_one"}, weight=0.5e-6, name="p", plasticity=rule.with_params(w_max=1e-6)),
         Projection("post", "C", {"name": "one_to_one"}, weight=1.0, receptor="excitatory")],
    )  # fmt: skip
    found = run(network, float(max(pre.max(), post.max())) + 0.01, dtype="float64")
    assert len(found.steps["C"]) == len(post)
    assert found.weights["p"][0] * 1e6 == pytest.approx(float(brian["stdp_train_w_final"]), abs=1e-9)


def statistics(network, seeds, seconds, warm):
    """Rate, CV of intervals (units with 4 or more spikes), rate and Fano factor of 5 ms counts of the population, by seed."""
    rows = []
    for seed in seeds:
        found = run(network, seconds + warm, seed=seed)
        spikes = found.spikes
        keep = spikes.times >= warm
        times, unit = spikes.times[keep], spikes.unit[keep]
        order = np.lexsort((times, unit))
        gaps, same = np.diff(times[order]), np.diff(unit[order]) == 0
        owner, gaps = unit[order][1:][same], gaps[same]
        n = np.bincount(owner, minlength=spikes.n_units)
        mean = np.bincount(owner, gaps, spikes.n_units) / np.maximum(n, 1)
        square = np.bincount(owner, gaps**2, spikes.n_units) / np.maximum(n, 1)
        cv = (np.sqrt(np.maximum(square - mean**2, 0)) / np.maximum(mean, 1e-9))[n >= 3]
        counts = np.histogram(times, np.arange(warm, warm + seconds + 1e-9, 5e-3))[0]
        rows.append((len(times) / spikes.n_units / seconds, cv.mean(), counts.mean(), counts.var() / counts.mean()))
    return np.array(rows)


@pytest.mark.slow
def test_cuba_has_the_statistics_of_brian2_and_nest(shared):
    known = []
    for name in ("brian2", "nest"):
        data = np.load(shared(f"network_stats_{name}.npz", kind="parity"), allow_pickle=False)
        keys = ("rate_mean", "cv_mean", "pop_rate_5ms_mean", "synchrony_fano")
        known += [[float(data[f"cuba_{name}_s{s}_{k}"]) for k in keys] for s in (1, 2, 3)]
    known = np.array(known)
    found = statistics(cuba(), range(1, 7), 5.0, 0.5)
    spread = known.std(axis=0, ddof=1)
    for column, name in enumerate(("rate", "CV", "spikes in 5 ms", "Fano factor")):
        low, high = known[:, column].min() - 3 * spread[column], known[:, column].max() + 3 * spread[column]
        mine = found[:, column].mean()
        assert known[:, column].min() - spread[column] < mine < known[:, column].max() + spread[column], (
            name,
            found,
            known,
        )
        assert np.all((found[:, column] > low) & (found[:, column] < high)), (name, found[:, column], known[:, column])
