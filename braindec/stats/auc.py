"""How well a number tells two kinds apart: area under the ROC curve, its interval and p.

Source: Mann & Whitney 1947 (p); Hanley & McNeil 1982, Radiology 143:29 (standard error).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import mannwhitneyu

__all__ = ["Auc", "auc"]


class Auc(NamedTuple):
    """Area, ends of its 95 % interval, one-sided p against 0.5; NaN where one kind is missing."""

    value: float
    low: float
    high: float
    p: float


def auc(score: np.ndarray, positive: np.ndarray) -> Auc:
    """Return the probability that a positive has a larger score than a negative, ties counting half.

    Parameters
    ----------
    score : array of shape (n,)
        What is not finite is left out.
    positive : array of bool, shape (n,)
    """
    score, positive = np.ravel(np.asarray(score, dtype=float)), np.ravel(positive).astype(bool)
    known = np.isfinite(score)
    a, b = score[known & positive], score[known & ~positive]
    if not len(a) or not len(b):
        return Auc(np.nan, np.nan, np.nan, np.nan)
    u, p = mannwhitneyu(a, b, alternative="greater")
    value = float(u / (len(a) * len(b)))
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (len(a) - 1) * (q1 - value**2) + (len(b) - 1) * (q2 - value**2)
    error = np.sqrt(max(spread, 0.0) / (len(a) * len(b)))
    return Auc(value, max(value - 1.96 * error, 0.0), min(value + 1.96 * error, 1.0), float(p))
