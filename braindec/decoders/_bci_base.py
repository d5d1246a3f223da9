"""What the decoders of oscillations share: windows in, one label-free stage, one stage with labels, a linear model out.

The label-free stage (covariances, spectra) is computed once for all permutations of the labels; what looks at labels
(spatial filters, selection) is learned anew for each, so that p-values hold for the whole decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from braindec.decoders._linear import linear_model
from braindec.decoders.classifier import _labels
from braindec.errors import BraindecError
from braindec.signal.csp import flat_channels
from braindec.stats.discriminant import TotalScatter, log_posterior, null_scores
from braindec.types import FitRecord, Windows

__all__ = ["OscillationDecoder", "Rows", "training_labels", "whole_number"]

Rows = Callable[[Any], np.ndarray]  # label-free data of windows -> rows (n_windows, n_features)


class OscillationDecoder(ClassifierMixin, BaseEstimator):
    """Base of the decoders: subclasses say what is computed without labels, and what with them.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    fit_records_ : list of FitRecord
    """

    model: str
    shrinkage: float | str
    alpha: float | str
    class_weight: str | None
    tmin: float | None
    tmax: float | None

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        if self.class_weight not in ("balanced", None):
            raise BraindecError(f"unknown class_weight {self.class_weight!r}", allowed="balanced, or null")
        self._linear()

    def fit(self, windows: Windows, y: np.ndarray) -> Self:
        """Fit on windows and their classes (one for each window).

        Raises
        ------
        BraindecError
            If there are fewer than two classes, labels are missing, values are not finite, a channel is constant, or an
            option does not fit the windows.
        """
        self.check()
        self.classes_, codes = training_labels(windows, y, type(self).__name__)
        data = self._data(windows, fit=True)
        self.rows_, self._chosen_by = self._learn(data, codes, len(self.classes_), windows)
        kept = self._kept(self._chosen_by, len(windows))
        self.scatter_ = TotalScatter(self.rows_(data)[kept])
        self.linear_ = self._linear()(self.scatter_, codes[kept][None], len(self.classes_))
        self.fitted_on_ = FitRecord.of(f"{type(self).__name__}({self.model})", windows.ids[kept])
        self.fit_records_ = [*self._records(windows), self.fitted_on_]
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return the score of each class, shape (n_windows, n_classes); log posteriors of "lda" and "logistic"."""
        check_is_fitted(self, "linear_")
        rotated = self.scatter_.rotate(self.rows_(self._data(windows)))
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
        Y : array of shape (n_labellings, n_train)
            Labels, or numbers that stand for them in sorted order; each labelling holds every class.

        Returns
        -------
        array of shape (n_labellings, n_test, n_classes)
            What ``fit(train, Y[i]).decision(test)`` gives, with everything that looks at labels learned anew.
        """
        other, fit = clone(self), self._linear()
        classes, codes = np.unique(np.asarray(Y), return_inverse=True)
        codes = codes.reshape(np.shape(Y))
        other.classes_ = classes
        data, held = other._data(train, fit=True), other._data(test)
        if not self._looks_at_labels():
            rows = other._learn(data, codes[0], len(classes), train)[0]
            return self._finish(null_scores(fit, TotalScatter(rows(data)), codes, rows(held), len(classes)))
        out = np.empty((len(codes), len(test), len(classes)))
        for i, labels in enumerate(codes):
            rows, chosen = other._learn(data, labels, len(classes), train)
            kept = other._kept(chosen, len(train))
            scatter = TotalScatter(rows(data)[kept])
            out[i] = null_scores(fit, scatter, labels[kept][None], rows(held), len(classes))[0]
        return self._finish(out)

    # -- what subclasses say ---------------------------------------------------------------------------------------

    def _data(self, windows: Windows, *, fit: bool = False) -> Any:
        """Return what is computed of windows without labels; with ``fit`` learn what it needs from them."""
        raise NotImplementedError

    def _learn(self, data: Any, codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, Any]:
        """Return what makes rows of such data, learned from labelled data, and what was chosen by labels."""
        raise NotImplementedError

    def _looks_at_labels(self) -> bool:
        return True

    def _kept(self, chosen: Any, n: int) -> Any:
        """Return which of the ``n`` training rows the linear model is fitted on."""
        return slice(None)

    def _records(self, windows: Windows) -> list[FitRecord]:
        return []

    # -- shared parts ----------------------------------------------------------------------------------------------

    def _linear(self) -> Any:
        return linear_model(
            self.model, shrinkage=self.shrinkage, alpha=self.alpha, balanced=self.class_weight == "balanced"
        )

    def _finish(self, scores: np.ndarray) -> np.ndarray:
        return scores if self.model == "ridge" else log_posterior(scores)

    def _load(self, windows: Windows, *, fit: bool, crop: bool = True) -> np.ndarray:
        """Return windows (window, channel, time), float32, checked against those of the training."""
        part = windows.crop(self.tmin, self.tmax) if crop and not self.tmin is self.tmax is None else windows
        found = (list(part.ch_names), part.n_times, float(part.sfreq))
        if fit:
            self.input_ = found
        elif found != self.input_:
            same = found[0] == self.input_[0]
            raise BraindecError(
                "windows do not fit the decoder",
                found=f"{found[1]} samples at {found[2]:g} Hz, {len(found[0])} channels{'' if same else ' (others)'}",
                allowed=f"{self.input_[1]} samples at {self.input_[2]:g} Hz, {len(self.input_[0])} channels, as in training",
            )
        X = part.load()
        if fit:
            flat = flat_channels(X, part.ch_names)
            if flat:
                raise BraindecError(
                    f"{len(flat)} of {part.n_channels} channels are constant in all training windows",
                    found=", ".join(flat[:8]), fix="mark them bad (channels.tsv: status = bad) or pick the others",
                )  # fmt: skip
        return X


def training_labels(windows: Windows, y: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return classes and codes of labels that can be trained on.

    Raises
    ------
    BraindecError
        If these are no Windows, a label is missing, or there is one class only.
    """
    if not isinstance(windows, Windows):
        raise BraindecError(
            f"{what} reads Windows, not {type(windows).__name__}",
            fix="Windows.from_arrays(X, {'trial_type': y}, sfreq=...) makes them of an array (window, channel, time)",
        )
    y = _labels(y, len(windows))
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise BraindecError(
            "a decoder needs at least two classes to train on",
            found=f"all {len(y)} windows are {classes[0]!r}" if len(y) else "no windows",
            fix="choose events of two kinds or more, or hold out less",
        )
    return classes, codes


def whole_number(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number of at least ``least``, or raise :class:`BraindecError`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
    return int(value)
