"""Scale: multiply the signal by a number, for data whose unit is known to be another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.types import Recording

__all__ = ["scale"]
VERSION = 1


def scale(recording: Recording, *, factor: float, unit: str = "a.u.") -> Recording:
    """Multiply all channels by ``factor``; their unit becomes ``unit``.

    Raises
    ------
    BraindecError
        If the factor is 0 or not a finite number.
    """
    factor = float(factor)
    if not np.isfinite(factor) or factor == 0:
        raise BraindecError("the factor of scale must be a finite number other than 0", found=repr(factor))
    found = by_channel(recording, lambda block: block * factor)
    trigger = found.channels["type"] == "stim"
    channels = found.channels.assign(unit=found.channels["unit"].where(trigger, unit))
    return replace(found, channels=channels)
