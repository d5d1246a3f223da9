"""Exact binomial interval and permutation p."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta


def clopper_pearson(k: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of ``k`` of ``n``."""
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return low, high


def permutation_p(observed: float, null: np.ndarray) -> float:
    """Share of null values at least as large, the observed one among them."""
    null = np.asarray(null)
    return float((1 + np.sum(null >= observed - 1e-12)) / (1 + len(null)))
