"""Loaders: recordings and stimuli in. ``load(path)`` finds the reader; each reader is a file in ``readers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from braindec.types import Features, Recording, Spikes, Windows

__all__ = ["load"]


def load(
    path: str | Path, subject: str | None = None, *, reader: str | None = None, **options: Any
) -> Recording | Windows | Spikes | Features | list[Recording]:
    """Open whatever ``path`` is: a BIDS folder, a recording, epochs, arrays, a table, spikes or features.

    Parameters
    ----------
    path : str or Path
        A file or a folder.
    subject : str, optional
        Label of the subject.
    reader : str, optional
        A name of ``braindec list loaders.readers``; found from the ending and the content when it is left out.
    **options
        Options of the reader, such as ``sfreq`` for arrays or ``task`` for BIDS.

    Returns
    -------
    Recording, Windows, Spikes, Features, or a list of Recording
        A list when the reader finds several recordings (or the path is a folder of them), else the one.

    Raises
    ------
    BraindecError
        If an option is unknown or missing.
    UnreadableError
        If it cannot be read; the message names the reader that was tried.
    """
    from braindec import registry
    from braindec.loaders._detect import detect, open_maps, open_own
    from braindec.loaders._options import bind

    if reader is None:
        own = open_own(path)
        own = open_maps(path) if own is None else own
        if own is not None:
            return own
        reader = detect(path)
    read = registry.get("loaders.readers", reader)
    given = {**options, **({"subject": subject} if subject is not None else {})}
    if read.__module__.startswith("braindec."):
        bind(read, given)
    found = read(path, **given)
    return found[0] if isinstance(found, list) and len(found) == 1 and reader != "bids" else found
