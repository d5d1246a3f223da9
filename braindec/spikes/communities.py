"""Communities of units: groups with more affinity inside than their strengths explain, with a consensus and a p.

Weighted modularity is made large by moving nodes, refining, and joining ("leiden"; "louvain" without refining) from many
random orders; the partitions are brought to a consensus. The modularity is compared with that of weights in random places.

Source: Newman 2004 (Phys Rev E 70:056131) for weighted modularity; Blondel et al. 2008 (J Stat Mech P10008); Traag,
Waltman & van Eck 2019 (Sci Rep 9:5233); Lancichinetti & Fortunato 2012 (Sci Rep 2:336) for consensus; Rubinov & Sporns
2011 (NeuroImage 56:2068) for nulls that keep weights and strengths; Danon et al. 2005 (J Stat Mech P09008) for mutual
information.
Differs from the reference in: nulls are drawn by exchanges of weights with a Metropolis step, not by ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from braindec.errors import BraindecError
from braindec.stats.asked import number, whole
from braindec.stats.permutation import permutation_p

__all__ = ["Communities", "find_communities", "modularity", "mutual_information"]

_SPREAD = 0.05  # of the choice in refinement, relative to the largest gain
_RUNS = 3  # of the observed and of each null matrix: the best counts
_ROUNDS = 20
_HEAT, _EXCHANGES = 0.5, 40  # deviation of strengths in spreads of weights; exchanges tried a pair


@dataclass(frozen=True, eq=False)
class Communities:
    """A partition and what speaks for it.

    Parameters
    ----------
    labels : array of int (n_units,)
        0 for the largest community, and so on.
    modularity : float
        Of these labels.
    agreement : float
        Mean mutual information (0 to 1) of partitions from different random orders.
    together : array (n_units, n_units)
        Share of them that has each pair in one community.
    p : float
        Of the modularity; NaN without nulls.
    null : array (n_nulls,)
        Modularity of nulls.
    observed : float
        What ``null`` is compared with: the best of as many runs.
    """

    labels: np.ndarray
    modularity: float
    agreement: float
    together: np.ndarray
    p: float
    null: np.ndarray
    observed: float

    @property
    def n(self) -> int:
        """Number of communities."""
        return int(self.labels.max()) + 1


def find_communities(
    affinity: Any,
    *,
    resolution: float = 1.0,
    method: str = "leiden",
    n_seeds: int = 20,
    threshold: float = 0.5,
    n_nulls: int = 99,
    null: str = "strengths",
    rng: np.random.Generator | int = 0,
) -> Communities:
    """Find communities of a symmetric matrix of affinities.

    Parameters
    ----------
    affinity : array or sparse array (n_units, n_units)
        Symmetric, not below 0; the diagonal is left out.
    resolution : float
        Higher gives more, smaller communities.
    method : {"leiden", "louvain"}
    n_seeds : int
        Random orders.
    threshold : float
        Pairs that are together in a smaller share of the partitions are apart in the next round of the consensus.
    n_nulls : int
        Null matrices; 0 gives no p.
    null : {"strengths", "weights"}
        Weights change places so that every unit keeps its strength (to a fraction of the spread of single weights), and
        its degree where weights are 0 or 1; or they go to random places.
    rng : Generator or int

    Raises
    ------
    BraindecError
        If the matrix is not square, not symmetric, negative, not finite or empty, or an option is unknown.
    """
    graph = _checked(affinity)
    if method not in ("leiden", "louvain") or null not in ("strengths", "weights"):
        raise BraindecError(
            "communities cannot be found so", found=f"method={method!r}, null={null!r}",
            allowed="method: leiden, louvain; null: strengths, weights",
        )  # fmt: skip
    gamma = number(resolution, "resolution", least=0, ends=False)
    level = number(threshold, "threshold", least=0, most=1)
    rng, n = np.random.default_rng(rng), whole(n_seeds, "n_seeds", least=1)
    found = [_optimised(graph, gamma, method, rng) for _ in range(max(n, _RUNS))]
    observed = max(modularity(graph, f, resolution=gamma) for f in found[:_RUNS])
    together = _together(found[:n])
    agreement = float(np.mean([mutual_information(found[0], f) for f in found[1:n]])) if n > 1 else 1.0
    labels = _sorted(_consensus(found[:n], level, gamma, method, rng))
    nulls = np.empty(whole(n_nulls, "n_nulls"))
    for k in range(len(nulls)):
        made = _shuffled(graph, rng, strengths=null == "strengths")
        nulls[k] = max(modularity(made, _optimised(made, gamma, method, rng), resolution=gamma) for _ in range(_RUNS))
    p = float(permutation_p(observed, nulls)) if len(nulls) else np.nan
    return Communities(labels, modularity(graph, labels, resolution=gamma), agreement, together, p, nulls, observed)


def modularity(affinity: Any, labels: Any, *, resolution: float = 1.0) -> float:
    """Return the share of weight inside communities over what strengths alone would put there."""
    graph, labels = _checked(affinity), np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    if len(labels) != graph.shape[0]:
        raise BraindecError("labels and units differ in number", found=f"{len(labels)}", allowed=f"{graph.shape[0]}")
    strength = np.asarray(graph.sum(axis=1)).ravel()
    rows = np.repeat(np.arange(len(labels)), np.diff(graph.indptr))
    inside = graph.data[labels[rows] == labels[graph.indices]].sum()
    held = np.bincount(labels, weights=strength)
    total = strength.sum()
    return float(inside / total - resolution * ((held / total) ** 2).sum())


def mutual_information(first: Any, second: Any) -> float:
    """Return the mutual information of two partitions over the mean of their entropies: 1 for the same partition."""
    a, b = (np.unique(np.asarray(v), return_inverse=True)[1].reshape(-1) for v in (first, second))
    if len(a) != len(b) or not len(a):
        raise BraindecError("partitions of different things", found=f"{len(a)} and {len(b)}")
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    pa, pb = joint.sum(axis=1), joint.sum(axis=0)
    entropy = -(pa * np.log(pa)).sum() - (pb * np.log(pb)).sum()
    if entropy < 1e-12:
        return 1.0
    there = joint > 0
    shared = (joint[there] * np.log(joint[there] / np.outer(pa, pb)[there])).sum()
    return float(np.clip(2 * shared / entropy, 0.0, 1.0))


def _checked(affinity: Any) -> csr_array:
    if isinstance(affinity, csr_array) and affinity.has_canonical_format and not affinity.diagonal().any():
        return affinity
    graph = csr_array(affinity, dtype=np.float64) if np.ndim(affinity) == 2 or hasattr(affinity, "tocsr") else None
    if graph is None or graph.shape[0] != graph.shape[1] or graph.shape[0] < 2:
        raise BraindecError("affinities are a square matrix of 2 units or more", found=f"shape {np.shape(affinity)}")
    if not np.isfinite(graph.data).all() or (graph.data < 0).any():
        raise BraindecError(
            "affinities must be finite and not below 0", found=f"{int((~(graph.data >= 0)).sum())} are not",
            fix="keep positive ones: np.maximum(matrix, 0)",
        )  # fmt: skip
    graph = graph.tolil()
    graph.setdiag(0)
    graph = csr_array(graph)
    graph.eliminate_zeros()
    graph.sum_duplicates()
    if not graph.nnz:
        raise BraindecError("no pair has an affinity above 0")
    if abs(graph - graph.T).max() > 1e-9 * graph.data.max():
        raise BraindecError("affinities must be symmetric", fix="(matrix + matrix.T) / 2")
    return graph


def _optimised(graph: csr_array, resolution: float, method: str, rng: np.random.Generator) -> np.ndarray:
    """Return the labels of one run: passes over all levels until the modularity no longer rises."""
    labels, value = np.arange(graph.shape[0]), -np.inf
    for _ in range(_ROUNDS):
        labels = _pass(graph, labels, resolution, method, rng)
        new = modularity(graph, labels, resolution=resolution)
        if new <= value + 1e-10:
            break
        value = new
    return labels


def _pass(graph: csr_array, start: np.ndarray, resolution: float, method: str, rng: np.random.Generator) -> np.ndarray:
    from braindec.spikes._local_moves import move_nodes, refine

    strength = np.asarray(graph.sum(axis=1)).ravel()
    home = np.arange(graph.shape[0])  # node of the level that each unit is in
    level, community = graph, np.unique(start, return_inverse=True)[1].astype(np.int64)
    while True:
        n = level.shape[0]
        arrays = (level.indptr.astype(np.int64), level.indices.astype(np.int64), level.data, strength)
        move_nodes(*arrays, community, rng.permutation(n), resolution)
        if len(np.unique(community)) == n:
            return community[home]
        part = community
        if method == "leiden":
            part = refine(*arrays, community, rng.permutation(n), rng.random(n), resolution, _SPREAD)
        part = np.unique(part, return_inverse=True)[1].reshape(-1)
        if part.max() + 1 == n:  # nothing merged inside the communities: they are the next nodes
            part = np.unique(community, return_inverse=True)[1].reshape(-1)
        m = int(part.max()) + 1
        belongs = csr_array((np.ones(n), (np.arange(n), part)), shape=(n, m))
        level = csr_array(belongs.T @ level @ belongs)
        strength = np.bincount(part, weights=strength, minlength=m)
        next_community = np.empty(m, dtype=np.int64)
        next_community[part] = community
        community = np.unique(next_community, return_inverse=True)[1].reshape(-1).astype(np.int64)
        home = part[home]


def _together(found: list[np.ndarray]) -> np.ndarray:
    return np.mean([labels[:, None] == labels[None, :] for labels in found], axis=0)


def _consensus(
    found: list[np.ndarray], threshold: float, resolution: float, method: str, rng: np.random.Generator
) -> np.ndarray:
    """Partition the matrix of shares again and again until all partitions are the same."""
    for _ in range(_ROUNDS):
        shares = _together(found)
        if np.all((shares == 0) | (shares == 1)):
            return found[0]
        shares[shares < threshold] = 0
        np.fill_diagonal(shares, 0)
        if not shares.any():
            return np.arange(len(shares))
        graph = _checked(shares)
        found = [_optimised(graph, resolution, method, rng) for _ in found]
    return found[0]


def _sorted(labels: np.ndarray) -> np.ndarray:
    """Number communities by size, equal ones by their first unit."""
    _, first, code, count = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(count), dtype=int)
    place[np.lexsort((first, -count))] = np.arange(len(count))
    return place[code.reshape(-1)]


def _shuffled(graph: csr_array, rng: np.random.Generator, *, strengths: bool) -> csr_array:
    """The same weights between other pairs of units; with ``strengths`` each unit nearly keeps its sum."""
    n = graph.shape[0]
    first = np.repeat(np.arange(n), np.diff(graph.indptr))
    upper = first < graph.indices
    if strengths:
        from braindec.spikes._local_moves import exchange_weights

        weights, rows, columns = graph.toarray(), first[upper].astype(np.int64), graph.indices[upper].astype(np.int64)
        heat = (_HEAT * (graph.data.std() + 1e-6 * graph.data.mean())) ** 2
        exchange_weights(weights, rows, columns, _EXCHANGES * len(rows), heat, rng)
        return csr_array(weights)
    rows, columns = np.triu_indices(n, 1)
    place = rng.choice(len(rows), size=int(upper.sum()), replace=False)
    made = csr_array((graph.data[upper], (rows[place], columns[place])), shape=(n, n))
    made = csr_array(made + made.T)
    made.sum_duplicates()
    return made
