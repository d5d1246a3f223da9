"""What comparators are made of: centring, unit length, ranks with ties in the middle, and whitening by condition."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from braindec.align.rsa.rdm import cells_to_square, n_conditions_of
from braindec.errors import BraindecError

__all__ = ["centred", "ranked", "rms_scaled", "second_moment", "unit", "whitened", "whitening_root", "z_scored"]

_BLOCK = 4_000_000  # numbers of float64 worked on at once: 32 MB


def centred(rdms: np.ndarray) -> np.ndarray:
    """Take away the mean over cells of each matrix."""
    return rdms - rdms.mean(axis=-1, keepdims=True)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale each row to unit length."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def ranked(rdms: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal cells get the mean of their ranks."""
    return rankdata(rdms, axis=-1)


def rms_scaled(rdms: np.ndarray) -> np.ndarray:
    """Divide each matrix by the root of its mean square."""
    return rdms / np.sqrt(np.mean(rdms**2, axis=-1, keepdims=True))


def z_scored(rdms: np.ndarray) -> np.ndarray:
    """Centre each matrix and divide it by its standard deviation."""
    return rms_scaled(centred(rdms))


def second_moment(rdms: np.ndarray) -> np.ndarray:
    """Gram matrix of centred patterns with these squared distances, ``-H D H / 2``, shape (k, n, n)."""
    square = cells_to_square(rdms)
    row = square.mean(axis=-1)
    return -0.5 * (square - row[..., :, None] - row[..., None, :] + row.mean(axis=-1)[..., None, None])


def whitened(rdms: np.ndarray, sigma_k: np.ndarray | None) -> np.ndarray:
    """Rows whose inner products are ``d' V^-1 d*`` over the norms, shape (k, n * (n + 1) / 2).

    A cell is ``d_ij = b_ij' G b_ij`` with ``b_ij = e_i - e_j`` and G the second moment of the condition means. When
    these have error covariance ``S`` over conditions, cells vary (at zero signal, up to a constant) with
    ``V_(ij)(kl) = (b_ij' S b_kl)**2``, the Frobenius product of ``S^1/2 b b' S^1/2`` of one cell with that of the
    other. So ``d' V^-1 d*`` is the Frobenius product of the smallest matrices that give d and d*; with
    ``K = H S H`` and ``K^+`` its pseudo-inverse these are ``(K^+)^1/2 G (K^+)^1/2``, where ``G = -H D H / 2``. Nothing
    of size pairs x pairs is needed: two n x n products a matrix, none when S is the identity.

    Raises
    ------
    BraindecError
        If ``sigma_k`` is not a covariance of the conditions.
    """
    n = n_conditions_of(rdms.shape[-1])
    root = None if sigma_k is None else whitening_root(sigma_k, n)
    rows, columns = np.triu_indices(n)
    cells, weight = rows * n + columns, np.where(rows == columns, 1.0, np.sqrt(2.0))  # the others stand twice
    out = np.empty((len(rdms), len(cells)))
    step = max(1, _BLOCK // n**2)
    for start in range(0, len(rdms), step):
        moments = second_moment(rdms[start : start + step])
        moments = moments if root is None else root @ moments @ root
        out[start : start + step] = moments.reshape(len(moments), -1)[:, cells] * weight
    return unit(out)


def whitening_root(sigma_k: np.ndarray, n: int) -> np.ndarray:
    """The matrix ``(K^+)^1/2`` of :func:`whitened`, (n, n), of a covariance (n, n) or variances (n,)."""
    sigma = np.asarray(sigma_k, dtype=np.float64)
    sigma = np.diag(sigma) if sigma.ndim == 1 else sigma
    slack = 1e-9 * np.abs(sigma).max(initial=0.0)
    if sigma.shape != (n, n) or not np.isfinite(sigma).all() or not np.allclose(sigma, sigma.T, atol=slack):
        raise BraindecError(
            "sigma_k is the covariance between conditions", found=f"shape {sigma.shape}",
            allowed=f"a symmetric ({n}, {n}) matrix, or variances ({n},)",
        )  # fmt: skip
    centred_sigma = sigma - sigma.mean(axis=0) - sigma.mean(axis=1)[:, None] + sigma.mean()
    values, vectors = np.linalg.eigh((centred_sigma + centred_sigma.T) / 2)
    if values[1] <= 1e-12 * values[-1]:  # centring leaves one eigenvalue at zero, and it must be the only one
        raise BraindecError(
            "sigma_k must be positive definite", found=f"rank {int((values > 1e-12 * values[-1]).sum()) + 1} of {n}",
            fix="shrink it towards its diagonal",
        )  # fmt: skip
    return (vectors[:, 1:] * values[1:] ** -0.5) @ vectors[:, 1:].T
