"""Whitened cosine: the cosine of two matrices after undoing how the errors of their cells hang together.

Cells that share a condition have dependent errors. Dividing by their covariance makes the cosine the most sensitive
one; without ``sigma_k`` it equals linear CKA of the patterns (of squared Euclidean distances).
Source: Diedrichsen, Berlot, Mur, Schütt, Shahbazi & Kriegeskorte 2021 (Neurons, Behavior, Data analysis and Theory 5),
equations 9 to 16; the form without a matrix of pairs x pairs is derived in ``_vectors.whitened``.
"""

from __future__ import annotations

from braindec.align.rsa.comparators._vectors import rms_scaled, whitened
from braindec.align.rsa.compare import Comparator

__all__ = ["cosine_cov"]

cosine_cov = Comparator("cosine_cov", "1", "cosine after whitening the errors of the cells", rms_scaled, whitened,
                        whitened=True, varies=False, chance=float("nan"))  # fmt: skip
