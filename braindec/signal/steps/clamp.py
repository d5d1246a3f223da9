"""Clamp: cut off values beyond a limit, so that artefacts do not rule what follows."""

from __future__ import annotations

import numpy as np

from braindec.signal.steps._blocks import by_channel
from braindec.signal.steps._check import positive
from braindec.types import Recording

__all__ = ["clamp"]
VERSION = 1


def clamp(recording: Recording, *, limit: float) -> Recording:
    """Limit all values to ``-limit`` .. ``limit``, in the unit of the signal.

    Raises
    ------
    BraindecError
        If the limit is not a positive number.
    """
    limit = positive(limit, "limit", "")
    return by_channel(recording, lambda block: np.clip(block, -limit, limit))
