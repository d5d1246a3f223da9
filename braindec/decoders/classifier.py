"""Classifier: which class a window belongs to, by a linear model on scaled, time-binned windows.

The road from window to row looks at no labels (scale a channel, average in time bins), the linear model is cheap to
refit, so hundreds of permutations of the labels cost little more than one fit. ``features="xdawn_tangent"`` learns
spatial filters from the labels and is refitted whole in every permutation.

Source: Blankertz et al. 2011 (NeuroImage 56:814) for shrinkage discriminants on time-binned event-related potentials;
:mod:`braindec.stats.discriminant` and :mod:`braindec.decoders._xdawn` for the parts.
Differs from scikit-learn's LDA in: how shrinkage is estimated (see :mod:`braindec.stats.discriminant`), and classes
weigh equally by default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from braindec.decoders._features import bin_edges, binned, channel_scaler, fit_scaler
from braindec.decoders._linear import linear_model
from braindec.decoders._xdawn import XdawnTangent, mean_covariance
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.discriminant import Linear, TotalScatter, log_posterior, null_scores
from braindec.types import FitRecord, Windows

FEATURES = ("bins", "samples", "xdawn_tangent")

__all__ = ["Classifier"]


class Classifier(ClassifierMixin, BaseEstimator):
    """Linear classifier of windows.

    Parameters
    ----------
    model : {"lda", "ridge", "logistic"}
        Discriminant with shrinkage; one-against-rest ridge; multinomial logistic regression (slow to permute).
    features : {"bins", "samples", "xdawn_tangent"}
        Means in time bins, every sample, or covariance features for event-related potentials.
    bin_width : float
        Width of a time bin in s. Half a period of the low-pass keeps what a filter left: 0.025 for 20 Hz.
    scaler : {"robust", "standard"} or None
        How each channel is scaled, learned from training windows: median and interquartile range, mean and standard
        deviation, or not at all.
    clamp : float, optional
        Scaled values beyond +-clamp are set to it; 3 interquartile ranges are about 4 standard deviations. Not used
        before "xdawn_tangent", whose spatial filters need channels that are mixed linearly.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset.
    shrinkage : float or "auto"
        Of "lda": 0 to 1; "auto" is Ledoit-Wolf.
    alpha : float or "auto"
        Penalty of "ridge" and "logistic", relative to the mean squared length of a training row; "auto" takes
        generalised cross-validation over the training windows.
    class_weight : {"balanced"} or None
        "balanced": classes weigh equally, however often each occurs.
    n_filters : int
        Spatial filters a class of "xdawn_tangent".

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    linear_ : Linear
        Rule on the rotated rows.
    fit_records_ : list of FitRecord
        What each stateful step was fitted on.

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import Windows
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["face", "house"], 20)
    >>> X = rng.normal(size=(40, 3, 50)).astype("float32")
    >>> X[y == "face", 1, 20:30] += 2
    >>> windows = Windows.from_arrays(X, {"trial_type": y}, sfreq=100.0)
    >>> float(Classifier().fit(windows[::2], y[::2]).score(windows[1::2], y[1::2]))
    1.0
    """

    def __init__(
        self,
        model: str = "lda",
        *,
        features: str = "bins",
        bin_width: float | None = 0.05,
        scaler: str | None = "robust",
        clamp: float | None = 3.0,
        tmin: float | None = None,
        tmax: float | None = None,
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
        n_filters: int = 4,
    ) -> None:
        self.model = model
        self.features = features
        self.bin_width = bin_width
        self.scaler = scaler
        self.clamp = clamp
        self.tmin = tmin
        self.tmax = tmax
        self.shrinkage = shrinkage
        self.alpha = alpha
        self.class_weight = class_weight
        self.n_filters = n_filters

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        self._linear_model()
        self._new_scaler()

    def fit(self, windows: Windows, y: np.ndarray) -> Classifier:
        """Fit scaler, features and linear model on windows and their classes (one for each window).

        Raises
        ------
        BraindecError
            If there are fewer than two classes, labels are missing, or values are not finite.
        """
        fit = self._linear_model()
        y = _labels(y, len(windows))
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise BraindecError(
                "a classifier needs at least two classes to train on",
                found=f"all {len(y)} windows are {self.classes_[0]!r}",
            )
        X = self._scaled(windows, fit=True)
        self.fit_records_ = [] if self.scaler_ is None else [self.scaler_.fitted_on_]
        if self.features == "xdawn_tangent":
            self.features_ = XdawnTangent(self.n_filters)
            rows = self.features_.fit_transform(X, codes)
            self.fit_records_.append(FitRecord.of(self.features_, windows.ids))
        else:
            rows = self._rows(X)
        self.scatter_ = TotalScatter(rows)
        self.linear_ = fit(self.scatter_, codes[None], len(self.classes_))
        self.fitted_on_ = FitRecord.of(f"Classifier({self.model})", windows.ids)
        self.fit_records_.append(self.fitted_on_)
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return a score for each class, shape (n_windows, n_classes); log posteriors of "lda" and "logistic"."""
        check_is_fitted(self, "linear_")
        rotated = self.scatter_.rotate(self._rows(self._scaled(windows)))
        return self._finish(rotated @ self.linear_.weights[0] + self.linear_.bias[0])

    def decision_function(self, windows: Windows) -> np.ndarray:
        """Return scores as scikit-learn expects them: (n_windows,) for two classes, else (n_windows, n_classes)."""
        scores = self.decision(windows)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of each window, shape (n_windows,)."""
        best = self.decision(windows).argmax(axis=1)  # first: says so where nothing is fitted
        return self.classes_[best]

    def predict_proba(self, windows: Windows) -> np.ndarray:
        """Return posteriors, shape (n_windows, n_classes); of "ridge" they are not calibrated."""
        return np.exp(log_posterior(self.decision(windows)))

    def score(self, windows: Windows, y: np.ndarray) -> float:
        """Return balanced accuracy: the mean over classes of the share of windows that were right."""
        y, right = _labels(y, len(windows)), self.predict(windows) == y
        return float(np.mean([right[y == c].mean() for c in np.unique(y)]))

    def null_decisions(self, train: Windows, Y: np.ndarray, test: Windows) -> np.ndarray:
        """Refit on other labellings of the training windows and score the test windows.

        Parameters
        ----------
        train, test : Windows
            Training and test windows of one fold.
        Y : array of shape (n_labellings, n_train)
            Labels, or numbers that stand for them in sorted order; each labelling holds every class.

        Returns
        -------
        array of shape (n_labellings, n_test, n_classes)
            What ``fit(train, Y[i]).decision(test)`` gives, features computed once.
        """
        fit = self._linear_model()
        classes, codes = np.unique(np.asarray(Y), return_inverse=True)
        codes = codes.reshape(np.shape(Y))
        scaler = self._new_scaler()
        cropped, held = self._cropped(train), self._cropped(test)
        X, T = cropped.load(), held.load()
        if scaler is not None:
            fit_scaler(scaler, X, train.ids)
            X, T = scaler.transform(X), scaler.transform(T)
        if self.features == "xdawn_tangent":
            return self._null_supervised(fit, X, codes, T, len(classes))
        edges = self._edges(cropped)
        scores = null_scores(fit, TotalScatter(binned(X, edges)), codes, binned(T, edges), len(classes))
        return self._finish(scores)

    def _null_supervised(self, fit: Any, X: np.ndarray, codes: np.ndarray, T: np.ndarray, n_classes: int) -> np.ndarray:
        noise = mean_covariance(X)
        out = np.empty((len(codes), len(T), n_classes))
        for i, labels in enumerate(codes):
            stage = XdawnTangent(self.n_filters)
            scatter = TotalScatter(stage.fit_transform(X, labels, noise=noise))
            out[i] = null_scores(fit, scatter, labels[None], stage.transform(T), n_classes)[0]
        return self._finish(out)

    def _finish(self, scores: np.ndarray) -> np.ndarray:
        return scores if self.model == "ridge" else log_posterior(scores)

    def _linear_model(self) -> Any:
        if self.features not in FEATURES:
            raise BraindecError(
                f"unknown features {self.features!r}{did_you_mean(str(self.features), FEATURES)}",
                allowed=", ".join(FEATURES),
            )
        if self.class_weight not in ("balanced", None):
            raise BraindecError(f"unknown class_weight {self.class_weight!r}", allowed="balanced, or null")
        if self.features == "xdawn_tangent" and not (isinstance(self.n_filters, int) and self.n_filters >= 1):
            raise BraindecError(
                "n_filters is a number of spatial filters a class", found=repr(self.n_filters), allowed="1 or more"
            )
        return linear_model(
            self.model, shrinkage=self.shrinkage, alpha=self.alpha, balanced=self.class_weight == "balanced"
        )

    def _new_scaler(self) -> Any:
        return channel_scaler(self.scaler, None if self.features == "xdawn_tangent" else self.clamp)

    def _cropped(self, windows: Windows) -> Windows:
        if not isinstance(windows, Windows):
            raise BraindecError(
                f"a Classifier reads Windows, not {type(windows).__name__}",
                fix="Windows.from_arrays(X, {'trial_type': y}, sfreq=...) makes them of an array (window, channel, time)",
            )
        return windows if self.tmin is None and self.tmax is None else windows.crop(self.tmin, self.tmax)

    def _edges(self, cropped: Windows) -> np.ndarray:
        return bin_edges(cropped.n_times, cropped.sfreq, self.bin_width if self.features == "bins" else None)

    def _scaled(self, windows: Windows, *, fit: bool = False) -> np.ndarray:
        cropped = self._cropped(windows)
        if fit:
            self.shape_in_, self.edges_ = cropped.shape[1:], self._edges(cropped)
        elif cropped.shape[1:] != self.shape_in_:
            raise BraindecError(
                "windows do not fit the classifier", found=f"{cropped.shape[1:]} (channels, samples)",
                allowed=f"{self.shape_in_}, as in training",
            )  # fmt: skip
        X = cropped.load()
        if fit:
            self.scaler_ = self._new_scaler()
            if self.scaler_ is not None:
                fit_scaler(self.scaler_, X, windows.ids)
        return X if self.scaler_ is None else self.scaler_.transform(X)

    def _rows(self, X: np.ndarray) -> np.ndarray:
        """Scaled windows as rows (n_windows, n_features), float64."""
        return self.features_.transform(X) if self.features == "xdawn_tangent" else binned(X, self.edges_)

    def patterns(self) -> np.ndarray:
        """Return what each class's score responds to, shape (n_classes, n_channels, n_bins).

        Weights show how signal is told from noise, not where it is; patterns are the covariance of the features
        with the score (Haufe et al. 2014, NeuroImage 87:96, equation 6), in units of the scaled signal.
        """
        check_is_fitted(self, "linear_")
        if self.features == "xdawn_tangent":
            raise BraindecError(
                "patterns exist for features in channels and time only", allowed='features="bins" or "samples"'
            )
        linear: Linear = self.linear_
        rotated = self.scatter_.variances[:, None] * linear.weights[0]  # (component, class)
        spread = np.sqrt(np.maximum(np.einsum("rk,rk->k", rotated, linear.weights[0]), 1e-300))
        return ((self.scatter_.axes @ rotated) / spread).T.reshape(len(self.classes_), self.shape_in_[0], -1)


def _labels(y: Any, n: int) -> np.ndarray:
    """Return labels as an array, checked: one for each window, none missing."""
    y = np.asarray(y)
    if y.shape != (n,):
        raise BraindecError("a classifier needs one label for each window", found=f"labels {y.shape}, {n} windows")
    missing = (
        y != y if y.dtype.kind == "f" else np.array([v is None or v != v for v in y]) if y.dtype.kind == "O" else None
    )
    if missing is not None and missing.any():
        raise BraindecError(
            f"{int(missing.sum())} of {n} labels are missing (NaN or None)",
            fix="leave these windows out before fitting",
        )
    return y
