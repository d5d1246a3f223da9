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


def components(subjects: Iterable[np.ndarray]) -> Components:
    """Return covariances of the means of pseudo-values over subjects and pairs.

    Parameters
    ----------
    subjects : iterable of array of shape (n_statistics, n_pairs)
        Pseudo-values of each subject (the mean over a subject's matrices); one subject is in memory at a time.

    Notes
    -----
    Estimates can be negative where there is next to no variance.
    """
    means, each, total = [], 0.0, 0.0
    for values in subjects:
        means.append(values.mean(axis=1))
        each = each + _disjoint(values)
        total = total + values
    found, n_subjects = np.array(means), len(means)
    total = np.asarray(total)
    square = np.outer(found.mean(axis=0), found.mean(axis=0))
    whole, linear = _disjoint(total), linear_jackknife(total / n_subjects)
    conditions = square - whole / n_subjects**2
    if n_subjects == 1:
        return Components(conditions, np.zeros_like(square), conditions, linear)
    both = square - (whole - each) / (n_subjects * (n_subjects - 1))
    return Components(both, np.cov(found, rowvar=False).reshape(square.shape) / n_subjects, conditions, linear)


def _disjoint(values: np.ndarray) -> np.ndarray:
    """Mean product of cells that share no condition, (n_statistics, n_statistics), of values (n_statistics, n_pairs)."""
    rows = np.stack([cells_to_square(v).sum(axis=1) for v in values])  # (statistic, condition)
    n = rows.shape[1]
    totals = rows.sum(axis=1)
    products = np.outer(totals, totals) - 4 * rows @ rows.T + 4 * values @ values.T  # a pair stands twice in a square
    return products / (n * (n - 1) * (n - 2) * (n - 3))
