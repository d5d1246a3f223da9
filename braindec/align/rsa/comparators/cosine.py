"""Cosine of two matrices: inner product of their cells over their lengths; for unbiased, ratio-scaled dissimilarities.

Source: Walther et al. 2016 (NeuroImage 137:188), section "Comparing RDMs".
"""

from __future__ import annotations

from braindec.align.rsa.comparators._vectors import rms_scaled, unit
from braindec.align.rsa.compare import Comparator

__all__ = ["cosine"]

cosine = Comparator("cosine", "1", "cosine of the angle between two matrices", rms_scaled, lambda r, sigma_k: unit(r),
                    varies=False, chance=float("nan"))  # fmt: skip
