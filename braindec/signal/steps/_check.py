"""Checks of the options of steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Recording


def positive(value: Any, name: str, unit: str) -> float:
    """Return ``value`` as a positive, finite float.

    Raises
    ------
    BraindecError
        If it is not.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not (np.isfinite(number) and number > 0):
        raise BraindecError(f"{name} must be a positive number{' of ' + unit if unit else ''}", found=repr(value))
    return number


def below_nyquist(value: Any, name: str, recording: Recording) -> float:
    """Return ``value`` in Hz when it is below half the sampling frequency."""
    number, nyquist = positive(value, name, "Hz"), recording.sfreq / 2
    if number >= nyquist:
        raise BraindecError(
            f"{recording.label}: {name} {number:g} Hz is not below half the sampling frequency",
            found=f"sampling frequency {recording.sfreq:g} Hz, half of it is {nyquist:g} Hz",
            fix=f"choose less than {nyquist:g} Hz, or leave it out",
        )
    return number
