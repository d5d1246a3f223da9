"""R2Selected: log power of the channels and frequencies that differ most between the classes, chosen inside the fit.

Power comes from autoregressive spectra (Burg), features are ranked by r-squared **on the training windows alone**, and the
best go into a linear model. Chosen on all windows, the same features make a decoder of pure noise look good; here a
cross-validation chooses anew in every fold and in every permutation of the labels.

``runs="best"`` also chooses which training runs to learn from ("combination training"): every set of runs is scored on the
training runs, each run by a decoder that did not see it, and the best set is kept (ties go to more runs).

Source: HappyFeat (Desbois et al. 2024, Software Impacts 19:100610) for Burg spectra, r-squared maps and the training on
combinations of runs; :mod:`braindec.signal.signed_r2`.
Differs from the reference in: selection is nested, where HappyFeat selects on the trials that it cross-validates on; any
number of classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from braindec.decoders._bci_base import OscillationDecoder, Rows, whole_number
from braindec.decoders._reading import column
from braindec.errors import BraindecError
from braindec.signal.burg import burg_psd
from braindec.signal.signed_r2 import best_r2
from braindec.stats.discriminant import TotalScatter
from braindec.types import FitRecord, Windows

_MOST_RUNS = 8  # 255 sets

__all__ = ["R2Selected"]


class _Choice(NamedTuple):
    columns: np.ndarray  # channel * n_freqs + frequency, best first
    r2: np.ndarray  # (channel, frequency), on the rows that were trained on
    kept: np.ndarray  # (n_windows,), which training rows were used
    runs: list[str]  # names of the runs that were used


class R2Selected(OscillationDecoder):
    """Classify windows by the log powers with the largest r-squared.

    Parameters
    ----------
    n_features : int
        Pairs of channel and frequency that are kept.
    band : (low, high)
        Hz; frequencies in steps of ``step``, both ends included.
    step : float
        Hz.
    order : int
        Of the autoregressive model; 0.1 s of samples is a good start.
    segment : float, optional
        Length in s of sliding pieces whose spectra are averaged; the whole window by default.
    runs : {"all", "best"}
        Learn from all training runs, or from the best set of them.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset.
    model, shrinkage, alpha, class_weight
        The linear model, as in :class:`~braindec.decoders.classifier.Classifier`.

    Attributes
    ----------
    freqs_ : array of shape (n_freqs,)
        Hz.
    classes_, fit_records_
    """

    own_bands = True  # takes its frequencies out of broad-band windows

    def __init__(
        self,
        n_features: int = 6,
        *,
        band: Sequence[float] = (8.0, 30.0),
        step: float = 1.0,
        order: int = 16,
        segment: float | None = None,
        runs: str = "all",
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "lda",
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
    ) -> None:
        self.n_features, self.band, self.step, self.order = n_features, band, step, order
        self.segment, self.runs, self.tmin, self.tmax = segment, runs, tmin, tmax
        self.model, self.shrinkage, self.alpha, self.class_weight = model, shrinkage, alpha, class_weight

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        super().check()
        whole_number("n_features", self.n_features)
        whole_number("order", self.order)
        self._freqs()
        if self.runs not in ("all", "best"):
            raise BraindecError(f"runs: {self.runs!r} is unknown", allowed="all, best")

    def selected(self) -> list[tuple[str, float, float]]:
        """Return channel, frequency (Hz) and r-squared of the features that were kept, best first."""
        choice: _Choice = self._chosen_by
        n = len(self.freqs_)
        return [
            (self.input_[0][c // n], float(self.freqs_[c % n]), float(choice.r2.flat[c]))
            for c in choice.columns.tolist()
        ]

    @property
    def r2_(self) -> np.ndarray:
        """R-squared of the training windows, shape (n_channels, n_freqs)."""
        return self._chosen_by.r2

    @property
    def runs_(self) -> list[str]:
        """Names of the runs that were learned from; empty when there was no choice."""
        return self._chosen_by.runs

    def powers(self, windows: Windows) -> np.ndarray:
        """Return the log power of each channel and frequency, shape (n_windows, n_channels, n_freqs); for maps."""
        X = self._load(windows, fit=not hasattr(self, "input_"))
        return np.log(burg_psd(X / _scale(X), windows.sfreq, self._freqs(), order=self.order, segment=self.segment))

    def _freqs(self) -> np.ndarray:
        try:
            low, high = (float(v) for v in self.band)
        except (TypeError, ValueError):
            low, high = 0.0, 0.0
        if not (0 < low <= high and self.step > 0):
            raise BraindecError("band is a rising pair of frequencies in Hz, step a positive one",
                                found=f"band {self.band!r}, step {self.step!r}")  # fmt: skip
        return np.arange(low, high + 1e-9, self.step)

    def _data(self, windows: Windows, *, fit: bool = False) -> np.ndarray:
        X = self._load(windows, fit=fit)
        if fit:
            self.freqs_, self.scale_ = self._freqs(), _scale(X)
        power = burg_psd(X / self.scale_, windows.sfreq, self.freqs_, order=self.order, segment=self.segment)
        return np.log(np.maximum(power, 1e-30))

    def _learn(self, data: np.ndarray, codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, _Choice]:
        kept, names = np.ones(len(data), dtype=bool), list[str]()
        if self.runs == "best":
            kept, names = self._best_runs(data, codes, n_classes, column(windows, "run"))
        r2, columns = self._select(data[kept], codes[kept], n_classes)
        return lambda power: power.reshape(len(power), -1)[:, columns], _Choice(columns, r2, kept, names)

    def _select(self, data: np.ndarray, codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Map of r-squared and the columns of its largest values, best first."""
        r2 = best_r2(data, codes, n_classes)
        return r2, np.argsort(-r2, axis=None, kind="stable")[: self.n_features]

    def _best_runs(
        self, data: np.ndarray, codes: np.ndarray, n_classes: int, runs: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Rows and names of the set of runs that trains best, judged on training runs that each decoder did not see."""
        names = sorted(set(runs))
        if not 2 <= len(names) <= _MOST_RUNS:
            raise BraindecError(
                "the best set of runs is chosen among 2 to 8 training runs", found=f"{len(names)} runs",
                fix='runs="all", or fewer runs',
            )  # fmt: skip
        best, kept = -1.0, names
        for size in range(len(names), 0, -1):  # more runs first, so that ties go to them
            for some in combinations(names, size):
                value = self._value_of(some, data, codes, n_classes, runs, names)
                if value > best + 1e-12:
                    best, kept = value, list(some)
        return np.isin(runs, kept), kept

    def _value_of(
        self, some: Sequence[str], data: np.ndarray, codes: np.ndarray, n_classes: int, runs: np.ndarray, names: Sequence[str]
    ) -> float:  # fmt: skip
        """Balanced accuracy on every run of a decoder trained on the runs of ``some`` but that one."""
        right, tested = np.zeros(len(codes)), np.zeros(len(codes), dtype=bool)
        for held in names:
            train = np.isin(runs, [r for r in some if r != held])
            if len(np.unique(codes[train])) < n_classes:
                continue
            test = runs == held
            columns = self._select(data[train], codes[train], n_classes)[1]
            flat = data.reshape(len(data), -1)[:, columns]
            scatter = TotalScatter(flat[train])
            rule = self._linear()(scatter, codes[train][None], n_classes)
            scores = scatter.rotate(flat[test]) @ rule.weights[0] + rule.bias[0]
            right[test], tested[test] = scores.argmax(axis=1) == codes[test], True
        present = [k for k in range(n_classes) if (tested & (codes == k)).any()]
        return float(np.mean([right[tested & (codes == k)].mean() for k in present])) if present else -1.0

    def _kept(self, chosen: _Choice, n: int) -> np.ndarray:
        return chosen.kept

    def _records(self, windows: Windows) -> list[FitRecord]:
        found = [FitRecord.of("choice of features by r2", windows.ids, purpose="selection")]
        if self.runs == "best":
            found.append(FitRecord.of("choice of training runs", windows.ids, purpose="selection"))
        return found


def _scale(X: np.ndarray) -> float:
    """Typical size of the values: volts are tiny, and so would be the smallest power that counts."""
    return float(np.sqrt(np.mean(np.square(X, dtype=np.float64)))) or 1.0
