"""Time series stored as (time, channel) in one dataset of an HDF5 file, read as (channel, time); only path and name are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.types import Signal
from braindec.types.signals import open_hdf5_dataset
from braindec.types.storage import hdf5

__all__ = ["SeriesSignal", "series_shapes"]


def series_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each dataset at the top of an HDF5 file.

    Raises
    ------
    UnreadableError
        If the file is empty, damaged or not HDF5.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    if path.is_symlink() and not path.exists():
        raise UnreadableError(
            f"{path} is a link to a file that is not here",
            found="a data set of DataLad or git-annex whose content was not fetched",
            fix=f"datalad get {path.name}",
        )
    with hdf5(path, "r") as file:
        return {name: tuple(item.shape) for name, item in file.items() if hasattr(item, "shape")}


class SeriesSignal(Signal):
    """A dataset of (time, channel), or one repetition of (repetition, time, channel), as a signal of (channel, time).

    Parameters
    ----------
    path : str or Path
        The HDF5 file.
    name : str
        The dataset.
    repetition : int, optional
        The first index of a dataset with three axes.

    Raises
    ------
    BraindecError
        If the dataset is not there or has another number of axes.
    """

    slow = True

    def __init__(self, path: str | Path, name: str, *, repetition: int | None = None) -> None:
        self.path, self.name, self.repetition = str(path), name, repetition
        shapes = series_shapes(Path(path))
        if name not in shapes:
            raise BraindecError(
                f"{path} has no dataset {name!r}{did_you_mean(name, shapes)}", allowed=", ".join(shapes)
            )
        axes = 2 if repetition is None else 3
        if len(shapes[name]) != axes:
            wanted = "(time, channel)" if repetition is None else "(repetition, time, channel)"
            raise BraindecError(f"dataset {name!r} of {path} is not {wanted}", found=f"shape {shapes[name]}")
        n_times, n_channels = shapes[name][-2:]
        self.shape = (int(n_channels), int(n_times))

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        rows = np.arange(self.shape[0])[channels]
        order = np.unique(rows)  # HDF5 wants rising, unique indices
        whole = len(order) > self.shape[0] // 4  # a few columns of a row-wise file: many small reads
        part = slice(None) if whole else order
        source = self._source()
        if self.repetition is not None and isinstance(source, np.ndarray):  # mapped: numpy would reorder mixed indices
            block = source[self.repetition][start:stop, part]
        else:
            block = self._decoded(source, start, stop, part)
        picked = block[:, rows] if whole else block[:, np.searchsorted(order, rows)]
        return np.ascontiguousarray(picked.T, dtype=np.float32)

    def _decoded(self, source: Any, start: int, stop: int, part: slice | np.ndarray) -> np.ndarray:
        try:
            return source[start:stop, part] if self.repetition is None else source[self.repetition, start:stop, part]
        except OSError as error:
            raise UnreadableError(
                f"{self.path} cannot be read to its end",
                found=f"dataset {self.name}: {str(error).splitlines()[0]}",
                fix="the file is damaged: copy it again",
            ) from error

    def _source(self) -> Any:
        source = self.__dict__.get("_open_source")
        if source is None:
            source = self._open_source = open_hdf5_dataset(self.path or "", self.name)
        return source
