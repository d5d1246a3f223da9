"""AdaptiveLDA: a shrinkage discriminant whose class means and covariance follow the stream, one labelled window at a time.

Each window moves the mean of its class by a share ``rate`` of its distance, so that old windows are forgotten with a time
constant of 1 / rate windows of that class, and the common covariance by a smaller share. With rates of 0 it stays as it was.

Source: Vidaurre, Kawanabe, von Buenau, Blankertz & Mueller (2011, IEEE Trans Biomed Eng 58:587), "supervised" update of
means and covariance; Blankertz et al. (2011, NeuroImage 56:814) for the static discriminant.
Differs from the reference in: the shrinkage found in training is kept.
"""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from braindec.decoders._features import bin_edges, binned, channel_scaler, fit_scaler
from braindec.errors import BraindecError
from braindec.stats.discriminant import TotalScatter, log_posterior
from braindec.types import FitRecord, Windows

__all__ = ["AdaptiveLDA"]


class AdaptiveLDA(ClassifierMixin, BaseEstimator):
    """Linear discriminant on time bins that learns on.

    Parameters
    ----------
    rate : float
        Share by which one window moves the mean of its class, 0 to below 1.
    covariance_rate : float
        Share by which one window moves the covariance, which has many more numbers.
    bin_width, scaler, clamp, shrinkage
        As of :class:`braindec.decoders.classifier.Classifier`.

    Attributes
    ----------
    classes_, fit_records_
    means_ : array of shape (n_classes, n_features)
    covariance_ : array of shape (n_features, n_features)
        Within classes, before shrinkage.
    """

    def __init__(
        self,
        *,
        rate: float = 0.01,
        covariance_rate: float = 0.001,
        bin_width: float | None = 0.05,
        scaler: str | None = "robust",
        clamp: float | None = 3.0,
        shrinkage: float | str = "auto",
    ) -> None:
        self.rate = rate
        self.covariance_rate = covariance_rate
        self.bin_width = bin_width
        self.scaler = scaler
        self.clamp = clamp
        self.shrinkage = shrinkage

    def fit(self, windows: Windows, y: np.ndarray) -> AdaptiveLDA:
        """Fit scaler, means and covariance.

        Raises
        ------
        BraindecError
            If the rate is no share, or there is one class only.
        """
        for name in ("rate", "covariance_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise BraindecError(
                    f"{name} is a share by which one window moves the decoder", found=repr(getattr(self, name)), allowed="0 to below 1",
                )  # fmt: skip
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise BraindecError("a classifier needs at least two classes to train on", found=f"{self.classes_}")
        self.edges_ = bin_edges(windows.n_times, windows.sfreq, self.bin_width)
        X = windows.load()
        self.scaler_ = channel_scaler(self.scaler, self.clamp)
        self.fit_records_ = []
        if self.scaler_ is not None:
            fit_scaler(self.scaler_, X, windows.ids)
            self.fit_records_.append(self.scaler_.fitted_on_)
        rows = self._rows(X)
        self.means_ = np.stack([rows[codes == k].mean(axis=0) for k in range(len(self.classes_))])
        residual = rows - self.means_[codes]
        self.covariance_ = residual.T @ residual / len(rows)
        self.shrinkage_ = TotalScatter(rows).shrinkage if self.shrinkage == "auto" else float(self.shrinkage)
        self.fitted_on_ = FitRecord.of(self, windows.ids)
        self.fit_records_.append(self.fitted_on_)
        self._stale = True
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return log posteriors, shape (n_windows, n_classes); classes count equally."""
        check_is_fitted(self, "means_")
        if self._stale:
            self._solve()
        return log_posterior(self._rows(windows.load()) @ self._weights + self._bias)

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of each window."""
        return self.classes_[self.decision(windows).argmax(axis=1)]

    def partial_fit(self, windows: Windows, y: np.ndarray) -> AdaptiveLDA:
        """Move means and covariance by these windows, in order.

        Raises
        ------
        BraindecError
            If a label is none of the classes.
        """
        check_is_fitted(self, "means_")
        unknown = [v for v in np.asarray(y).tolist() if v not in self.classes_.tolist()]
        if unknown:
            raise BraindecError(
                f"feedback names a class that was not trained: {unknown[0]!r}",
                allowed=", ".join(map(str, self.classes_)),
            )
        share, slow = self.rate, self.covariance_rate
        for row, code in zip(self._rows(windows.load()), np.searchsorted(self.classes_, y), strict=True):
            away = row - self.means_[code]
            self.means_[code] += share * away
            self.covariance_ *= 1 - slow
            self.covariance_ += slow * np.outer(away, away)
        self._stale = True
        return self

    def _rows(self, X: np.ndarray) -> np.ndarray:
        return binned(X if self.scaler_ is None else self.scaler_.transform(X), self.edges_)

    def _solve(self) -> None:
        p = len(self.covariance_)
        shrunk = (1 - self.shrinkage_) * self.covariance_
        shrunk[np.diag_indices(p)] += self.shrinkage_ * np.trace(self.covariance_) / p + 1e-12
        self._weights = np.linalg.solve(shrunk, self.means_.T)  # (feature, class)
        self._bias = -0.5 * np.einsum("kf,fk->k", self.means_, self._weights)
        self._stale = False
