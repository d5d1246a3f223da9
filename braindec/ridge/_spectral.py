"""Symmetric eigendecomposition and inverse that always answer: float64, then a little ridge, then the SVD.

``eigh`` of a badly scaled or exactly singular matrix can fail to converge (LAPACK info > 0) or return values that are
not finite; a fit of 40,000 targets must not end there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.ridge._backend import Backend

__all__ = ["largest_eigenvalue", "safe_eigh", "safe_inverse", "safe_solver"]

_JITTER = 1e-12  # of the mean eigenvalue
_POWERS = 6


def safe_eigh(matrix: Any, backend: Backend) -> tuple[np.ndarray, Any]:
    """Eigenvalues (k,) as float64 numpy, clipped at 0, and eigenvectors (k, k) of a positive semi-definite matrix."""
    jitter = _JITTER * max(float(backend.get(matrix.diagonal()).mean()), np.finfo(np.float64).tiny)
    for attempt in (matrix, None):
        try:
            values, vectors = backend.eigh(matrix + jitter * _identity(matrix, backend) if attempt is None else matrix)
        except ArithmeticError:
            continue
        values = backend.get(values)
        if np.isfinite(values).all() and np.isfinite(float(vectors.sum())):
            return np.clip(values, 0.0, None), vectors
    try:
        values, vectors = backend.svd(matrix)
    except (np.linalg.LinAlgError, RuntimeError) as error:
        raise BraindecError(
            "the eigendecomposition of the features failed, with jitter and as an SVD too",
            found=str(error).splitlines()[0],
            fix="look for columns of huge or tiny scale and standardise the features",
        ) from error
    return np.clip(backend.get(values), 0.0, None), vectors


def largest_eigenvalue(matrix: Any) -> float:
    """Largest eigenvalue of a positive semi-definite matrix by a few power iterations: within a factor of two."""
    vector = matrix[int(matrix.diagonal().argmax())]
    value = 0.0
    for _ in range(_POWERS):
        length = float((vector @ vector) ** 0.5)
        if not length > 0:
            return value
        vector = matrix @ (vector / length)
        value = float((vector @ vector) ** 0.5)
    return value


def safe_inverse(matrix: Any, alpha: float, backend: Backend) -> Any:
    """Inverse of (matrix + alpha I) for a positive semi-definite matrix, in its own precision."""
    shifted = _shifted(matrix, alpha)
    inverse = backend.inverse(shifted)
    if inverse is not None:
        return inverse
    vectors, shrink = _decomposed(backend.cast(matrix, exact=True), alpha, backend)
    inverse = (vectors * shrink) @ vectors.T
    return backend.cast(inverse) if shifted.dtype == backend.dtype else inverse


def safe_solver(matrix: Any, alpha: float, backend: Backend) -> Callable[[Any], Any]:
    """Function that solves (matrix + alpha I) x = b for b (k, t) in the precision of the matrix."""
    shifted = _shifted(matrix, alpha)
    solver = backend.solver(shifted)
    if solver is not None:
        return solver
    vectors, shrink = _decomposed(backend.cast(matrix, exact=True), alpha, backend)
    if shifted.dtype == backend.dtype:
        vectors, shrink = backend.cast(vectors), backend.cast(shrink)
    return lambda b: vectors @ (shrink[:, None] * (vectors.T @ b))


def _shifted(matrix: Any, alpha: float) -> Any:
    """Copy with alpha added to the diagonal, in numpy and in torch, whatever the order in memory."""
    shifted, diagonal = matrix + 0.0, np.arange(matrix.shape[0])
    shifted[diagonal, diagonal] += alpha
    return shifted


def _decomposed(matrix: Any, alpha: float, backend: Backend) -> tuple[Any, Any]:
    values, vectors = safe_eigh(matrix, backend)
    values = np.maximum(values + alpha, np.finfo(np.float64).eps * max(values.max(), alpha))
    return vectors, backend.put(1.0 / values, exact=True)


def _identity(matrix: Any, backend: Backend) -> Any:
    return backend.put(np.eye(matrix.shape[0]), exact=True)
