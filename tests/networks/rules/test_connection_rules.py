"""Connection rules: numbers and distributions of synapses, and that the same seed gives the same ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from braindec.networks.build import connections
from braindec.networks.description import Network, Normal, Population, Projection, Uniform
from braindec.networks.rules.all_to_all import AllToAll
from braindec.networks.rules.distance_dependent import DistanceDependent
from braindec.networks.rules.fixed_in_degree import FixedInDegree
from braindec.networks.rules.fixed_out_degree import FixedOutDegree
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.rules.from_matrix import FromMatrix
from braindec.networks.rules.one_to_one import OneToOne


def made(rule, *, n=60, m=40, seed=1, within=False, positions=None, **how):
    a = Population("A", n, positions=positions)
    b = a if within else Population("B", m)
    network = Network([a] if within else [a, b], [Projection("A", a.name if within else "B", rule, **how)])
    return connections(network, seed)[network.projections[0].name]


def rows(s):
    return [s.targets[s.offsets[i] : s.offsets[i + 1]] for i in range(len(s.offsets) - 1)]


@pytest.mark.parametrize(
    "rule", [FixedProbability(0.3), FixedInDegree(7), FixedInDegree(7, multapses=False), FixedOutDegree(5), AllToAll()]
)
def test_the_seed_decides_and_rows_are_sorted(rule):
    one, same, other = (made(rule, within=True, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.targets, same.targets)
    assert isinstance(rule, AllToAll) or not np.array_equal(one.targets, other.targets)
    assert not any(i in row for i, row in enumerate(rows(one)))  # no autapses unless asked for
    assert all((np.diff(row) >= 0).all() for row in rows(one))


def test_fixed_probability_is_binomial_and_even():
    s = made(FixedProbability(0.1), n=2000, m=500)
    assert abs(s.n - 1e5) < 5 * np.sqrt(1e5 * 0.9)
    assert all(len(set(r.tolist())) == len(r) for r in rows(s))
    for counts, n in ((np.bincount(s.targets, minlength=500), 2000), (np.diff(s.offsets), 500)):
        expected = n * 0.1
        statistic = ((counts - expected) ** 2 / (expected * 0.9)).sum()
        assert 0.001 < stats.chi2.sf(statistic, len(counts)) < 0.999
    assert made(FixedProbability(0.0)).n == 0 and made(FixedProbability(1.0)).n == 2400
    assert made(FixedProbability(1.0), n=30, within=True).n == 30 * 29
    assert made(FixedProbability(1.0), n=30, within=True, autapses=True).n == 900


@pytest.mark.parametrize("multapses", [True, False])
def test_fixed_in_degree_is_fixed_and_sources_are_even(multapses):
    s = made(FixedInDegree(25, multapses=multapses), n=100, m=3000)
    np.testing.assert_array_equal(np.bincount(s.targets, minlength=3000), 25)
    out = np.diff(s.offsets)
    p = 25 / 100
    variance = 3000 * p * (1 - p if not multapses else 1 - 0.01)
    assert 0.001 < stats.chi2.sf(((out - 3000 * p) ** 2 / variance).sum(), 100) < 0.999
    doubled = sum(len(r) - len(set(r.tolist())) for r in rows(s))
    assert (doubled > 1000) if multapses else doubled == 0


def test_fixed_out_degree_is_the_same_the_other_way_round():
    s = made(FixedOutDegree(12, multapses=False), n=80, m=50)
    np.testing.assert_array_equal(np.diff(s.offsets), 12)
    assert all(len(set(r.tolist())) == 12 for r in rows(s))


def test_one_to_one_and_all_to_all():
    s = made(OneToOne(), n=9, m=9)
    np.testing.assert_array_equal(s.targets, np.arange(9))
    assert made(AllToAll(), n=5, m=7).n == 35


@pytest.mark.parametrize("profile", ["gaussian", "exponential"])
def test_distance_decides_the_probability(profile):
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 1e-3, (500, 3))
    s = made(DistanceDependent(c=0.6, scale=3e-4, profile=profile), n=500, within=True, positions=places)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    there = np.zeros((500, 500), bool)
    there[s.sources, s.targets] = True
    near = distance / 3e-4
    p = 0.6 * (np.exp(-(near**2)) if profile == "gaussian" else np.exp(-near))
    np.fill_diagonal(p, 0.0)
    for low, high in ((0, 0.5), (0.5, 1), (1, 1.5), (1.5, 3)):
        inside = (near >= low) & (near < high) & ~np.eye(500, dtype=bool)
        found, expected = there[inside].sum(), p[inside].sum()
        assert abs(found - expected) < 5 * np.sqrt((p[inside] * (1 - p[inside])).sum()), (low, found, expected)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_a_matrix_is_taken_as_it_is(form):
    rng = np.random.default_rng(1)
    w = np.where(rng.random((40, 60)) < 0.2, rng.normal(size=(40, 60)), 0.0)
    by_target = made(FromMatrix(form(w)), weight=1e-3, receptor="excitatory")
    by_source = made(FromMatrix(form(w.T), rows="sources"), weight=1e-3, receptor="excitatory")
    dense = np.zeros((60, 40))
    dense[by_target.sources, by_target.targets] = by_target.weights
    np.testing.assert_allclose(dense.T, 1e-3 * w, rtol=1e-15)
    np.testing.assert_array_equal(by_source.targets, by_target.targets)
    np.testing.assert_array_equal(by_source.weights, by_target.weights)
    np.testing.assert_allclose(by_target.matrix().toarray()[:, : w.shape[0]], 1e-3 * w.T)


def test_weights_and_delays_are_drawn_within_their_signs_and_steps():
    a, b = Population("A", 50, sign="inhibitory"), Population("B", 50)
    how = {"weight": Normal(-1e-3, 1e-3), "delay": Uniform(1e-3, 5e-3)}
    s = connections(Network([a, b], [Projection("A", "B", AllToAll(), **how)]), 3)["A->B"]
    assert s.weights.max() <= 0 and s.weights.std() > 3e-4
    assert s.delay_steps.min() == 10 and s.delay_steps.max() == 50 and len(np.unique(s.delay_steps)) == 41
    np.testing.assert_allclose(s.delays, s.delay_steps * 1e-4)
