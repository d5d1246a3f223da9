"""What fitted transforms share: checks of (window, channel, time), the record of the rows they saw, one state a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.errors import BraindecError
from braindec.types import FitRecord

__all__ = ["Transform", "checked", "group_rows"]


class Transform(BaseEstimator):
    """Base of transforms of (window, channel, time); scikit-learn clones them and reads their parameters.

    Subclasses set ``fitted_on_``, a :class:`braindec.types.FitRecord` of the rows they were fitted on, and ``n_channels_``.
    """

    fitted_on_: FitRecord
    n_channels_: int

    def fit(
        self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None
    ) -> Transform:
        """Learn from training windows."""
        raise NotImplementedError(f"{type(self).__name__} must define fit()")

    def transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return the windows transformed, float32."""
        raise NotImplementedError(f"{type(self).__name__} must define transform()")

    def fit_transform(
        self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None
    ) -> np.ndarray:
        """Fit on windows and return the same windows transformed."""
        return self.fit(X, y, ids=ids, groups=groups).transform(X, groups=groups)

    def _record(self, X: np.ndarray, ids: Sequence[object] | None) -> FitRecord:
        if ids is not None and len(ids) != len(X):
            raise BraindecError(
                f"{type(self).__name__}: ids and windows differ in number", found=f"{len(ids)} ids, {len(X)} windows"
            )
        return FitRecord.of(self, ids)

    def _ready(self, X: np.ndarray) -> np.ndarray:
        if not hasattr(self, "fitted_on_"):
            raise BraindecError(f"{type(self).__name__} is not fitted", fix="call fit on the training windows first")
        X = checked(X, self)
        if X.shape[1] != self.n_channels_:
            raise BraindecError(f"{type(self).__name__} was fitted on other channels", found=f"{X.shape[1]} channels",
                                allowed=f"{self.n_channels_}")  # fmt: skip
        return X


def checked(X: np.ndarray, step: object, *, least: int = 0) -> np.ndarray:
    """Return ``X`` as an array of (window, channel, time) of finite real numbers.

    Raises
    ------
    BraindecError
        If it is not, or has less than ``least`` windows.
    """
    name, X = type(step).__name__, np.asarray(X)
    if X.ndim != 3 or X.dtype.kind not in "fiu":
        raise BraindecError(
            f"{name} wants real numbers of (window, channel, time)", found=f"{X.dtype} of shape {X.shape}"
        )
    if len(X) < least or 0 in X.shape[1:]:
        raise BraindecError(
            f"{name} needs at least {least} windows with channels and samples", found=f"shape {X.shape}"
        )
    bad = [c for c in range(X.shape[1]) if not np.isfinite(X[:, c]).all()]  # by channel: no mask of the whole array
    if bad:
        raise BraindecError(
            f"{name}: {len(bad)} of {X.shape[1]} channels hold values that are not finite (NaN or infinite)",
            found=f"channels number {bad[:12]}", fix="leave these channels or windows out",
        )  # fmt: skip
    return X


def group_rows(groups: Any, n_windows: int, step: object) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, row numbers) of each group in order of its first row; one group ``""`` when there are none."""
    if groups is None:
        yield "", np.arange(n_windows)
        return
    names = np.array([str(g) for g in np.asarray(groups, dtype=object).ravel()], dtype=object)
    if len(names) != n_windows:
        raise BraindecError(
            f"{type(step).__name__}: groups and windows differ in number", found=f"{len(names)} and {n_windows}"
        )
    for name in dict.fromkeys(names):
        yield name, np.flatnonzero(names == name)
