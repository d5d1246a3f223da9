"""xDAWN spatial filters and the tangent space of covariances augmented by class prototypes: ERP features.

A window's covariance with the average response of each class says where, when and how strongly that response is in
it; the tangent space makes such matrices rows for a linear model. Labels enter (filters, prototypes), so this stage
is fitted anew for every permutation of the labels.

Source: Rivet et al. 2009 (IEEE TBME 56:2035) for xDAWN; Barachant & Congedo 2014 (arXiv 1409.0107), section 3, for
augmented covariances; Barachant et al. 2012 (IEEE TBME 59:920) for the tangent space.
Differs from the reference in: responses are plain averages over windows, not de-convolved for overlap; the point of
tangency is one Riemannian gradient step from the arithmetic mean (more steps do not move it far enough to matter);
each covariance carries 0.1 % of the mean variance on its diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import eigh

from braindec.types import FitRecord

_RIDGE = 1e-3


class XdawnTangent:
    """Tangent-space features of windows (window, channel, time).

    Parameters
    ----------
    n_filters : int
        Spatial filters a class; at most the number of channels.
    """

    def __init__(self, n_filters: int = 4) -> None:
        self.n_filters = n_filters

    def fit(self, X: np.ndarray, codes: np.ndarray, *, ids: Sequence[Any] | None = None) -> XdawnTangent:
        """Learn filters, prototypes and the point of tangency from training windows and their class numbers."""
        self.fit_transform(X, codes)
        self.fitted_on_ = FitRecord.of(self, ids)
        return self

    def fit_transform(self, X: np.ndarray, codes: np.ndarray, *, noise: np.ndarray | None = None) -> np.ndarray:
        """Fit and return the features of the training windows; ``noise`` is :func:`mean_covariance` of X if known."""
        noise = mean_covariance(X) if noise is None else noise
        filters, prototypes = [], []
        for k in np.unique(codes):
            response = X[codes == k].mean(axis=0, dtype=np.float64)  # (channel, time)
            vectors = eigh(response @ response.T / X.shape[2], noise)[1][:, ::-1][:, : self.n_filters].T
            filters.append(vectors)
            prototypes.append(vectors @ response)
        self.filters_, self.prototypes_ = np.concatenate(filters), np.concatenate(prototypes)
        covariances = self._covariances(X)
        mean = covariances.mean(axis=0)
        self.loading_ = _RIDGE * np.trace(mean) / len(mean) * np.eye(len(mean))
        covariances += self.loading_
        mean = mean + self.loading_
        root, inverse = _function(mean, np.sqrt), _function(mean, lambda w: 1 / np.sqrt(w))
        step = _function(inverse @ covariances @ inverse, np.log).mean(axis=0)
        reference = root @ _function(step, np.exp, positive=False) @ root
        self.whiten_ = _function(reference, lambda w: 1 / np.sqrt(w))
        return self._tangent(covariances)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return features, shape (window, m * (m + 1) / 2) with m = 2 * filters of all classes."""
        return self._tangent(self._covariances(X) + self.loading_)

    def _covariances(self, X: np.ndarray) -> np.ndarray:
        m, n_times = len(self.filters_), X.shape[2]
        filtered = np.matmul(self.filters_, X, dtype=np.float64)  # (window, filter, time)
        filtered -= filtered.mean(axis=2, keepdims=True)
        prototypes = self.prototypes_ - self.prototypes_.mean(axis=1, keepdims=True)
        out = np.empty((len(X), 2 * m, 2 * m))
        out[:, :m, :m] = prototypes @ prototypes.T
        out[:, m:, :m] = filtered @ prototypes.T
        out[:, :m, m:] = out[:, m:, :m].swapaxes(1, 2)
        out[:, m:, m:] = filtered @ filtered.swapaxes(1, 2)
        out /= n_times
        return out

    def _tangent(self, covariances: np.ndarray) -> np.ndarray:
        logs = _function(self.whiten_ @ covariances @ self.whiten_, np.log)
        rows, columns = np.triu_indices(logs.shape[1])
        return logs[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def mean_covariance(X: np.ndarray) -> np.ndarray:
    """Return the mean of X X' / n_times over windows plus 1e-6 of its mean variance, shape (channel, channel)."""
    flat = X.swapaxes(0, 1).reshape(X.shape[1], -1).astype(np.float64)
    covariance = flat @ flat.T / flat.shape[1]
    return covariance + 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def _function(matrices: np.ndarray, f: Callable[[np.ndarray], np.ndarray], *, positive: bool = True) -> np.ndarray:
    """Apply a function to the eigenvalues of symmetric matrices (..., m, m), kept above rounding if ``positive``."""
    values, vectors = np.linalg.eigh(matrices)
    if positive:
        values = np.maximum(values, 1e-12 * values[..., -1:])
    return (vectors * f(values)[..., None, :]) @ vectors.swapaxes(-1, -2)
