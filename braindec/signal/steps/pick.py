"""Pick: keep some channels, by type, by name, or those that are not marked bad."""

from __future__ import annotations

from braindec.types import Recording

__all__ = ["pick"]
VERSION = 1


def pick(
    recording: Recording, *, types: str | list[str] | None = None, channels: list[str] | None = None, good: bool = True
) -> Recording:
    """Return a lazy selection of channels.

    Parameters
    ----------
    recording : Recording
        Nothing is read.
    types : str or list of str, optional
        "eeg", "mag", "seeg", ...; all by default.
    channels : list of str, optional
        Names, in the order wanted.
    good : bool
        Drop the channels that are marked bad.

    Raises
    ------
    BraindecError
        If a name is unknown or nothing is left.
    """
    return recording.select(channels, types=types, good=good)
