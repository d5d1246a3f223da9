"""Structs and cells of MATLAB files (versions 5 to 7) as plain Python: text, lists of text, arrays; nothing is executed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.types import Signal

__all__ = ["MatlabSignal", "column", "fields", "read_variables", "shapes_of", "texts"]


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the variables without reading them.

    Raises
    ------
    UnreadableError
        If the file is damaged, cut short, or of version 7.3 (HDF5).
    """
    import scipy.io

    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    try:
        shapes = {name: tuple(shape) for name, shape, _ in scipy.io.whosmat(path)}
    except NotImplementedError as error:
        raise UnreadableError(
            f"{path} is of MATLAB version 7.3", allowed="versions 5 to 7", fix="save(name, '-struct', 's', '-v7')"
        ) from error
    except Exception as error:  # scipy and zlib each raise their own
        raise _damaged(path, error) from error
    _check_whole(path)
    return shapes


def read_variables(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read some variables; those that are not there are left out."""
    import scipy.io

    try:
        found = scipy.io.loadmat(path, variable_names=list(names), chars_as_strings=True)
    except Exception as error:
        raise _damaged(path, error) from error
    return {name: found[name] for name in names if name in found}


def fields(struct: np.ndarray) -> dict[str, Any]:
    """Return the fields of a struct of size 1."""
    record = np.asarray(struct).reshape(-1)[0]
    return {name: record[name] for name in record.dtype.names or ()}


def texts(cell: Any) -> list[str]:
    """Return the texts of a cell array in order, however deeply each is wrapped."""
    return [_text(item) for item in np.asarray(cell).reshape(-1)]


def column(values: Any, n: int | None, name: str, path: Path) -> np.ndarray:
    """Return whole numbers as one column, (1, n) or (n, 1).

    Raises
    ------
    BraindecError
        If there are not ``n`` of them.
    """
    flat = np.asarray(values).reshape(-1)
    if n is not None and len(flat) != n:
        raise BraindecError(
            f"{path.name}: {name} does not fit the examples", found=f"{len(flat)} values for {n} examples"
        )
    return flat.astype(np.int64)


class MatlabSignal(Signal):
    """A variable of (trial, channel) as a signal of (channel, trial); read when it is first used, once in each process.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str
        The variable.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path, self.name = str(path), name
        shapes = shapes_of(Path(path))
        if name not in shapes or len(shapes[name]) != 2:
            raise BraindecError(f"{path} has no matrix {name!r}{did_you_mean(name, shapes)}", allowed=", ".join(shapes))
        self.shape = (int(shapes[name][1]), int(shapes[name][0]))

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        return self._values()[channels, start:stop]

    def _values(self) -> np.ndarray:
        values = self.__dict__.get("_open_values")
        if values is None:
            found: Mapping[str, np.ndarray] = read_variables(Path(self.path or ""), [self.name])
            values = self._open_values = np.ascontiguousarray(found[self.name].T, dtype=np.float32)
        return values


def _check_whole(path: Path) -> None:
    """Follow the sizes that the elements of a version 5 file state; scipy takes an early end for the end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        place = 128
        while order and place + 8 <= size:
            file.seek(place)
            place += 8 + struct.unpack(f"{order}II", file.read(8))[1]
    if order and place != size:
        raise UnreadableError(
            f"{path} was cut short", found=f"{size} bytes, its elements need {place}", fix="copy the file again"
        )


def _text(value: Any) -> str:
    while isinstance(value, np.ndarray) and value.size:
        value = value.reshape(-1)[0]
    return "" if isinstance(value, np.ndarray) else str(value).strip()


def _damaged(path: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"{path} cannot be read as a MATLAB file (tried scipy.io)",
        found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
        fix="the file is damaged, cut short or of another kind: copy it again",
    )
