"""Pairs of cells in the same and in opposite order, for many rankings, in O(m log m)."""

from __future__ import annotations

import numpy as np
from scipy.stats import kendalltau

__all__ = ["balance"]


def balance(A: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Count pairs of cells.

    Returns
    -------
    surplus : array of shape (k, m)
        Concordant minus discordant pairs of each row of ``A`` with each of ``B``.
    untied_a, untied_b : array of shape (k,), (m,)
        Pairs that are not tied.
    pairs : float
        All pairs of cells.
    """
    n = A.shape[1]
    pairs = n * (n - 1) / 2
    untied_a, untied_b = (np.array([pairs - _tied(row) for row in rows]) for rows in (A, B))
    tau = np.array([[kendalltau(a, b).statistic for b in B] for a in A]).reshape(len(A), len(B))
    surplus = np.where(np.isnan(tau), 0.0, tau) * np.sqrt(untied_a)[:, None] * np.sqrt(untied_b)  # NaN: all cells tied
    return surplus, untied_a, untied_b, pairs


def _tied(row: np.ndarray) -> float:
    counts = np.unique(row, return_counts=True)[1].astype(float)
    return float(np.sum(counts * (counts - 1)) / 2)
