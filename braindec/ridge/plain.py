"""Ridge regression with one penalty a target, chosen by cross-validation.

min ||Y - X W||^2 + alpha ||W||^2 for each target, with features and targets around the mean of the training rows (an
intercept that is not penalised).

Source: Hoerl & Kennard 1970 (Technometrics 12:55); penalties a target as in Huth et al. 2016 (Nature 532:453) and la
Tour et al. 2022 (NeuroImage 264:119728).
Differs from the reference in: primal or dual form is chosen by cost; the squared error is scored as a pooled R2; folds
are never shuffled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec.ridge._backend import get_backend
from braindec.ridge._fit import Linear, assemble, best_of, make_problem
from braindec.ridge._penalties import at_edge
from braindec.ridge._refit import Refit
from braindec.ridge.folds import Fold

__all__ = ["RidgeFit", "fit_ridge"]


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """Outcome of :func:`fit_ridge`.

    Parameters
    ----------
    alpha : array of shape (t,)
        Penalty of each target; NaN for skipped targets.
    alphas : array of shape (n_alphas,)
        The grid, in rising order.
    cv_scores : array of shape (n_alphas, t)
        Cross-validated score of each penalty; all NaN when there was nothing to choose.
    cv_score : array of shape (t,)
        The best of them.
    coef : array of shape (p, t) or None
        In the working precision; NaN for skipped targets. None when the fit was asked not to keep them.
    intercept : array of shape (t,) or None
    at_edge : dict
        Number of targets at the "lowest" and "highest" penalty of the grid.
    skipped : array of shape (t,), bool
        Constant targets and targets with values that are not finite.
    """

    alpha: np.ndarray
    alphas: np.ndarray
    cv_scores: np.ndarray
    cv_score: np.ndarray
    coef: np.ndarray | None
    intercept: np.ndarray | None
    at_edge: dict[str, int]
    skipped: np.ndarray
    linear: Linear = field(repr=False)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n, t) for features (n, p); NaN for skipped targets.

        Without kept coefficients they are solved for again, block by block: the features and responses of the fit must
        still be readable.
        """
        return self.linear.predict(X)


def fit_ridge(
    X: np.ndarray,
    Y: Any,
    *,
    alphas: Any = "auto",
    folds: Sequence[Fold] | None = None,
    scoring: str = "r2",
    fit_intercept: bool = True,
    n_targets_batch: int | None = None,
    backend: str = "numpy",
    device: str = "cpu",
    dtype: str = "float32",
    coef: bool = True,
    seed: int = 0,
) -> RidgeFit:
    """Fit ridge regression with a penalty for each target.

    Parameters
    ----------
    X : array of shape (n, p)
    Y : array-like of shape (n, t)
        Array, memory map, HDF5 data set, or any object with ``shape`` that returns an array for ``Y[:, a:b]``.
    alphas : "auto", float or sequence of float
        Penalties; "auto": 17 from 1e-3 to 1e5 times the mean eigenvalue of X'X.
    folds : list of (train_rows, test_rows), optional
        As of :func:`contiguous_folds` or :func:`group_folds`; 5 contiguous blocks by default.
    scoring : "r2" or "r"
        What the penalty is chosen by: R2 pooled over folds (least squared error) or the mean of Pearson r.
    fit_intercept : bool
    n_targets_batch : int, optional
        Targets worked on at a time; chosen to keep memory flat by default. Results do not depend on it.
    backend, device : str
        "numpy", or "torch" on "cpu" or "cuda".
    dtype : "float32" or "float64"
        Precision of products with the targets; matrices of rows or columns are always float64.
    coef : bool
        Keep the coefficients (p, t). Without them predictions solve for them again.
    seed : int
        Not used: nothing is random. Accepted so that plain and banded fits take the same options.

    Raises
    ------
    BraindecError
        If shapes do not fit, X is not finite (the columns are named), a penalty, fold, backend or device is wrong.
    """
    engine = get_backend(backend, device=device, dtype=dtype)
    bands = {"": slice(0, np.shape(X)[-1] if np.ndim(X) else 0)}
    with engine.session():
        problem = make_problem(
            X, Y, bands=bands, alphas=alphas, folds=folds, n_draws=1, scoring=scoring, fit_intercept=fit_intercept,
            n_targets_batch=n_targets_batch, backend=engine,
        )  # fmt: skip
        targets, grid, gammas = problem.targets, problem.alphas, np.ones((1, 1))
        if problem.choose:
            scores = problem.validation.scores(gammas[0], targets)
        else:
            scores = np.full((len(grid), targets.t), np.nan)
        place, best = best_of(scores, targets.skipped)
        alpha = np.where(targets.skipped, np.nan, grid[place])
        refit = Refit(problem.validation, targets, alpha, np.zeros(targets.t, dtype=int), gammas)
        linear = assemble(refit, coef=coef)
    return RidgeFit(
        alpha, grid, scores, best, linear.coef, linear.intercept, at_edge(alpha, grid), targets.skipped, linear
    )
