"""HighGamma: the linear baseline of intracranial decoding, a shrunk discriminant of high-gamma power in bins of time.

Source: Bouchard & Chang 2014 (EMBC) and Kellis et al. 2010 (J Neural Eng 7:056007) for words and syllables from power of
intracranial signals with linear classifiers; Blankertz et al. 2011 (NeuroImage 56:814) for the shrinkage.
Differs from the references in: power is the mean logarithm over narrow bands (:mod:`braindec.signal.steps.band_power`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from braindec.decoders._channel_selection import ChannelSelection, channel_rows, channels_for, select_channels
from braindec.decoders._features import bin_edges, binned
from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.signal.steps.band_power import floored_log, narrow_powers
from braindec.types import Windows

_BLOCK = 2**19  # numbers that are filtered at once

__all__ = ["HighGamma", "power_windows"]


class HighGamma(ClassifierMixin, BaseEstimator):
    """Classify windows by the power of a band in bins of time.

    Parameters
    ----------
    low, high, width : float
        Edges of the band and width of the narrow bands it is cut into, Hz.
    bin_width : float
        s.
    order : int
        Of the filters.
    causal : bool
        Power at a time is made of earlier samples only.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset; the filters see the whole window.
    model, shrinkage, class_weight
        As in :class:`~braindec.decoders.classifier.Classifier`.
    n_channels : int, optional
        Choose so many channels on the training windows (:func:`~braindec.decoders._channel_selection.select_channels`).
    channels : ChannelSelection or list of str, optional
        Channels that were chosen elsewhere; windows that chose them and are not training windows are refused.
    seed : int
        Deals runs to the inner folds of the choice.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    selection_ : ChannelSelection or None
    fit_records_ : list of FitRecord

    Raises
    ------
    BraindecError
        If the band is not below half the sampling frequency, or as in Classifier.
    """

    def __init__(
        self,
        *,
        low: float = 70.0,
        high: float = 150.0,
        width: float = 20.0,
        bin_width: float = 0.05,
        order: int = 4,
        causal: bool = False,
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "lda",
        shrinkage: float | str = "auto",
        class_weight: str | None = "balanced",
        n_channels: int | None = None,
        channels: ChannelSelection | list[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.low, self.high, self.width, self.bin_width = low, high, width, bin_width
        self.order, self.causal, self.tmin, self.tmax = order, causal, tmin, tmax
        self.model, self.shrinkage, self.class_weight = model, shrinkage, class_weight
        self.n_channels, self.channels, self.seed = n_channels, channels, seed

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong, as far as that can be known without data."""
        self.classifier().check()
        if not 0 < self.low < self.high:
            raise BraindecError("the edges of the band must rise", found=f"{self.low} to {self.high} Hz")

    def fit(self, windows: Windows, y: np.ndarray) -> HighGamma:
        """Fit on windows and their classes (one for each window)."""
        self.check()
        _only_windows(windows)
        self.selection_ = channels_for(windows, y, self.channels, self.n_channels, self.seed)
        self.linear_ = self.classifier().fit(self._power(windows), np.asarray(y))
        self.classes_, self.trained_ = self.linear_.classes_, set(map(str, windows.ids))
        chosen = [self.selection_.fitted_on_] if self.selection_ is not None else []
        self.fitted_on_ = self.linear_.fitted_on_
        self.fit_records_ = [*chosen, *self.linear_.fit_records_]
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return the log posterior of each class, shape (n_windows, n_classes)."""
        check_is_fitted(self, "fit_records_")
        if self.selection_ is not None:
            self.selection_.refuse_seen(windows.ids, but=list(self.trained_))
        return self.linear_.decision(self._power(windows))

    def decision_function(self, windows: Windows) -> np.ndarray:
        """Return scores as scikit-learn expects them: (n_windows,) for two classes, else (n_windows, n_classes)."""
        scores = self.decision(windows)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of each window, shape (n_windows,)."""
        best = self.decision(windows).argmax(axis=1)  # first: says so where nothing is fitted
        return self.classes_[best]

    def score(self, windows: Windows, y: np.ndarray) -> float:
        """Return balanced accuracy: the mean over classes of the share of windows that were right."""
        y, right = np.asarray(y), self.predict(windows) == np.asarray(y)
        return float(np.mean([right[y == c].mean() for c in np.unique(y)]))

    def null_decisions(self, train: Windows, Y: np.ndarray, test: Windows) -> np.ndarray:
        """Refit on other labellings of the training windows and score the test windows; power is computed once.

        When channels are chosen here they are chosen anew for each labelling.

        Parameters
        ----------
        train, test : Windows
        Y : array of shape (n_labellings, n_train)

        Returns
        -------
        array of shape (n_labellings, n_test, n_classes)
        """
        if self.n_channels is None:
            self.selection_ = channels_for(train, np.asarray(Y)[0], self.channels, None, self.seed)
            return self.classifier().null_decisions(self._power(train), Y, self._power(test))
        every = [self._power(part, chosen=None) for part in (train, test)]
        described, out = channel_rows(train), []
        for labels in np.asarray(Y):
            chosen = select_channels(train, labels, n_channels=self.n_channels, seed=self.seed, rows=described)
            out.append(self.classifier().null_decisions(chosen(every[0]), labels[None], chosen(every[1]))[0])
        return np.stack(out)

    def patterns(self) -> np.ndarray:
        """Return what each class's score responds to, (n_classes, n_channels, n_bins), as Classifier.patterns does."""
        check_is_fitted(self, "fit_records_")
        return self.linear_.patterns()

    def classifier(self) -> Classifier:
        """Return the linear classifier of windows of power (:func:`power_windows`), not fitted."""
        return Classifier(self.model, features="samples", scaler="standard", clamp=5.0, shrinkage=self.shrinkage,
                          class_weight=self.class_weight)  # fmt: skip

    def _power(self, windows: Windows, chosen: Any = "fitted") -> Windows:
        selection = self.selection_ if chosen == "fitted" else chosen
        part = windows if selection is None else selection(windows)
        return power_windows(part, low=self.low, high=self.high, width=self.width, bin_width=self.bin_width, order=self.order,
                             causal=self.causal, tmin=self.tmin, tmax=self.tmax)  # fmt: skip


def power_windows(
    windows: Windows, *, low: float = 70.0, high: float = 150.0, width: float = 20.0, bin_width: float = 0.05, order: int = 4,
    causal: bool = False, tmin: float | None = None, tmax: float | None = None,
) -> Windows:  # fmt: skip
    """Return windows of log power in bins of time, in memory; one sample a bin, names of windows as they were."""
    _only_windows(windows)
    kept = windows if tmin is None and tmax is None else windows.crop(tmin, tmax)
    first = round((kept.tmin - windows.tmin) * windows.sfreq)
    edges = bin_edges(kept.n_times, windows.sfreq, bin_width)
    out = np.empty((len(windows), windows.n_channels, len(edges) - 1), dtype=np.float32)
    size = max(1, _BLOCK // (windows.n_channels * windows.n_times))
    for start in range(0, len(windows), size):
        rows = slice(start, min(start + size, len(windows)))
        block, count = windows.load(rows), 0
        bins = np.zeros((len(block), windows.n_channels, len(edges) - 1))
        for power in narrow_powers(block, windows.sfreq, low=low, high=high, width=width, order=order, causal=causal):
            used = power[:, :, first : first + kept.n_times]
            bins += floored_log(binned(used, edges).reshape(bins.shape))
            count += 1
        out[rows] = bins / count
    step = float(np.diff(edges).mean()) / windows.sfreq
    trials = windows.trials.copy()
    channels = windows.channels.drop(columns="unit", errors="ignore").assign(unit="a.u.")
    return Windows.from_arrays(out, pd.DataFrame(trials), sfreq=1 / step, channels=channels, tmin=kept.tmin,
                               modality=windows.modality)  # fmt: skip


def _only_windows(windows: Any) -> None:
    if not isinstance(windows, Windows):
        raise BraindecError(
            f"a HighGamma decoder reads Windows, not {type(windows).__name__}",
            fix="Windows.from_arrays(X, {'trial_type': y}, sfreq=...) makes them of an array (window, channel, time)",
        )
