"""Covariance matrices of many windows at once, shrunk by the formula of Ledoit & Wolf; powers of a covariance matrix.

Source: Ledoit & Wolf (2004, J Multivariate Analysis 88), "A well-conditioned estimator for large-dimensional covariance
matrices", section 3.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

__all__ = ["matrix_power", "shrunk_covariances"]


def shrunk_covariances(X: np.ndarray, *, shrinkage: float | None = None) -> np.ndarray:
    """Return the covariance over the last axis of each matrix of ``X``, shrunk towards a multiple of the identity.

    Parameters
    ----------
    X : array of shape (n, n_channels, n_samples)
        Centred here, each channel of each matrix.
    shrinkage : float, optional
        Weight of the identity from 0 to 1; by the formula of Ledoit & Wolf for each matrix when None.

    Returns
    -------
    array of shape (n, n_channels, n_channels), float64
    """
    X = np.array(X, dtype=np.float64)
    X -= X.mean(axis=2, keepdims=True)
    _, p, n = X.shape
    covariance = X @ X.swapaxes(1, 2) / n
    mean_variance = np.trace(covariance, axis1=1, axis2=2) / p  # the multiple of the identity
    if shrinkage is None:
        norm = (covariance**2).sum(axis=(1, 2))
        distance = norm / p - mean_variance**2  # squared, of the covariance from the target
        fourth = ((X**2).sum(axis=1) ** 2).sum(axis=1)
        noise = (fourth / n - norm) / (n * p)
        weight = np.divide(np.minimum(noise, distance), distance, out=np.zeros_like(noise), where=distance > 0)
    else:
        weight = np.full(len(X), float(shrinkage))
    covariance *= (1 - weight)[:, None, None]
    covariance[:, np.arange(p), np.arange(p)] += (weight * mean_variance)[:, None]
    return covariance


def matrix_power(covariance: np.ndarray, power: float, *, what: str) -> np.ndarray:
    """Return a symmetric positive matrix raised to ``power`` (-0.5 whitens).

    Raises
    ------
    BraindecError
        If the matrix is singular: some channels are combinations of others.
    """
    values, vectors = np.linalg.eigh(covariance)
    rank = int((values > 1e-10 * max(values[-1], 0)).sum())
    if rank < len(values):
        raise BraindecError(
            f"{what} cannot be inverted: some channels are combinations of others", found=f"rank {rank} of {len(values)} channels",
            fix="drop them with the step drop_redundant, or use shrinkage; an average reference costs one channel",
        )  # fmt: skip
    return (vectors * values**power) @ vectors.T
