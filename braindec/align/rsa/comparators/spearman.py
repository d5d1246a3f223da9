"""Spearman correlation over the cells of two matrices; equal cells share the mean of their ranks.

Favours models that predict ties too coarsely less than it should: use rho_a when models have ties.
"""

from __future__ import annotations

from braindec.align.rsa.comparators._vectors import centred, ranked, unit
from braindec.align.rsa.compare import Comparator

__all__ = ["spearman"]

spearman = Comparator("spearman", "1", "rank correlation over the cells", ranked,
                      lambda r, sigma_k: unit(centred(ranked(r))), rank=True)  # fmt: skip
