"""Crossnobis: the cross-validated squared Mahalanobis distance, divided by the number of units; 0 in expectation for
two conditions that do not differ, so it may be negative.

The mean over folds (one run left out each time) of the products of differences in the left-out run with differences
in the mean of the others equals the mean over all ordered pairs of different runs. Hence with the sum S over runs,
``(S S' - sum_m X_m X_m') / (M (M - 1))`` is all that is needed: one product of n x p matrices for each run, nothing of
size p x p unless a full noise precision is given.

Source: Nili et al. 2014 (PLoS Comput Biol 10:e1003553); Walther et al. 2016 (NeuroImage 137:188), equation 8;
Diedrichsen, Provost & Zareamoghaddam 2016 (arXiv:1607.01371).
Differs from the reference in: runs that lack conditions are used, pair by pair, with the runs that hold both; all runs
weigh the same, however often a condition was repeated in them.
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.measure import Measure, squared_distances

__all__ = ["crossnobis"]


def _kernel(patterns: np.ndarray) -> np.ndarray:
    """Sum over units of the cross-validated second moment, (..., n, n) of patterns (run, ..., n, units)."""
    m = len(patterns)
    away = patterns - patterns.mean(axis=-2, keepdims=True)
    total = away.sum(axis=0)
    kernel = total @ total.swapaxes(-1, -2)
    for run in away:
        kernel -= run @ run.swapaxes(-1, -2)
    return kernel / (m * (m - 1))


def _incomplete(patterns: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mean over ordered pairs of runs that both hold conditions i and j, (n, n); absent patterns are zeros."""
    total = np.zeros((patterns.shape[1],) * 2)
    for a in range(len(patterns)):
        for b in range(a):
            both = (present[a] & present[b]).astype(float)
            first, second = patterns[a] * both[:, None], patterns[b] * both[:, None]
            centre = first.sum(axis=0) / max(both.sum(), 1.0)
            kernel = ((first - centre) * both[:, None]) @ second.T
            total += 2 * squared_distances(kernel, 1) * np.outer(both, both)
    runs = present.T.astype(float) @ present
    return total / np.where(runs > 1, runs * (runs - 1), np.nan)


crossnobis = Measure("crossnobis", "1", "cross-validated squared distance of noise-whitened patterns",
                     "noise variances", _kernel, squared_distances, runs=True, noise=True,
                     incomplete=_incomplete)  # fmt: skip
