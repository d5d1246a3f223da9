"""Mutual information of numbers with a class of two, by Parzen windows: how many bits a feature says of the class.

Source: Kwak & Choi 2002 (IEEE PAMI 24:1667) for the estimate by Parzen windows; Ang et al. 2012 (Frontiers in Neuroscience
6:39), equations 5 to 11, for its use on band powers, with Silverman's width.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

__all__ = ["parzen_information"]


def parzen_information(rows: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return the mutual information of each column with the class.

    Parameters
    ----------
    rows : array of shape (n_rows, n_features)
    member : array of bool, shape (n_rows,)
        Which rows are of the class; the others are of the other one.

    Returns
    -------
    array of shape (n_features,)
        Bits, 0 to 1 for two classes of one size; too high by some hundredths in small samples.

    Raises
    ------
    BraindecError
        If a class has fewer than two rows.
    """
    member = np.asarray(member, dtype=bool)
    n = len(rows)
    counts = np.array([n - member.sum(), member.sum()])
    if counts.min() < 2:
        raise BraindecError(
            "information on a class needs two rows of each kind or more", found=f"{counts.tolist()} rows"
        )
    prior = counts / n
    out = np.zeros(rows.shape[1])
    for j, column in enumerate(np.asarray(rows, dtype=np.float64).T):
        density = np.empty((2, n))  # of each row's value in each class
        for k, mine in enumerate((~member, member)):
            spread = column[mine].std(ddof=1)
            if not spread > 1e-12 * max(np.abs(column).max(), 1e-300):
                spread = 1e-6 * max(np.ptp(column), 1e-300)
            width = spread * (4 / (3 * counts[k])) ** 0.2
            distance = (column[:, None] - column[mine][None, :]) / width
            density[k] = np.exp(-0.5 * distance**2).mean(axis=1) / width
        posterior = prior[:, None] * np.maximum(density, 1e-300)
        posterior /= posterior.sum(axis=0)
        remaining = -np.mean(np.sum(posterior * np.log2(np.maximum(posterior, 1e-300)), axis=0))
        out[j] = max(-np.sum(prior * np.log2(prior)) - remaining, 0.0)
    return out
