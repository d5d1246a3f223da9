"""N-way top-k identification with the classes of a classifier: does what was made look like the class of what was shown?

The classifier names the class of the true picture (its first, or its first three: ``any of 3``); a hit is when, of that class
and n - 1 other classes drawn at random, it is among the k with the highest scores for the made picture. The drawing needs no
simulation: ``strict`` is the exact expectation over all draws.

What to keep in mind: classes are not equally frequent, so a guess by the prior, without any brain, beats chance by far; it is
:meth:`PictureMetric.blind` (the mean scores of the training pictures for every item) and belongs in every table. ``any of 3``
raises chance as well: 3 / (n + 2), .75 instead of .5 in two-way.

Source: Chen et al. 2023 (CVPR, "MinD-Vis"), n-way top-k accuracy, 50 trials; Chen, Qing & Zhou 2023 (NeurIPS, "MinD-Video"),
any of the first three classes, 100 trials.
Differs from the reference in: ``strict`` orders equal scores at random and draws nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from braindec.evaluate._n_way import n_way_chance, n_way_exact, n_way_sampled, targets_from
from braindec.evaluate.picture_metric import PictureMetric
from braindec.evaluate.picture_network import probabilities_of

__all__ = ["n_way", "make_n_way"]


def _scores(
    made_scores: np.ndarray,
    true_scores: np.ndarray,
    *,
    n_way: int,
    top_k: int,
    n_targets: int,
    trials: int | None,
    seed: int,
) -> np.ndarray:
    targets = targets_from(true_scores, n_targets)
    if trials is None:
        return n_way_exact(made_scores, targets, n_way=n_way, top_k=top_k)
    return n_way_sampled(made_scores, targets, n_way=n_way, top_k=top_k, trials=trials, seed=seed)


def _n_way(
    made: np.ndarray,
    true: np.ndarray,
    *,
    network: Any,
    n_way: int = 50,
    top_k: int = 1,
    n_targets: int = 1,
    trials: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    a, b = (probabilities_of(network, v) for v in (made, true))
    return _scores(a, b, n_way=n_way, top_k=top_k, n_targets=n_targets, trials=trials, seed=seed)


def _blind(
    true: np.ndarray,
    train: np.ndarray,
    *,
    network: Any,
    n_way: int = 50,
    top_k: int = 1,
    n_targets: int = 1,
    trials: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Every item gets how often each class is first among the training pictures, its mean score breaking ties."""
    known = probabilities_of(network, train)
    first = np.bincount(targets_from(known, 1)[:, 0], minlength=known.shape[1]) / len(known)
    mean = known.mean(axis=0)
    prior = first + 1e-6 * (mean - mean.min()) / max(float(np.ptp(mean)), 1e-30)
    truth = probabilities_of(network, true)
    return _scores(
        np.broadcast_to(prior, truth.shape),
        truth,
        n_way=n_way,
        top_k=top_k,
        n_targets=n_targets,
        trials=trials,
        seed=seed,
    )


def _chance(n: int, labels: Any, *, n_way: int = 50, top_k: int = 1, n_targets: int = 1, **_: Any) -> float:
    return n_way_chance(n_way=n_way, top_k=top_k, n_targets=n_targets)


def make_n_way(name: str, *, kind: str, describe: str) -> PictureMetric:
    """Return the metric for pictures, or for clips."""
    return PictureMetric(
        name=name,
        versions={
            "strict": _n_way,
            "mindvis-2023": partial(_n_way, trials=50),
            "mindvideo-2023": partial(_n_way, n_targets=3, trials=100),
        },
        describe=describe,
        kind=kind,
        about={
            "strict": "exact over all draws of n_way - 1 other classes; the first class of the true picture is right; equal scores in random order",
            "mindvis-2023": "50 random draws of 49 other classes; the first class of the true picture is right; ties lose",
            "mindvideo-2023": "100 random draws of 49 other classes; any of the first three classes of the true picture is right; ties lose",
        },
        needs=("network",),
        chance_level=_chance,
        blind_score=_blind,
        blind_says="the class prior: how often each class is first among training pictures, the same guess for every item",
    )


n_way = make_n_way(
    "n_way",
    kind="pictures",
    describe="is the class of what was shown among the first k of n classes for what was made?",
)
