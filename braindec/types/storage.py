"""HDF5 files of the types: tables as JSON, arrays contiguous so that they can be memory-mapped, nothing pickled."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.files import check_room, written_whole
from braindec.types.signals import HDF5Signal

if TYPE_CHECKING:
    import h5py

    from braindec.types.recording import Recording

_BLOCK = 2_000_000  # samples written at once: a recording need not fit in memory


def save_recording(recording: Recording, path: str | Path) -> Recording:
    """Write ``recording`` to ``path`` and return it opened from there."""
    with written_whole(path) as temporary, hdf5(temporary, "w") as file:
        write_recording(file, recording)
    return open_recording(path)


def write_recording(file: h5py.File, recording: Recording) -> None:
    """Write the parts of a recording into an open HDF5 file, in blocks of time; refused when the disk has no room."""
    check_room(Path(file.filename), 4 * recording.n_channels * recording.n_times)
    dataset = file.create_dataset("signal", shape=recording.signal.shape, dtype=np.float32)
    step = max(1, _BLOCK // max(1, recording.n_channels))
    finite = True
    for start in range(0, recording.n_times, step):
        stop = min(start + step, recording.n_times)
        block = np.asarray(recording.signal.read(slice(None), start, stop), dtype=np.float32)
        dataset[:, start:stop] = block
        finite = finite and bool(np.isfinite(block).all())
    file.attrs.update(kind="recording", sfreq=recording.sfreq, info=to_json(dict(recording.info)), finite=finite)
    write_table(file, "channels", recording.channels)
    write_table(file, "events", recording.events)


def open_recording(path: str | Path) -> Recording:
    """Open a recording written by :func:`save_recording`; the signal stays on disk."""
    from braindec.types.recording import Recording

    with hdf5(path, "r") as file:
        if file.attrs.get("kind") != "recording":
            raise BraindecError(f"{path} is not a saved recording", found=f"datasets {list(file)}")
        channels, events = read_table(file, "channels"), read_table(file, "events")
        info, sfreq = json.loads(file.attrs["info"]), float(file.attrs["sfreq"])
        finite = bool(file.attrs.get("finite", False))
    signal = HDF5Signal(path)
    signal.finite = finite
    return Recording(signal, sfreq, channels, events, info)


def write_table(file: h5py.File, name: str, table: pd.DataFrame) -> None:
    """Store a table as one JSON text (columns, types, rows)."""
    text = to_json({"columns": [str(c) for c in table.columns], "dtypes": [str(d) for d in table.dtypes],
                    "data": [table[c].tolist() for c in table.columns], "n": len(table)})  # fmt: skip
    file.create_dataset(name, data=np.frombuffer(text.encode(), dtype=np.uint8))


def read_table(file: h5py.File, name: str) -> pd.DataFrame:
    """Read a table stored by :func:`write_table`."""
    stored = json.loads(bytes(file[name][...]).decode())
    frame = pd.DataFrame(index=range(stored["n"]))
    for column, dtype, values in zip(stored["columns"], stored["dtypes"], stored["data"], strict=True):
        series = pd.Series(values, dtype=object)
        if dtype.startswith(("float", "int", "bool", "uint")):
            series = pd.to_numeric(series).astype(dtype) if not dtype.startswith("bool") else series.astype(bool)
        elif dtype.startswith("str") or dtype == "string":
            series = series.astype("str")
        frame[column] = series
    return frame


@contextmanager
def hdf5(path: str | Path | io.BytesIO, mode: str) -> Iterator[h5py.File]:
    """Open an HDF5 file; a missing or damaged file gives one clear error."""
    import h5py

    if mode == "r" and not isinstance(path, io.BytesIO) and not Path(path).is_file():
        raise BraindecError(f"there is no file {path}", fix="check the path")
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        if mode != "r":
            raise
        raise BraindecError(
            f"{path} cannot be opened as HDF5", found=str(error).splitlines()[0],
            fix="the file is damaged or was cut short: delete it and make it again",
        ) from error  # fmt: skip
    try:
        yield file
    except BaseException:
        with suppress(RuntimeError, OSError):  # closing may fail again, e.g. on a full disk; the first error counts
            file.close()
        raise
    file.close()


def to_json(value: Any) -> str:
    """JSON text of plain values, numpy scalars and arrays, paths and timestamps; NaN is kept as NaN."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (Path, pd.Timestamp)):
        return str(value)
    if isinstance(value, io.IOBase) or callable(value):
        raise BraindecError(f"{value!r} cannot be stored", allowed="plain JSON values")
    if value is pd.NA:
        return None
    return str(value)
