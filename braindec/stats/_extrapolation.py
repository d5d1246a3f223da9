"""Scores of subjects predicted from pools of other subjects, and curves through them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

__all__ = ["fit_curve", "pool_scores"]

_POOLS = 40  # pools of one size at most: there are more, and they say little new
_RATES = np.geomspace(0.05, 50, 200)  # of the curves, in subjects


def pool_scores(
    subjects: np.ndarray, score: Callable[[np.ndarray, np.ndarray], np.ndarray], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return for pools of 1, 2, ... subjects the scores (n_pools, n_targets) of predicting another subject."""
    n, each = len(subjects), []
    for x in range(1, n):
        pairs = [(held, pool) for held in range(n) for pool in combinations([s for s in range(n) if s != held], x)]
        if len(pairs) > _POOLS:
            pairs = [pairs[k] for k in np.sort(rng.choice(len(pairs), _POOLS, replace=False))]
        each.append(np.stack([score(subjects[list(pool)], subjects[held]) for held, pool in pairs]))
    return each


def fit_curve(scores: np.ndarray, form: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares v0 and rate of scores (n_sizes, n_targets) of pools of 1, 2, ... subjects; NaN where the fit fails."""
    x = np.arange(1, len(scores) + 1)[:, None]
    shape = 1 - np.exp(-x / _RATES) if form == "exponential" else 1 / np.sqrt(1 + _RATES / x)  # (n_sizes, n_rates)
    top = (shape.T @ scores) / (shape**2).sum(axis=0)[:, None]  # (n_rates, n_targets)
    error = (scores**2).sum(axis=0) - top**2 * (shape**2).sum(axis=0)[:, None]
    best = np.argmin(np.where(np.isfinite(error), error, np.inf), axis=0)
    value, rate = np.take_along_axis(top, best[None], axis=0)[0], _RATES[best]
    failed = ~np.isfinite(scores).all(axis=0) | (value <= 0) | (best == len(_RATES) - 1)
    return np.where(failed, np.nan, value), np.where(failed, np.nan, rate), failed
