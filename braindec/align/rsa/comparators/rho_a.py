"""rho_a: the expected Spearman correlation when ties are broken at random, in closed form.

With mid-ranks R and S of m cells, ``12 sum (R - mean)(S - mean) / (m**3 - m)``: like Spearman without ties, and no
reward for models with ties. A matrix whose cells are all the same gets 0.
Source: Schütt et al. 2023 (eLife 12:e82566), section "Rank correlations".
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.comparators._vectors import centred, ranked
from braindec.align.rsa.compare import Comparator

__all__ = ["rho_a"]


def _embed(rdms: np.ndarray, sigma_k: np.ndarray | None) -> np.ndarray:
    m = float(rdms.shape[-1])
    return centred(ranked(rdms)) * np.sqrt(12.0 / (m**3 - m))


rho_a = Comparator("rho_a", "1", "rank correlation with ties broken at random, in expectation", ranked, _embed,
                   rank=True, varies=False)  # fmt: skip
