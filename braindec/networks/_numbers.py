"""Numbers that a caller hands in for a network: one clear error each."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["is_whole", "numbers"]


def numbers(value: Any, what: str, *, finite: bool = True) -> np.ndarray:
    """Return ``value`` as an array of float64.

    Raises
    ------
    BraindecError
        If it is no number and no array of them (a text, None, complex), or not finite.
    """
    try:
        given = np.asarray(value)
        found = given.astype(float) if given.dtype.kind in "biuf" else None
    except ValueError:  # rows of different lengths
        found = None
    if found is None:
        raise BraindecError(
            f"{what} is no number", found=f"{value!r}"[:80], allowed="a number or an array of numbers, SI"
        )
    if finite and not np.isfinite(found).all():
        raise BraindecError(f"{what} is not finite", found=f"{value}"[:80])
    return found


def is_whole(value: Any) -> bool:
    """Whether ``value`` is a whole number; a flag and a text are none."""
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, np.integer)) or (
        isinstance(value, (float, np.floating)) and float(value).is_integer()
    )
