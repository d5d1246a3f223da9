"""AUC: the share of pairs (row of the class, row of another class) that the score puts in order; ties count half.

Two classes: area under the ROC curve. More: one class against the rest, mean over classes. In cross-validation pairs
are formed within a fold only, because scores of differently trained decoders have no common scale.

Source: Hanley & McNeil 1982 (Radiology 143:29); Airola et al. 2011 (Computational Statistics & Data Analysis 55:1828)
for why AUC is not pooled over folds.
"""

from __future__ import annotations

import numpy as np

from braindec.evaluate.metric import Metric

__all__ = ["auc"]


def _counts(codes, prediction, n_classes, weights=None):
    """Concordant pairs and pairs of each class (one part only for two classes, whose parts are mirror images)."""
    parts = [(1, prediction[..., 1] - prediction[..., 0])] if n_classes == 2 else [
        (k, prediction[..., k]) for k in range(n_classes)]  # fmt: skip
    sums = [_pairs(codes == k, score, weights) for k, score in parts]
    return np.stack([a for a, _ in sums], axis=-1), np.stack([b for _, b in sums], axis=-1)


def _pairs(positive: np.ndarray, score: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    up = positive.astype(float) if weights is None else positive * weights.astype(float)
    down = (~positive).astype(float) if weights is None else ~positive * weights.astype(float)
    order = np.argsort(score, axis=-1, kind="stable")
    ordered = np.take_along_axis(score, order, axis=-1)
    if score.ndim == 1:
        up, down = up[..., order], down[..., order]
    else:
        up, down = (np.take_along_axis(np.broadcast_to(v, score.shape), order, axis=-1) for v in (up, down))
    reach = np.cumsum(down, axis=-1)  # negatives up to and including each place
    place = np.arange(score.shape[-1])
    new = np.concatenate([np.ones_like(ordered[..., :1], dtype=bool), ordered[..., 1:] != ordered[..., :-1]], axis=-1)
    last = np.concatenate([new[..., 1:], np.ones_like(new[..., :1])], axis=-1)
    first_of_tie = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    last_of_tie = np.minimum.accumulate(np.where(last, place, place[-1])[..., ::-1], axis=-1)[..., ::-1]
    first_of_tie, last_of_tie = (np.broadcast_to(v, reach.shape) for v in (first_of_tie, last_of_tie))
    below = np.take_along_axis(reach - down, first_of_tie, axis=-1)
    upto = np.take_along_axis(reach, last_of_tie, axis=-1)
    return np.sum(up * (below + upto), axis=-1) / 2, up.sum(axis=-1) * down.sum(axis=-1)


def _chance(y_true: np.ndarray, classes: np.ndarray) -> float:
    return 0.5


auc = Metric("auc", "1", "scores", _chance, "share of pairs of rows that the score puts in order", counts=_counts)
