"""Prediction operators of one fold: a matrix for each penalty that maps what is known to the held-out rows.

Dual: with K the kernel of all rows, A = K + a I and B = A^-1 - A^-1 11' A^-1 / (1' A^-1 1) (the intercept is not
penalised), leaving the rows g out changes their residuals to (B_gg)^-1 (B y)_g: one inverse of size n serves all folds
of a penalty. The prediction of the rows g is -(B_gg)^-1 B_gt y_t for the training rows t.

Primal: the Gram matrix of the training rows is that of all rows minus that of the rows left out; one
eigendecomposition serves all penalties, and the operator acts on X_t' y_t. More test rows than columns are replaced by
their projections on the (orthonormal) column space of the test features, in which sums of squares stay what they are.

Both agree with a fit on the training rows, centred by their own mean, to rounding.

Source: block leave-out by Woodbury / Schur complement, as in Golub, Heath & Wahba 1979 (Technometrics 21:215) for
single rows; ridge of centred data as a bordered system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.ridge._design import Design
from braindec.ridge._spectral import safe_eigh, safe_inverse

__all__ = ["FoldRows", "Operator", "dual_operators", "fold_rows", "held_out_rows", "primal_operators", "training_gram"]

_TINY = 1e-10  # penalties below this share of the trace are solved on the training rows: the block formula cancels
_HALF = 0.5  # so are folds that leave more rows out than this


@dataclass(frozen=True, eq=False)
class FoldRows:
    """Rows of a fold: ``removed`` are all rows that are not trained on (test rows and buffer)."""

    train: np.ndarray
    test: np.ndarray
    removed: np.ndarray


@dataclass(frozen=True, eq=False)
class Operator:
    """Predictions of one fold: ``matrices[a] @ input`` are the held-out rows minus the training mean.

    Parameters
    ----------
    alphas : array of shape (n_alphas,), int
        Places of the penalties in the grid.
    matrices : list of (m, k) device arrays
    basis : (n_test, m) device array or None
        The m rows are projections of the test rows on these orthonormal columns (the first is the constant).
    """

    fold: FoldRows
    alphas: np.ndarray
    matrices: list[Any]
    basis: Any | None = None


def fold_rows(train: np.ndarray, test: np.ndarray, n: int) -> FoldRows:
    """Rows of a fold with those left out."""
    return FoldRows(train, test, np.setdiff1d(np.arange(n), train))


def dual_operators(kernel: Any, folds: list[FoldRows], alphas: np.ndarray, design: Design) -> list[Operator]:
    """Operators on the training responses, (n_test, n_train) a penalty, from the (n, n) float64 kernel of all rows."""
    backend, n = design.backend, design.n
    scale = float(backend.get(kernel.diagonal()).sum())
    matrices: list[list[Any]] = [[] for _ in folds]
    for alpha in alphas:
        block = [len(fold.removed) <= _HALF * n and alpha > _TINY * scale for fold in folds]
        inverse = _bordered(safe_inverse(kernel, alpha, backend), design) if any(block) else None
        for k, fold in enumerate(folds):
            if block[k]:
                matrices[k].append(_left_out(inverse, fold, design))
            else:
                matrices[k].append(_refitted(kernel, fold, alpha, design))
    return [Operator(fold, np.arange(len(alphas)), parts) for fold, parts in zip(folds, matrices)]


def _bordered(inverse: Any, design: Design) -> Any:
    if not design.centre:
        return inverse
    sums = inverse.sum(0)
    return inverse - sums[:, None] * (sums / sums.sum())[None, :]


def _left_out(inverse: Any, fold: FoldRows, design: Design) -> Any:
    """-(B_gg)^-1 B_gt, test rows of it, minus the training mean that it contains."""
    backend = design.backend
    rows = backend.rows(inverse, fold.removed)
    within = backend.rows(rows.T, fold.removed)  # symmetric
    across = backend.rows(rows.T, fold.train).T
    scale = float(within.diagonal().max())
    core = safe_inverse(within / scale, 0.0, backend)
    if len(fold.test) < len(fold.removed):
        core = core[np.searchsorted(fold.removed, fold.test)]
    matrix = backend.cast(core) @ backend.cast(across / -scale)
    return matrix - 1.0 / len(fold.train) if design.centre else matrix


def _refitted(kernel: Any, fold: FoldRows, alpha: float, design: Design) -> Any:
    """The same from the kernel of the training rows, which is safe for any penalty and any fold."""
    backend = design.backend
    inner = backend.rows(backend.rows(kernel, fold.train).T, fold.train)
    outer = backend.rows(backend.rows(kernel, fold.train).T, fold.test)
    if design.centre:
        mean = inner.mean(0)
        outer = outer - outer.mean(1)[:, None] - mean[None, :] + mean.mean()
        inner = inner - mean[:, None] - mean[None, :] + mean.mean()
    return backend.cast(outer @ safe_inverse(inner, alpha, backend))


def primal_operators(
    gram: Any, fold: FoldRows, alphas: np.ndarray, scale: np.ndarray, held: tuple[Any, Any | None], design: Design
) -> Operator:
    """Operators on X_t' y_t (centred), (m, p) a penalty, from the (p, p) float64 Gram matrix of the training rows.

    Parameters
    ----------
    gram : (p, p) float64 device array
        Centred Gram matrix of the training rows.
    scale : array of shape (p,)
        Square roots of band weights.
    held : tuple of (m, p) float64 device array and basis
        As :func:`held_out_rows` gives them.
    """
    backend = design.backend
    s = backend.put(scale, exact=True)
    values, vectors = safe_eigh(gram * s[:, None] * s[None, :], backend)
    rows, basis = held
    loads = backend.cast((rows * s[None, :]) @ vectors)  # (m, k)
    back = backend.cast((vectors * s[:, None]).T)  # (k, p)
    matrices = [(loads * backend.put(1.0 / (values + alpha))[None, :]) @ back for alpha in alphas]
    return Operator(fold, np.arange(len(alphas)), matrices, basis)


def training_gram(gram: Any, fold: FoldRows, design: Design) -> tuple[Any, Any]:
    """Centred Gram matrix (p, p) of the training rows and their mean (p,), by taking rows away where that is safe."""
    backend = design.backend
    if len(fold.removed) <= _HALF * design.n:
        total = gram - design.gram(fold.removed)
    else:
        total = design.gram(fold.train)
    mean = backend.cast(backend.rows(design.X, fold.train), exact=True).mean(0)
    if not design.centre:
        return total, mean * 0.0
    return total - len(fold.train) * (mean[:, None] * mean[None, :]), mean


def held_out_rows(fold: FoldRows, mean: Any, design: Design) -> tuple[Any, Any | None]:
    """Test rows minus the training mean, (m, p) float64; with more rows than columns their projections, and the basis."""
    backend = design.backend
    rows = backend.cast(backend.rows(design.X, fold.test), exact=True) - mean[None, :]
    n_test = len(fold.test)
    if n_test <= 1.25 * (design.p + 1):
        return rows, None
    constant = np.full((n_test, 1), 1.0 / np.sqrt(n_test))
    joined = np.concatenate([constant, backend.get(rows)], axis=1)  # the constant first: sums stay readable
    basis, factor = backend.qr(backend.put(joined, exact=True))
    sign = float(factor[0, 0])  # 1 or -1
    factor[0] *= sign
    basis[:, 0] *= sign
    return factor[:, 1:], backend.cast(basis)
