"""Signals that are read on demand: an array of (channel, time) behind a path, a selection of it, or plain memory.

A signal has a ``shape`` and a ``read(channels, start, stop)``. File-backed signals pickle as their path and
selection and open the file again, once in each process; a signal that lives in memory refuses to be pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError

Channels = "slice | np.ndarray"


class Signal:
    """Base of all signals, an array of (channel, time) that is read in pieces.

    Subclasses set ``shape`` (n_channels, n_times) and define :meth:`read`. Attributes whose name starts with
    ``_open`` are handles of this process and are left out when the object is pickled.
    """

    shape: tuple[int, int]
    dtype: np.dtype = np.dtype(np.float32)
    path: str | None = None
    finite: bool = False  # known to hold no NaN and no infinity: windows need not look again
    slow: bool = False  # decodes a file on each read: Windows.load then reads neighbours together

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the samples ``start`` to ``stop`` of ``channels``, shape (n_channels, stop - start)."""
        raise NotImplementedError(f"{type(self).__name__} must define read()")

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, times = key if isinstance(key, tuple) else (key, slice(None))
        one_row = isinstance(rows, (int, np.integer))
        if one_row:
            rows = np.array([int(rows)])
        elif not isinstance(rows, slice):
            rows = np.arange(self.shape[0])[np.asarray(rows)]
        if isinstance(times, slice):
            start, stop, step = times.indices(self.shape[1])
            block = self.read(rows, start, max(stop, start))[:, ::step] if step > 0 else self.read(rows)[:, times]
        else:
            block = self.read(rows)[:, times]
        return block[0] if one_row else block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        if self.path is None:
            raise BraindecError(
                "a recording that lives in memory cannot be sent to another process or pickled",
                found=f"{type(self).__name__} of shape {self.shape} without a file",
                fix="save it first: recording = recording.save('name.h5')",
            )
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_open")}

    def __deepcopy__(self, memo: dict) -> Signal:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.shape} {self.path or 'in memory'}"


class ArraySignal(Signal):
    """An array of (channel, time), in memory or a ``np.memmap`` (which pickles as its path).

    Parameters
    ----------
    array : array of shape (n_channels, n_times)
        Kept as it is; no copy.
    """

    def __init__(self, array: np.ndarray) -> None:
        if np.ndim(array) != 2:
            raise BraindecError(
                "a signal is an array of (channel, time)", found=f"shape {np.shape(array)}",
                fix="for (window, channel, time) use Windows.from_arrays",
            )  # fmt: skip
        self._open = np.asarray(array)
        self.shape = tuple(int(n) for n in self._open.shape)  # type: ignore[assignment]
        self.dtype = self._open.dtype
        self._spec = _memmap_spec(array)
        self.path = self._spec["filename"] if self._spec else None

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        return self._open[channels, start:stop]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = np.asarray(np.memmap(mode="r", **(self._spec or {})))


class StackedSignal(Signal):
    """Windows of (window, channel, time) laid end to end as one signal of (channel, window x time); no copy.

    Parameters
    ----------
    array : array of shape (n_windows, n_channels, n_times)
        In memory or a ``np.memmap``.
    """

    def __init__(self, array: np.ndarray) -> None:
        self._open = np.asarray(array)
        n_windows, n_channels, self.n_times = (int(n) for n in self._open.shape)
        self.shape = (n_channels, n_windows * self.n_times)
        self.dtype = self._open.dtype
        self._spec = _memmap_spec(array)
        self.path = self._spec["filename"] if self._spec else None

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else stop
        first, inside = divmod(start, self.n_times)
        if inside + stop - start <= self.n_times:  # inside one window, the usual case
            return self._open[first, channels, inside : inside + stop - start]
        last = -(-stop // self.n_times)
        block = self._open[first:last, channels].swapaxes(0, 1)  # (channel, window, time)
        flat = block.reshape(block.shape[0], -1)
        return flat[:, inside : inside + stop - start]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = np.asarray(np.memmap(mode="r", **(self._spec or {})))


class HDF5Signal(Signal):
    """One dataset of (channel, time) in an HDF5 file; contiguous datasets are memory-mapped, others read by h5py.

    Parameters
    ----------
    path : str or Path
        The HDF5 file.
    name : str
        The dataset's name inside the file.
    """

    def __init__(self, path: str | Path, name: str = "signal") -> None:
        self.path, self.name = str(path), name
        source = self._source()
        if len(source.shape) != 2:
            raise BraindecError(
                f"dataset {name!r} of {path} is not a signal of (channel, time)", found=f"shape {source.shape}"
            )
        self.shape = (int(source.shape[0]), int(source.shape[1]))
        self.dtype = source.dtype

    def _source(self) -> Any:
        source = self.__dict__.get("_open_source")
        if source is None:
            source = self._open_source = open_hdf5_dataset(self.path or "", self.name)
        return source

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        source = self._source()
        if isinstance(source, np.ndarray) or isinstance(channels, slice):
            return source[channels, start:stop]
        rows = np.arange(self.shape[0])[channels]
        order = np.unique(rows)  # h5py wants rising, unique indices
        return source[order, start:stop][np.searchsorted(order, rows)]


class SelectedSignal(Signal):
    """Some channels and a span of time of another signal.

    Parameters
    ----------
    source : Signal
        The signal that is read.
    channels : array of int, shape (n_channels,)
        Rows of ``source``, in any order.
    start, stop : int
        The span of samples.
    """

    source: Signal
    channels: np.ndarray
    start: int
    stop: int

    def __init__(self, source: Signal, channels: np.ndarray, start: int, stop: int) -> None:
        channels = np.asarray(channels, dtype=np.int64)
        if isinstance(source, SelectedSignal):
            start, stop = source.start + start, source.start + stop
            channels, source = source.channels[channels], source.source
        self.source, self.channels, self.start, self.stop = source, channels, int(start), int(stop)
        self._all = len(channels) == source.shape[0] and bool(np.all(channels == np.arange(source.shape[0])))
        self.shape = (len(channels), self.stop - self.start)
        self.dtype, self.path, self.finite = source.dtype, source.path, source.finite
        self.slow = getattr(source, "slow", False)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        rows = channels if self._all else self.channels[channels]
        return self.source.read(rows, self.start + start, self.start + stop)


def open_hdf5_dataset(path: str | Path, name: str) -> Any:
    """Open one dataset: a read-only memory map when it is stored contiguously, else the h5py dataset.

    Raises
    ------
    BraindecError
        If the file is missing, is not HDF5, or has no such dataset.
    """
    import h5py

    if not Path(path).is_file():
        raise BraindecError(f"there is no file {path}", fix="check the path")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BraindecError(
            f"{path} cannot be opened as HDF5", found=str(error).split("(")[-1].rstrip(")"),
            fix="the file is damaged or was cut short: delete it and make it again",
        ) from error  # fmt: skip
    if name not in file:
        raise BraindecError(f"{path} has no dataset {name!r}", allowed=", ".join(file))
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise BraindecError(
            f"{path}: {name!r} is a group, not a dataset", allowed=", ".join(f"{name}/{k}" for k in dataset)
        )
    offset = dataset.id.get_offset()
    if dataset.chunks is None and offset is not None and dataset.size:
        spec = {"dtype": dataset.dtype, "shape": dataset.shape, "offset": offset}
        file.close()
        return np.asarray(np.memmap(path, mode="r", **spec))
    return dataset


def as_signal(data: Any) -> Signal:
    """Return ``data`` as a :class:`Signal`: signals pass, arrays of (channel, time) are wrapped."""
    return data if isinstance(data, Signal) else ArraySignal(data)


def _memmap_spec(array: Any) -> dict[str, Any] | None:
    """What is needed to map the file again, or None for memory and for views that are not a whole map."""
    if not isinstance(array, np.memmap) or array.filename is None:
        return None
    whole = array.base is None or not isinstance(array.base, np.memmap)
    if not whole or not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    order = "C" if array.flags.c_contiguous else "F"
    return {
        "filename": str(array.filename),
        "dtype": array.dtype,
        "shape": array.shape,
        "offset": array.offset,
        "order": order,
    }
