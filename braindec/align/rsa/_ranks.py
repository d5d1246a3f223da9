"""Similarities and ceilings of rank comparators (Spearman, rho-a) in many resamples of conditions.

Each matrix is sorted once; a resample only counts copies along that order (:mod:`braindec.kernels.weighted_midranks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from braindec.kernels.rank_ceilings import rank_ceilings
from braindec.kernels.weighted_midranks import LANES, sort_pairs, take_lane, weighted_midranks

__all__ = ["RANKED", "rank_resamples", "ranks_of"]

RANKED = ("spearman", "rho_a")


def ranks_of(rows: np.ndarray, copies: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield for each resample its number, the weights (n_drawn,) and the centred mid-ranks (n_rows, n_drawn) of drawn pairs.

    Ranks are overwritten by those of later resamples: use them at once, or copy them.

    Parameters
    ----------
    rows : array of shape (n_rows, n_pairs)
    copies : array of shape (n_resamples, n_conditions)
    """
    n_conditions = copies.shape[1]
    ordered = sort_pairs(rows, n_conditions)
    first, second = np.triu_indices(n_conditions, 1)
    place = np.empty((rows.shape[1], LANES), dtype=np.float32)  # one matrix at a time: it stays in the cache
    kept = np.empty((LANES, rows.size), dtype=np.float32)
    for start in range(0, len(copies), LANES):
        block = copies[start : start + LANES]
        lanes = np.zeros((n_conditions, LANES), dtype=np.float32)
        lanes[:, : len(block)] = block.T
        weights = [lanes[first, lane] * lanes[second, lane] for lane in range(len(block))]
        drawn = [np.flatnonzero(w) for w in weights]
        ranks = [kept[lane, : len(rows) * len(d)].reshape(len(rows), len(d)) for lane, d in enumerate(drawn)]
        for row, pairs in enumerate(ordered):
            weighted_midranks(pairs, lanes, place)
            for lane, own in enumerate(drawn):
                take_lane(place, own, lane, ranks[lane][row])
        for lane, own in enumerate(drawn):
            yield start + lane, weights[lane][own], ranks[lane]


def rank_resamples(
    models: np.ndarray, data: np.ndarray, copies: np.ndarray, *, subjects: Sequence[tuple[np.ndarray, np.ndarray]],
    subject: np.ndarray, ties: bool,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Return similarities (n_resamples, n_models, n_data) and the ceilings under each way of drawing subjects.

    Parameters
    ----------
    models, data : array of shape (n_models, n_pairs) and (n_data, n_pairs)
    copies : array of shape (n_resamples, n_conditions)
        How often each condition is drawn.
    subjects : sequence of (copies, share), each of shape (n_resamples, n, n_data)
        Resamples of subjects that belong to each resample of conditions, and the weight of each matrix in the mean.
    subject : array of int, shape (n_data,)
        Whose matrix it is.
    ties : bool
        True for Spearman, False for rho-a.

    Returns
    -------
    similarities : array of shape (n_resamples, n_models, n_data)
    ceilings : list of array of shape (n_resamples, n, 2)
        One for each entry of ``subjects``.
    """
    k = len(models)
    found = np.empty((len(copies), k, len(data)))
    ceilings = [np.empty((*c.shape[:2], 2)) for c, _ in subjects]
    for b, weights, ranks in ranks_of(np.concatenate([models, data]), copies):
        exact = ranks.astype(np.float64)
        heavy = exact[:k] * weights
        n = weights.sum(dtype=float)
        found[b] = heavy @ exact[k:].T
        if ties:
            size = np.sqrt(np.sum(heavy * exact[:k], axis=1)[:, None] * np.sum(weights * exact[k:] ** 2, axis=1))
            found[b] = np.where(size > 0, found[b] / np.where(size > 0, size, 1.0), 0.0)
        else:
            found[b] /= (n**3 - n) / 12
        for out, (own, share) in zip(ceilings, subjects, strict=True):
            if own.shape[1]:
                out[b] = rank_ceilings(ranks[k:], weights, copies=own[b], share=share[b], subject=subject, ties=ties)
    return found, ceilings
