"""Scalers: (x - centre) / spread for each channel, one pair a group, learnt from training windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.transforms._base import Transform, checked, group_rows

__all__ = ["AffineTransform"]


class AffineTransform(Transform):
    """Base of scalers. Subclasses define ``_estimate(values) -> (centre, spread)`` of the samples of one channel."""

    clamp: float | None = None

    def fit(
        self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None
    ) -> AffineTransform:
        """Learn centre and spread of each channel.

        Parameters
        ----------
        X : array of shape (n_windows, n_channels, n_times)
            Training windows.
        y : ignored
        ids : sequence of str, optional
            ``windows.ids`` of these rows, for the record.
        groups : sequence, optional
            The recording, session or subject of each window: each is scaled by its own numbers.

        Raises
        ------
        BraindecError
            If ``X`` holds values that are not finite.
        """
        X = checked(X, self, least=1)
        if self.clamp is not None and not self.clamp > 0:
            raise BraindecError(f"{type(self).__name__}: clamp must be positive, or None", found=repr(self.clamp))
        self.centre_, self.spread_ = {}, {}
        for name, rows in group_rows(groups, len(X), self):
            pairs = [
                self._estimate(X[rows, c].astype(np.float64).ravel()) for c in range(X.shape[1])
            ]  # a channel at once
            centre, spread = (np.array(v) for v in zip(*pairs, strict=True))
            usable = spread > 1e-12 * np.abs(centre)  # else a constant, up to rounding
            self.centre_[name], self.spread_[name] = centre, np.where(usable & (spread > 0), spread, 1.0)
        self.n_channels_ = X.shape[1]
        self.fitted_on_ = self._record(X, ids)
        return self

    def transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return (x - centre) / spread, limited to +-clamp, shape (n_windows, n_channels, n_times), float32.

        Raises
        ------
        BraindecError
            If a group was not there at fit.
        """
        X = self._ready(X)
        out = np.empty(X.shape, dtype=np.float32)
        for rows, centre, spread in self._states(groups, len(X)):
            for c in range(X.shape[1]):
                values = (X[rows, c] - centre[c]) / spread[c]
                out[rows, c] = values if self.clamp is None else np.clip(values, -self.clamp, self.clamp)
        return out

    def inverse_transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return x * spread + centre; what was clamped stays clamped."""
        X = self._ready(X)
        out = np.empty(X.shape, dtype=np.float32)
        for rows, centre, spread in self._states(groups, len(X)):
            for c in range(X.shape[1]):
                out[rows, c] = X[rows, c].astype(np.float64) * spread[c] + centre[c]
        return out

    def _estimate(self, values: np.ndarray) -> tuple[float, float]:
        raise NotImplementedError(f"{type(self).__name__} must define _estimate()")

    def _states(self, groups: Any, n_windows: int):
        for name, rows in group_rows(groups, n_windows, self):
            if name not in self.centre_:
                what = f"group {name!r}" if name else "windows without a group"
                raise BraindecError(
                    f"{type(self).__name__} was not fitted on {what}", allowed=", ".join(map(repr, list(self.centre_)[:12])),
                    fix="give training windows of it, or fit without groups (one scale for all)",
                )  # fmt: skip
            yield rows, self.centre_[name], self.spread_[name]
