"""Log loss: mean of -log p(true class), natural logarithm; scores are turned to probabilities by softmax.

Meaningful for scores that are log posteriors (discriminant, logistic regression, networks), not for ridge. Chance is
the entropy of the class frequencies: what a decoder that knows only these pays.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from braindec.evaluate.metric import Metric, weighted

__all__ = ["log_loss"]


def _counts(codes, prediction, n_classes, weights=None):
    codes = np.broadcast_to(codes, prediction.shape[:-1])
    own = np.take_along_axis(prediction, codes[..., None], axis=-1)[..., 0]
    loss = logsumexp(prediction, axis=-1) - own
    return weighted(loss, weights)[..., None], weighted(np.ones_like(loss), weights)[..., None]


def _chance(y_true: np.ndarray, classes: np.ndarray) -> float:
    share = np.array([np.mean(np.asarray(y_true) == c) for c in classes])
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


log_loss = Metric(
    "log_loss",
    "1",
    "scores",
    _chance,
    "mean of -log p(true class), lower is better",
    counts=_counts,
    higher_is_better=False,
    bounds=(0.0, np.inf),
)
