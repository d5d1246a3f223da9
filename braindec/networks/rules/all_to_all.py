"""Every neuron reaches every neuron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.networks.connection_rule import Wiring

__all__ = ["AllToAll"]


@dataclass(frozen=True)
class AllToAll:
    """Connect all pairs."""

    def check(self, source: Any, target: Any) -> None:
        """Fits always."""

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Return all synapses."""
        targets = np.tile(np.arange(target.n, dtype=np.int32), source.n)
        if autapses:
            return Wiring(np.arange(source.n + 1, dtype=np.int64) * target.n, targets)
        keep = targets != np.repeat(np.arange(source.n, dtype=np.int32), target.n)
        return Wiring(np.arange(source.n + 1, dtype=np.int64) * (target.n - 1), targets[keep])
