"""Keep some channels of a live stream, by type or name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from braindec.online.steps._base import StreamStep, instantaneous

__all__ = ["Pick"]


class Pick(StreamStep):
    """Keep channels; options as in ``signal.steps.pick``."""

    def __init__(
        self, *, types: str | list[str] | None = None, channels: list[str] | None = None, good: bool = True
    ) -> None:
        self.options: dict[str, Any] = {"types": types, "channels": channels, "good": good}

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        matrix, table = instantaneous("pick", self.options, sfreq=sfreq, channels=channels)
        self._rows = matrix.argmax(axis=1)
        return sfreq, table

    def push(self, block: np.ndarray) -> np.ndarray:
        return block[self._rows]

    def offline(self) -> dict:
        return {"pick": self.options}
