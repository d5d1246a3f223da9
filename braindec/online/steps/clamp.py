"""Cut off values of a live stream beyond a limit, so that artefacts do not rule what follows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.online.steps._base import StreamStep, number

__all__ = ["Clamp"]


class Clamp(StreamStep):
    """Limit all values to ``-limit`` .. ``limit``, in the unit of the signal."""

    def __init__(self, *, limit: float) -> None:
        self.limit = number(limit, "limit", unit="the signal's unit")

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        return sfreq, channels

    def push(self, block: np.ndarray) -> np.ndarray:
        return np.clip(block, -self.limit, self.limit)

    def offline(self) -> dict:
        return {"clamp": {"limit": self.limit}}
