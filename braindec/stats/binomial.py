"""Exact binomial statistics of a number of correct answers: p-value, intervals, and the score that chance exceeds.

Source: Clopper & Pearson 1934 (Biometrika 26:404); Wilson 1927 (JASA 22:209); Combrisson & Jerbi 2015 (J Neurosci
Methods 250:126) for the threshold that a score must pass with few trials.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from braindec.errors import BraindecError

__all__ = ["binomial_p", "binomial_threshold", "clopper_pearson", "wilson"]


def clopper_pearson(k: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (conservative) interval of a proportion of ``k`` in ``n``.

    Examples
    --------
    >>> low, high = clopper_pearson(0, 10)
    >>> round(high, 4)
    0.3085
    """
    _check(k, n)
    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def wilson(k: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion of ``k`` in ``n``: shorter than exact, right on average."""
    _check(k, n)
    z = float(stats.norm.ppf(0.5 + level / 2))
    share, scale = k / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def binomial_p(k: int, n: int, chance: float) -> float:
    """Return the probability of ``k`` or more correct answers of ``n`` independent ones at ``chance``."""
    _check(k, n, chance)
    return float(stats.binom.sf(k - 1, n, chance))


def binomial_threshold(n: int, chance: float, alpha: float = 0.05) -> int:
    """Return the smallest number of correct answers of ``n`` that has p < ``alpha``; ``n + 1`` when none has.

    Examples
    --------
    >>> binomial_threshold(200, 1 / 200)
    4
    """
    _check(0, n, chance)
    k = int(stats.binom.isf(alpha, n, chance)) + 1
    while k > 0 and stats.binom.sf(k - 2, n, chance) < alpha:
        k -= 1
    while k <= n and stats.binom.sf(k - 1, n, chance) >= alpha:
        k += 1
    return k


def _check(k: int, n: int, chance: float = 0.5) -> None:
    if not (n >= 1 and 0 <= k <= n and 0 < chance < 1):
        raise BraindecError(
            "binomial statistics need 0 <= k <= n and a chance level", found=f"k={k}, n={n}, chance={chance}",
            allowed="n >= 1, 0 < chance < 1",
        )  # fmt: skip
