"""Whitened correlation: the whitened cosine of two matrices whose mean over cells was taken away.

Source: Diedrichsen et al. 2021 (Neurons, Behavior, Data analysis and Theory 5); Schütt et al. 2023 (eLife 12:e82566).
"""

from __future__ import annotations

from braindec.align.rsa.comparators._vectors import centred, whitened, z_scored
from braindec.align.rsa.compare import Comparator

__all__ = ["corr_cov"]

corr_cov = Comparator("corr_cov", "1", "correlation after whitening the errors of the cells", z_scored,
                      lambda r, sigma_k: whitened(centred(r), sigma_k), whitened=True)  # fmt: skip
