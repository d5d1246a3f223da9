"""N-way top-k identification from class scores: exact expectations over the choice of distractor classes, and chance."""

from __future__ import annotations

from math import comb

import numpy as np
from scipy.stats import hypergeom

from braindec.errors import BraindecError

__all__ = ["n_way_chance", "n_way_exact", "n_way_sampled", "targets_from"]


def targets_from(scores: np.ndarray, n_targets: int) -> np.ndarray:
    """Return the classes with the highest scores, (n, n_targets), best first; the first class wins a tie."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :n_targets]


def checked(scores: np.ndarray, *, n_way: int, top_k: int, n_targets: int) -> None:
    """Raise unless ``n_way`` classes can be drawn."""
    n_classes = scores.shape[1]
    if not (n_targets >= 1 and 1 <= top_k < n_way and n_way - 1 <= n_classes - n_targets):
        raise BraindecError(
            "n-way identification draws n_way - 1 other classes",
            found=f"n_way={n_way}, top_k={top_k}, {n_targets} classes count as right, the network has {n_classes}",
            allowed=f"top_k from 1 to n_way - 1, n_way up to {n_classes - n_targets + 1}",
        )


def n_way_exact(scores: np.ndarray, targets: np.ndarray, *, n_way: int, top_k: int) -> np.ndarray:
    """Return each item's probability of a hit over all draws of distractors; equal scores are ordered at random.

    A hit: fewer than ``top_k`` of ``n_way - 1`` classes, drawn without replacement from those that are no target, score
    higher than the best target.

    Parameters
    ----------
    scores : array of shape (n, n_classes)
        Of what was made.
    targets : array of int, shape (n, n_targets)
        Classes that count as right.
    """
    n, n_classes = scores.shape
    checked(scores, n_way=n_way, top_k=top_k, n_targets=targets.shape[1])
    best = np.take_along_axis(scores, targets, axis=1).max(axis=1, keepdims=True)
    n_best = (np.take_along_axis(scores, targets, axis=1) == best).sum(axis=1)
    other = np.ones(scores.shape, dtype=bool)
    np.put_along_axis(other, targets, False, axis=1)
    above, equal = ((scores > best) & other).sum(axis=1), ((scores == best) & other).sum(axis=1)
    pool = n_classes - targets.shape[1]
    values = np.empty(n)
    for i in range(n):
        # the best of the tied targets stands behind u of the e tied others with probability C(e - u + m - 1, m - 1) / C(e + m, m)
        u, m = np.arange(equal[i] + 1), int(n_best[i])
        weights = np.array([comb(int(equal[i] - k) + m - 1, m - 1) for k in u], dtype=float) / comb(
            int(equal[i]) + m, m
        )
        values[i] = weights @ hypergeom.cdf(top_k - 1, pool, above[i] + u, n_way - 1)
    return values


def n_way_sampled(
    scores: np.ndarray, targets: np.ndarray, *, n_way: int, top_k: int, trials: int, seed: int
) -> np.ndarray:
    """Return the share of ``trials`` random draws of distractors that are hits; a tie with a distractor loses."""
    checked(scores, n_way=n_way, top_k=top_k, n_targets=targets.shape[1])
    if trials < 1:
        raise BraindecError("n-way identification needs trials", found=f"trials={trials}")
    rng = np.random.default_rng(seed)
    values = np.empty(len(scores))
    for i, (row, right) in enumerate(zip(scores, targets)):
        pool = np.delete(row, right)
        order = rng.permuted(np.tile(np.arange(len(pool)), (trials, 1)), axis=1)[:, : n_way - 1]
        values[i] = ((pool[order] >= row[right].max()).sum(axis=1) < top_k).mean()
    return values


def n_way_chance(*, n_way: int, top_k: int, n_targets: int) -> float:
    """Return the hit rate of scores that know nothing: 1 - C(n_way - 1, k) / C(n_way - 1 + n_targets, k).

    The best of ``n_targets`` right classes is among the first k of n_way - 1 + n_targets classes in random order: k / n_way
    for one target; for any of three .75 (2-way), .058 (50-way) and .029 (100-way), not the nominal .5, .02 and .01.
    """
    return 1 - comb(n_way - 1, top_k) / comb(n_way - 1 + n_targets, top_k)
