"""Prediction operators: for one penalty and one fold, a matrix that maps what is known to the held-out rows.

Dual: with K the kernel of all rows, A = K + a I and B = A^-1 - A^-1 11' A^-1 / (1' A^-1 1) (the intercept is not
penalised), leaving the rows g out changes their residuals to (B_gg)^-1 (B y)_g: one inverse of size n serves all folds
of a penalty. The prediction of the rows g is -(B_gg)^-1 B_gt y_t for the training rows t.

Primal: the Gram matrix of the training rows is that of all rows minus that of the rows left out; one
eigendecomposition serves all penalties, and the operator acts on X_t' y_t. More test rows than columns are replaced by
their projections on an orthonormal basis of the test features, in which sums of products stay what they are.

Both agree with a fit on the training rows, centred by their own mean, to rounding.

Source: leaving blocks out by the Schur complement, as Golub, Heath & Wahba 1979 (Technometrics 21:215) leave out rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from braindec.ridge._backend import Backend, Places
from braindec.ridge._design import Design
from braindec.ridge._spectral import largest_eigenvalue, safe_eigh, safe_inverse
from braindec.ridge.folds import Fold

__all__ = ["SINGLE", "DualOperators", "FoldRows", "PrimalFolds", "PrimalOperators", "anchored", "fold_rows"]

_TINY = 1e-10  # penalties below this share of the largest eigenvalue are solved on the training rows: the block formula cancels
_HALF = 0.5  # so are folds that leave more rows out than this
SINGLE = 1e-3  # penalties above this share of the largest eigenvalue: factors in float32 are right to 1e-4 or better
_TALL = 1.25  # test rows are replaced by projections when there are more than this many for each column
_MEMORY = 400e6


@dataclass(frozen=True, eq=False)
class FoldRows:
    """Rows of a fold: ``removed`` are all rows that are not trained on (test rows and buffer)."""

    train: Places
    test: Places
    removed: Places


def fold_rows(folds: Sequence[Fold], n: int) -> list[FoldRows]:
    """Rows of each fold with those left out."""
    return [FoldRows(Places(train), Places(test), Places(np.setdiff1d(np.arange(n), train))) for train, test in folds]


class DualOperators:
    """Operators on the training responses, (n_test, n_train) for each fold, from the kernel of all rows.

    Parameters
    ----------
    kernel : (n, n) float64 device array
        Of the centred features, anchored.
    folds : list of FoldRows
    design : Design
    """

    def __init__(self, kernel: Any, folds: list[FoldRows], design: Design) -> None:
        self._kernel, self._folds, self._design = kernel, folds, design
        self._largest = largest_eigenvalue(kernel)
        self._working = design.backend.cast(kernel)
        self.bases: list[Any | None] = [None] * len(folds)
        self.size = sum(len(fold.test) * len(fold.train) for fold in folds)

    def at(self, alpha: float) -> list[Any]:
        """Operator of each fold for one penalty."""
        n = self._design.n
        safe = [len(fold.removed) <= _HALF * n and alpha > _TINY * self._largest for fold in self._folds]
        inverse = None
        if any(safe):
            kernel = self._working if alpha > SINGLE * self._largest else self._kernel
            inverse = safe_inverse(kernel, alpha, self._design.backend)
            sums = inverse.sum(0)
        return [
            _left_out(inverse, sums, fold, self._design) if ok else _refitted(self._kernel, fold, alpha, self._design)
            for ok, fold in zip(safe, self._folds)
        ]


def _left_out(inverse: Any, sums: Any, fold: FoldRows, design: Design) -> Any:
    """-(B_gg)^-1 B_gt, test rows of it, minus the training mean that it contains."""
    backend = design.backend
    rows = backend.rows(inverse, fold.removed)
    within = backend.columns(rows, fold.removed)
    if design.centre:
        mine = backend.rows(sums, fold.removed)
        within = within - mine[:, None] * (mine / sums.sum())[None, :]
    core = safe_inverse(within, 0.0, backend)
    if len(fold.test) < len(fold.removed):
        core = backend.rows(core, Places(np.searchsorted(fold.removed.places, fold.test.places)))
    matrix = backend.cast(-core) @ backend.cast(backend.columns(rows, fold.train))
    if design.centre:  # the border of B_gt, and the training mean
        other = backend.rows(sums, fold.train) / sums.sum()
        matrix += backend.cast(core @ mine)[:, None] * backend.cast(other)[None, :] - 1.0 / len(fold.train)
    return matrix


def _refitted(kernel: Any, fold: FoldRows, alpha: float, design: Design) -> Any:
    """The same from the kernel of the training rows, which is safe for any penalty and any fold."""
    backend = design.backend
    known = backend.rows(kernel, fold.train).T
    inner, outer = backend.rows(known, fold.train), backend.rows(known, fold.test)
    if design.centre:
        mean = inner.mean(0)
        outer = outer - outer.mean(1)[:, None] - mean[None, :] + mean.mean()
        inner = inner - mean[:, None] - mean[None, :] + mean.mean()
    return backend.cast(outer @ safe_inverse(anchored(inner) if design.centre else inner, alpha, backend))


def anchored(kernel: Any) -> Any:
    """Give the constant, which has eigenvalue 0 in a kernel of centred features, one of middling size (in place).

    Responses are taken around their mean, so that its value is free; 0 would cost the inverse of a small penalty its
    digits.
    """
    kernel += kernel.diagonal().mean() / kernel.shape[0]
    return kernel


class PrimalFolds:
    """Gram matrix of the training rows and held-out rows of each fold, whatever the band weights.

    Attributes
    ----------
    gram : (p, p) float64 device array
        Of all rows.
    sums : list of (p,) float64 device arrays
        Sum of the training rows of each fold.
    """

    def __init__(self, folds: list[FoldRows], design: Design) -> None:
        backend = design.backend
        self.rows, self.design = folds, design
        edges = np.linspace(0, design.n, backend.workers + 1).astype(int)
        self.gram = sum(backend.map(design.gram, [Places(np.arange(a, b)) for a, b in pairwise(edges)]))
        self.sums = [design.train_sum(fold.removed) for fold in folds]
        self._kept: dict[int, tuple[Any, Any, Any | None]] = {}
        self._keep = 8.0 * len(folds) * design.p**2 + 8.0 * design.n * design.p <= _MEMORY

    def get(self, k: int) -> tuple[Any, Any, Any | None]:
        """Centred Gram matrix (p, p), held-out rows minus the training mean (m, p), float64, and basis (n_test, m)."""
        if k not in self._kept:
            parts = self._make(self.rows[k], self.sums[k])
            if not self._keep:
                return parts
            self._kept[k] = parts
        return self._kept[k]

    def _make(self, fold: FoldRows, total: Any) -> tuple[Any, Any, Any | None]:
        design, backend = self.design, self.design.backend
        if len(fold.removed) <= _HALF * design.n:
            gram = self.gram - design.gram(fold.removed)
        else:
            gram = design.gram(fold.train)  # little would be left of the sum of all rows: digits would be lost
        held = backend.cast(backend.rows(design.X, fold.test), exact=True)
        if design.centre:
            mean = total / len(fold.train)
            gram = gram - len(fold.train) * (mean[:, None] * mean[None, :])
            held = held - mean[None, :]
        if len(fold.test) <= _TALL * (design.p + 1):
            return gram, held, None
        return gram, *_projected(held, backend)


def _projected(rows: Any, backend: Backend) -> tuple[Any, Any]:
    """Rows in an orthonormal basis whose first vector is the constant, (p + 1, p), and the basis (n_test, p + 1)."""
    n = rows.shape[0]
    constant = np.full((n, 1), 1.0 / np.sqrt(n))
    basis, factor = backend.qr(backend.put(np.concatenate([constant, backend.get(rows)], axis=1), exact=True))
    sign = float(factor[0, 0])  # 1 or -1
    factor[0] *= sign
    basis[:, 0] *= sign
    return factor[:, 1:], backend.cast(basis)


class PrimalOperators:
    """Operators on X_t' y_t (centred), (m, p) for each fold, from one eigendecomposition a fold."""

    def __init__(self, folds: PrimalFolds, scale: np.ndarray) -> None:
        design = folds.design
        self._backend = backend = design.backend
        s = backend.put(scale, exact=True)

        def decompose(k: int) -> tuple[Any, np.ndarray, Any, Any | None]:
            gram, held, basis = folds.get(k)
            values, vectors = safe_eigh(gram * s[:, None] * s[None, :], backend)
            loads = backend.cast(held * s[None, :]) @ backend.cast(vectors)  # (m, k)
            return loads, values, backend.cast((vectors * s[:, None]).T), basis

        parts = list(backend.map(decompose, range(len(folds.rows))))
        self._parts, self.bases = [part[:3] for part in parts], [part[3] for part in parts]
        self.size = sum(loads.shape[0] * design.p for loads, *_ in parts)

    def at(self, alpha: float) -> list[Any]:
        """Operator of each fold for one penalty."""
        put = self._backend.put
        return [(loads * put(1.0 / (values + alpha))[None, :]) @ back for loads, values, back in self._parts]
