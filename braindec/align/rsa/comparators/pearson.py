"""Pearson correlation over the cells of two matrices.

Source: Nili et al. 2014 (PLoS Comput Biol 10:e1003553).
"""

from __future__ import annotations

from braindec.align.rsa.comparators._vectors import centred, unit, z_scored
from braindec.align.rsa.compare import Comparator

__all__ = ["pearson"]

pearson = Comparator("pearson", "1", "correlation over the cells", z_scored, lambda r, sigma_k: unit(centred(r)))
