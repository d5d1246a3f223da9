"""MATLAB files of speech sets, versions 5 to 7 and 7.3 (HDF5), as plain Python; and a writer whose bytes are always the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import UnreadableError, did_you_mean
from braindec.loaders._matlab import shapes_of
from braindec.types import Signal

__all__ = ["MatrixSignal", "first_trial", "read_plain", "save_mat", "shape_of", "text_list", "variables"]


def variables(path: Path) -> list[str]:
    """Return the names of the variables.

    Raises
    ------
    UnreadableError
        If the file is damaged or of another kind.
    """
    import h5py

    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            return [name for name in file if not name.startswith("#")]
    return list(shapes_of(path))


def shape_of(path: Path, name: str) -> tuple[int, ...]:
    """Return the shape of a matrix as MATLAB has it, without reading it."""
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            return tuple(reversed(file[name].shape))
    return shapes_of(path)[name]


def read_plain(path: Path, name: str) -> Any:
    """Read a variable: structs as dict, cells as list, text as str, numbers as array; nothing is executed.

    Raises
    ------
    UnreadableError
        If the file is damaged, or has no such variable.
    """
    import h5py
    import scipy.io

    known = variables(path)
    if name not in known:
        raise UnreadableError(
            f"{path} has no variable {name!r}{did_you_mean(name, known)}", allowed=", ".join(known) or "none"
        )
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return _of_hdf5(file[name], file)
        return _of_scipy(scipy.io.loadmat(path, variable_names=[name])[name])
    except Exception as error:  # scipy, zlib and h5py each raise their own
        raise UnreadableError(
            f"{path}: {name} cannot be read", found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="the file is damaged or cut short: copy it again",
        ) from error  # fmt: skip


def text_list(value: Any) -> list[str]:
    """Return the texts of a cell array, or of a single text."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in text_list(item)]
    return [str(v) for v in np.asarray(value).reshape(-1).tolist()]


class MatrixSignal(Signal):
    """A matrix (time, channel) of a file, or the first trial of a FieldTrip struct (channel, time), as a signal in SI units.

    Parameters
    ----------
    path : Path
    name : str
        The variable.
    n_times, n_channels : int
    scale : float
        From the file's unit to that of the signal.
    trial : bool
        Whether the variable is a struct with ``trial{1}`` of (channel, time).
    rows : sequence of int, optional
        Channels of the file to keep, in order.

    Notes
    -----
    Read when it is first used, once in each process.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        n_channels: int,
        n_times: int,
        scale: float,
        trial: bool = False,
        rows: Sequence[int] | None = None,
    ) -> None:
        self.path, self.name, self.scale, self.trial = str(path), name, float(scale), trial
        self.rows = None if rows is None else [int(r) for r in rows]
        self.shape = (n_channels if rows is None else len(self.rows or []), n_times)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the samples ``start`` to ``stop``, float32."""
        values = self.__dict__.get("_open_values")
        if values is None:
            found = read_plain(Path(self.path or ""), self.name)
            values = (
                np.asarray(first_trial(found), dtype=np.float64)
                if self.trial
                else np.atleast_2d(np.asarray(found, dtype=np.float64)).T
            )
            values = values if self.rows is None else values[self.rows]
            values = self._open_values = np.ascontiguousarray(values * self.scale, dtype=np.float32)
        return values[channels, start:stop]


def first_trial(struct: Mapping[str, Any]) -> np.ndarray:
    """Return ``trial{1}`` of a FieldTrip struct, (channel, time)."""
    trial = struct["trial"]
    return np.atleast_2d(np.asarray(trial[0] if isinstance(trial, list) else trial))


def save_mat(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of version 5; the date in its head is left out, so that the same content gives the same bytes."""
    import scipy.io

    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, dict(content), do_compression=True, oned_as="column")
    data = bytearray(path.read_bytes())
    data[:116] = b"MATLAB 5.0 MAT-file".ljust(116)
    path.write_bytes(bytes(data))


def _of_scipy(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.names:
        records = [{name: _of_scipy(item[name]) for name in value.dtype.names} for item in value.reshape(-1)]
        return records[0] if len(records) == 1 else records
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_of_scipy(item) for item in value.reshape(-1, order="F")]
    if isinstance(value, np.ndarray) and value.dtype.kind in "US":
        return (
            str(value.reshape(-1)[0]) if value.size == 1 else [str(v) for v in value.reshape(-1)] if value.size else ""
        )
    return np.asarray(value)


def _of_hdf5(item: Any, file: Any) -> Any:
    import h5py

    if isinstance(item, h5py.Group):
        return {name: _of_hdf5(item[name], file) for name in item}
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if item.attrs.get("MATLAB_empty", 0):
        return "" if kind == "char" else [] if kind == "cell" else np.zeros(0)
    if item.dtype == h5py.ref_dtype:
        found = [_of_hdf5(file[ref], file) for ref in np.asarray(item[()]).reshape(-1)]
        return found[0] if kind != "cell" and len(found) == 1 else found
    values = np.asarray(item[()])
    if kind == "char":
        return "".join(chr(int(c)) for c in values.reshape(-1))
    return values.T
