"""Euclidean alignment: make the mean covariance of every domain (subject, session) the identity.

Each window is multiplied by the inverse square root of the mean of ``x @ x.T`` over the windows of its domain, so that
domains become comparable and one decoder serves all.

Source: He & Wu (2020, IEEE Trans Biomed Eng 67), "Transfer learning for brain-computer interfaces: a Euclidean space data
alignment approach", equations 10 and 11.
Differs from the reference in: ``x @ x.T`` is divided by the number of samples, so that channels end with variance 1 and not
1 / n_times; the windows of an unseen domain are never used without saying so (``adapt``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.transforms._base import Transform, checked, group_rows
from braindec.signal.transforms._covariance import matrix_power
from braindec.signal.transforms.noise_normalizer import apply_matrix
from braindec.types import FitRecord

__all__ = ["EuclideanAlignment"]


class EuclideanAlignment(Transform):
    """Align domains by their mean covariance, learnt from training windows without labels.

    Attributes
    ----------
    reference_ : dict of domain -> array of shape (n_channels, n_channels)
        Mean covariance of the domain; the domain is ``""`` when there are no groups.
    fitted_on_ : FitRecord
    adapted_on_ : list of FitRecord
        One record for each call of :meth:`adapt`.
    """

    def fit(
        self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None
    ) -> EuclideanAlignment:
        """Learn the reference of each domain.

        Parameters
        ----------
        X : array of shape (n_windows, n_channels, n_times)
            Training windows.
        y : ignored
        ids : sequence of str, optional
            ``windows.ids`` of these rows, for the record.
        groups : sequence, optional
            The domain (subject, session) of each window; one domain when None.

        Raises
        ------
        BraindecError
            If the mean covariance of a domain is singular.
        """
        X = checked(X, self, least=1)
        self.reference_, self._whitener, self.adapted_on_ = {}, {}, []
        self.n_channels_ = X.shape[1]
        self._learn(X, groups)
        self.fitted_on_ = self._record(X, ids)
        return self

    def adapt(self, X: np.ndarray, *, groups: Any, ids: Sequence[object] | None = None) -> EuclideanAlignment:
        """Learn the reference of domains that were not there at fit, from unlabelled calibration windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_channels, n_times)
            Calibration windows; say in the report when they are the test windows themselves.
        groups : sequence or str
            The domain of each window, or one name for all.
        ids : sequence of str, optional
            ``windows.ids`` of these rows: they are recorded, so that the audit sees them.

        Raises
        ------
        BraindecError
            If a domain was fitted already.
        """
        X = self._ready(X)
        if isinstance(groups, str):
            groups = [groups] * len(X)
        known = [name for name, _ in group_rows(groups, len(X), self) if name in self.reference_]
        if known:
            raise BraindecError(f"domain {known[0]!r} has a reference already", found=", ".join(self.reference_),
                                fix="leave its windows out of adapt")  # fmt: skip
        record = self._record(X, ids)
        self._learn(X, groups)
        self.adapted_on_.append(record)
        return self

    @property
    def fit_records_(self) -> list[FitRecord]:
        """What was seen, calibration windows included."""
        return [self.fitted_on_, *self.adapted_on_]

    def transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return aligned windows, shape (n_windows, n_channels, n_times), float32.

        Raises
        ------
        BraindecError
            If a domain has no reference.
        """
        return self._apply(X, groups, -0.5)

    def inverse_transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return the windows as they were before alignment."""
        return self._apply(X, groups, 0.5)

    def _learn(self, X: np.ndarray, groups: Any) -> None:
        for name, rows in group_rows(groups, len(X), self):
            total = np.zeros((X.shape[1], X.shape[1]))
            for row in rows:
                x = X[row].astype(np.float64)
                total += x @ x.T
            reference = total / (len(rows) * X.shape[2])
            what = f"the mean covariance of domain {name!r}" if name else "the mean covariance"
            self._whitener[name] = matrix_power(reference, -0.5, what=what)
            self.reference_[name] = reference

    def _apply(self, X: np.ndarray, groups: Any, power: float) -> np.ndarray:
        X = self._ready(X)
        out = np.empty(X.shape, dtype=np.float32)
        for name, rows in group_rows(groups, len(X), self):
            if name not in self.reference_:
                raise BraindecError(
                    f"EuclideanAlignment has no reference for domain {name!r}", allowed=", ".join(map(repr, self.reference_)),
                    fix="give unlabelled calibration windows of it: alignment.adapt(X, groups=..., ids=...)",
                )  # fmt: skip
            matrix = (
                self._whitener[name] if power < 0 else matrix_power(self.reference_[name], power, what="the reference")
            )
            out[rows] = apply_matrix(matrix, X[rows])
        return out
