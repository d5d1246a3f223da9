"""How well a number tells two kinds apart: area under the ROC curve, its interval and p.

Source: Mann & Whitney 1947 (p); Newcombe 2006, Statistics in Medicine 25:559, method 5 (interval: those areas that the
one that was found is no more than 1.96 of their own standard errors away from, so that it has a width at 0 and 1 too).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
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
    low, high = _limits(value, len(a), len(b))
    return Auc(value, low, high, float(p))


def _limits(value: float, m: int, n: int) -> tuple[float, float]:
    half = (m + n) / 2 - 1

    def away(area: float) -> float:
        spread = area * (1 - area) / (m * n) * (1 + half * ((1 - area) / (2 - area) + area / (1 + area)))
        return (value - area) ** 2 - 1.96**2 * spread

    tiny = 1e-9
    low = brentq(away, tiny, max(value - tiny, 2 * tiny)) if value > 1e-6 else 0.0
    high = brentq(away, min(value + tiny, 1 - 2 * tiny), 1 - tiny) if value < 1 - 1e-6 else 1.0
    return float(low), float(high)
