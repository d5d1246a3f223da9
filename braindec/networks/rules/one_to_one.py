"""Neuron i reaches neuron i."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.networks.connection_rule import Wiring

__all__ = ["OneToOne"]


@dataclass(frozen=True)
class OneToOne:
    """Connect neurons of the same number."""

    def check(self, source: Any, target: Any) -> None:
        """Raise unless the populations have one size."""
        if source.n != target.n:
            raise BraindecError(
                "one_to_one needs populations of one size",
                found=f"{source.name!r} has {source.n} and {target.name!r} has {target.n}",
            )

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Return one synapse a neuron; within one population these are autapses, which must be asked for."""
        if not autapses:
            raise BraindecError(
                f"one_to_one within {source.name!r} makes autapses only", fix="Projection(..., autapses=True)"
            )
        return Wiring(np.arange(source.n + 1, dtype=np.int64), np.arange(source.n, dtype=np.int32))
