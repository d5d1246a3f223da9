"""From windows to rows of numbers: channels scaled on training windows, samples averaged in time bins.

No label is looked at here, so one set of rows serves all permutations of the labels.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.transforms._base import Transform
from braindec.signal.transforms.robust_scaler import RobustScaler
from braindec.signal.transforms.standard_scaler import StandardScaler

_SCALERS = {"robust": RobustScaler, "standard": StandardScaler}

_MOST = 2**18  # values a channel that set its scale; of more, every k-th window is used


def channel_scaler(kind: str | None, clamp: float | None) -> Transform | None:
    """Return the scaler of a name, not fitted; None for none.

    Raises
    ------
    BraindecError
        If there is no such scaler.
    """
    if kind is None:
        return None
    if kind not in _SCALERS:
        raise BraindecError(f"unknown scaler {kind!r}", allowed="robust, standard, or null for none")
    if clamp is not None and not (isinstance(clamp, (int, float)) and clamp > 0):
        raise BraindecError(
            "clamp is a positive number of scaled units", found=repr(clamp), allowed="> 0, or null for none"
        )
    return _SCALERS[kind](clamp=clamp)


def fit_scaler(scaler: Transform, X: np.ndarray, ids: np.ndarray) -> Transform:
    """Fit a scaler on training windows; of very many, on evenly spaced ones (its record names those that it saw)."""
    step = max(1, len(X) * X.shape[2] // _MOST)
    return scaler.fit(X[::step], ids=ids[::step])


def bin_edges(n_times: int, sfreq: float, bin_width: float | None) -> np.ndarray:
    """Return the first sample of each time bin and the end, for bins of about ``bin_width`` s.

    Raises
    ------
    BraindecError
        If the width is not a positive number of seconds.
    """
    if bin_width is None:
        return np.arange(n_times + 1)
    if not bin_width > 0:
        raise BraindecError("bin_width is a time in s", found=repr(bin_width), allowed="> 0, or null for every sample")
    n_bins = int(np.clip(round(n_times / sfreq / bin_width), 1, n_times))
    return np.round(np.linspace(0, n_times, n_bins + 1)).astype(int)


def binned(X: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return means in time bins as rows, shape (window, channel x bin), float64."""
    if len(edges) == X.shape[2] + 1:
        return X.reshape(len(X), -1).astype(np.float64)
    sums = np.add.reduceat(X, edges[:-1], axis=2, dtype=np.float64)
    return (sums / np.diff(edges)).reshape(len(X), -1)
