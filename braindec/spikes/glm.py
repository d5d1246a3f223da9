"""Generalized linear models of one spike train: Poisson counts with a log link, Bernoulli bins with a logit link.

Estimators in the style of scikit-learn, fitted by Newton's method in float64, so that what they return is the maximum
and not a point on the way to it. The objective is scikit-learn's: mean log-likelihood minus ``alpha / 2`` times the sum
of squares of the weights; the constant is not penalised.

Source: Truccolo et al. 2005 (J Neurophysiol 93:1074) for point-process GLMs; McCullagh & Nelder 1989 for D2 and standard
errors from the Fisher information.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import gammaln
from sklearn.base import BaseEstimator

from braindec.errors import BraindecError
from braindec.spikes._group_lasso import group_newton
from braindec.spikes._newton import BERNOULLI, POISSON, Family, newton
from braindec.stats.asked import number, whole
from braindec.types.split import FitRecord

__all__ = ["BernoulliGLM", "PoissonGLM", "contiguous_folds"]

ALPHAS = tuple(10.0 ** np.arange(-7, 0))
_LARGEST = 1e100  # squares of larger covariates overflow


class _GLM(BaseEstimator):
    """What both models share."""

    _family: Family

    def __init__(
        self,
        *,
        alpha: float | str = 0.0,
        alphas: Sequence[float] = ALPHAS,
        group_alpha: float = 0.0,
        n_folds: int = 5,
        gap: int = 0,
        width: float | None = None,
        max_iter: int = 100,
    ) -> None:
        self.alpha = alpha
        self.alphas = alphas
        self.group_alpha = group_alpha
        self.n_folds = n_folds
        self.gap = gap
        self.width = width
        self.max_iter = max_iter

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        exposure: Any = None,
        names: Sequence[str] | None = None,
        groups: Any = None,
        ids: Any = None,
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array of shape (n_bins, n_columns)
        y : array of shape (n_bins,)
            Counts (Poisson), or 0 and 1 (Bernoulli).
        exposure : array of shape (n_bins,), optional
            Observed part of each bin (Poisson); 1 by default.
        names : sequence of str, optional
            Of the columns; from a DataFrame otherwise.
        groups : sequence, optional
            A label for each column (the source of a coupling, say), None for columns without a group penalty; needed
            with ``group_alpha``.
        ids : array of shape (n_bins,), optional
            Names of the rows, for the record of what was seen.

        Raises
        ------
        BraindecError
            If the unit has no spikes, columns are collinear, the likelihood has no maximum, or input is wrong.
        """
        given = getattr(X, "columns", None) if names is None else names
        X, y, log_exposure = self._checked(X, y, exposure)
        self._usable(y)
        whole(self.max_iter, "max_iter", least=1)
        self.columns_ = [str(n) for n in (range(X.shape[1]) if given is None else given)]
        if len(self.columns_) != X.shape[1]:
            raise BraindecError("names and columns differ in number", found=f"{len(self.columns_)} and {X.shape[1]}")
        design = np.column_stack([X, np.ones(len(X))])
        self._groups = self._grouped(groups)
        self.alpha_ = (
            self._chosen(design, y, log_exposure) if self.alpha == "cv" else number(self.alpha, "alpha", least=0)
        )
        found = self._solve(design, y, log_exposure, self.alpha_)
        self.coef_, self.intercept_ = found.weights[:-1], float(found.weights[-1])
        self.n_iter_, self._hessian = found.n_iter, found.hessian * len(y)
        total = float(np.exp(log_exposure).sum()) if np.ndim(log_exposure) else len(y)
        self.mean_ = float(y.sum() / total)  # expected counts of the mean-rate model, a bin of exposure 1
        self.n_features_in_ = X.shape[1]
        rows = np.arange(len(y)) if ids is None else np.asarray(ids)
        if len(rows) != len(y):
            raise BraindecError("ids and bins differ in number", found=f"{len(rows)} and {len(y)}")
        self.fitted_on_ = FitRecord.of(self, rows)
        return self

    def mean(self, X: Any, *, exposure: Any = None) -> np.ndarray:
        """Return the expected count (Poisson) or the probability of a spike (Bernoulli) in each bin."""
        X, _, log_exposure = self._checked(X, None, exposure)
        return self._family.mean(X @ self._fitted.coef_ + self.intercept_ + log_exposure)

    def log_likelihood(self, X: Any, y: Any, *, exposure: Any = None) -> np.ndarray:
        """Return the natural log-likelihood of each bin, shape (n_bins,)."""
        y = self._checked(X, y, exposure)[1]
        return _log_p(self._family, y, self.mean(X, exposure=exposure))

    def score(self, X: Any, y: Any, *, exposure: Any = None) -> float:
        """Return D2, the share of the deviance of ``y`` around its own mean rate that the model explains."""
        y = self._checked(X, y, exposure)[1]
        share = np.broadcast_to(1.0 if exposure is None else np.asarray(exposure, dtype=float), y.shape)
        flat = y.sum() / share.sum() * share
        if not 0 < y.sum() or (self._family is BERNOULLI and y.all()):
            raise BraindecError(
                "D2 needs bins with and without spikes", found=f"{int(y.sum())} spikes in {len(y)} bins"
            )
        mine = self._family.deviance(y, self.mean(X, exposure=exposure)).sum()
        return float(1 - mine / self._family.deviance(y, flat).sum())

    def bits_per_spike(self, X: Any, y: Any, *, exposure: Any = None) -> float:
        """Return the gain in log-likelihood over the mean rate of the training data, in bits a spike."""
        y = self._checked(X, y, exposure)[1]
        if not y.sum():
            raise BraindecError("bits per spike need spikes", found="none in these bins")
        share = np.broadcast_to(1.0 if exposure is None else np.asarray(exposure, dtype=float), y.shape)
        gain = self.log_likelihood(X, y, exposure=exposure) - _log_p(self._family, y, self._fitted.mean_ * share)
        return float(gain.sum() / np.log(2) / y.sum())

    def table(self) -> pd.DataFrame:
        """Return columns with weight, standard error, z and two-sided p (Wald); standard errors without a penalty only."""
        weights = np.append(self._fitted.coef_, self.intercept_)
        found = pd.DataFrame({"name": [*self.columns_, "constant"], "weight": weights})
        if self.alpha_ == 0 and self._groups is None:
            found["error"] = np.sqrt(np.diag(np.linalg.inv(self._hessian)))
            found["z"] = found["weight"] / found["error"]
            found["p"] = 2 * stats.norm.sf(np.abs(found["z"]))
        return found

    def _usable(self, y: np.ndarray) -> None:
        """Refuse trains of which no rate can be estimated."""
        if not y.any() or (self._family is BERNOULLI and y.all()):
            word = "without spikes" if not y.any() else "that spikes in every bin"
            raise BraindecError(
                f"a unit {word} cannot be fitted", found=f"{y.sum():g} spikes in {len(y)} bins", fix="leave it out"
            )

    @property
    def _fitted(self) -> Any:
        if not hasattr(self, "coef_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit(X, y) first")
        return self

    def _grouped(self, groups: Any) -> np.ndarray | None:
        """Numbers of groups, -1 for none and the constant; None without a group penalty."""
        if number(self.group_alpha, "group_alpha", least=0) == 0:
            return None
        if groups is None or len(groups) != len(self.columns_):
            raise BraindecError("a group penalty needs a group for each column", found="none" if groups is None else f"{len(groups)}",
                                allowed=f"{len(self.columns_)}")  # fmt: skip
        known = {g: i for i, g in enumerate(dict.fromkeys(g for g in groups if g is not None))}
        return np.array([*(-1 if g is None else known[g] for g in groups), -1])

    def _solve(self, design: np.ndarray, y: np.ndarray, offset: Any, alpha: float, start: Any = None) -> Any:
        penalty = np.append(np.full(design.shape[1] - 1, alpha), 0.0)
        if self._groups is not None:
            return group_newton(design, y, self._family, offset=offset, penalty=penalty, groups=self._groups,
                                group_alpha=self.group_alpha, names=[*self.columns_, "constant"], max_iter=2 * self.max_iter)  # fmt: skip
        return newton(design, y, self._family, offset=offset, penalty=penalty, start=start,
                      names=[*self.columns_, "constant"], max_iter=self.max_iter)  # fmt: skip

    def _chosen(self, design: np.ndarray, y: np.ndarray, offset: Any) -> float:
        """The penalty with the best log-likelihood of held-out contiguous blocks; ``cv_table_`` has all of them."""
        alphas = sorted((number(a, "alpha", least=0, ends=False) for a in self.alphas), reverse=True)
        if not alphas:
            raise BraindecError('alpha="cv" needs penalties to try', found="alphas=()", fix="alphas=(1e-4, 1e-3, 1e-2)")
        folds = contiguous_folds(len(y), self.n_folds, gap=self.gap)
        held = np.zeros((len(folds), len(alphas)))
        for f, (train, test) in enumerate(folds):
            if not 0 < y[train].sum():
                raise BraindecError("a training part of the cross-validation has no spikes", fix="take fewer folds")
            start = None
            for a, alpha in enumerate(alphas):
                part = offset if not np.ndim(offset) else offset[train]
                start = self._solve(design[train], y[train], part, alpha, start).weights
                eta = design[test] @ start + (offset if not np.ndim(offset) else offset[test])
                held[f, a] = _log_p(self._family, y[test], self._family.mean(eta)).sum()
        self.cv_table_ = pd.DataFrame({"alpha": alphas, "log_likelihood": held.sum(axis=0) / len(y)})
        return float(alphas[int(held.sum(axis=0).argmax())])

    def _checked(self, X: Any, y: Any, exposure: Any) -> tuple[np.ndarray, np.ndarray, Any]:
        X = _numbers("X", X)
        if X.ndim != 2 or not len(X) or not (np.abs(X) < _LARGEST).all():
            raise BraindecError(
                f"X must be finite numbers below {_LARGEST:g}, (n_bins, n_columns)", found=f"shape {X.shape}"
            )
        expected = getattr(self, "n_features_in_", X.shape[1]) if y is None else X.shape[1]
        if X.shape[1] != expected:
            raise BraindecError("X has other columns than the model", found=f"{X.shape[1]}", allowed=f"{expected}")
        log_exposure: Any = 0.0
        if exposure is not None:
            given = _numbers("exposure", exposure)
            if self._family is BERNOULLI or given.shape != X.shape[:1] or not ((given > 0) & (given < _LARGEST)).all():
                raise BraindecError(
                    "exposure is one finite number above 0 for each bin of a Poisson model",
                    found=f"shape {given.shape}",
                )
            log_exposure = np.log(given)
        if y is None:
            return X, np.zeros(0), log_exposure
        y = _numbers("y", y)
        whole_counts = y.shape == X.shape[:1] and np.isfinite(y).all() and (y >= 0).all() and (y == np.round(y)).all()
        if not whole_counts or (self._family is BERNOULLI and not np.isin(y, (0, 1)).all()):
            allowed = "0 or 1 in each bin" if self._family is BERNOULLI else "a whole number from 0 on in each bin"
            fix = (
                "take narrower bins, or PoissonGLM"
                if self._family is BERNOULLI
                else "give counts, not rates; exposure for bins seen in part"
            )
            raise BraindecError(
                f"{type(self).__name__} cannot take this y", found=f"shape {y.shape}, {y.min(initial=0):g} to {y.max(initial=0):g}",
                allowed=f"{allowed}, {X.shape[:1]}", fix=fix,
            )  # fmt: skip
        return X, y, log_exposure


class PoissonGLM(_GLM):
    """Counts of one unit: ``y ~ Poisson(exposure exp(X w + b))``.

    Parameters
    ----------
    alpha : float or "cv"
        Penalty as in scikit-learn's PoissonRegressor; "cv" takes the one of ``alphas`` with the best log-likelihood of
        held-out contiguous blocks of time.
    alphas : sequence of float
        Tried by "cv".
    group_alpha : float
        Penalty of the lengths of groups of weights, times the root of their number: whole groups become 0.
    n_folds : int
        Blocks of "cv".
    gap : int
        Bins on both sides of a held-out block that are left out of training: the longest history.
    width : float, optional
        Bin width in s: :meth:`predict` is then in Hz, otherwise in spikes a bin.
    max_iter : int

    Attributes
    ----------
    coef_, intercept_, n_iter_, alpha_, cv_table_, mean_

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(5000, 2))
    >>> y = rng.poisson(np.exp(X @ [0.5, -0.3] - 1))
    >>> PoissonGLM().fit(X, y).coef_.round(1)
    array([ 0.5, -0.3])
    """

    _family = POISSON

    def predict(self, X: Any) -> np.ndarray:
        """Return the rate of each bin: Hz with ``width``, otherwise spikes a bin."""
        return self.mean(X) / (
            1.0 if self.width is None else number(self.width, "width", least=0, ends=False, unit="s")
        )


class BernoulliGLM(_GLM):
    """Whether a unit spikes in a bin: ``p = 1 / (1 + exp(-(X w + b)))``; parameters as in :class:`PoissonGLM`."""

    _family = BERNOULLI

    def predict(self, X: Any) -> np.ndarray:
        """Return the probability of a spike in each bin."""
        return self.mean(X)


def _numbers(what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BraindecError(f"{what} must be numbers", found=type(values).__name__) from None


def _log_p(family: Family, y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    if family is POISSON:
        return np.where(y > 0, y * np.log(np.maximum(mean, 1e-300)), 0.0) - mean - gammaln(y + 1)
    clipped = np.clip(mean, 1e-300, 1 - 1e-16)
    return np.where(y > 0, np.log(clipped), np.log1p(-clipped))


def contiguous_folds(n: int, n_folds: int, *, gap: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (train, test) rows of contiguous blocks; rows nearer than ``gap`` to a test row train nothing.

    Parameters
    ----------
    n : int
        Rows in order of time.
    n_folds : int
    gap : int
        Rows left out on both sides of the test block.
    """
    n_folds, gap = whole(n_folds, "n_folds", least=2), whole(gap, "gap")
    edges = np.linspace(0, n, n_folds + 1).round().astype(int)
    rows = np.arange(n)
    folds = []
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        train = rows[(rows < begin - gap) | (rows >= end + gap)]
        if not len(train) or begin == end:
            raise BraindecError(f"{n_folds} folds of {n} bins with a gap of {gap} leave nothing to train on")
        folds.append((train, rows[begin:end]))
    return folds
