"""Checks of numbers that a caller hands in: counts, seeds, shares; one clear error each."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["number", "seed_of", "whole"]


def whole(value: Any, what: str, *, least: int = 0) -> int:
    """Return ``value`` as int.

    Raises
    ------
    BraindecError
        If it is no whole number (a flag, a text and 1.5 are none), or below ``least``.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise BraindecError(f"{what}={value!r} does not work", allowed=f"a whole number from {least} on")


def seed_of(value: Any, what: str = "seed") -> Any:
    """Return a seed that generators of chance take: a whole number from 0 on."""
    return whole(value, what)


def number(
    value: Any, what: str, *, least: float = -np.inf, most: float = np.inf, ends: bool = True, unit: str = ""
) -> float:
    """Return ``value`` as a finite float from ``least`` to ``most`` (between them, without ``ends``).

    Raises
    ------
    BraindecError
        If it is no number, not finite or out of range.
    """
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if real and np.isfinite(value) and (least <= value <= most if ends else least < value < most):
        return float(value)
    bounds = [f"{'from' if ends else 'above'} {least:g}"] if np.isfinite(least) else []
    bounds += [f"{'to' if ends else 'below'} {most:g}"] if np.isfinite(most) else []
    raise BraindecError(
        f"{what}={value!r} does not work",
        allowed=" ".join(["a finite number", *bounds, *([f"({unit})"] if unit else [])]),
    )
