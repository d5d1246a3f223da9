"""TangentSpace: which class a window belongs to, by the covariance of its channels on the Riemannian manifold.

The covariance of each window is taken to the tangent space at the mean of the training windows (affine-invariant
metric), where a linear model separates the classes. Nothing but that model looks at labels.

``recentre`` names a column (session, subject): the windows of each of its values are moved so that their own mean becomes
the identity. That needs no label, but windows of a session that was not trained on are re-centred by the mean of the
windows handed to ``decision``: transductive, the decoder has seen the unlabelled test windows together.

Source: Barachant, Bonnet, Congedo & Jutten 2012 (IEEE TBME 59:920); Zanini et al. 2018 (IEEE TBME 65:1107) for
re-centring; pyriemann for estimators of covariances, means and the projection.
Differs from the references in: covariances are first taken into the space that the training windows span, so that an
average reference or doubled channels do no harm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.decoders._bci_base import OscillationDecoder, Rows
from braindec.decoders._reading import column
from braindec.errors import BraindecError, MissingExtraError, did_you_mean
from braindec.signal.csp import covariances, signal_space
from braindec.types import FitRecord, Windows

ESTIMATORS = ("scm", "lwf", "oas")
METRICS = ("riemann", "logeuclid", "euclid")

__all__ = ["TangentSpace"]


class TangentSpace(OscillationDecoder):
    """Classify windows by their covariance in the tangent space.

    Parameters
    ----------
    estimator : {"lwf", "scm", "oas"}
        Covariance of a window: Ledoit-Wolf, plain, or oracle-approximating shrinkage.
    metric : {"riemann", "logeuclid", "euclid"}
        Of the mean of the training windows, which is the point of tangency.
    recentre : str, optional
        Column of the trials (such as "session") whose values are re-centred, each by its own mean, without labels.
    tmin, tmax : float, optional
        Use only this span of the windows, s relative to onset.
    model, shrinkage, alpha, class_weight
        The linear model, as in :class:`~braindec.decoders.classifier.Classifier`; "ridge" is quick to permute.

    Attributes
    ----------
    reference_ : array of shape (rank, rank)
        Point of tangency.
    rank_ : int
        Independent directions of the channels.
    classes_, fit_records_
    """

    def __init__(
        self,
        estimator: str = "lwf",
        *,
        metric: str = "riemann",
        recentre: str | None = None,
        tmin: float | None = None,
        tmax: float | None = None,
        model: str = "logistic",
        shrinkage: float | str = "auto",
        alpha: float | str = "auto",
        class_weight: str | None = "balanced",
    ) -> None:
        self.estimator, self.metric, self.recentre = estimator, metric, recentre
        self.tmin, self.tmax = tmin, tmax
        self.model, self.shrinkage, self.alpha, self.class_weight = model, shrinkage, alpha, class_weight

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        super().check()
        for name, value, allowed in (("estimator", self.estimator, ESTIMATORS), ("metric", self.metric, METRICS)):
            if value not in allowed:
                raise BraindecError(
                    f"unknown {name} {value!r}{did_you_mean(str(value), allowed)}", allowed=", ".join(allowed)
                )

    def _data(self, windows: Windows, *, fit: bool = False) -> np.ndarray:
        riemann = _pyriemann()
        X = self._load(windows, fit=fit).astype(np.float64)
        X -= X.mean(axis=2, keepdims=True)
        if fit:
            self.space_ = signal_space(covariances(X, normalise=True).mean(axis=0))
            self.rank_ = self.space_.shape[1]
            # volts make numbers near 1e-12, for which the iterations of the mean stop too early
            self.scale_ = float(np.sqrt(np.mean(X**2)))
        inside = np.matmul(self.space_.T, X) / self.scale_ if self.rank_ < X.shape[1] else X / self.scale_
        if self.estimator == "scm" and inside.shape[2] <= self.rank_:
            raise BraindecError(
                "plain covariances of so short windows cannot be inverted",
                found=f"{inside.shape[2]} samples, {self.rank_} independent channels",
                fix='estimator="lwf", longer windows, or fewer channels',
            )
        covs = riemann.covariance.covariances(inside, estimator=self.estimator)
        if self.recentre is not None:
            covs = self._recentred(covs, column(windows, self.recentre), fit=fit)
        if fit:
            self.reference_ = riemann.mean.mean_covariance(covs, metric=self.metric)
        return riemann.tangentspace.tangent_space(covs, self.reference_, metric="riemann")

    def _recentred(self, covs: np.ndarray, groups: np.ndarray, *, fit: bool) -> np.ndarray:
        """Move the windows of each group so that their mean is the identity; new groups by the windows given here."""
        riemann = _pyriemann()
        if fit:
            self.means_ = {
                g: riemann.mean.mean_covariance(covs[groups == g], metric=self.metric) for g in np.unique(groups)
            }
        out = np.empty_like(covs)
        for group in np.unique(groups):
            mine = groups == group
            mean = self.means_.get(group)
            if mean is None:
                mean = riemann.mean.mean_covariance(covs[mine], metric=self.metric)
            root = riemann.base.invsqrtm(mean)
            out[mine] = root @ covs[mine] @ root
        return out

    def _learn(self, data: np.ndarray, codes: np.ndarray, n_classes: int, windows: Windows) -> tuple[Rows, None]:
        return _same, None

    def _looks_at_labels(self) -> bool:
        return False

    def _records(self, windows: Windows) -> list[FitRecord]:
        return [FitRecord.of("tangent space reference", windows.ids)]


def _same(rows: np.ndarray) -> np.ndarray:
    return rows


def _pyriemann() -> Any:
    try:
        import pyriemann.utils as utils
        import pyriemann.utils.base
        import pyriemann.utils.covariance
        import pyriemann.utils.mean
        import pyriemann.utils.tangentspace  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("pyriemann", "bci", "the decoder tangent_space") from error
    return utils
