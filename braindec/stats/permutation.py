"""Permutation tests: p-values from a null, labels permuted within groups, the maximum statistic, exact sign flips.

Source: Phipson & Smyth 2010 (SAGMB 9:39) for the observed value counting as one of the permutations, so that p is
never 0 and the test holds its level; Nichols & Holmes 2002 (Human Brain Mapping 15:1) for exchangeability blocks and
the maximum statistic; Winkler et al. 2014 (NeuroImage 92:381) for whole-block permutation.
"""

from __future__ import annotations

from itertools import product
from math import lgamma
from typing import NamedTuple

import numpy as np

from braindec.errors import BraindecError

_TINY = 1e-12
_EXACT = 14  # up to this many values all 2**n sign flips are tried

__all__ = [
    "MaxStatistic",
    "log_arrangements",
    "log_turns",
    "max_statistic",
    "permutation_p",
    "permute_units",
    "permute_within",
    "sign_flip_test",
    "turn_within",
]


class MaxStatistic(NamedTuple):
    """Family-wise result: ``p`` for each statistic and the ``threshold`` that all of them share."""

    p: np.ndarray
    threshold: float


def permutation_p(observed: float | np.ndarray, null: np.ndarray) -> float | np.ndarray:
    """Return ``(1 + #{null >= observed}) / (1 + n)``: one-sided, larger is more extreme; ties count against.

    Parameters
    ----------
    observed : float or array of shape (...)
        The statistic of the real labels.
    null : array of shape (n_permutations, ...)
        The same statistic of permuted labels. Non-finite values are refused.

    Raises
    ------
    BraindecError
        If the null is empty or anything is not finite.

    Examples
    --------
    >>> permutation_p(3.0, np.array([1.0, 2.0, 3.0]))
    0.5
    """
    observed, null = np.asarray(observed, dtype=float), np.asarray(null, dtype=float)
    if not len(null):
        raise BraindecError(
            "a permutation p-value needs a null", found="0 permutations", fix="ask for n_permutations >= 1"
        )
    if not np.isfinite(observed).all() or not np.isfinite(null).all():
        raise BraindecError("a permutation p-value needs finite statistics", found="NaN or infinite values")
    slack = _TINY * np.maximum(1.0, np.abs(observed))  # equal up to rounding counts as equal
    p = (1 + np.sum(null >= observed - slack, axis=0)) / (1 + len(null))
    return float(p) if observed.ndim == 0 else p


def permute_within(labels: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return ``labels`` shuffled among the rows of each group (among all rows when ``groups`` is None)."""
    labels = np.asarray(labels)
    if groups is None:
        return labels[rng.permutation(len(labels))]
    code = np.unique(np.asarray(groups), return_inverse=True)[1]
    order = np.argsort(code, kind="stable")  # rows, group by group
    shuffled = np.lexsort((rng.random(len(labels)), code))  # the same places, in random order inside each group
    out = np.empty_like(labels)
    out[order] = labels[shuffled]
    return out


def permute_units(
    labels: np.ndarray, units: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Return ``labels`` with whole units (stretches of rows that share a label) shuffled within groups.

    Parameters
    ----------
    labels : array of shape (n,)
        Constant within each unit.
    units : array of shape (n,)
        Which rows move together.
    groups : array of shape (n,), optional
        Units are exchanged within a group only; constant within each unit.
    rng : numpy.random.Generator
        Source of chance.
    """
    first, code = np.unique(np.asarray(units), return_index=True, return_inverse=True)[1:]
    unit_labels = np.asarray(labels)[first]
    unit_groups = None if groups is None else np.asarray(groups)[first]
    return permute_within(unit_labels, unit_groups, rng)[code.reshape(-1)]


def turn_within(labels: np.ndarray, groups: np.ndarray, order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``labels`` turned around within each group: shifted by a random number of rows, the end coming first.

    Parameters
    ----------
    labels, groups : array of shape (n,)
    order : array of int, shape (n,)
        Rows in order of time, group by group.
    rng : numpy.random.Generator
        Source of chance.
    """
    labels, out = np.asarray(labels), np.array(labels)
    for group in np.unique(groups):
        mine = order[groups[order] == group]
        out[mine] = np.roll(labels[mine], rng.integers(len(mine)))
    return out


def log_turns(labels: np.ndarray, groups: np.ndarray, order: np.ndarray) -> float:
    """Return the natural logarithm of the number of different label orders that :func:`turn_within` can make."""
    total = 0.0
    for group in np.unique(groups):
        own = np.asarray(labels)[order[groups[order] == group]]
        n = len(own)
        total += np.log(next(k for k in range(1, n + 1) if n % k == 0 and np.array_equal(np.roll(own, k), own)))
    return total


def log_arrangements(labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Return the natural logarithm of the number of different label orders that :func:`permute_within` can make."""
    labels = np.asarray(labels)
    groups = np.zeros(len(labels)) if groups is None else np.asarray(groups)
    total = 0.0
    for group in np.unique(groups):
        counts = np.unique(labels[groups == group], return_counts=True)[1]
        total += lgamma(counts.sum() + 1) - sum(lgamma(c + 1) for c in counts)
    return total


def max_statistic(
    observed: np.ndarray, null: np.ndarray, *, alpha: float = 0.05, two_sided: bool = False
) -> MaxStatistic:
    """Correct many statistics for multiple tests by the largest of them in each permutation.

    Parameters
    ----------
    observed : array of shape (n_statistics,)
        Statistics on one scale (t, z, or scores with one chance level).
    null : array of shape (n_permutations, n_statistics)
        All of them recomputed in each permutation.
    alpha : float
        Family-wise error rate of the threshold.
    two_sided : bool
        Compare absolute values.
    """
    observed, null = np.asarray(observed, dtype=float), np.asarray(null, dtype=float)
    if null.ndim != 2 or null.shape[1:] != observed.shape:
        raise BraindecError(
            "the maximum statistic needs a null of (permutation, statistic)",
            found=f"observed {observed.shape}, null {null.shape}",
        )
    if two_sided:
        observed, null = np.abs(observed), np.abs(null)
    largest = null.max(axis=1)
    p = permutation_p(observed, np.repeat(largest[:, None], len(observed), axis=1))
    every = np.sort(np.append(largest, observed.max()))
    place = int(np.floor(alpha * len(every)))  # as many values may lie at or above it
    threshold = float(every[-place]) if place else np.inf
    return MaxStatistic(np.asarray(p), threshold)


def sign_flip_test(
    values: np.ndarray, *, n_permutations: int = 10_000, two_sided: bool = False, rng: np.random.Generator | int = 0
) -> float:
    """Test whether the mean of values that are symmetric around 0 under the null is above 0 (one value a subject).

    Up to 14 values all sign flips are tried, so the p-value is exact; beyond that ``n_permutations`` random ones.

    Parameters
    ----------
    values : array of shape (n,)
        Score minus chance of each subject, or differences of pairs.
    n_permutations : int
        Random flips for larger groups.
    two_sided : bool
        Test for a mean different from 0.
    rng : Generator or int
        Source of chance.

    Raises
    ------
    BraindecError
        For fewer than 2 values or values that are not finite.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise BraindecError(
            "a sign-flip test needs one finite value for each of at least 2 subjects", found=f"shape {values.shape}"
        )
    if len(values) <= _EXACT:
        flips = np.array(list(product((1.0, -1.0), repeat=len(values))))
        exact = True
    else:
        flips = np.random.default_rng(rng).choice((1.0, -1.0), size=(n_permutations, len(values)))
        exact = False
    null, observed = flips @ values / len(values), values.mean()
    if two_sided:
        null, observed = np.abs(null), abs(observed)
    slack = _TINY * max(1.0, np.abs(values).max())
    count = int(np.sum(null >= observed - slack))
    return count / len(null) if exact else (count + 1) / (len(null) + 1)
