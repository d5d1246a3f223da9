"""Baseline: subtract from each channel of each window its mean over a span before the event. Nothing is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.transforms._base import Transform, checked

__all__ = ["Baseline", "baseline"]

_BLOCK = 512  # windows at once


class Baseline(Transform):
    """Subtract the mean over ``tmin`` to ``tmax``; every window by itself, so nothing leaks between rows.

    Parameters
    ----------
    tmin, tmax : float or None
        Span in s relative to onset, both ends included; None is the beginning or the end of the window.
    times : sequence of float
        Time of each sample in s (``windows.times``).

    Attributes
    ----------
    fitted_on_ : FitRecord
        The rows that fit was called with; they do not change the result.
    """

    def __init__(self, *, times: Sequence[float], tmin: float | None = None, tmax: float | None = 0.0) -> None:
        self.times, self.tmin, self.tmax = times, tmin, tmax

    def fit(self, X: np.ndarray, y: Any = None, *, ids: Sequence[object] | None = None, groups: Any = None) -> Baseline:
        """Check the span; nothing is learnt."""
        X = checked(X, self)
        _span(self.times, self.tmin, self.tmax, X.shape[2])
        self.fitted_on_ = self._record(X, ids)
        return self

    def transform(self, X: np.ndarray, *, groups: Any = None) -> np.ndarray:
        """Return windows whose mean over the span is 0, shape (n_windows, n_channels, n_times), float32."""
        return baseline(checked(X, self), self.times, tmin=self.tmin, tmax=self.tmax)


def baseline(
    X: np.ndarray, times: Sequence[float], *, tmin: float | None = None, tmax: float | None = 0.0
) -> np.ndarray:
    """Subtract the mean over ``tmin`` to ``tmax`` (s, ends included) from each channel of each window.

    Parameters
    ----------
    X : array of shape (n_windows, n_channels, n_times)
    times : sequence of float
        Time of each sample in s.
    tmin, tmax : float or None
        The span; None is the beginning or the end of the window.

    Raises
    ------
    BraindecError
        If no sample lies in the span.
    """
    span = _span(times, tmin, tmax, X.shape[2])
    out = np.empty(X.shape, dtype=np.float32)
    for start in range(0, len(X), _BLOCK):
        block = X[start : start + _BLOCK]
        out[start : start + _BLOCK] = block - block[:, :, span].mean(axis=2, keepdims=True, dtype=np.float64)
    return out


def _span(times: Sequence[float], tmin: float | None, tmax: float | None, n_times: int) -> slice:
    t = np.asarray(times, dtype=float)
    if t.shape != (n_times,):
        raise BraindecError(
            "times and windows differ in length", found=f"{t.shape} times, {n_times} samples", fix="give windows.times"
        )
    slack = 1e-6 * (t[-1] - t[0] + 1) / max(1, n_times)
    inside = np.flatnonzero(
        (t >= (-np.inf if tmin is None else tmin - slack)) & (t <= (np.inf if tmax is None else tmax + slack))
    )
    if not len(inside):
        raise BraindecError(
            f"no sample lies in the baseline from {tmin} to {tmax} s", found=f"windows from {t[0]:g} to {t[-1]:g} s",
            fix="make windows that begin before the event, e.g. tmin=-0.2",
        )  # fmt: skip
    return slice(inside[0], inside[-1] + 1)
