"""The probability of a synapse falls with the distance D of the two neurons: ``c exp(-(D / scale)^2)`` or ``c exp(-D / scale)``.

Source: Maass, Natschlaeger & Markram 2002, Neural Computation 14, 2531 (the Gaussian form, for liquid-state machines).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit

from braindec.errors import BraindecError
from braindec.kernels.counter_random import mix64, uniform64
from braindec.networks._numbers import numbers
from braindec.networks.connection_rule import Wiring, need_share

__all__ = ["DistanceDependent"]


@dataclass(frozen=True)
class DistanceDependent:
    """Connect with probability ``c exp(-(D / scale)^2)``; ``scale`` in m as the positions, ``profile`` "gaussian" or "exponential"."""

    c: float
    scale: float
    profile: Literal["gaussian", "exponential"] = "gaussian"

    def check(self, source: Any, target: Any) -> None:
        """Raise unless both populations have positions."""
        need_share(self.c, "c of the rule distance_dependent")
        if not numbers(self.scale, "scale of the rule distance_dependent") > 0:
            raise BraindecError("distance_dependent needs a scale above 0 m", found=str(self.scale))
        if self.profile not in ("gaussian", "exponential"):
            raise BraindecError(f"distance_dependent has no profile {self.profile!r}", allowed="gaussian, exponential")
        for population in (source, target):
            if population.positions is None:
                raise BraindecError(
                    f"distance_dependent needs positions, and {population.name!r} has none",
                    fix="Population(..., positions=array of shape (n, 3) in m)",
                )

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Draw the synapses."""
        places = [np.ascontiguousarray(p.positions, dtype=np.float64) for p in (source, target)]
        gaussian = self.profile == "gaussian"
        return Wiring(*_draw(*places, float(self.c), float(self.scale), gaussian, key, not autapses))


@njit(cache=True, nogil=True)
def _draw(here, there, c, scale, gaussian, key, no_self):
    n_source, n_target = len(here), len(there)
    indptr = np.zeros(n_source + 1, dtype=np.int64)
    targets = np.empty(max(n_target, 1024), dtype=np.int32)
    k = 0
    for i in range(n_source):
        if k + n_target > len(targets):
            more = np.empty(2 * len(targets) + n_target, dtype=np.int32)
            more[:k] = targets[:k]
            targets = more
        row_key = mix64(np.uint64(key) ^ (np.uint64(i) << np.uint64(20)))
        for j in range(n_target):
            square = 0.0
            for d in range(here.shape[1]):
                square += (here[i, d] - there[j, d]) ** 2
            near = square / (scale * scale)
            p = c * np.exp(-near) if gaussian else c * np.exp(-np.sqrt(near))
            if uniform64(row_key, j) < p and not (no_self and i == j):
                targets[k] = j
                k += 1
        indptr[i + 1] = k
    return indptr, targets[:k].copy()
