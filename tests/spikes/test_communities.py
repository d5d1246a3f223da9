"""Communities against networkx and scikit-learn, planted partitions, connected parts, and nulls that hold their level."""

import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from braindec.errors import BraindecError
from braindec.spikes.communities import _checked, _shuffled, find_communities, modularity, mutual_information


def planted(n, k, inside, outside, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    there = np.triu(rng.random((n, n)) < np.where(labels[:, None] == labels, inside, outside), 1)
    weights = there * rng.uniform(0.5, 1.5, (n, n))
    return weights + weights.T, labels


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_is_that_of_networkx(resolution):
    a, labels = planted(40, 4, 0.6, 0.2)
    groups = [np.flatnonzero(labels == k).tolist() for k in range(4)]
    expected = nx.community.modularity(nx.from_numpy_array(a), groups, resolution=resolution)
    assert modularity(a, labels, resolution=resolution) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["leiden", "louvain"])
def test_a_planted_partition_is_found_and_noise_is_not(method):
    a, labels = planted(90, 3, 0.4, 0.08)
    found = find_communities(a, method=method, n_nulls=39)
    assert mutual_information(found.labels, labels) > 0.9 and found.p == pytest.approx(1 / 40) and found.n == 3
    assert found.agreement > 0.9
    noise, labels = planted(90, 3, 0.2, 0.2)
    found = find_communities(noise, method=method, n_nulls=39)
    assert mutual_information(found.labels, labels) < 0.15 and found.p > 0.05


def test_never_worse_than_louvain_of_networkx():
    for seed in range(4):
        graph = nx.LFR_benchmark_graph(120, 3, 1.5, 0.35, average_degree=8, min_community=15, seed=10 + seed)
        graph.remove_edges_from(nx.selfloop_edges(graph))
        a = nx.to_numpy_array(graph)
        other = nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=0))
        assert find_communities(a, n_nulls=0, n_seeds=5).observed > other - 0.01


def test_the_lfr_benchmark():
    graph = nx.LFR_benchmark_graph(250, 3, 1.5, 0.2, average_degree=10, min_community=20, seed=10)
    truth = np.zeros(250, dtype=int)
    for k, group in enumerate({frozenset(graph.nodes[v]["community"]) for v in graph}):
        truth[list(group)] = k
    found = find_communities(nx.to_numpy_array(graph), n_nulls=0)
    assert mutual_information(found.labels, truth) > 0.9


def test_refined_communities_hang_together():
    graph = nx.ring_of_cliques(12, 5)
    found = find_communities(nx.to_numpy_array(graph), n_nulls=0, n_seeds=5)
    assert all(nx.is_connected(graph.subgraph(np.flatnonzero(found.labels == k))) for k in range(found.n))
    assert all(len(set(found.labels[5 * k : 5 * k + 5])) == 1 for k in range(12))


def test_mutual_information_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 4, 50), rng.integers(0, 3, 50)
        assert mutual_information(a, b) == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-12)
    assert mutual_information([1, 1, 2], ["x", "x", "y"]) == 1.0 and mutual_information([0, 0], [5, 5]) == 1.0


def test_the_null_keeps_weights_and_strengths():
    a, _ = planted(40, 2, 0.5, 0.2)
    graph = _checked(a)
    made = _shuffled(graph, np.random.default_rng(0), strengths=True).toarray()
    np.testing.assert_allclose(np.sort(made[made > 0]), np.sort(a[a > 0]))
    assert np.array_equal(made, made.T) and not made.diagonal().any()
    assert np.abs(made.sum(0) - a.sum(0)).max() < 0.1 * a.sum(0).std() + a[a > 0].std()
    assert np.corrcoef(made[np.triu_indices(40, 1)], a[np.triu_indices(40, 1)])[0, 1] < 0.3
    binary = _checked((a > 0).astype(float))
    degrees = _shuffled(binary, np.random.default_rng(0), strengths=True).toarray().sum(0)
    assert np.array_equal(degrees, (a > 0).sum(0))


@pytest.mark.slow
def test_p_holds_its_level_on_graphs_that_strengths_explain():
    p = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        size = rng.uniform(0.5, 2, 24)
        a = np.triu(rng.random((24, 24)) * np.outer(size, size), 1)
        p.append(find_communities(a + a.T, n_nulls=19, n_seeds=3, rng=seed).p)
    assert np.mean(np.array(p) <= 0.1) < 0.2


def test_the_same_seed_gives_the_same_and_sizes_rank_labels():
    a, _ = planted(60, 3, 0.4, 0.1)
    one, two = (find_communities(a, n_nulls=5, rng=3) for _ in range(2))
    assert np.array_equal(one.labels, two.labels) and np.array_equal(one.null, two.null)
    counts = np.bincount(one.labels)
    assert (np.diff(counts) <= 0).all() and one.together.diagonal().min() == 1


def test_wrong_input_is_refused():
    a, labels = planted(20, 2, 0.6, 0.2)
    lopsided = a.copy()
    lopsided[0, 1] += 1
    for bad, message in ((a[:5], "square"), (-a, "not below 0"), (0 * a, "above 0"), (lopsided, "symmetric")):
        with pytest.raises(BraindecError, match=message):
            find_communities(bad)
    with pytest.raises(BraindecError, match="leiden"):
        find_communities(a, method="infomap")
    with pytest.raises(BraindecError, match="differ in number"):
        modularity(a, labels[:3])
