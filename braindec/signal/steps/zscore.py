"""Z-score: mean 0 and standard deviation 1 of each channel over its whole run; no labels and no other run are used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from braindec.signal.steps._blocks import by_channel
from braindec.types import Recording

__all__ = ["zscore"]
VERSION = 1


def zscore(recording: Recording) -> Recording:
    """Standardise each channel within the run; the unit becomes "a.u.". A flat channel becomes 0 and is marked bad."""

    def standardise(block: np.ndarray) -> np.ndarray:
        centre = block - block.mean(axis=1, keepdims=True)
        spread = centre.std(axis=1, keepdims=True)
        spread[np.ptp(block, axis=1) == 0] = np.inf
        return centre / spread

    found = by_channel(recording, standardise)
    trigger = found.channels["type"] == "stim"
    channels = found.channels.assign(unit=found.channels["unit"].where(trigger, "a.u."))
    return replace(found, channels=channels)
