"""Each source has the same number of synapses onto targets drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.networks.connection_rule import Wiring, need_whole
from braindec.networks.rules.fixed_in_degree import FixedInDegree

__all__ = ["FixedOutDegree"]


@dataclass(frozen=True)
class FixedOutDegree:
    """Connect each source to ``k`` targets; ``multapses=False``: no pair twice."""

    k: int
    multapses: bool = True

    def check(self, source: Any, target: Any) -> None:
        """Raise unless there are enough targets."""
        need_whole(self.k, "k of the rule fixed_out_degree")
        if self.k and target.n < (1 if self.multapses else self.k):
            raise BraindecError(
                f"fixed_out_degree asks for {self.k} targets of each neuron of {source.name!r}",
                found=f"{target.name!r} has {target.n}",
                fix="take a smaller k, or multapses=True",
            )

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Draw the synapses: those of fixed in-degree, the other way round."""
        turned = FixedInDegree(self.k, self.multapses).connect(target, source, key=key, autapses=autapses)
        owner = np.repeat(np.arange(target.n, dtype=np.int32), np.diff(turned.indptr))
        order = np.lexsort((owner, turned.targets))
        indptr = np.arange(source.n + 1, dtype=np.int64) * int(self.k)
        return Wiring(indptr, owner[order])
