"""Resamples of conditions and subjects as numbers of copies, and what each pair of conditions weighs in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError

__all__ = ["Draws", "codes_of", "draw", "pair_weights"]


@dataclass(frozen=True)
class Draws:
    """Numbers of copies in each resample.

    Parameters
    ----------
    conditions : array of float, shape (n_resamples, n_conditions)
    rdms : array of float, shape (n_resamples, n_rdm)
        Copies of each matrix: all matrices of a subject are drawn together.
    """

    conditions: np.ndarray
    rdms: np.ndarray


def codes_of(labels: np.ndarray | None, n: int) -> np.ndarray:
    """Return group numbers 0, 1, ... of shape (n,); every row by itself when there are no labels."""
    if labels is None:
        return np.arange(n)
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise BraindecError("groups need one label for each row", found=f"{labels.shape}", allowed=f"({n},)")
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def draw(condition_groups: np.ndarray, subjects: np.ndarray, *, n: int, rng: np.random.Generator) -> Draws:
    """Draw groups of conditions and subjects with replacement, as many as there are.

    Parameters
    ----------
    condition_groups : array of int, shape (n_conditions,)
        Conditions of one group (sentences of one passage) are drawn together.
    subjects : array of int, shape (n_rdm,)
        Matrices of one subject are drawn together.
    n : int
        Resamples.
    rng : numpy.random.Generator
        Source of chance.

    Notes
    -----
    A draw of a single group of conditions, which leaves no pair, is drawn again.
    """
    n_groups, n_subjects = condition_groups.max() + 1, subjects.max() + 1
    even = np.full(n_groups, 1 / n_groups)
    groups = rng.multinomial(n_groups, even, size=n)
    while n_groups > 2 and (bare := (groups > 0).sum(axis=1) < 3).any():
        groups[bare] = rng.multinomial(n_groups, even, size=int(bare.sum()))
    people = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n)
    return Draws(groups[:, condition_groups].astype(float), people[:, subjects].astype(float))


def pair_weights(copies: np.ndarray) -> np.ndarray:
    """Return copies of each pair, shape (n_resamples, n_pairs); copies of one condition make no pair."""
    first, second = np.triu_indices(copies.shape[1], 1)
    return copies[:, first] * copies[:, second]
