"""Scores and ceilings with the data as they are and in every resample, by whichever way suits the comparator."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from braindec.align.rsa._draws import Draws, pair_weights
from braindec.align.rsa._ranks import RANKED, rank_resamples
from braindec.align.rsa._sums import LINEAR, ceilings_of, similarities, weighted_sums
from braindec.align.rsa.compare import Comparator

__all__ = ["evaluate", "shares"]


def shares(copies: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Weight of each matrix in a mean over subjects: matrices of one subject share that subject's weight."""
    return copies / np.bincount(subject)[subject]


def evaluate(
    models: np.ndarray, data: np.ndarray, one: Draws, drawn: Draws, comparator: Comparator, kind: str, subject: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:  # fmt: skip
    """Similarities and ceilings as they are, and scores with ceilings in the resamples of each bootstrap."""
    every = np.ones_like(drawn.rdms)
    over_conditions = {
        "two-factor": {"both": drawn.rdms, "conditions": every},
        "conditions": {"conditions": every},
    }.get(kind, {})
    over_subjects = drawn.rdms if kind in ("two-factor", "subjects") else drawn.rdms[:0]
    fixed = np.concatenate([one.rdms, over_subjects])
    similar, (bounds,) = _similarities(models, data, one.conditions, [fixed[None]], comparator, subject)
    each, bounds = similar[0], bounds[0]
    out: dict[str, np.ndarray] = {}
    if len(over_subjects):
        out["subjects"] = np.hstack([_means(np.broadcast_to(each, (len(over_subjects), *each.shape)), over_subjects, subject), bounds[1:]])  # fmt: skip
    if over_conditions:
        similar, found = _similarities(
            models, data, drawn.conditions, [c[:, None] for c in over_conditions.values()], comparator, subject
        )
        for (name, copies), ends in zip(over_conditions.items(), found, strict=True):
            out[name] = np.hstack([_means(similar, copies, subject), ends[:, 0]])
    return each, bounds[0], out


def _means(similar: np.ndarray, copies: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Mean over drawn subjects, (n_resamples, n_models), of similarities (n_resamples, n_models, n_rdm)."""
    share = shares(copies, subject)
    return np.matmul(similar, share[:, :, None])[:, :, 0] / share.sum(axis=1, keepdims=True)


def _similarities(
    models: np.ndarray, data: np.ndarray, conditions: np.ndarray, rdms: list[np.ndarray], comparator: Comparator,
    subject: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Similarities (n_resamples, n_models, n_rdm) and ceilings (n_resamples, n, 2) for each ``rdms`` (n_resamples, n, n_rdm)."""
    if comparator.name in RANKED:
        pairs = [(c, shares(c, subject)) for c in rdms]
        return rank_resamples(models, data, conditions, subjects=pairs, subject=subject, ties=comparator.name == "spearman")  # fmt: skip
    if comparator.name in LINEAR:
        sums = weighted_sums(models, data, conditions, comparator.name)
        found = []
        for copies in rdms:
            flat = copies.reshape(-1, copies.shape[2])
            found.append(ceilings_of(sums, flat, shares(flat, subject), subject).reshape(*copies.shape[:2], 2))
        return similarities(sums), found
    return _one_by_one(models, data, conditions, rdms, comparator, subject)


def _one_by_one(
    models: np.ndarray, data: np.ndarray, conditions: np.ndarray, rdms: list[np.ndarray], comparator: Comparator,
    subject: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Any comparator: the resampled matrices are written out, pairs as often as they are drawn."""
    similar = np.empty((len(conditions), len(models), len(data)))
    bounds = [np.full((*c.shape[:2], 2), np.nan) for c in rdms]
    rows = np.arange(len(data))
    for b, copies in enumerate(
        tqdm(conditions, desc=f"bootstrap, {comparator.name}", disable=None if len(conditions) > 20 else True)
    ):
        cells = np.repeat(np.arange(data.shape[1]), pair_weights(copies[None])[0].astype(int))
        A, B = models[:, cells], data[:, cells]
        similar[b] = comparator.compare(A, B)
        prepared = comparator.pool(B)
        for out, own in zip(bounds, rdms, strict=True):
            for i, drawn in enumerate(own[b]):
                share = shares(drawn[None], subject)[0]
                upper = comparator.compare((drawn @ prepared)[None], B)[0]
                lower = np.full(len(data), np.nan)
                for r in rows[drawn > 0]:
                    others = np.where(subject == subject[r], 0.0, drawn)
                    if others.any():
                        lower[r] = comparator.compare((others @ prepared)[None], B[r : r + 1])[0, 0]
                used = drawn > 0
                out[b, i] = [np.average(lower[used], weights=share[used]), np.average(upper[used], weights=share[used])]
    return similar, bounds
