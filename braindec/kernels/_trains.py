"""Checks in front of every kernel of spike trains: ragged trains, widths and counts, one clear message each.

Ragged trains are ``flat`` (all times in s, unit after unit, sorted within each unit) and ``offsets`` (unit ``i`` has
``flat[offsets[i]:offsets[i + 1]]``), as :meth:`braindec.types.Spikes.trains` gives them. A unit may have no spikes and
may have several at one time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["check_count", "check_positive", "check_stretch", "check_time", "check_times", "check_trains"]


def check_trains(flat: Any, offsets: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return ragged trains as contiguous float64 and int64 arrays.

    Parameters
    ----------
    flat : array of shape (n_spikes,)
        Times in s.
    offsets : array of int, shape (n_units + 1,)
        Where each unit begins, and the end.

    Raises
    ------
    BraindecError
        If a time is not finite, the times of a unit are not sorted, or the offsets do not fit.
    """
    flat, offsets = check_times(flat, "spike times", ordered=False), _offsets(offsets)
    if offsets[0] != 0 or offsets[-1] != len(flat):
        raise BraindecError(
            "offsets do not fit the spike times", found=f"from {offsets[0]} to {offsets[-1]}",
            allowed=f"from 0 to the number of spikes, {len(flat)}",
        )  # fmt: skip
    rising = flat[1:] >= flat[:-1]
    inner = offsets[1:-1]
    rising[inner[(inner > 0) & (inner < len(flat))] - 1] = True  # the next unit begins anew
    if not rising.all():
        at = int(np.flatnonzero(~rising)[0])
        unit = int(np.searchsorted(offsets, at, side="right")) - 1
        raise BraindecError(
            f"the spike times of unit {unit} are not sorted", found=f"{flat[at]:.9g} then {flat[at + 1]:.9g} s",
            fix="sort the times of each unit, or build Spikes.from_trains(...), which sorts them",
        )  # fmt: skip
    return flat, offsets


def check_times(values: Any, what: str, *, ordered: bool = True) -> np.ndarray:
    """Return times in s as a contiguous float64 array of one dimension; finite, and rising where ``ordered``."""
    try:
        times = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:  # text, lists of unequal lengths
        raise BraindecError(f"{what} must be numbers in a list of one dimension", found=repr(values)[:60]) from error
    if times.ndim != 1:
        raise BraindecError(f"{what} must be a list of one dimension", found=f"shape {times.shape}")
    if not np.isfinite(times).all():
        bad = ~np.isfinite(times)
        raise BraindecError(
            f"{what} must be finite", found=f"{int(bad.sum())} that are not, the first at place {int(bad.argmax())}"
        )
    if ordered and np.any(times[1:] < times[:-1]):
        raise BraindecError(f"{what} must be sorted", fix="sort them")
    return np.ascontiguousarray(times)


def check_time(value: Any, what: str) -> float:
    """Return a finite time in s."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise BraindecError(f"{what} must be a finite time in s", found=str(value))
    return number


def check_positive(value: Any, what: str) -> float:
    """Return a finite number above 0, such as a width in s."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (number > 0 and np.isfinite(number)):
        raise BraindecError(f"{what} must be a finite number above 0", found=str(value))
    return number


def check_count(value: Any, what: str) -> int:
    """Return a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise BraindecError(f"{what} must be a whole number of at least 1", found=str(value))
    return int(value)


def check_stretch(start: Any, stop: Any, flat: np.ndarray | None = None) -> tuple[float, float]:
    """Return the ends of a stretch in s, start < stop; the times ``flat``, if given, must lie in it."""
    given = f"{start} and {stop}"
    try:
        start, stop = float(start), float(stop)
    except (TypeError, ValueError):
        start = stop = float("nan")
    if not (start < stop and np.isfinite(start) and np.isfinite(stop)):
        raise BraindecError("a stretch of time needs start < stop, in s", found=given)
    if flat is not None and len(flat) and (flat.min() < start or flat.max() > stop):
        raise BraindecError(
            "spikes lie outside the stretch", found=f"{flat.min():.6g} to {flat.max():.6g} s",
            allowed=f"{start:.6g} to {stop:.6g} s", fix="are the times in s? milliseconds must be divided by 1000",
        )  # fmt: skip
    return start, stop


def _offsets(offsets: Any) -> np.ndarray:
    found = np.asarray(offsets)
    if found.ndim != 1 or len(found) < 2 or found.dtype.kind not in "iu":
        raise BraindecError(
            "offsets are whole numbers, one more than units", found=f"{found.dtype}, shape {found.shape}"
        )
    found = np.ascontiguousarray(found, dtype=np.int64)
    if np.any(found[1:] < found[:-1]):
        raise BraindecError("offsets must not fall", found=str(found[:8].tolist()))
    return found
