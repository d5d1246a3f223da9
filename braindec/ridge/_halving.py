"""Successive halving over draws of band weights: which draws are worth scoring on all targets.

Targets differ in the draw that suits them, so draws are not ranked by their mean score: kept is the set that loses
least when each target of the subsample takes the best draw of the set (a greedy cover, whose gain has diminishing
returns; Nemhauser, Wolsey & Fisher 1978).
"""

from __future__ import annotations

import numpy as np

from braindec.ridge._crossval import CrossValidation
from braindec.ridge._targets import Targets

__all__ = ["cover", "worthwhile_draws"]

_FIRST = 1 / 16  # share of the targets in the first round
_FEWEST = 256  # targets in the first round
_KEEP = 1 / 3


def worthwhile_draws(
    validation: CrossValidation, gammas: np.ndarray, targets: Targets, rng: np.random.Generator
) -> np.ndarray:
    """Draws that are left, in order, (n_left,) int."""
    fitted = np.flatnonzero(~targets.skipped)
    order = rng.permutation(fitted)
    size = max(_FEWEST, int(len(order) * _FIRST))
    draws = np.arange(len(gammas))
    if size * 2 > len(order) or len(draws) < 4:
        return draws
    sample = Targets(targets.gather(np.sort(order[:size])), targets.n, centre=False, block=targets.block)
    scores = np.stack([validation.scores(gammas[d], sample).max(axis=0) for d in draws])  # (draw, target)
    return draws[cover(np.nan_to_num(scores, nan=0.0), max(3, int(np.ceil(len(draws) * _KEEP))))]


def cover(scores: np.ndarray, size: int) -> np.ndarray:
    """Rows of (draw, target) scores, at most ``size``, whose best-of-set mean is greedily the highest; sorted."""
    chosen: list[int] = []
    best = np.full(scores.shape[1], -np.inf)
    for _ in range(min(size, len(scores))):
        means = np.maximum(scores, best).mean(axis=1)
        pick = int(np.argmax(means))
        if chosen and means[pick] <= best.mean():
            break
        chosen.append(pick)
        best = np.maximum(best, scores[pick])
    return np.sort(np.array(chosen))
