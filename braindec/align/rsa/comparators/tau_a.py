"""Kendall's tau-a: pairs of cells in the same order minus pairs in opposite order, over all pairs; ties count 0.

Source: Kendall 1938 (Biometrika 30:81); Nili et al. 2014 (PLoS Comput Biol 10:e1003553) for its use with models that
have ties. O(m log m) for m cells.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.comparators._concordance import balance
from braindec.align.rsa.comparators._vectors import ranked
from braindec.align.rsa.compare import Comparator

__all__ = ["tau_a"]


def _pairwise(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    surplus, _, _, pairs = balance(A, B)
    return surplus / pairs


tau_a = Comparator("tau_a", "1", "Kendall's tau, ties counted as no agreement", ranked, pairwise=_pairwise,
                   rank=True, varies=False)  # fmt: skip
