"""Write GDF files of version 1.25: 16-bit numbers, 1 s a record, a table of events; same content, same bytes.

Source: Schloegl (2006), "GDF - A general dataformat for biosignals", arXiv cs/0608052, tables 1 to 4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braindec.files import written_whole

__all__ = ["save_gdf"]

_INT16 = 3  # code of the type of the numbers
_STEPS = 2**15 - 1


def save_gdf(
    path: Path, data: np.ndarray, names: Sequence[str], sfreq: int, events: Sequence[tuple[int, int, int]], *, largest: float = 1e-3
) -> None:  # fmt: skip
    """Write a recording.

    Parameters
    ----------
    path : Path
        The file.
    data : array of shape (n_channels, n_times)
        V; ``n_times`` is a whole number of seconds.
    names : sequence of str
        Of up to 16 letters; they may stand several times.
    sfreq : int
        Hz.
    events : sequence of (int, int, int)
        First sample (from 0), type and number of samples.
    largest : float
        V that the largest 16-bit number stands for; larger values are cut.
    """
    n_channels, n_times = data.shape
    if n_times % sfreq:
        raise ValueError(f"{n_times} samples are no whole number of seconds at {sfreq} Hz")
    micro, n_records = largest * 1e6, n_times // sfreq
    head = b"GDF 1.25" + b"X X".ljust(80) + b"synthetic".ljust(80) + b"2005010112000000"
    head += (
        struct.pack("<q", 256 * (n_channels + 1)) + bytes(24 + 20) + struct.pack("<qIII", n_records, 1, 1, n_channels)
    )
    head += (
        b"".join(n.encode("ascii").ljust(16)[:16] for n in names) + bytes(80 * n_channels) + b"uV      " * n_channels
    )
    for value in (-micro, micro):
        head += struct.pack("<d", value) * n_channels
    for steps in (-_STEPS, _STEPS):
        head += struct.pack("<q", steps) * n_channels
    head += (
        bytes(80 * n_channels)
        + struct.pack("<I", sfreq) * n_channels
        + struct.pack("<I", _INT16) * n_channels
        + bytes(32 * n_channels)
    )
    stored = np.clip(np.round(data / largest * _STEPS), -_STEPS, _STEPS).astype("<i2")
    records = stored.reshape(n_channels, n_records, sfreq).swapaxes(0, 1)  # (record, channel, sample)
    first, kind, length = (np.array([e[k] for e in events]) for k in range(3))
    table = b"\x03" + sfreq.to_bytes(3, "little") + struct.pack("<I", len(events)) + (first + 1).astype("<u4").tobytes()
    table += kind.astype("<u2").tobytes() + np.zeros(len(events), "<u2").tobytes() + length.astype("<u4").tobytes()
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        stream.write(head)
        stream.write(np.ascontiguousarray(records).tobytes())
        stream.write(table)
