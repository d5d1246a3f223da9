"""CSP: which class a window belongs to, by the log power of common spatial patterns and a linear model.

Give it windows of band-pass filtered recordings (mu and beta rhythms of motor imagery: 7 to 30 Hz). Filters are learned
from the training windows alone. ``transform`` gives the components over time, the "CSP space".

Source: Blankertz, Tomioka, Lemm, Kawanabe & Mueller 2008 (IEEE Signal Processing Magazine 25:41);
:mod:`braindec.signal.csp` for the filters, :mod:`braindec.stats.discriminant` for the linear model.
Differs from the reference in: covariances of classes are shrunk, channels that are combinations of others are allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from braindec.decoders._bci_base import OscillationDecoder, Rows, whole_number
from braindec.errors import BraindecError
from braindec.signal.csp import CSPFilters, class_covariances, covariances, csp_filters, log_power, signal_space
from braindec.types import FitRecord, Windows

__all__ = ["CSP"]


class CSP(OscillationDecoder):
    """Classify windows by the log power of spatial filters.

    Parameters
    ----------
    n_filters : int
        Filters from each end: 3 makes 6 for two classes; with more classes each is set against the rest, 6 for each.
    cov_shrinkage : float or "auto"
        Of the classes' covariances towards the identity, 0 to 1.
    normalise : bool
        Divide the covariance of each window by its trace (Ramoser et al. 2000): for windows whose loudness varies a lot.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset.
    model, shrinkage, alpha, class_weight
        The linear model, as in :class:`~braindec.decoders.classifier.Classifier`.

    Attributes
    ----------
    csp_ : CSPFilters
        ``filters``, ``patterns`` (n_channels, n_filters), ``share``, ``target``.
    classes_, fit_records_

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import Windows
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["left", "right"], 40)
    >>> sources = rng.normal(size=(80, 4, 200))
    >>> sources[y == "left", 0] *= 2
    >>> windows = Windows.from_arrays((rng.normal(size=(4, 4)) @ sources).astype("float32"), {"trial_type": y}, sfreq=100.0)
    >>> float(CSP(n_filters=1).fit(windows[:40], y[:40]).score(windows[40:], y[40:]))
    1.0
    """

    def __init__(
        self,
        n_filters: int = 3,
        *,
        cov_shrinkage: float | str = "auto",
        normalise: bool = False,
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "lda",
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
    ) -> None:
        self.n_filters, self.cov_shrinkage, self.normalise = n_filters, cov_shrinkage, normalise
        self.tmin, self.tmax = tmin, tmax
        self.model, self.shrinkage, self.alpha, self.class_weight = model, shrinkage, alpha, class_weight

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        super().check()
        whole_number("n_filters", self.n_filters)
        check_share("cov_shrinkage", self.cov_shrinkage)

    def transform(self, windows: Windows) -> np.ndarray:
        """Return the components over time, shape (n_windows, n_filters, n_times): the CSP space."""
        check_is_fitted(self, "csp_")
        return np.einsum("fc,nct->nft", self.csp_.filters, self._load(windows, fit=False), optimize=True)

    @property
    def csp_(self) -> CSPFilters:
        """Filters and patterns that were learned."""
        check_is_fitted(self, "linear_")
        return self._chosen_by

    def patterns(self) -> np.ndarray:
        """Return what a unit of each component looks like at the channels, shape (n_channels, n_filters)."""
        return self.csp_.patterns

    def _data(self, windows: Windows, *, fit: bool = False) -> np.ndarray:
        covs = covariances(self._load(windows, fit=fit), normalise=self.normalise)
        if fit:
            self.space_ = signal_space(covs.mean(axis=0))
        return covs

    def _learn(self, data: np.ndarray, codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, CSPFilters]:
        found = learn_csp(
            data, codes, n_classes, space=self.space_, n_filters=self.n_filters, shrinkage=self.cov_shrinkage
        )
        return lambda covs: log_power(covs, found.filters), found

    def _records(self, windows: Windows) -> list[FitRecord]:
        return [FitRecord.of("CSP filters", windows.ids)]


def learn_csp(
    covs: np.ndarray, codes: np.ndarray, n_classes: int, *, space: np.ndarray, n_filters: int, shrinkage: float | str
) -> CSPFilters:
    """Return CSP filters of covariances (n_windows, n_channels, n_channels) inside ``space`` (n_channels, rank)."""
    inside = covs if space.shape[0] == space.shape[1] else space.T @ covs @ space
    means = class_covariances(inside, codes, n_classes, shrinkage=shrinkage)
    return csp_filters(means, n_filters=n_filters, space=space)


def check_share(name: str, value: Any) -> None:
    """Raise :class:`BraindecError` unless ``value`` is "auto" or a number from 0 to 1."""
    fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 <= value <= 1
    if value != "auto" and not fits:
        raise BraindecError(f"{name} is a share", found=repr(value), allowed='0 to 1, or "auto"')
