"""Mutual information of numbers with a class of two, by Parzen windows: how many bits a feature says of the class.

Source: Kwak & Choi 2002 (IEEE PAMI 24:1667) for the estimate by Parzen windows; Ang et al. 2012 (Frontiers in Neuroscience
6:39), equations 5 to 11, for its use on band powers, with Silverman's width.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

_NUMBERS = 2**18  # distances held at once

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
    rows = np.ascontiguousarray(np.asarray(rows, dtype=np.float64).T)  # (feature, row)
    entropy = -np.sum(prior * np.log2(prior))
    out = np.empty(len(rows))
    step = max(1, _NUMBERS // n**2)
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        density = np.stack([_density(part, part[:, mine]) for mine in (~member, member)])  # (class, feature, row)
        posterior = prior[:, None, None] * np.maximum(density, 1e-300)
        posterior /= posterior.sum(axis=0)
        remaining = -np.sum(posterior * np.log2(np.maximum(posterior, 1e-300)), axis=0).mean(axis=1)
        out[first : first + step] = np.maximum(entropy - remaining, 0.0)
    return out


def _density(at: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Density of values ``seen`` (feature, row) by Gaussians of Silverman's width, at the values ``at``."""
    spread = seen.std(axis=1, ddof=1)
    size = np.abs(at).max(axis=1)
    spread = np.maximum(spread, np.maximum(1e-9 * size, 1e-300))  # a feature that never changes says nothing
    width = (spread * (4 / (3 * seen.shape[1])) ** 0.2)[:, None]
    distance = (at / width)[:, :, None] - (seen / width)[:, None, :]
    return np.exp(-0.5 * distance**2).mean(axis=2) / width
