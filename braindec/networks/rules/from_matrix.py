"""Synapses and weights from a matrix, as a connectome gives them.

``rows="targets"`` (the default, the form of ``W @ rates``): entry (i, j) is the weight from neuron j to neuron i;
``rows="sources"`` (the form of an adjacency table): from i to j. Entries that are 0 are no synapses. The weight of the
projection multiplies the entries, so that a matrix of counts can be scaled to volts or siemens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from braindec.errors import BraindecError
from braindec.networks._numbers import numbers
from braindec.networks.connection_rule import Wiring

__all__ = ["FromMatrix"]


@dataclass(frozen=True, eq=False)
class FromMatrix:
    """Connect by a matrix, dense or a scipy sparse one."""

    matrix: Any = field(repr=False)
    rows: Literal["targets", "sources"] = "targets"

    def check(self, source: Any, target: Any) -> None:
        """Raise unless the matrix has the shape of the populations and finite entries."""
        if self.rows not in ("targets", "sources"):
            raise BraindecError(f"from_matrix: rows are {self.rows!r}", allowed="targets, sources")
        wanted = (target.n, source.n) if self.rows == "targets" else (source.n, target.n)
        shape = tuple(np.shape(self.matrix)) if not hasattr(self.matrix, "shape") else tuple(self.matrix.shape)
        if shape != wanted:
            turned = shape == wanted[::-1]
            raise BraindecError(
                f"the matrix from {source.name!r} to {target.name!r} has another shape",
                found=f"{shape}",
                allowed=f"{wanted} ({self.rows} are rows)",
                fix=f"rows={'sources' if self.rows == 'targets' else 'targets'!r}" if turned else None,
            )
        numbers(self.matrix.data if hasattr(self.matrix, "tocoo") else self.matrix, "the matrix", finite=False)
        values = self._sparse(source, target).data
        if not np.isfinite(values).all():
            raise BraindecError(
                f"the matrix from {source.name!r} to {target.name!r} has entries that are not finite",
                found=f"{int((~np.isfinite(values)).sum())} of them",
            )

    def connect(self, source: Any, target: Any, *, key: int, autapses: bool) -> Wiring:
        """Return the synapses with their weights."""
        found = self._sparse(source, target)
        if not autapses:
            entries = found.tocoo()
            off = entries.row != entries.col
            found = type(found)((entries.data[off], (entries.row[off], entries.col[off])), shape=found.shape)
        found.sort_indices()
        return Wiring(found.indptr.astype(np.int64), found.indices.astype(np.int32), found.data.astype(np.float64))

    def _sparse(self, source: Any, target: Any) -> Any:
        """The matrix with sources as rows, as a compressed one of our own."""
        from scipy import sparse

        found = sparse.csr_array(self.matrix, dtype=np.float64)
        found = sparse.csr_array(found.T if self.rows == "targets" else found, copy=True)
        found.sum_duplicates()
        found.eliminate_zeros()
        return found
