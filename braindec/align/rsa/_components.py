"""Variance of a mean over subjects and pairs of conditions, without bias and without resampling.

Scores ``u_sij`` (subject s, pair ij) of random subjects and random conditions depend on one another when they share a subject
or a condition. The squared mean estimates ``theta^2 + variance``; the mean product of entries that share neither estimates
``theta^2`` without bias. Their difference is the variance, including what single pairs and single subject-pair combinations
bring: parts that a bootstrap of conditions counts up to three times, and one of both factors up to seven times. Sums over
disjoint pairs follow from totals, row sums and sums of squares.

Source: Gallas 2006 (Academic Radiology 13:353), one-shot variance of a U-statistic of readers and cases, applied here to
degree 1 in subjects and degree 2 in conditions; Hoeffding 1948 (Ann Math Stat 19:293).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from braindec.align.rsa._jackknife import linear_jackknife
from braindec.align.rsa.rdm import cells_to_square

__all__ = ["Components", "components"]


@dataclass(frozen=True, eq=False)
class Components:
    """Covariances of several means over (subject, pair).

    Parameters
    ----------
    both : array of shape (n_statistics, n_statistics)
        Over new subjects and new conditions.
    subjects : array of shape (n_statistics, n_statistics)
        Over new subjects, conditions as they are; 0 with one subject.
    conditions : array of shape (n_statistics, n_statistics)
        Over new conditions, subjects as they are.
    linear : array of shape (n_statistics, n_statistics)
        Jackknife covariance over conditions of these means, to compare with that of what they stand for
        (:mod:`._jackknife`).
    """

    both: np.ndarray
    subjects: np.ndarray
    conditions: np.ndarray
    linear: np.ndarray


def components(subjects: Iterable[np.ndarray], group: np.ndarray | None = None) -> Components:
    """Return covariances of the means of pseudo-values over subjects and pairs.

    Parameters
    ----------
    subjects : iterable of array of shape (n_statistics, n_pairs)
        Pseudo-values of each subject (the mean over a subject's matrices); one subject is in memory at a time.
    group : array of int, shape (n_conditions,), optional
        Conditions that depend on one another (sentences of a passage): products are of pairs that share no group.

    Notes
    -----
    Estimates can be negative where there is next to no variance.
    """
    means, each, total = [], 0.0, 0.0
    for values in subjects:
        means.append(values.mean(axis=1))
        each = each + _disjoint(values, group)
        total = total + values
    found, n_subjects = np.array(means), len(means)
    total = np.asarray(total)
    square = np.outer(found.mean(axis=0), found.mean(axis=0))
    whole, linear = _disjoint(total, group), linear_jackknife(total / n_subjects, group)
    conditions = square - whole / n_subjects**2
    if n_subjects == 1:
        return Components(conditions, np.zeros_like(square), conditions, linear)
    both = square - (whole - each) / (n_subjects * (n_subjects - 1))
    return Components(both, np.cov(found, rowvar=False).reshape(square.shape) / n_subjects, conditions, linear)


def _disjoint(values: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """Mean product of cells that share no group, (n_statistics, n_statistics), of values (n_statistics, n_pairs)."""
    if group is not None and len(np.unique(group)) < len(group):
        blocks = _between_groups(values, group)
        return _products(blocks, blocks) / _products(*(_between_groups(np.ones((1, values.shape[1])), group),) * 2)
    rows = np.stack([cells_to_square(v).sum(axis=1) for v in values])  # (statistic, condition)
    n, totals = rows.shape[1], rows.sum(axis=1)
    products = np.outer(totals, totals) - 4 * rows @ rows.T + 4 * values @ values.T  # a pair stands twice in a square
    return products / (n * (n - 1) * (n - 2) * (n - 3))


def _between_groups(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums over the pairs of every two groups, (n_statistics, n_groups, n_groups); pairs of one group count twice."""
    member = (group[:, None] == np.unique(group)[None, :]).astype(float)
    return np.stack([member.T @ cells_to_square(v) @ member for v in values])


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sums of products of blocks that share no group, (n_statistics, n_statistics)."""
    diagonal_a, diagonal_b = (np.diagonal(x, axis1=1, axis2=2) for x in (a, b))
    apart_a, apart_b = (x - np.stack([np.diag(d) for d in ds]) for x, ds in ((a, diagonal_a), (b, diagonal_b)))
    rows_a, rows_b = apart_a.sum(axis=2), apart_b.sum(axis=2)
    total_a, total_b, own_a, own_b = (
        rows_a.sum(axis=1),
        rows_b.sum(axis=1),
        diagonal_a.sum(axis=1),
        diagonal_b.sum(axis=1),
    )
    flat_a, flat_b = apart_a.reshape(len(a), -1), apart_b.reshape(len(b), -1)
    between = np.outer(total_a, total_b) - 4 * rows_a @ rows_b.T + 2 * flat_a @ flat_b.T
    mixed = np.outer(total_a, own_b) - 2 * rows_a @ diagonal_b.T + np.outer(own_a, total_b) - 2 * diagonal_a @ rows_b.T
    return between + mixed + np.outer(own_a, own_b) - diagonal_a @ diagonal_b.T
