"""Multiply a live stream by a number, for data whose unit is known to be another one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.online.steps._base import StreamStep

__all__ = ["Scale"]


class Scale(StreamStep):
    """Multiply all channels by ``factor``; their unit becomes ``unit``."""

    def __init__(self, *, factor: float, unit: str = "a.u.") -> None:
        self.factor, self.unit = float(factor), unit
        if not np.isfinite(self.factor) or self.factor == 0:
            raise BraindecError("the factor of scale must be a finite number other than 0", found=repr(factor))

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        return sfreq, channels.assign(unit=self.unit)

    def push(self, block: np.ndarray) -> np.ndarray:
        return block * self.factor

    def offline(self) -> dict:
        return {"scale": {"factor": self.factor, "unit": self.unit}}
