"""What plain and banded fits share: the options, the default sizes, and predictions with or without coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge._backend import get_backend
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
    """Coefficients (p, t) and intercept (t,), or what makes them block by block when they are not kept."""

    coef: np.ndarray | None
    intercept: np.ndarray | None
    refit: Refit

    def predict(self, X: np.ndarray, bands: Mapping[str, slice] | None = None) -> np.ndarray | dict[str, np.ndarray]:
        """Predictions (n, t), or one array a band; the intercept goes to the bands in equal parts."""
        design = self.refit.problem.design
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != design.p:
            raise BraindecError(
                "the features to predict from have other columns than those of the fit",
                found=f"{X.shape}", allowed=f"(rows, {design.p})",
            )  # fmt: skip
        if not np.isfinite(X).all():
            raise BraindecError("the features to predict from hold values that are not finite (NaN or infinite)")
        parts = {"": slice(0, design.p)} if bands is None else dict(bands)
        working = np.result_type(design.backend.numpy_dtype, np.float32)
        X = X.astype(working, copy=False)
        out = {name: np.empty((len(X), self.refit.targets.t), dtype=working) for name in parts}
        for part, coef, intercept in self._blocks():
            for name, columns in parts.items():
                out[name][:, part] = X[:, columns] @ coef[columns] + self._share(intercept, coef, columns, part, parts)
        return out[""] if bands is None else out

    def _blocks(self) -> Any:
        targets, design = self.refit.targets, self.refit.problem.design
        if self.coef is not None:
            yield slice(0, targets.t), self.coef, self.intercept
            return
        for part, coef in self.refit.blocks():
            yield part, coef, targets.mean[part] - design.mean @ coef

    def _share(
        self, intercept: np.ndarray, coef: np.ndarray, columns: slice, part: slice, parts: Mapping
    ) -> np.ndarray:
        if len(parts) == 1:
            return intercept.astype(coef.dtype)
        mean = self.refit.targets.mean[part] / len(parts)
        return (mean - self.refit.problem.design.mean[columns] @ coef[columns]).astype(coef.dtype)


def make_problem(
    X: np.ndarray, Y: Any, *, bands: Mapping[str, slice], alphas: Any, folds: Sequence[Fold] | None, n_draws: int,
    scoring: str, fit_intercept: bool, n_targets_batch: int | None, backend: str, device: str, dtype: str,
) -> Problem:  # fmt: skip
    """Check everything that can be checked before the first product."""
    if scoring not in _SCORES:
        raise BraindecError(f"scoring {scoring!r}{did_you_mean(str(scoring), _SCORES)}", allowed=", ".join(_SCORES))
    if n_targets_batch is not None and n_targets_batch < 1:
        raise BraindecError("n_targets_batch is a number of targets", found=str(n_targets_batch), allowed="1 or more")
    design = Design(X, bands, centre=fit_intercept, backend=get_backend(backend, device=device, dtype=dtype))
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
    block = n_targets_batch or max(64, int(_BLOCK / (4.0 * rows)))
    targets = Targets(Y, design.n, centre=fit_intercept, block=block)
    return Problem(design, targets, CrossValidation(design, folds, grid, dual=dual, scoring=scoring), grid, choose)


def best_of(scores: np.ndarray, skipped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of the best penalty of each target (0 for skipped ones; the first of equals) and its score."""
    place = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=0)
    score = scores[place, np.arange(scores.shape[1])]
    return place, np.where(skipped, np.nan, score)


def assemble(refit: Refit, *, coef: bool) -> Linear:
    """Make the coefficients of all targets, or leave them to the predictions."""
    if not coef:
        return Linear(None, None, refit)
    design, targets = refit.problem.design, refit.targets
    values = np.empty((design.p, targets.t), dtype=design.backend.numpy_dtype)
    intercept = np.empty(targets.t)
    for part, block in refit.blocks():
        values[:, part] = block
        intercept[part] = targets.mean[part] - design.mean @ block
    return Linear(values, intercept, refit)
