"""Cross-validated scores of all penalties for blocks of targets.

Only sums over the held-out rows are kept: with the held-out response e (around the training mean) and its prediction
p, the squared error is e'e - 2 e'p + p'p, and r needs the sums of p and of its products; no array of
(row, target, penalty) is made.

Scores: "r2" is pooled over folds, 1 - (mean over folds of the mean squared error) / (mean over folds of the variance of
the held-out rows), whose best penalty is that of the mean squared error; "r" is the mean of Pearson r over folds, where
a prediction or response without variance counts as 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.ridge._design import Design
from braindec.ridge._operators import (
    FoldRows,
    Operator,
    dual_operators,
    fold_rows,
    held_out_rows,
    primal_operators,
    training_gram,
)
from braindec.ridge._targets import Targets

__all__ = ["CrossValidation"]

_MEMORY = 400e6  # bytes of operators that are held at a time


@dataclass(frozen=True, eq=False)
class _PrimalFold:
    rows: FoldRows
    gram: Any
    mean: Any
    held: tuple[Any, Any | None]


class CrossValidation:
    """Scores of every penalty on held-out rows, for features that may be weighted by band.

    Parameters
    ----------
    design : Design
    folds : list of (train, test)
    alphas : array of shape (n_alphas,)
    dual : bool
        Work with kernels (rows) or Gram matrices (columns).
    scoring : "r2" or "r"
    """

    def __init__(self, design: Design, folds: Sequence[tuple], alphas: np.ndarray, *, dual: bool, scoring: str) -> None:
        self.design, self.alphas, self.dual, self.scoring = design, alphas, dual, scoring
        self.rows = [fold_rows(train, test, design.n) for train, test in folds]
        self.kernels = design.kernels() if dual else []
        self.gram = None if dual else design.gram()
        self._folds: list[_PrimalFold] = []

    def kernel(self, gamma: np.ndarray) -> Any:
        """Weighted sum of the kernels of all bands."""
        return sum(float(weight) * kernel for weight, kernel in zip(gamma, self.kernels) if weight > 0)

    def scores(self, gamma: np.ndarray, targets: Targets) -> np.ndarray:
        """Score of each penalty for each target, (n_alphas, t); NaN for skipped targets."""
        backend = self.design.backend
        sums = _Sums(len(self.alphas), targets.t)
        for operators in self._operators(gamma):
            for part in targets.slices():
                block = backend.put(targets.read(part))
                inputs = [None] * len(operators) if self.dual else self._cross(block, operators)
                for operator, given in zip(operators, inputs):
                    self._add(operator, block, given, sums, part)
        scores = sums.pooled_r2() if self.scoring == "r2" else sums.r / len(self.rows)
        scores[:, targets.skipped] = np.nan
        return scores

    def _operators(self, gamma: np.ndarray) -> Iterator[list[Operator]]:
        """Operators of all folds in portions that fit into memory."""
        size = self.design.backend.numpy_dtype.itemsize
        if self.dual:
            kernel = self.kernel(gamma)
            each = size * sum(len(fold.test) * len(fold.train) for fold in self.rows)
            step = max(1, int(_MEMORY // each))
            for start in range(0, len(self.alphas), step):
                operators = dual_operators(kernel, self.rows, self.alphas[start : start + step], self.design)
                yield [Operator(o.fold, o.alphas + start, o.matrices) for o in operators]
            return
        scale, portion, used = self.design.weights(gamma), [], 0.0
        for fold in self._primal_folds():
            each = size * len(self.alphas) * fold.held[0].shape[0] * self.design.p
            if portion and used + each > _MEMORY:
                yield portion
                portion, used = [], 0.0
            portion.append(primal_operators(fold.gram, fold.rows, self.alphas, scale, fold.held, self.design))
            used += each
        yield portion

    def _primal_folds(self) -> Iterator[_PrimalFold]:
        if self._folds:
            yield from self._folds
            return
        keep = 8.0 * len(self.rows) * (self.design.p**2 + self.design.n * self.design.p) <= _MEMORY
        for rows in self.rows:
            gram, mean = training_gram(self.gram, rows, self.design)
            fold = _PrimalFold(rows, gram, mean, held_out_rows(rows, mean, self.design))
            if keep:
                self._folds.append(fold)
            yield fold

    def _cross(self, block: Any, operators: list[Operator]) -> Iterator[Any]:
        """Centred X_t' y_t of the training rows of each fold, (p, block): those of all rows minus those left out."""
        backend, X = self.design.backend, self.design.X
        if len(operators) == 1:
            rows = operators[0].fold.train
            yield self._centred(backend.rows(X, rows).T @ backend.rows(block, rows), block, operators[0].fold)
            return
        removed = [backend.rows(X, o.fold.removed).T @ backend.rows(block, o.fold.removed) for o in operators]
        sizes = [len(o.fold.removed) for o in operators]
        partition = sum(sizes) == self.design.n and len(operators) == len(self.rows)
        covered = partition and len(np.unique(np.concatenate([o.fold.removed for o in operators]))) == self.design.n
        total = sum(removed[1:], removed[0]) if covered else X.T @ block
        for operator, part in zip(operators, removed):
            yield self._centred(total - part, block, operator.fold)

    def _centred(self, cross: Any, block: Any, fold: FoldRows) -> Any:
        if not self.design.centre:
            return cross
        backend = self.design.backend
        x_sum = self.design.X.sum(0) - backend.rows(self.design.X, fold.removed).sum(0)
        y_mean = self._training_mean(block, fold)
        return cross - x_sum[:, None] * y_mean[None, :]

    def _training_mean(self, block: Any, fold: FoldRows) -> Any:
        return (block.sum(0) - self.design.backend.rows(block, fold.removed).sum(0)) / len(fold.train)

    def _add(self, operator: Operator, block: Any, given: Any, sums: _Sums, part: slice) -> None:
        """Add the held-out sums of one fold for one block of targets."""
        backend, fold = self.design.backend, operator.fold
        held = backend.rows(block, fold.test)
        if given is None:
            given = backend.rows(block, fold.train)
        if self.design.centre:
            held = held - self._training_mean(block, fold)[None, :]
        n = held.shape[0]
        squares, total = backend.get(backend.dot(held, held)), backend.get(held.sum(0))
        basis = operator.basis
        if basis is not None:
            held = basis.T @ held
        for place, matrix in zip(operator.alphas, operator.matrices):
            predicted = matrix @ given
            both = backend.get(backend.dot(held, predicted))
            own = backend.get(backend.dot(predicted, predicted))
            mean = 0.0
            if self.scoring == "r":
                mean = backend.get(predicted.sum(0) / n if basis is None else predicted[0] / np.sqrt(n))
            sums.add(place, part, n, squares, total, both, own, mean)


class _Sums:
    """Running sums over folds, (n_alphas, t)."""

    def __init__(self, n_alphas: int, t: int) -> None:
        self.error, self.variance, self.r = (np.zeros((n_alphas, t)) for _ in range(3))

    def add(
        self, place: int, part: slice, n: int, squares: np.ndarray, total: np.ndarray, both: np.ndarray, own: np.ndarray,
        mean: np.ndarray | float,
    ) -> None:  # fmt: skip
        variance = np.maximum(squares - total**2 / n, 0.0)
        self.error[place, part] += (squares - 2.0 * both + own) / n
        self.variance[place, part] += variance / n
        product = np.sqrt(variance * np.maximum(own - n * mean**2, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            self.r[place, part] += np.where(product > 0, (both - total * mean) / product, 0.0)

    def pooled_r2(self) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.variance > 0, 1.0 - self.error / self.variance, np.nan)
