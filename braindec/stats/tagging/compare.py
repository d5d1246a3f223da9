"""Does a condition tag differently from its matched control? Two samples of complex coefficients of independent trials.

This is the test to trust: whatever the two conditions share (word classes at their places, position in the trial, onset)
cancels. Labels of trials are exchanged for all units at once, so that units may depend on one another: the largest
statistic over units then corrects for all of them.

The statistic is the share of the power of all trials, taken about their common mean, that lies between the conditions
(a monotone function of the two-sample T2circ). With unequal numbers of trials each condition has a variance of its own in it
(Welch's form, the same number where trials are as many), without which one noisier condition of few trials is found different
in a third of all units. ``"stronger"`` asks instead whether the mean response of the condition has
a larger magnitude than that of its control.

Trials are exchangeable if the control matches: same words (or words of the same kind) at the same places, in other
sentences. The same sentences dealt anew are no independent control: their means are alike by construction and the test
then finds less than its level.

Source: Maris, Schoffelen & Fries 2007 (J Neurosci Methods 163:161) for permuting trials between conditions; Victor & Mast
1991 for T2circ; Janssen 1997 (Stat Probab Lett 36:9) for studentised permutation; Phipson & Smyth 2010 for the observed labels among the permutations.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from scipy.stats import f

from braindec.errors import BraindecError
from braindec.stats.permutation import permute_within
from braindec.stats.tagging.phase import _ratio, _real, share_of_power

__all__ = ["STATISTICS", "deals", "label_permutation", "permuted", "two_sample"]

STATISTICS = ("difference", "stronger")


def two_sample(
    condition: np.ndarray, control: np.ndarray, nyquist: np.ndarray | bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sample T2circ: F(2, 2 (n + m) - 4) of the difference of the means; F(1, n + m - 2) at Nyquist.

    Parameters
    ----------
    condition, control : complex array of shape (trial, ...)
    nyquist : array of bool, shape (rate,), or bool

    Returns
    -------
    statistic, p : array of shape (...)
    """
    a, b = np.asarray(condition), np.asarray(control)
    n, m = len(a), len(b)
    if n < 2 or m < 2:
        raise BraindecError("two conditions need at least 2 trials each", found=f"{n} and {m}")
    real = _real(nyquist, a)
    within = (np.abs(a - a.mean(axis=0)) ** 2).sum(axis=0) + (np.abs(b - b.mean(axis=0)) ** 2).sum(axis=0)
    between = np.abs(a.mean(axis=0) - b.mean(axis=0)) ** 2 * n * m / (n + m)
    size = np.maximum(np.abs(a).max(axis=0), np.abs(b).max(axis=0))
    statistic = _ratio(between * (n + m - 2), within, size)
    return statistic, f.sf(statistic, np.where(real, 1, 2), np.where(real, n + m - 2, 2 * (n + m) - 4))


def deals(
    n: int, m: int, n_permutations: int, rng: np.random.Generator, blocks: np.ndarray | None = None
) -> tuple[np.ndarray, bool]:
    """Return which trials count as the condition, (permutation, n + m), the true labels first; and whether all are there.

    Parameters
    ----------
    n, m : int
        Trials of the condition and of its control.
    n_permutations : int
        Random ones, where there are too many to try them all.
    rng : Generator
    blocks : array of shape (n + m,), optional
        Labels are exchanged within a block (run, session, subject) only.
    """
    true = np.arange(n + m) < n
    if blocks is None and comb(n + m, n) <= max(n_permutations, 1000):
        rows = np.zeros((comb(n + m, n), n + m), dtype=bool)
        for row, chosen in zip(rows, combinations(range(n + m), n), strict=True):  # the first are the true labels
            row[list(chosen)] = True
        return rows, True
    rows = np.stack([true, *(permute_within(true, blocks, rng) for _ in range(n_permutations))])
    return rows, False


def permuted(a: np.ndarray, b: np.ndarray, labels: np.ndarray, statistic: str = "difference") -> np.ndarray:
    """Return the statistic for every row of ``labels`` (see :func:`deals`), shape (permutation, rate, unit).

    Raises
    ------
    BraindecError
        If the statistic is unknown.
    """
    if statistic not in STATISTICS:
        raise BraindecError(f"statistic {statistic!r} is unknown", allowed=", ".join(STATISTICS))
    n, m = len(a), len(b)
    both = np.concatenate([a, b])
    mine = labels.astype(np.float64)
    if statistic == "difference":
        centred = both - both.mean(axis=0)
        size = np.abs(both).max(axis=0)
        centred[:, (np.abs(centred).max(axis=0) <= 1e-10 * size)] = 0.0  # all trials alike: undefined, not rounding
        if n == m:
            return share_of_power(mine * (2 / n) - 1 / n, centred) * (n / 2)
        return _studentised(mine, centred, n, m)
    return np.sqrt(share_of_power(mine / n, both)) - np.sqrt(share_of_power((1 - mine) / m, both))


def _studentised(mine: np.ndarray, centred: np.ndarray, n: int, m: int) -> np.ndarray:
    """``W / (W + n + m - 2)`` with ``W`` the squared difference of means over the sum of its two variances."""
    power = np.abs(centred) ** 2
    total = power.sum(axis=0)
    share = np.divide(power, total, out=np.zeros_like(power), where=total > 0)
    own = np.tensordot(mine, share, axes=1)  # share of the power that lies in the condition's trials
    summed = share_of_power(mine, centred)  # |sum of the condition's trials| ** 2 over all power
    spread = np.maximum(own - summed / n, 0) / (n * (n - 1)) + np.maximum(1 - own - summed / m, 0) / (m * (m - 1))
    apart = summed * (1 / n + 1 / m) ** 2
    return apart / (apart + (n + m - 2) * np.maximum(spread, 1e-300))


def label_permutation(
    condition: np.ndarray, control: np.ndarray, *, n_permutations: int = 1000, rng: np.random.Generator | int = 0,
    statistic: str = "difference", blocks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Exchange the labels of trials between a condition and its matched control.

    Parameters
    ----------
    condition, control : complex array of shape (trial, rate, unit)
    n_permutations : int
        Random ones; all are tried where there are no more than that (or 1,000).
    rng : Generator or int
    statistic : {"difference", "stronger"}
    blocks : array of shape (n_trials of both,), optional
        Exchange within blocks only, the condition's trials first.

    Returns
    -------
    null : array of shape (permutation, rate, unit)
        The first row is the observed statistic.
    p : array of shape (rate, unit)
    """
    a, b = np.asarray(condition), np.asarray(control)
    if len(a) < 2 or len(b) < 2:
        raise BraindecError(
            "a label permutation needs at least 2 trials of each condition", found=f"{len(a)} and {len(b)}"
        )
    labels, _ = deals(len(a), len(b), n_permutations, np.random.default_rng(rng), blocks)
    null = permuted(a, b, labels, statistic)
    p = (null >= null[0] - 1e-9 * np.abs(null[0])).mean(axis=0)
    return null, np.where(np.isnan(null[0]), np.nan, p)
