"""From windows to rows of numbers: channels scaled on training windows, samples averaged in time bins.

No label is looked at here, so one set of rows serves all permutations of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.types import FitRecord

_MOST = 2**18  # values a channel that set its scale; of more, every k-th window is used


class ChannelScaler:
    """Scale each channel by what its training windows hold.

    Parameters
    ----------
    kind : {"robust", "standard", None}
        "robust": (x - median) / interquartile range; "standard": (x - mean) / standard deviation; None: as it is.
    clamp : float, optional
        Scaled values beyond +-clamp are set to it, so that a blink or a jump weighs no more than a large response.
    """

    def __init__(self, kind: str | None = "robust", *, clamp: float | None = None) -> None:
        if kind not in ("robust", "standard", None):
            raise BraindecError(f"unknown scaler {kind!r}", allowed="robust, standard, or null for none")
        if clamp is not None and not (isinstance(clamp, (int, float)) and clamp > 0):
            raise BraindecError("clamp is a positive number of scaled units", found=repr(clamp), allowed="> 0, or null for none")
        self.kind, self.clamp = kind, clamp

    def fit(self, X: np.ndarray, *, ids: Sequence[Any] | None = None) -> ChannelScaler:
        """Learn centre and width of each channel from X (window, channel, time); a constant channel has width 1."""
        if self.kind is not None:
            some = X[:: max(1, len(X) * X.shape[2] // _MOST)]
            per_channel = some.swapaxes(0, 1).reshape(X.shape[1], -1)  # (channel, window x time)
            if self.kind == "robust":
                low, self.centre_, high = np.percentile(per_channel, [25, 50, 75], axis=1)
                width = high - low
            else:
                self.centre_ = per_channel.mean(axis=1, dtype=np.float64)
                width = per_channel.std(axis=1, dtype=np.float64)
            self.width_ = np.where(width > 0, width, 1.0)
        self.fitted_on_ = FitRecord.of(f"ChannelScaler({self.kind})", ids)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return X scaled, shape (window, channel, time), float32; with kind None, X itself."""
        if self.kind is None:
            return X
        scaled = ((X - self.centre_[:, None]) / self.width_[:, None]).astype(np.float32)
        return scaled if self.clamp is None else np.clip(scaled, -self.clamp, self.clamp, out=scaled)


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
