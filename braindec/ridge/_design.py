"""Features of a ridge fit: checked, centred, and as Gram (columns) or kernel (rows) matrices of each band in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.ridge._backend import Backend, Places

__all__ = ["Design", "prefer_dual"]

_ROWS, _COLUMNS = 2048, 512  # rows and columns turned into float64 at a time
_SLOW = 14.0  # an eigendecomposition costs about this many k^3 in units of a float32 multiply-add
_DOUBLE = 2.0  # float64 costs this much more than float32


class Design:
    """Centred features on the device, with what both forms of the ridge problem need.

    Parameters
    ----------
    X : array of shape (n, p)
    bands : mapping of name to slice of columns
    centre : bool
        Subtract the mean of each column (an intercept is fitted).
    backend : Backend
    """

    def __init__(self, X: np.ndarray, bands: Mapping[str, slice], *, centre: bool, backend: Backend) -> None:
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[0] < 2 or X.shape[1] < 1 or X.dtype.kind not in "iufb":
            raise BraindecError(
                "the features X must be (row, column) real numbers with at least 2 rows", found=f"{X.shape} {X.dtype}"
            )
        self.mean = X.mean(axis=0, dtype=np.float64)
        _refuse_not_finite(X, self.mean, bands)
        if not centre:
            self.mean = np.zeros_like(self.mean)
        self.backend, self.centre = backend, centre
        self.n, self.p = X.shape
        self.bands = dict(bands)
        self.X = backend.put(X - self.mean.astype(X.dtype if X.dtype.kind == "f" else np.float64))

    def weights(self, gamma: np.ndarray) -> np.ndarray:
        """Square root of the band weight of each column, (p,)."""
        scale = np.zeros(self.p)
        for weight, columns in zip(gamma, self.bands.values()):
            scale[columns] = np.sqrt(weight)
        return scale

    def train_sum(self, removed: Places) -> Any:
        """Sum of the rows that are left when some are removed, (p,) float64."""
        return self._sum(self.X) - self._sum(self.backend.rows(self.X, removed))

    def _sum(self, X: Any) -> Any:
        parts = (self.backend.cast(X[a : a + _ROWS], exact=True).sum(0) for a in range(0, X.shape[0], _ROWS))
        return sum(parts)

    def gram(self, rows: Places | None = None) -> Any:
        """X'X of some rows, (p, p) float64."""
        X = self.X if rows is None else self.backend.rows(self.X, rows)
        return _total(range(0, X.shape[0], _ROWS), lambda a: self._square(X[a : a + _ROWS].T), map)

    def kernels(self) -> list[Any]:
        """XX' of each band, (n, n) float64."""
        return [
            _total(
                range(columns.start, columns.stop, _COLUMNS),
                lambda a, stop=columns.stop: self._square(self.X[:, a : min(a + _COLUMNS, stop)]),
                self.backend.map,
            )
            for columns in self.bands.values()
        ]

    def _square(self, part: Any) -> Any:
        part = self.backend.cast(part, exact=True)
        return part @ part.T

    def mean_eigenvalue(self) -> float:
        """Sum of squares of the centred features over the rank they can have."""
        total = sum(
            float((self.backend.cast(self.X[a : a + _ROWS], exact=True) ** 2).sum()) for a in range(0, self.n, _ROWS)
        )
        return total / max(min(self.n - int(self.centre), self.p), 1)


def prefer_dual(n: int, p: int, t: int, *, n_folds: int, n_alphas: int, n_draws: int = 1) -> bool:
    """Whether n x n kernels cost less than p x p Gram matrices, by counting multiply-adds of the whole fit."""
    train, test = n * (n_folds - 1) / n_folds, n / n_folds
    rows = min(test, p)
    primal_once = n_draws * n_folds * (_SLOW * p**3 + n_alphas * rows * p * p)
    primal_each = n_draws * n_folds * n_alphas * rows * p + 2 * n * p + p * p
    dual_once = _DOUBLE * n * n * p + n_draws * n_alphas * (_DOUBLE * n**3 + n * test * train)
    dual_each = n_draws * n_alphas * n * train + n * n + n * p
    return dual_once + t * dual_each < primal_once + t * primal_each


def _total(items: Iterable, function: Callable, mapped: Callable) -> Any:
    """Sum of matrices that are made one by one."""
    total: Any = 0.0
    for part in mapped(function, items):
        total += part
    return total


def _refuse_not_finite(X: np.ndarray, mean: np.ndarray, bands: Mapping[str, slice]) -> None:
    if np.isfinite(mean).all():
        return
    columns = np.flatnonzero(~np.isfinite(X).all(axis=0))
    if not len(columns):  # finite values whose sum is not
        columns = np.flatnonzero(~np.isfinite(mean))
    named = []
    for column in columns[:8]:
        band = next((name for name, part in bands.items() if part.start <= column < part.stop), None)
        within = "" if band is None or len(bands) < 2 else f" (column {column - bands[band].start} of band {band!r})"
        named.append(f"{column}{within}")
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    raise BraindecError(
        "the features X hold values that are not finite (NaN or infinite)",
        found=f"in {len(columns)} of {X.shape[1]} columns: {', '.join(named)}{more}",
        fix="fill or remove them before the fit",
    )
