"""Kendall's tau-b: as tau-a, over the pairs of cells that are tied in neither matrix (geometric mean of the two).

Source: Kendall 1945 (Biometrika 33:239). O(m log m) for m cells.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.comparators._concordance import balance
from braindec.align.rsa.comparators._vectors import ranked
from braindec.align.rsa.compare import Comparator

__all__ = ["kendall_tau_b"]


def _pairwise(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    surplus, untied_a, untied_b, _ = balance(A, B)
    return surplus / np.sqrt(untied_a)[:, None] / np.sqrt(untied_b)[None, :]


kendall_tau_b = Comparator("kendall_tau_b", "1", "Kendall's tau, tied pairs left out", ranked, pairwise=_pairwise,
                           rank=True)  # fmt: skip
