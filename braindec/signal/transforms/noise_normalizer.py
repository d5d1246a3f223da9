"""Multivariate noise normalisation: whiten channels by the noise covariance of the training windows.

The noise covariance is the mean over conditions of covariances shrunk as Ledoit & Wolf do; windows are multiplied by its
inverse square root.

Source: Guggenmos, Sterzer & Cichy (2018, NeuroImage 173), section 2.5, "epoch" method (covariance over windows at each time,
averaged over time); Gifford, Dwivedi, Roig & Cichy (2022, NeuroImage 264), Methods (covariance over time of each window,
averaged over windows).
Differs from the reference in: only training windows are used (Gifford et al. average the covariances of training and test).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.transforms._base import Transform, checked, group_rows
from braindec.signal.transforms._covariance import matrix_power, shrunk_covariances

__all__ = ["NoiseNormalizer"]

_BUDGET = 2**26  # bytes of float64 at once


class NoiseNormalizer(Transform):
    """Whiten channels by the noise covariance of training windows.

    Parameters
    ----------
    over : {"time", "windows"}
        "time": covariance over the samples of each window, averaged over the windows of a condition. "windows": covariance
        over the windows of a condition at each sample, averaged over samples; it holds no evoked response, and needs at
        least two windows a condition.
    shrinkage : float, optional
        Weight of the identity from 0 to 1; the formula of Ledoit & Wolf when None.

    Attributes
    ----------
    covariance_, whitener_ : array of shape (n_channels, n_channels)
        The noise covariance and its inverse square root.
    fitted_on_ : FitRecord
    """

    def __init__(self, *, over: str = "time", shrinkage: float | None = None) -> None:
        self.over, self.shrinkage = over, shrinkage

    def fit(
        self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None
    ) -> NoiseNormalizer:
        """Learn the noise covariance.

        Parameters
        ----------
        X : array of shape (n_windows, n_channels, n_times)
            Training windows.
        y : ignored
        ids : sequence of str, optional
            ``windows.ids`` of these rows, for the record.
        groups : sequence, optional
            The condition (stimulus) of each window; conditions count equally. One condition when None.

        Raises
        ------
        BraindecError
            If there are too few windows, or the covariance is singular.
        """
        if self.over not in ("time", "windows"):
            raise BraindecError(
                f"over={self.over!r} is unknown{did_you_mean(self.over, ['time', 'windows'])}", allowed="time, windows"
            )
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise BraindecError("shrinkage is a number from 0 to 1", found=repr(self.shrinkage))
        X = checked(X, self, least=1)
        mean = _mean_over_time if self.over == "time" else _mean_over_windows
        conditions = [rows for _, rows in group_rows(groups, len(X), self)]
        usable = [rows for rows in conditions if self.over == "time" or len(rows) > 1]
        if not usable or (self.over == "time" and X.shape[2] < 2):
            raise BraindecError("NoiseNormalizer has nothing to estimate a covariance from",
                                found=f"{len(conditions)} conditions, X of shape {X.shape}", fix="use the other `over`")  # fmt: skip
        self.covariance_ = np.mean([mean(X, rows, self.shrinkage) for rows in usable], axis=0)
        self.whitener_ = matrix_power(self.covariance_, -0.5, what="the noise covariance")
        self.n_channels_, self.fitted_on_ = X.shape[1], self._record(X, ids)
        return self

    def transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return whitened windows, shape (n_windows, n_channels, n_times), float32; ``groups`` is ignored."""
        X = self._ready(X)
        return apply_matrix(self.whitener_, X)

    def inverse_transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return the windows as they were before whitening."""
        X = self._ready(X)
        return apply_matrix(matrix_power(self.covariance_, 0.5, what="the noise covariance"), X)


def apply_matrix(matrix: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return ``matrix @ x`` of each window, float32, in blocks of windows."""
    out = np.empty((len(X), len(matrix), X.shape[2]), dtype=np.float32)
    for block in _blocks(np.arange(len(X)), X):
        out[block] = matrix @ X[block].astype(np.float64)
    return out


def _mean_over_time(X: np.ndarray, rows: np.ndarray, shrinkage: float | None) -> np.ndarray:
    total = np.zeros((X.shape[1], X.shape[1]))
    for block in _blocks(rows, X):
        total += shrunk_covariances(X[block], shrinkage=shrinkage).sum(axis=0)
    return total / len(rows)


def _mean_over_windows(X: np.ndarray, rows: np.ndarray, shrinkage: float | None) -> np.ndarray:
    step = max(1, _BUDGET // (8 * len(rows) * X.shape[1]))
    total = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, X.shape[2], step):
        block = X[rows, :, start : start + step].transpose(2, 1, 0)  # (time, channel, window)
        total += shrunk_covariances(block, shrinkage=shrinkage).sum(axis=0)
    return total / X.shape[2]


def _blocks(rows: np.ndarray, X: np.ndarray):
    step = max(1, _BUDGET // (8 * X.shape[1] * X.shape[2]))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
