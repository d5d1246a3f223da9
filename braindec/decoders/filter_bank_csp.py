"""FilterBankCSP: common spatial patterns in a bank of bands; the features that tell most are chosen, then a linear model.

Give it windows of broad-band recordings (4 to 40 Hz or wider): each window is filtered by itself
(:mod:`braindec.signal.filter_bank`), before ``tmin`` and ``tmax`` cut it, so a wider window feeds the filters. Bands,
filters and the choice of features are learned from the training windows alone, for each labelling anew.

Source: Ang, Chin, Zhang & Guan 2008 (IEEE IJCNN, p. 2390) and Ang et al. 2012 (Frontiers in Neuroscience 6:39), algorithm
MIBIF: mutual information of each feature with the class by Parzen windows; the partner of a chosen filter comes with it.
Differs from the references in: a shrinkage discriminant over all classes instead of naive Bayes one against the rest; with
more than two classes the best features of each class against the rest are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from braindec.decoders._bci_base import OscillationDecoder, Rows, whole_number
from braindec.decoders.csp import check_share, learn_csp
from braindec.signal.csp import CSPFilters, covariances, log_power, signal_space
from braindec.signal.filter_bank import BANDS, band_pass, check_bands
from braindec.signal.mutual_information import parzen_information
from braindec.types import FitRecord, Windows

__all__ = ["FilterBankCSP"]


class _Bank(NamedTuple):
    filters: list[CSPFilters]  # one a band
    columns: np.ndarray  # chosen features of all bands together
    information: np.ndarray  # bits, of every feature with the class that it is about


class FilterBankCSP(OscillationDecoder):
    """Classify windows by chosen log powers of spatial filters in several bands.

    Parameters
    ----------
    bands : sequence of (low, high)
        Hz; nine bands from 4 to 40 Hz by default.
    n_filters : int
        Spatial filters from each end, in each band.
    n_features : int
        Features chosen by mutual information (of each class against the rest); the partner of each comes with it.
    cov_shrinkage : float or "auto"
        Of the classes' covariances towards the identity.
    tmin, tmax : float, optional
        Use only this span, s relative to onset, after filtering.
    model, shrinkage, alpha, class_weight
        The linear model, as in :class:`~braindec.decoders.classifier.Classifier`.

    Attributes
    ----------
    bank_ : tuple of (filters of each band, chosen columns, information in bits)
    classes_, fit_records_
    """

    own_bands = True  # takes its frequencies out of broad-band windows

    def __init__(
        self,
        bands: Sequence[Sequence[float]] = BANDS,
        *,
        n_filters: int = 2,
        n_features: int = 4,
        cov_shrinkage: float | str = "auto",
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "lda",
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
    ) -> None:
        self.bands, self.n_filters, self.n_features, self.cov_shrinkage = bands, n_filters, n_features, cov_shrinkage
        self.tmin, self.tmax = tmin, tmax
        self.model, self.shrinkage, self.alpha, self.class_weight = model, shrinkage, alpha, class_weight

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        super().check()
        check_bands(self.bands)
        whole_number("n_filters", self.n_filters)
        whole_number("n_features", self.n_features)
        check_share("cov_shrinkage", self.cov_shrinkage)

    @property
    def bank_(self) -> _Bank:
        """Filters of each band, chosen columns, and the information of each feature."""
        return self._chosen_by

    def chosen(self) -> list[tuple[tuple[float, float], int]]:
        """Return band (Hz) and number of the filter within it for each feature that was chosen."""
        per_band = len(self.bank_.filters[0].filters)
        bands = check_bands(self.bands)
        return [(bands[c // per_band], int(c % per_band)) for c in self.bank_.columns]

    def _data(self, windows: Windows, *, fit: bool = False) -> list[np.ndarray]:
        X = self._load(windows, fit=fit, crop=False)
        part = windows.crop(self.tmin, self.tmax)
        first = round((part.tmin - windows.tmin) * windows.sfreq)
        bands = check_bands(self.bands, sfreq=windows.sfreq, seconds=windows.n_times / windows.sfreq)
        covs = [covariances(band_pass(X, windows.sfreq, band)[:, :, first : first + part.n_times]) for band in bands]
        if fit:
            self.spaces_ = [signal_space(c.mean(axis=0)) for c in covs]
        return covs

    def _learn(self, data: list[np.ndarray], codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, _Bank]:
        filters = [
            learn_csp(covs, codes, n_classes, space=space, n_filters=self.n_filters, shrinkage=self.cov_shrinkage)
            for covs, space in zip(data, self.spaces_, strict=True)
        ]

        def features(covs: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([log_power(c, f.filters) for c, f in zip(covs, filters, strict=True)], axis=1)

        rows = features(data)
        target = np.concatenate([f.target for f in filters])
        information = np.empty(rows.shape[1])
        for k in np.unique(target):
            information[target == k] = parzen_information(rows[:, target == k], codes == k)
        columns = self._choose(information, target)
        return lambda covs: features(covs)[:, columns], _Bank(filters, columns, information)

    def _choose(self, information: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Columns of the best features of each problem and of their partners, in rising order."""
        kept: set[int] = set()
        m = self.n_filters
        for k in np.unique(target):
            mine = np.flatnonzero(target == k)
            for column in mine[np.argsort(-information[mine], kind="stable")][: self.n_features].tolist():
                start, place = column - column % (2 * m), column % (2 * m)
                kept |= {column, start + (place + m) % (2 * m)}  # the same place at the other end
        return np.array(sorted(kept))

    def _records(self, windows: Windows) -> list[FitRecord]:
        return [
            FitRecord.of("CSP filters of each band", windows.ids),
            FitRecord.of("choice of features by mutual information", windows.ids, purpose="selection"),
        ]
