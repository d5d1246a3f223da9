"""Ridge regression in closed form, with the penalty chosen by exact leave-one-group-out on the training rows.

One symmetric eigendecomposition (of X'X, or of XX' when there are fewer rows than columns) serves every penalty: the
ridge fit is a linear smoother with hat matrix H = 11'/n + T diag(1 / (l + a)) T', and leaving a group g of rows out changes
its residuals to (I - H_gg)^-1 e_g. Repetitions of one stimulus form a group: leaving single rows out would choose too
small a penalty for stimuli that were never seen.

Source: Golub, Heath & Wahba 1979 (Technometrics) for the generalised and ordinary leave-one-out forms; the block form is
the Woodbury identity on the same hat matrix. Everything is float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError

__all__ = ["RidgeFit", "solve_ridge"]

_GRID = 10.0 ** np.linspace(-4, 5, 19)  # of penalties, in units of the mean eigenvalue
_EXACT_TARGETS = 64  # more targets are projected onto this many random directions to choose one penalty for all
_EXACT_ROWS = 4096  # more rows: the penalty is chosen on random groups with about this many rows


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """Outcome of :func:`solve_ridge`.

    Parameters
    ----------
    coef : array of shape (n_columns, n_targets), float64
    intercept : array of shape (n_targets,), float64
    alpha : array of shape (n_targets,)
        The penalty of each target (all the same unless ``per_target``).
    alphas : array of shape (n_alphas,)
        Penalties that were tried; empty when one was given.
    errors : array of shape (n_alphas,) or (n_alphas, n_targets)
        Mean squared leave-one-group-out error of each.
    """

    coef: np.ndarray
    intercept: np.ndarray
    alpha: np.ndarray
    alphas: np.ndarray
    errors: np.ndarray


def solve_ridge(
    X: np.ndarray,
    Y: np.ndarray,
    *,
    alpha: float | str | np.ndarray = "auto",
    groups: np.ndarray | None = None,
    per_target: bool = False,
    seed: int = 0,
) -> RidgeFit:
    """Fit ``Y = X W + b`` with penalty ``alpha |W|^2`` and an intercept that is not penalised.

    Parameters
    ----------
    X : array of shape (n, n_columns)
    Y : array of shape (n, n_targets)
    alpha : float, array of floats or "auto"
        The penalty; several: the best of them is chosen; "auto": the best of a wide grid.
    groups : array of shape (n,), optional
        Rows with the same value are left out together; each row by itself by default.
    per_target : bool
        Choose a penalty for each target.
    seed : int
        Picks the groups and directions that large problems are chosen on.

    Raises
    ------
    BraindecError
        If shapes do not fit, a value is not finite, a penalty is not positive, or there is one group only.
    """
    _check(X, Y, groups)
    n, n_columns = X.shape
    x_mean, y_mean = X.mean(axis=0, dtype=np.float64), Y.mean(axis=0, dtype=np.float64)
    Yc = Y - y_mean
    dual = n <= n_columns
    gram, cross = _gram(X, x_mean, Yc, dual=dual)
    values, vectors = np.linalg.eigh(gram)
    values = np.clip(values, 0.0, None)
    z = np.sqrt(values)[:, None] * (vectors.T @ Yc) if dual else vectors.T @ cross  # (k, n_targets)
    alphas = _penalties(alpha, values, min(n - 1, n_columns))
    if len(alphas) == 1:
        chosen, errors, tried = np.full(Y.shape[1], alphas[0]), np.empty(0), alphas[:0]
    else:
        rows, codes = _rows_to_choose_on(n, groups, np.random.default_rng(seed))
        T = vectors[rows] * np.sqrt(values) if dual else (X[rows] - x_mean) @ vectors  # (row, k)
        errors = _left_out_errors(T, values, z, Yc[rows], codes, n=n, alphas=alphas, per_target=per_target, seed=seed)
        chosen, tried = np.broadcast_to(alphas[np.argmin(errors, axis=0)], (Y.shape[1],)).copy(), alphas
    if dual:
        coef = X.T @ (weights := vectors @ ((vectors.T @ Yc) / (values[:, None] + chosen))) - np.outer(
            x_mean, weights.sum(0)
        )
    else:
        coef = vectors @ (z / (values[:, None] + chosen))
    return RidgeFit(coef, y_mean - x_mean @ coef, chosen, tried, errors)


def _check(X: np.ndarray, Y: np.ndarray, groups: np.ndarray | None) -> None:
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or (groups is not None and len(groups) != len(X)):
        raise BraindecError(
            "ridge needs X (row, column), Y (row, target) and a group for each row",
            found=f"X {X.shape}, Y {Y.shape}, groups {None if groups is None else np.shape(groups)}",
        )
    if len(X) < 2:
        raise BraindecError("ridge needs at least 2 rows", found=f"{len(X)}")
    for name, values in (("X", X), ("Y", Y)):
        if not np.isfinite(values).all():
            raise BraindecError(f"{name} of the ridge fit holds values that are not finite (NaN or infinite)")


def _gram(X: np.ndarray, mean: np.ndarray, Yc: np.ndarray, *, dual: bool) -> tuple[np.ndarray, np.ndarray]:
    """Centred XX' (dual) or X'X, and X'Y, in float64 and blocks: no float64 copy of a large X."""
    if dual:
        centred = X - mean  # n is at most n_columns, and float64 here is at most what the columns need anyway
        return centred @ centred.T, np.empty(0)
    n_columns = X.shape[1]
    gram, cross = np.zeros((n_columns, n_columns)), np.zeros((n_columns, Yc.shape[1]))
    for start in range(0, len(X), 2048):
        block = X[start : start + 2048] - mean
        gram += block.T @ block
        cross += block.T @ Yc[start : start + 2048]
    return gram, cross


def _penalties(alpha: float | str | np.ndarray, values: np.ndarray, rank: int) -> np.ndarray:
    if isinstance(alpha, str):
        if alpha != "auto":
            raise BraindecError("alpha must be a penalty, several of them, or 'auto'", found=repr(alpha))
        scale = values.sum() / max(rank, 1)
        return _GRID * (scale if scale > 0 else 1.0)
    alphas = np.atleast_1d(np.asarray(alpha, dtype=np.float64)).ravel()
    if not len(alphas) or not (np.isfinite(alphas) & (alphas > 0)).all():
        raise BraindecError("a ridge penalty must be a positive number", found=repr(alpha))
    return alphas


def _rows_to_choose_on(n: int, groups: np.ndarray | None, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of whole groups, sorted by group, and the group of each."""
    codes = np.arange(n) if groups is None else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        raise BraindecError(
            "a ridge penalty is chosen by leaving groups of rows out", found="one group", fix="give alpha a number"
        )
    if n > _EXACT_ROWS:
        order = rng.permutation(len(sizes))
        kept = order[: max(2, int(np.searchsorted(np.cumsum(sizes[order]), _EXACT_ROWS)))]
        rows = np.flatnonzero(np.isin(codes, kept))
    else:
        rows = np.arange(n)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    return rows, codes[rows]


def _left_out_errors(
    T: np.ndarray, values: np.ndarray, z: np.ndarray, Yc: np.ndarray, codes: np.ndarray, *, n: int, alphas: np.ndarray,
    per_target: bool, seed: int,
) -> np.ndarray:  # fmt: skip
    """Mean squared error of each penalty when each group is left out, (n_alphas,) or (n_alphas, n_targets)."""
    n_targets = Yc.shape[1]
    if not per_target and n_targets > _EXACT_TARGETS:  # the total error is kept in expectation
        mix = np.random.default_rng([seed, 1]).standard_normal((n_targets, _EXACT_TARGETS)) / np.sqrt(_EXACT_TARGETS)
        z, Yc = z @ mix, Yc @ mix
    starts = np.flatnonzero(np.r_[True, np.diff(codes) != 0])
    sizes = np.diff(np.r_[starts, len(codes)])
    errors = np.empty((len(alphas), Yc.shape[1]))
    for a, alpha in enumerate(alphas):
        shrunk = T / (values + alpha)
        residual = Yc - shrunk @ z
        total = np.zeros(Yc.shape[1])
        for size in np.unique(sizes):  # groups of one size are solved together
            rows = starts[sizes == size][:, None] + np.arange(size)  # (group, size)
            hat = 1.0 / n + shrunk[rows] @ T[rows].swapaxes(1, 2)
            left_out = np.linalg.solve(np.eye(size) - hat, residual[rows])
            total += (left_out**2).sum(axis=(0, 1))
        errors[a] = total / len(codes)
    return errors if per_target else errors.mean(axis=1) * (Yc.shape[1] / n_targets)
