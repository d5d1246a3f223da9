"""The linear models of the classifier: one rule, fitted once or for many labellings of the same rows.

Shrinkage discriminant and ridge refit in closed form (:mod:`braindec.stats.discriminant`); logistic regression is
solved anew for each labelling by scikit-learn, on rows rotated to their principal axes (the penalty does not change
by a rotation), so it is the slow one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.stats.discriminant import Linear, TotalScatter, discriminant, gcv_alpha, ridge

MODELS = ("lda", "ridge", "logistic")

Fit = Callable[[TotalScatter, np.ndarray, int], Linear]


def linear_model(model: str, *, shrinkage: float | str, alpha: float | str, balanced: bool) -> Fit:
    """Return ``fit(scatter, codes, n_classes) -> Linear`` of a named model.

    Raises
    ------
    BraindecError
        If the name or an amount of regularisation is unknown.
    """
    amount, penalty = _number("shrinkage", shrinkage), _number("alpha", alpha)
    if model == "lda":
        return partial(discriminant, shrinkage=amount, balanced=balanced)
    if model == "ridge":
        return partial(ridge, alpha=penalty, balanced=balanced)
    if model == "logistic":
        return partial(_logistic, alpha=penalty, balanced=balanced)
    raise BraindecError(f"unknown model {model!r}{did_you_mean(str(model), MODELS)}", allowed=", ".join(MODELS))


def _number(name: str, value: float | str) -> float | None:
    if value == "auto":
        return None
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    raise BraindecError(f'{name} is a number or "auto"', found=repr(value))


def _logistic(
    scatter: TotalScatter, codes: np.ndarray, n_classes: int, *, alpha: float | None, balanced: bool
) -> Linear:
    """Multinomial logistic regression; ``alpha`` is relative to the mean squared length of a training row.

    Chosen automatically, it is a quarter of the penalty that generalised cross-validation picks for ridge: the
    curvature of the logistic loss at even odds is a quarter of that of the squared loss.
    """
    from sklearn.linear_model import LogisticRegression

    if alpha is not None and not alpha > 0:
        raise BraindecError("alpha of logistic regression is a positive number", found=repr(alpha))
    unit = float(scatter.variances.sum())
    rows = scatter.rows / np.sqrt(unit)
    weights = np.empty((len(codes), rows.shape[1], n_classes))
    bias = np.empty((len(codes), n_classes))
    for i, y in enumerate(codes):
        penalty = gcv_alpha(scatter, y[None], n_classes)[0] / 4 if alpha is None else alpha
        model = LogisticRegression(
            C=1 / penalty, class_weight="balanced" if balanced else None, max_iter=2000, tol=1e-6
        )
        model.fit(rows, y)
        if n_classes == 2:
            weights[i] = model.coef_.T * [-0.5, 0.5]
            bias[i] = model.intercept_ * [-0.5, 0.5]
        else:
            weights[i], bias[i] = model.coef_.T, model.intercept_
    return Linear(weights / np.sqrt(unit), bias)
