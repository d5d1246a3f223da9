"""Re-reference a live stream: the matrix of the step reference, found once when the stream is opened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from braindec.online.steps._base import StreamStep, instantaneous

__all__ = ["Reference"]


class Reference(StreamStep):
    """Change the reference of electrodes; options as in ``signal.steps.reference``.

    Parameters
    ----------
    kind : str or list of str
        "average", "bipolar", ..., or names of channels.
    pairs : list of (str, str), optional
        Names of bipolar pairs.
    """

    def __init__(self, *, kind: str | list[str] = "average", pairs: list[tuple[str, str]] | None = None) -> None:
        self.options: dict[str, Any] = {"kind": kind, **({} if pairs is None else {"pairs": pairs})}

    def open(self, sfreq: float, channels: pd.DataFrame) -> tuple[float, pd.DataFrame]:
        self._matrix, table = instantaneous("reference", self.options, sfreq=sfreq, channels=channels)
        return sfreq, table

    def push(self, block: np.ndarray) -> np.ndarray:
        return self._matrix @ block

    def offline(self) -> dict:
        return {"reference": self.options}
