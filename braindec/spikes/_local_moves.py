"""Compiled steps of community detection: moving nodes to the community that gains most, refining, exchanging weights.

Source: Blondel et al. 2008 (J Stat Mech P10008) for local moves; Traag, Waltman & van Eck 2019 (Sci Rep 9:5233, algorithms
A.2) for the queue of nodes and for refinement inside each community; Maslov & Sneppen 2002 (Science 296:910) for exchanges
between two pairs that keep degrees, here with a Metropolis step that keeps strengths.
Differs from the reference in: probabilities of the refinement are relative to the largest gain of the node.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["exchange_weights", "move_nodes", "refine"]


@njit(cache=True, nogil=True)
def move_nodes(indptr, indices, data, strength, community, order, resolution):  # type: ignore[no-untyped-def]
    """Move nodes in the order of a queue until none gains; ``community`` is changed in place. Loops do not matter here."""
    n = len(order)
    total = strength.sum()
    held, size = np.zeros(n), np.zeros(n, np.int64)
    for v in range(n):
        held[community[v]] += strength[v]
        size[community[v]] += 1
    empty = np.empty(n, np.int64)
    n_empty = 0
    for c in range(n):
        if size[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    queue, waiting = order.copy(), np.ones(n, np.bool_)
    first, count = 0, n
    to = np.zeros(n)
    touched = np.empty(n, np.int64)
    while count:
        v = queue[first]
        first, count = (first + 1) % n, count - 1
        waiting[v] = False
        own, n_touched = community[v], 0
        for k in range(indptr[v], indptr[v + 1]):
            if indices[k] != v:
                c = community[indices[k]]
                if to[c] == 0.0:
                    touched[n_touched] = c
                    n_touched += 1
                to[c] += data[k]
        held[own] -= strength[v]
        size[own] -= 1
        pull = resolution * strength[v] / total
        best, most = own, to[own] - pull * held[own]
        slack = 1e-12 * strength[v]
        for k in range(n_touched):
            c = touched[k]
            gain = to[c] - pull * held[c]
            if gain > most + slack:
                best, most = c, gain
        if most < -slack and n_empty and size[own]:
            best = empty[n_empty - 1]
        for k in range(n_touched):
            to[touched[k]] = 0.0
        held[best] += strength[v]
        size[best] += 1
        if best != own:
            if size[best] == 1:
                n_empty -= 1
            if size[own] == 0:
                empty[n_empty] = own
                n_empty += 1
            community[v] = best
            for k in range(indptr[v], indptr[v + 1]):
                u = indices[k]
                if community[u] != best and not waiting[u]:
                    waiting[u] = True
                    queue[(first + count) % n] = u
                    count += 1


@njit(cache=True, nogil=True)
def refine(indptr, indices, data, strength, community, order, uniform, resolution, spread):  # type: ignore[no-untyped-def]
    """Return a partition inside ``community``: nodes that are well connected to their community merge, some at random."""
    n = len(order)
    total = strength.sum()
    inside, outer = np.zeros(n), np.zeros(n)  # strength of each community; weight from a part to the rest of it
    for v in range(n):
        inside[community[v]] += strength[v]
        for k in range(indptr[v], indptr[v + 1]):
            if indices[k] != v and community[indices[k]] == community[v]:
                outer[v] += data[k]
    part, held, size = np.arange(n), strength.copy(), np.ones(n, np.int64)
    to, touched, chance = np.zeros(n), np.empty(n, np.int64), np.empty(n)
    for v in order:
        whole = inside[community[v]]
        if size[part[v]] != 1 or outer[part[v]] < resolution * strength[v] * (whole - strength[v]) / total - 1e-12:
            continue
        own, n_touched = part[v], 0
        for k in range(indptr[v], indptr[v + 1]):
            u = indices[k]
            if u != v and community[u] == community[v]:
                if to[part[u]] == 0.0:
                    touched[n_touched] = part[u]
                    n_touched += 1
                to[part[u]] += data[k]
        most = 0.0
        for k in range(n_touched):
            c = touched[k]
            gain = to[c] - resolution * strength[v] * held[c] / total
            fit = outer[c] >= resolution * held[c] * (whole - held[c]) / total - 1e-12
            chance[k] = gain if fit and gain > 0 else -1.0
            most = max(most, chance[k])
        if most > 0:
            mass = 0.0
            for k in range(n_touched):
                chance[k] = np.exp((chance[k] / most - 1) / spread) if chance[k] > 0 else 0.0
                mass += chance[k]
            left, chosen = uniform[v] * mass, -1
            for k in range(n_touched):
                if chance[k] > 0:
                    chosen = k
                    left -= chance[k]
                    if left <= 0:
                        break
            c = touched[chosen]
            outer[c] += outer[own] - 2 * to[c]
            held[c] += strength[v]
            size[c] += 1
            size[own], held[own] = 0, 0.0
            part[v] = c
        for k in range(n_touched):
            to[touched[k]] = 0.0
    return part


@njit(cache=True, nogil=True)
def exchange_weights(weights, rows, columns, n_steps, heat, rng):  # type: ignore[no-untyped-def]
    """Exchange weights of a symmetric matrix in place, so that strengths stay what they are but for ``heat``.

    Of two pairs (i, j) and (k, l), the weights of (i, j) and (i, l), and those of (k, l) and (k, j) change places: i and k
    keep their strengths. With D the change of the strength of j, the step is taken with a probability that falls with the
    squared deviations of all strengths over ``heat``. All weights stay the same set.
    """
    n_pairs = len(rows)
    off = np.zeros(len(weights))
    for _ in range(n_steps):
        a, b = rng.integers(0, n_pairs), rng.integers(0, n_pairs)
        i, j, k, m = rows[a], columns[a], rows[b], columns[b]
        if rng.random() < 0.5:
            k, m = m, k
        if i == k or i == m or j == k or j == m:
            continue
        change = weights[i, m] - weights[i, j] + weights[k, m] - weights[k, j]
        cost = (off[j] + change) ** 2 - off[j] ** 2 + (off[m] - change) ** 2 - off[m] ** 2
        if cost > 0 and rng.random() >= np.exp(-cost / heat):
            continue
        off[j] += change
        off[m] -= change
        if weights[i, m] == 0:
            rows[a], columns[a] = i, m
        if weights[k, j] == 0:
            rows[b], columns[b] = k, j
        weights[i, j], weights[i, m] = weights[i, m], weights[i, j]
        weights[k, m], weights[k, j] = weights[k, j], weights[k, m]
        weights[j, i], weights[m, i], weights[m, k], weights[j, k] = (
            weights[i, j],
            weights[i, m],
            weights[k, m],
            weights[k, j],
        )
