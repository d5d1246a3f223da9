"""What plain and banded fits share: the options, the default sizes, and predictions with or without coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge._backend import Backend
from braindec.ridge._crossval import CrossValidation
from braindec.ridge._design import Design, prefer_dual
from braindec.ridge._penalties import penalty_grid
from braindec.ridge._refit import Refit
from braindec.ridge._targets import Targets
from braindec.ridge.folds import Fold, check_folds, contiguous_folds

__all__ = ["Linear", "Problem", "assemble", "best_of", "make_problem"]

_SCORES = ("r2", "r")
_BLOCK = 100e6  # bytes of one block of targets with what is computed from it
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Problem:
    """Checked input of a fit."""

    design: Design
    targets: Targets
    validation: CrossValidation
    alphas: np.ndarray
    choose: bool


@dataclass(frozen=True, eq=False)
class Linear:
    """Coefficients (p, t) and intercept (t,), or what makes them block by block when they are not kept.

    Parameters
    ----------
    x_mean : array of shape (p,)
    y_mean : array of shape (t,)
        Means that were subtracted; 0 without an intercept.
    bands : mapping of name to slice of columns
    """

    coef: np.ndarray | None
    intercept: np.ndarray | None
    x_mean: np.ndarray
    y_mean: np.ndarray
    bands: dict[str, slice]
    refit: Refit | None

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n, t)."""
        X = self._checked(X)
        out = np.empty((len(X), len(self.y_mean)), dtype=X.dtype)
        for part, coef in self._blocks():
            out[:, part] = X @ coef
            out[:, part] += self.y_mean[part] - self.x_mean @ coef
        return out

    def predict_bands(self, X: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions (n, t) of each band around its mean; the mean of the target goes to the bands in equal parts."""
        X = self._checked(X)
        out = {name: np.empty((len(X), len(self.y_mean)), dtype=X.dtype) for name in self.bands}
        for part, coef in self._blocks():
            for name, columns in self.bands.items():
                out[name][:, part] = X[:, columns] @ coef[columns]
                out[name][:, part] += self.y_mean[part] / len(self.bands) - self.x_mean[columns] @ coef[columns]
        return out

    def _checked(self, X: np.ndarray) -> np.ndarray:
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != len(self.x_mean):
            raise BraindecError(
                "the features to predict from have other columns than those of the fit",
                found=f"{X.shape}", allowed=f"(rows, {len(self.x_mean)})",
            )  # fmt: skip
        if not np.isfinite(X).all():
            raise BraindecError("the features to predict from hold values that are not finite (NaN or infinite)")
        kept = self.coef if self.refit is None else np.empty(0, self.refit.problem.design.backend.numpy_dtype)
        return X.astype(kept.dtype, copy=False)

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        if self.refit is None:
            yield slice(0, len(self.y_mean)), self.coef
            return
        with self.refit.problem.design.backend.session():
            yield from self.refit.blocks()


def make_problem(
    X: np.ndarray, Y: Any, *, bands: Mapping[str, slice], alphas: Any, folds: Sequence[Fold] | None, n_draws: int,
    scoring: str, fit_intercept: bool, n_targets_batch: int | None, backend: Backend,
) -> Problem:  # fmt: skip
    """Check everything that can be checked before the first product."""
    if scoring not in _SCORES:
        raise BraindecError(f"scoring {scoring!r}{did_you_mean(str(scoring), _SCORES)}", allowed=", ".join(_SCORES))
    if n_targets_batch is not None and n_targets_batch < 1:
        raise BraindecError("n_targets_batch is a number of targets", found=str(n_targets_batch), allowed="1 or more")
    design = Design(X, bands, centre=fit_intercept, backend=backend)
    grid = penalty_grid(alphas, design.mean_eigenvalue())
    choose = folds is not None or len(grid) > 1 or n_draws > 1
    if folds is None:
        folds = contiguous_folds(design.n, min(_FOLDS, design.n // 2)) if choose else []
    else:
        folds = check_folds(folds, design.n)
    t = int(getattr(Y, "shape", (0, 0))[-1])
    dual = prefer_dual(
        design.n, design.p, t, n_folds=max(len(folds), 2), n_alphas=len(grid) if choose else 1, n_draws=n_draws
    )
    rows = 2 * design.n + (0 if dual else design.p * (len(folds) + 1))
    block = n_targets_batch or max(64, int(_BLOCK / (4.0 * rows * design.backend.workers)))
    targets = Targets(Y, design.n, centre=fit_intercept, block=block)
    return Problem(design, targets, CrossValidation(design, folds, grid, dual=dual, scoring=scoring), grid, choose)


def best_of(scores: np.ndarray, skipped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of the best penalty of each target (0 for skipped ones; the first of equals) and its score."""
    place = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=0)
    score = scores[place, np.arange(scores.shape[1])]
    return place, np.where(skipped, np.nan, score)


def assemble(refit: Refit, *, coef: bool) -> Linear:
    """Make the coefficients of all targets and let go of the rest, or leave them to the predictions."""
    design, targets = refit.problem.design, refit.targets
    if not coef:
        return Linear(None, None, design.mean, targets.mean, design.bands, refit)
    values = np.empty((design.p, targets.t), dtype=design.backend.numpy_dtype)
    intercept = np.empty(targets.t)
    for part, block in refit.blocks():
        values[:, part] = block
        intercept[part] = targets.mean[part] - design.mean @ block
    return Linear(values, intercept, design.mean, targets.mean, design.bands, None)
