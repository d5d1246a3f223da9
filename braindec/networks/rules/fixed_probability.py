"""Each pair of neurons is connected with the same probability, independently (Erdos-Renyi).

Gaps between the targets of a source are geometric, so the work is in proportion to the synapses, not to the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from braindec.kernels.counter_random import mix64, uniform64
from braindec.networks.connection_rule import Wiring, need_share

__all__ = ["FixedProbability"]


@dataclass(frozen=True)
class FixedProbability:
    """Connect with probability ``p``; no pair has two synapses."""

    p: float

    def check(self, source: Any, target: Any) -> None:
        """Raise unless ``p`` is a probability."""
        need_share(self.p, "p of the rule fixed_probability")

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Draw the synapses."""
        expected = source.n * target.n * self.p
        room = int(expected + 6 * np.sqrt(expected) + 64)
        indptr, targets = _draw(source.n, target.n, float(self.p), key, not autapses, room)
        return Wiring(indptr, targets)


@njit(cache=True, nogil=True)
def _draw(n_source, n_target, p, key, no_self, room):
    indptr = np.zeros(n_source + 1, dtype=np.int64)
    targets = np.empty(room, dtype=np.int32)
    k = 0
    scale = 1.0 / np.log1p(-p) if 0.0 < p < 1.0 else 0.0
    for i in range(n_source):
        if k + n_target > len(targets):
            more = np.empty(max(len(targets) + len(targets) // 8, k + n_target) + 64, dtype=np.int32)
            more[:k] = targets[:k]
            targets = more
        row_key = mix64(np.uint64(key) ^ (np.uint64(i) << np.uint64(20)))
        j, drawn = -1, np.int64(0)
        while p > 0.0:
            if p < 1.0:
                gap = np.log1p(-uniform64(row_key, drawn)) * scale
                j = n_target if gap >= n_target else j + 1 + np.int64(gap)
                drawn += 1
            else:
                j += 1
            if j >= n_target:
                break
            if not (no_self and i == j):
                targets[k] = j
                k += 1
        indptr[i + 1] = k
    return indptr, targets[:k].copy()
