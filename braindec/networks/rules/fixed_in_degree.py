"""Each target has the same number of synapses from sources drawn at random.

Two synapses of one pair are allowed by default (as in the networks of Brunel 2000 in the common simulators). Sources are
drawn target by target from a counter, once to count and once to fill, so nothing but the result is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from braindec.errors import BraindecError
from braindec.kernels.counter_random import mix64
from braindec.networks.connection_rule import Wiring, need_whole

__all__ = ["FixedInDegree"]

_LOW = np.uint64(0xFFFFFFFF)
_S32 = np.uint64(32)


@dataclass(frozen=True)
class FixedInDegree:
    """Connect ``k`` sources to each target; ``multapses=False``: no pair twice."""

    k: int
    multapses: bool = True

    def check(self, source: Any, target: Any) -> None:
        """Raise unless there are enough sources."""
        need_whole(self.k, "k of the rule fixed_in_degree")
        if self.k and source.n < (1 if self.multapses else self.k):
            raise BraindecError(
                f"fixed_in_degree asks for {self.k} sources of each neuron of {target.name!r}",
                found=f"{source.name!r} has {source.n}",
                fix="take a smaller k, or multapses=True",
            )

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Draw the synapses."""
        own = not autapses
        if own and source.n - 1 < (1 if self.multapses else self.k) and self.k:
            raise BraindecError(
                f"{source.name!r} has too few neurons for {self.k} sources without autapses", found=str(source.n)
            )
        return Wiring(*_draw(source.n, target.n, int(self.k), key, own, not self.multapses))


@njit(inline="always")
def _pick(bits, n):
    """A number below ``n`` of 32 random bits, by multiplication (Lemire 2019)."""
    return np.int64((np.uint64(bits) * np.uint64(n)) >> _S32)


@njit(cache=True, nogil=True)
def _sources(found, seen, target, n_source, key, no_self, distinct):
    """Fill ``found`` with the sources of one target."""
    row = mix64(np.uint64(key) + np.uint64(target) * np.uint64(0xD1342543DE82EF95))
    n = n_source - 1 if no_self else n_source
    drawn, k = np.uint64(0), 0
    while k < len(found):
        bits = mix64(row + drawn)
        drawn += np.uint64(1)
        for half in range(2):
            word = bits & _LOW if half == 0 else bits >> _S32
            i = _pick(word, n)
            if no_self and i >= target:
                i += 1
            if k < len(found) and not (distinct and seen[i] == target):
                if distinct:
                    seen[i] = target
                found[k] = i
                k += 1


@njit(cache=True, nogil=True)
def _draw(n_source, n_target, k, key, no_self, distinct):
    indptr = np.zeros(n_source + 1, dtype=np.int64)
    found = np.empty(k, dtype=np.int32)
    seen = np.full(n_source if distinct else 1, -1, dtype=np.int64)
    counts = np.zeros(n_source + 1, dtype=np.int64)
    for j in range(n_target):
        _sources(found, seen, j, n_source, key, no_self, distinct)
        for e in range(k):
            counts[np.uint32(found[e]) + np.uint32(1)] += 1
    for i in range(n_source):
        indptr[i + 1] = indptr[i] + counts[i + 1]
    targets = np.empty(indptr[n_source], dtype=np.int32)
    place = indptr[:-1].copy()
    seen[:] = -1
    for j in range(n_target):
        _sources(found, seen, j, n_source, key, no_self, distinct)
        for e in range(k):
            i = np.uint32(found[e])
            targets[place[i]] = j
            place[i] += 1
    return indptr, targets
