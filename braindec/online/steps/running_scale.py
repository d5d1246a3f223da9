"""Scale a live stream by its own recent past: minus a running mean, over a running standard deviation.

Both forget with the time constant ``tau``; the current sample counts, later ones do not. The weights of the beginning are
corrected, so that the first seconds are scaled by what there is.

Source: Roberts (1959, Technometrics 1:239) for the exponentially weighted mean; West (1979, Comm ACM 22:532) for variances
that are updated sample by sample.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from braindec.online.steps._base import StreamStep, number

__all__ = ["RunningScale"]


class RunningScale(StreamStep):
    """Standardise each channel by its recent past.

    Parameters
    ----------
    tau : float
        Time constant in s.
    """

    def __init__(self, *, tau: float = 10.0) -> None:
        self.tau = number(tau, "tau")

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        self._keep, self._seen = float(np.exp(-1 / (self.tau * sfreq))), 0
        self._mean: np.ndarray | None = None
        self.settle = self.tau
        return sfreq, channels.assign(unit="a.u.")

    def push(self, block: np.ndarray) -> np.ndarray:
        if not block.shape[1]:
            return block
        keep = self._keep
        if self._mean is None:
            self._mean, self._square = (1.0 * keep) * block[:, :1], np.zeros((len(block), 1))
        mean, self._mean = lfilter([1 - keep], [1, -keep], block, axis=1, zi=self._mean)
        centre = block - mean
        square, self._square = lfilter([1 - keep], [1, -keep], centre**2, axis=1, zi=self._square)
        age = np.arange(self._seen + 1, self._seen + 1 + block.shape[1])
        self._seen += block.shape[1]
        spread = np.sqrt(square / -np.expm1(age * np.log(keep)))
        return np.divide(centre, spread, out=np.zeros_like(centre), where=spread > 0)

    def offline(self) -> str:
        return "zscore"
