"""Scale a live stream by the mean and standard deviation of each channel in the training recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.online.steps._base import StreamStep
from braindec.types import FitRecord, Recording

__all__ = ["FittedScale"]


class FittedScale(StreamStep):
    """Standardise each channel as the training recordings say.

    Attributes
    ----------
    fitted_on_ : FitRecord
        Which rows the training recordings hold.
    """

    def __init__(self) -> None:
        self._centre: np.ndarray | None = None

    def fit(self, recordings: Sequence[Recording], ids: Sequence[object] = ()) -> FittedScale:
        """Learn mean and standard deviation over all samples of ``recordings``."""
        total, square, n = 0.0, 0.0, 0
        for recording in recordings:
            data = np.asarray(recording.signal.read(), dtype=np.float64)
            total, square, n = total + data.sum(axis=1), square + (data**2).sum(axis=1), n + data.shape[1]
        self._centre = (total / n)[:, None]
        spread = np.sqrt(np.maximum(square / n - (total / n) ** 2, 0.0))
        self._spread = np.where(spread > 0, spread, np.inf)[:, None]
        self.fitted_on_ = FitRecord.of(self, list(ids))
        return self

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        if self._centre is None:
            raise BraindecError("fitted_scale was not fitted", fix="pipeline.fit(training recordings) first")
        if len(self._centre) != len(channels):
            raise BraindecError(
                "fitted_scale was fitted on other channels",
                found=f"{len(channels)} channels, {len(self._centre)} in training",
            )
        return sfreq, channels.assign(unit="a.u.")

    def push(self, block: np.ndarray) -> np.ndarray:
        return (block - self._centre) / self._spread

    def offline(self) -> str:
        return "zscore"
