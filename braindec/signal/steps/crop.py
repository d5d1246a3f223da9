"""Crop: keep a span of time; events move with it."""

from __future__ import annotations

from braindec.types import Recording

__all__ = ["crop"]
VERSION = 1


def crop(recording: Recording, *, tmin: float = 0.0, tmax: float | None = None) -> Recording:
    """Return the span from ``tmin`` to ``tmax`` s, read lazily; events outside it are dropped.

    Raises
    ------
    BraindecError
        If the span is not inside the recording.
    """
    found = recording.select(tmin=tmin, tmax=tmax)
    if "sample" not in found.events or found.n_times == recording.n_times:
        return found
    return found.with_events(found.events.drop(columns="sample"))  # it counted from the old beginning
