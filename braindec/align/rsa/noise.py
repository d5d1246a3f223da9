"""Noise of patterns: covariance over units and its inverse, plain or shrunk, from residuals or repeated measurements.

How much to shrink comes from sums that need no p x p matrix of fourth moments: with residuals X (n x p),
``sum_ij sum_k x_ki**2 x_kj**2 = sum_k (sum_i x_ki**2)**2``, and squared norms of ``X'X`` are those of ``XX'``. With
fewer residuals than units the inverse comes from an n x n system (Woodbury).

Source: Ledoit & Wolf 2004 (J Multivariate Analysis 88:365), section 3, for "shrinkage_eye"; Schäfer & Strimmer 2005
(Stat Appl Genet Mol Biol 4:32), target D, for "shrinkage_diag".
Differs from the reference in: in "shrinkage_diag" the mean of the products is taken over n - 1, not n, inside the
variance of a correlation, as rsatoolbox has it; this changes the weight by terms of order 1 / n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import lapack
from scipy.sparse import csr_array

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import whole

__all__ = ["METHODS", "Noise", "noise_from_repeats", "noise_from_residuals", "residuals_of"]

METHODS = ("full", "diag", "shrinkage_eye", "shrinkage_diag")
_STABLE = 1e-4  # below this weight of the target the n x n system loses too many digits


@dataclass(frozen=True, eq=False)
class Noise:
    """A noise covariance; :func:`compute_rdm` takes it as ``noise``.

    Parameters
    ----------
    residuals : array of shape (n, p)
        What the covariance is of, centred.
    method : str
        One of ``METHODS``.
    shrinkage : float
        Weight of the target, 0 for "full", 1 for "diag".
    dof : int
        What sums of squares are divided by.
    """

    residuals: np.ndarray
    method: str
    shrinkage: float
    dof: int

    @cached_property
    def variances(self) -> np.ndarray:
        """Variance of each unit, shape (p,)."""
        return np.einsum("ki,ki->i", self.residuals, self.residuals) / self.dof

    @cached_property
    def target(self) -> np.ndarray:
        """Diagonal of what the covariance is drawn to, shape (p,)."""
        if self.method == "shrinkage_eye":
            return np.full(self.residuals.shape[1], self.variances.mean())
        return self.variances

    @cached_property
    def covariance(self) -> np.ndarray:
        """The (shrunk) covariance, shape (p, p); (p,) for "diag"."""
        if self.method == "diag":
            return self.variances
        weight = self.shrinkage
        covariance = (self.residuals.T @ self.residuals) * ((1.0 - weight) / self.dof)
        covariance[np.diag_indices_from(covariance)] += weight * self.target
        return covariance

    @cached_property
    def precision(self) -> np.ndarray:
        """Inverse of the covariance, shape (p, p); (p,) for "diag".

        Raises
        ------
        BraindecError
            If it is singular.
        """
        if self.method == "diag":
            return 1.0 / self.variances
        n, p = self.residuals.shape
        if n < p and self.shrinkage > _STABLE:
            return self._by_residuals()
        return _inverse(self.covariance, self)

    def _by_residuals(self) -> np.ndarray:
        """``D - D X' (c I + X D X')^-1 X D`` with ``D = (weight * target)^-1`` and ``c = dof / (1 - weight)``."""
        diagonal = 1.0 / (self.shrinkage * self.target)
        if self.shrinkage >= 1.0:
            return np.diag(diagonal)
        scaled = self.residuals * diagonal
        system = scaled @ self.residuals.T
        system[np.diag_indices_from(system)] += self.dof / (1.0 - self.shrinkage)
        half = np.linalg.solve(np.linalg.cholesky(system), scaled)
        precision = -(half.T @ half)
        precision[np.diag_indices_from(precision)] += diagonal
        return precision


def noise_from_residuals(
    residuals: Any, *, method: str = "shrinkage_diag", dof: int | None = None, centre: bool = True
) -> Noise:
    """Return the noise covariance of residuals of a model of the data.

    Parameters
    ----------
    residuals : array of shape (n, p)
        One row an observation (volume, trial), one column a unit.
    method : {"full", "diag", "shrinkage_eye", "shrinkage_diag"}
        No shrinkage; variances only; towards a multiple of the identity; towards the variances.
    dof : int, optional
        Degrees of freedom of the residuals; n - 1 by default (n without ``centre``).
    centre : bool
        Take away the mean of each unit.

    Raises
    ------
    BraindecError
        For an unknown method, values that are not finite, a unit without variance, or "full" with too few rows.
    """
    if method not in METHODS:
        raise BraindecError(
            f"method={method!r} is unknown{did_you_mean(str(method), METHODS)}", allowed=", ".join(METHODS)
        )
    rows = _numbers(residuals, "residuals")
    if not isinstance(centre, (bool, np.bool_)):
        raise BraindecError(f"centre={centre!r} does not work", allowed="True or False")
    if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
        raise BraindecError(
            "residuals are an array of (observation, unit), 2 rows at least", found=f"shape {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise BraindecError("residuals hold values that are not finite", found=f"{int((~np.isfinite(rows)).sum())}")
    largest = np.abs(rows).max(axis=0)
    if centre:
        rows -= rows.mean(axis=0)
    n, p = rows.shape
    dof = n - int(centre) if dof is None else whole(dof, "dof")
    if not 1 <= dof <= n:
        raise BraindecError("degrees of freedom of residuals are 1 to the number of rows", found=f"{dof} of {n} rows")
    flat = np.einsum("ki,ki->i", rows, rows) <= n * (1e-13 * np.maximum(largest, 1e-300)) ** 2
    if flat.any():
        raise BraindecError(
            f"{int(flat.sum())} of {p} units have no variance in the residuals",
            found=f"units {', '.join(map(str, np.flatnonzero(flat)[:8]))}",
            fix="leave these units out of patterns and residuals",
        )
    if method == "full" and dof < p:
        raise BraindecError(
            f"a covariance of {p} units cannot be inverted with {dof} degrees of freedom",
            fix="method='shrinkage_diag', or 'diag'",
        )
    weight = {"full": lambda *_: 0.0, "diag": lambda *_: 1.0, "shrinkage_eye": _ledoit_wolf}.get(
        method, _schaefer_strimmer
    )
    return Noise(rows, method, float(weight(rows, dof)), dof)


def _numbers(values: Any, what: str) -> np.ndarray:
    """A copy in float64; BraindecError for what are no real numbers."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise BraindecError(f"{what} are an array of real numbers (row, unit)", found=f"{found.dtype} of shape {found.shape}")  # fmt: skip
    return found.astype(np.float64)


def noise_from_repeats(
    values: Any,
    conditions: Sequence[Any],
    *,
    runs: Sequence[Any] | None = None,
    method: str = "shrinkage_diag",
    dof: int | None = None,
) -> Noise:
    """Return the noise covariance of repeated measurements: what is left of them after the condition means.

    Parameters
    ----------
    values : array of shape (n, p)
        One row a measurement.
    conditions, runs : sequence, shape (n,)
        Condition of each row; run means are taken away too when ``runs`` are given.
    method
        See :func:`noise_from_residuals`.
    dof : int, optional
        By default rows minus what was fitted (conditions, and runs less one).
    """
    rows, left = residuals_of(values, conditions, runs=runs)
    return noise_from_residuals(rows, method=method, dof=left if dof is None else dof, centre=False)


def residuals_of(
    values: Any, conditions: Sequence[Any], *, runs: Sequence[Any] | None = None
) -> tuple[np.ndarray, int]:
    """Return measurements less the means of conditions (and runs), shape (n, p), and their degrees of freedom.

    Raises
    ------
    BraindecError
        If no condition was measured twice.
    """
    rows = _numbers(values, "measurements")
    for name, labels in (("conditions", conditions), ("runs", runs)):
        if (labels is None and name == "conditions") or (
            labels is not None
            and (isinstance(labels, str) or not np.iterable(labels) or pd.isna(pd.Series(list(labels))).any())
        ):
            raise BraindecError(f"{name}: one label for each measurement, none missing", found=repr(labels)[:60])  # fmt: skip
    factors = [
        pd.factorize(np.array([str(c) for c in f], dtype=object))[0] for f in (conditions, runs) if f is not None
    ]
    if any(len(f) != len(rows) for f in factors):
        raise BraindecError("each measurement needs one condition (and run)", found=f"{len(rows)} rows")
    if len(factors) == 1:
        code = factors[0]
        counts = np.bincount(code)
        means = csr_array((1.0 / counts[code], (code, np.arange(len(rows)))), shape=(len(counts), len(rows))) @ rows
        left, residuals = len(rows) - len(counts), rows - means[code]
    else:
        design = np.concatenate([np.eye(f.max() + 1)[f] for f in factors], axis=1)
        basis, size, _ = np.linalg.svd(design, full_matrices=False)
        basis = basis[:, size > 1e-9 * size[0]]
        left, residuals = len(rows) - basis.shape[1], rows - basis @ (basis.T @ rows)
    if left < 1:
        raise BraindecError(
            "noise cannot be told from conditions that were measured once", found=f"{len(rows)} rows, {left} left over",
            fix="give residuals of the model that made the patterns: noise_from_residuals",
        )  # fmt: skip
    return residuals, left


def _square_norm(rows: np.ndarray) -> float:
    """Squared Frobenius norm of ``X'X``, by the smaller of its two Gram matrices."""
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(np.sum(gram**2))


def _ledoit_wolf(rows: np.ndarray, dof: int) -> float:
    n, p = rows.shape
    energy = np.einsum("ki,ki->k", rows, rows)
    norm = _square_norm(rows) / n**2
    distance = norm - energy.sum() ** 2 / (n**2 * p)
    noise = (np.sum(energy**2) / n - norm) / n
    return min(noise / distance, 1.0) if distance > 0 else 1.0


def _schaefer_strimmer(rows: np.ndarray, dof: int) -> float:
    """Summed variance of the correlations over their summed squares, off the diagonal, held to 0 to 1."""
    n, p = rows.shape
    scaled = rows / np.sqrt(np.einsum("ki,ki->i", rows, rows) / dof)
    squares = scaled**2
    products = np.sum(squares.sum(axis=1) ** 2) - np.sum(squares**2)  # sum over i != j and k of (z_ki z_kj)^2
    correlations = (_square_norm(scaled) - p * dof**2) / (n - 1) ** 2
    if correlations <= 0:
        return 1.0
    return float(np.clip(n / dof**2 * (products / (n - 1) - correlations) / correlations, 0.0, 1.0))


def _inverse(covariance: np.ndarray, noise: Noise) -> np.ndarray:
    """Inverse of a symmetric positive matrix by its Cholesky factor."""
    factor, failed = lapack.dpotrf(covariance, lower=1)
    diagonal = np.abs(np.diagonal(factor))
    if failed or diagonal.min() <= 1e-8 * diagonal.max():
        raise BraindecError(
            f"the noise covariance of {len(covariance)} units cannot be inverted",
            found=f"{len(noise.residuals)} residuals, {noise.dof} degrees of freedom, method {noise.method!r}",
            fix="method='shrinkage_diag' or 'diag', or leave out units that are copies or sums of others",
        )
    inverse, _ = lapack.dpotri(factor, lower=1)
    lower = np.tril(inverse)
    return lower + np.tril(lower, -1).T
