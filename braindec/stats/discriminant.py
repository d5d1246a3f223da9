"""Shrinkage discriminant and ridge classification, arranged so that permuted labels cost almost nothing.

Everything that does not look at labels (centring, covariance, its shrinkage and eigenvectors) is done once in
:class:`TotalScatter`. Classes enter through their means only: the within-class covariance is the total one less the
between-class part, which has rank K - 1, so each labelling needs K x K algebra (Woodbury's identity). The result is
that of a plain refit, not an approximation.

Source: Fisher 1936, Friedman 1989 (JASA 84:165) for the shrunk covariance; Ledoit & Wolf 2004 (J Multivariate
Analysis 88:365), lemma 3.3, for its amount; Blankertz et al. 2011 (NeuroImage 56:814) for its use on single trials;
Golub, Heath & Wahba 1979 (Technometrics 21:215) for generalised cross-validation; the reuse of one factorisation for
all permutations follows the idea of Treder 2019 (arXiv 1905.11888), with another algebra.

Differs from scikit-learn's LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") in: the amount of shrinkage
is estimated once on the total (label-free) covariance instead of on each class, and the target of the shrinkage is
the mean variance of the total covariance. With the ratio of the two parts set equal, directions are identical.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from braindec.errors import BraindecError

_CHUNK = 2**24  # numbers held at once for a batch of labellings
_ALPHAS = np.logspace(-4, 4, 33)  # of ridge, relative to the mean squared length of a training row

__all__ = ["Linear", "TotalScatter", "discriminant", "gcv_alpha", "ledoit_wolf", "log_posterior", "null_scores",
           "ridge"]  # fmt: skip


class Linear(NamedTuple):
    """A linear rule for each labelling: scores of rotated rows ``z`` are ``z @ weights + bias``.

    weights : (n_labellings, n_components, n_classes); bias : (n_labellings, n_classes)
    """

    weights: np.ndarray
    bias: np.ndarray


def ledoit_wolf(eigenvalues: np.ndarray, row_energy: np.ndarray, n_features: int) -> float:
    """Return the Ledoit-Wolf shrinkage towards the mean variance.

    Parameters
    ----------
    eigenvalues : array of shape (n_components,)
        Of the covariance X'X / n; those left out are zero.
    row_energy : array of shape (n_rows,)
        Squared length of each centred row.
    n_features : int
        Number of columns of X.
    """
    n, p = len(row_energy), n_features
    if p == 1:
        return 0.0
    squared, mean = float(np.sum(eigenvalues**2)), float(np.sum(eigenvalues)) / p
    distance = squared - p * mean**2
    error = (float(np.sum(row_energy**2)) / n - squared) / n
    return float(np.clip(error / distance, 0.0, 1.0)) if distance > 1e-12 * max(squared, 1e-300) else 1.0


class TotalScatter:
    """The label-free part: rows centred and rotated to the eigenvectors of their covariance.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Training rows. With more features than rows the rows' inner products are decomposed instead.

    Attributes
    ----------
    mean : array of shape (n_features,)
    axes : array of shape (n_features, n_components)
        Orthonormal directions.
    variances : array of shape (n_components,)
        Along the axes, falling.
    rows : array of shape (n_rows, n_components)
        The training rows on the axes.
    average : float
        Mean variance of a feature.
    shrinkage : float
        Ledoit-Wolf.

    Raises
    ------
    BraindecError
        If nothing varies between the rows.
    """

    def __init__(self, X: np.ndarray) -> None:
        X = np.asarray(X, dtype=np.float64)
        n, p = X.shape
        self.mean = X.mean(axis=0)
        centred = X - self.mean
        energy = np.einsum("ij,ij->i", centred, centred)
        if not energy.sum() > 1e-20 * n * max(1.0, float(np.abs(self.mean).max()) ** 2):
            raise BraindecError(
                "the training windows are all alike: nothing to decode from", found=f"{n} rows of {p} constant features",
                fix="check the channels and the window; a flat or empty signal was loaded",
            )  # fmt: skip
        if p <= n:
            values, axes = np.linalg.eigh(centred.T @ centred)
            axes = axes[:, ::-1]
        else:
            values, left = np.linalg.eigh(centred @ centred.T)
            left = left[:, ::-1]
        values = np.maximum(values[::-1], 0.0)
        kept = values > values[0] * max(n, p) * np.finfo(float).eps
        values = values[kept]
        self.axes = axes[:, kept] if p <= n else centred.T @ (left[:, kept] / np.sqrt(values))
        self.rows = centred @ self.axes
        self.variances = values / n
        self.n_features = p
        self.average = float(self.variances.sum()) / p
        self.shrinkage = ledoit_wolf(self.variances, energy, p)

    def rotate(self, X: np.ndarray) -> np.ndarray:
        """Return other rows on the axes, shape (n_rows, n_components)."""
        return (np.asarray(X, dtype=np.float64) - self.mean) @ self.axes


def discriminant(
    scatter: TotalScatter, codes: np.ndarray, n_classes: int, *, shrinkage: float | None = None, balanced: bool = True
) -> Linear:
    """Fit the shrunk linear discriminant for many labellings of the same rows.

    Parameters
    ----------
    scatter : TotalScatter
        Of the training rows.
    codes : array of int, shape (n_labellings, n_rows)
        Class of each row in each labelling; every class must occur in every labelling.
    n_classes : int
        Number of classes K.
    shrinkage : float, optional
        Share of the target in the covariance, 0 to 1; Ledoit-Wolf by default.
    balanced : bool
        Equal prior for each class; otherwise the priors are the classes' frequencies.

    Returns
    -------
    Linear
        Scores are log posteriors up to a constant of the row.
    """
    amount = scatter.shrinkage if shrinkage is None else float(shrinkage)
    if not 0 <= amount <= 1:
        raise BraindecError("shrinkage is a share", found=repr(shrinkage), allowed='0 to 1, or "auto"')
    if amount < 1e-6 and len(scatter.variances) > len(scatter.rows) - n_classes:
        raise BraindecError(
            "a covariance without shrinkage cannot be inverted",
            found=f"{len(scatter.rows)} training rows, {scatter.n_features} features, shrinkage {amount:g}",
            fix='use shrinkage="auto", or wider time bins',
        )
    whiten = 1.0 / np.sqrt((1 - amount) * scatter.variances + amount * scatter.average)
    means, counts = _class_means(scatter.rows * whiten, codes, n_classes)  # (P, K, r), (P, K)
    gram = means @ means.swapaxes(1, 2)  # (P, K, K)
    eye = np.eye(n_classes)
    inverse = np.linalg.inv(eye * (codes.shape[1] / counts)[:, None, :] - (1 - amount) * gram)
    mixing = eye + (1 - amount) * inverse @ gram  # class means -> within-covariance^-1 of class means
    weights = means.swapaxes(1, 2) @ mixing  # (P, r, K)
    bias = -0.5 * np.einsum("pkr,prk->pk", means, weights)
    if not balanced:
        bias = bias + np.log(counts / codes.shape[1])
    return Linear(weights * whiten[None, :, None], bias)


def ridge(
    scatter: TotalScatter, codes: np.ndarray, n_classes: int, *, alpha: float | None = None, balanced: bool = True
) -> Linear:
    """Fit one-against-rest ridge regression on class membership for many labellings of the same rows.

    Parameters
    ----------
    scatter, codes, n_classes
        As in :func:`discriminant`.
    alpha : float, optional
        Penalty relative to the mean squared length of a training row; by default generalised cross-validation
        over the training rows chooses it from 1e-4 to 1e4, for each labelling anew.
    balanced : bool
        Put the threshold of each class half-way between the mean score of the class and of the rest.
    """
    n = len(scatter.rows)
    eigenvalues = n * scatter.variances
    means, counts = _class_means(scatter.rows, codes, n_classes)
    cross = means * counts[:, :, None]  # Z' targets, (P, K, r); rows are centred, so targets need not be
    if alpha is None:
        chosen = scatter.variances.sum() * _gcv(cross, counts, eigenvalues)  # (P,)
    elif alpha > 0:
        chosen = np.full(len(codes), scatter.variances.sum() * float(alpha))
    else:
        raise BraindecError("alpha of ridge is a positive number", found=repr(alpha), allowed='> 0, or "auto"')
    weights = (cross / (eigenvalues[None, None, :] + chosen[:, None, None])).swapaxes(1, 2)  # (P, r, K)
    own = np.einsum("pkr,prk->pk", means, weights)  # mean score of the class; the rest has -own * share / (1 - share)
    share = counts / n
    bias = -0.5 * own * (1 - share / (1 - share)) if balanced else share
    return Linear(weights, bias)


def gcv_alpha(scatter: TotalScatter, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the penalty that :func:`ridge` chooses for each labelling, relative to the mean squared row length."""
    means, counts = _class_means(scatter.rows, codes, n_classes)
    return _gcv(means * counts[:, :, None], counts, len(scatter.rows) * scatter.variances)


def null_scores(fit, scatter: TotalScatter, codes: np.ndarray, test: np.ndarray, n_classes: int) -> np.ndarray:
    """Return scores of test rows for many labellings, shape (n_labellings, n_test, n_classes).

    Parameters
    ----------
    fit : callable
        ``fit(scatter, codes, n_classes) -> Linear``, e.g. :func:`discriminant` with its options bound.
    scatter : TotalScatter
        Of the training rows.
    codes : array of int, shape (n_labellings, n_rows)
        Classes of the training rows.
    test : array of shape (n_test, n_features)
        Rows to score.
    n_classes : int
        Number of classes.
    """
    rotated = scatter.rotate(test)
    out = np.empty((len(codes), len(test), n_classes))
    step = max(1, _CHUNK // (n_classes * max(scatter.rows.shape)))
    for start in range(0, len(codes), step):
        rule = fit(scatter, codes[start : start + step], n_classes)
        part = np.tensordot(rotated, rule.weights, axes=(1, 1))  # (test, P, K)
        out[start : start + step] = part.swapaxes(0, 1) + rule.bias[:, None, :]
    return out


def log_posterior(scores: np.ndarray) -> np.ndarray:
    """Return scores less their log-sum over classes (the last axis)."""
    return scores - logsumexp(scores, axis=-1, keepdims=True)


def _class_means(rows: np.ndarray, codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the rows of each class, shape (n_labellings, n_classes, n_components), and the counts."""
    member = codes[:, None, :] == np.arange(n_classes)[None, :, None]  # (P, K, n)
    counts = member.sum(axis=2)
    if not counts.all():
        raise BraindecError(
            "a class has no training rows", found=f"counts {counts[(counts == 0).any(axis=1)][0].tolist()}"
        )
    sums = member.reshape(-1, codes.shape[1]).astype(np.float64) @ rows
    return sums.reshape(*member.shape[:2], -1) / counts[:, :, None], counts


def _gcv(cross: np.ndarray, counts: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """Penalty with the smallest generalised cross-validation error, all classes together, shape (n_labellings,)."""
    n = counts[0].sum()
    alphas = _ALPHAS * eigenvalues.sum() / n
    power = np.sum(cross**2, axis=1) / eigenvalues  # (P, r): squared projection of the targets on each axis
    total = np.sum(counts * (1 - counts / n), axis=1)  # squared length of the centred targets
    rest = np.maximum(total - power.sum(axis=1), 0.0)  # what no axis reaches
    shrunk = alphas[:, None] / (eigenvalues[None, :] + alphas[:, None])  # (A, r)
    error = rest[:, None] + power @ (shrunk**2).T  # (P, A)
    freedom = n - 1 - len(eigenvalues) + shrunk.sum(axis=1)
    return _ALPHAS[np.argmin(error / np.maximum(freedom, 1e-9) ** 2, axis=1)]
