"""Betas of one file as a signal of (voxel, trial): any axis order, a mask, a scale factor; each part is decoded once.

How a file is read depends on how it is stored. A contiguous array (.npy, contiguous HDF5) is memory-mapped. A chunked
HDF5 dataset is read chunk by chunk: only chunks that hold a wanted voxel, each once a call. When more than half of the
voxels are wanted (a sixteenth, when it is for fewer trials than a chunk holds), whole bands of trials (the height of a chunk) are decoded and, when used in part, kept (up to a limit
that the sessions of a subject share), so that windows read in any order do not decode a chunk again and again.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.types import Signal
from braindec.types.signals import open_hdf5_dataset

MISSING = -32768  # the int16 number that stands for NaN in files of braindec
_HDF5 = (".h5", ".hdf5")
_BLOCK = 8_000_000  # numbers read at once


class Kept:
    """Decoded bands of trials, the latest ones up to ``limit`` bytes; shared by the sessions of a subject."""

    def __init__(self, limit: int = 2**30) -> None:
        self.limit, self.size = int(limit), 0
        self._bands: OrderedDict[Any, np.ndarray] = OrderedDict()

    def get(self, key: Any) -> np.ndarray | None:
        """Return a band that is kept, or None."""
        if key in self._bands:
            self._bands.move_to_end(key)
        return self._bands.get(key)

    def put(self, key: Any, band: np.ndarray) -> None:
        """Keep a band; the oldest ones make room."""
        if band.nbytes > self.limit:
            return
        self._bands[key] = band
        self.size += band.nbytes
        while self.size > self.limit:
            self.size -= self._bands.popitem(last=False)[1].nbytes


class BetasSignal(Signal):
    """Betas of one file, (voxel, trial), float32.

    Parameters
    ----------
    path : str or Path
        .h5, .hdf5, .npy or .npz (the last is loaded when it is first read).
    name : str, optional
        The dataset (HDF5) or array (.npz); not needed when there is only one.
    trial_axis : int
        The axis of trials.
    voxels : array of int, shape (n_voxels,), optional
        Places in the other axes, flattened in C order; all of them by default.
    divide_by : float
        The stored numbers are divided by it.
    missing : float, optional
        The stored number that stands for NaN.
    kept : Kept, optional
        Where decoded bands are kept; one of its own by default.
    """

    slow = True

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        trial_axis: int = 0,
        voxels: np.ndarray | None = None,
        divide_by: float = 1.0,
        missing: float | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.path, self.name, self.trial_axis = str(path), name, int(trial_axis)
        self.divide_by, self.missing = float(divide_by), missing
        self._open_kept = kept
        source = self._source()
        self.stored = np.dtype(source.dtype)
        if self.stored.kind not in "iuf":
            raise UnreadableError(f"{path} holds no numbers", found=f"dtype {self.stored}")
        if not -len(source.shape) <= self.trial_axis < len(source.shape) or len(source.shape) < 2:
            raise BraindecError(f"{path} has no axis {trial_axis} of trials", found=f"shape {tuple(source.shape)}")
        self.trial_axis %= len(source.shape)
        self.n_trials = int(source.shape[self.trial_axis])
        self.grid = tuple(int(n) for axis, n in enumerate(source.shape) if axis != self.trial_axis)
        size = int(np.prod(self.grid))
        self.voxels = None if voxels is None else np.asarray(voxels, dtype=np.int64)
        if self.voxels is not None and len(self.voxels) and not 0 <= self.voxels.min() <= self.voxels.max() < size:
            raise BraindecError(f"{path} has no voxel {int(self.voxels.max())}", found=f"{size} voxels {self.grid}")
        self.shape = (size if self.voxels is None else len(self.voxels), self.n_trials)
        self.finite = self.stored.kind in "iu" and missing is None

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.n_trials if stop is None else min(stop, self.n_trials)
        rows = np.arange(self.shape[0])[channels]
        source = self._source()
        if isinstance(source, np.ndarray):
            return self._values(self._mapped(source, rows, start, stop))
        height = source.chunks[self.trial_axis] if source.chunks else 1
        if (2 if stop - start >= height else 16) * len(rows) > self.shape[0]:
            block = self._bands(source, start, stop)
            return self._values(block if len(rows) == self.shape[0] and _is_all(channels) else block[rows])
        return self._values(self._decode(source, self._places(rows), start, stop))

    def _values(self, block: np.ndarray) -> np.ndarray:
        """Stored numbers (voxel, trial) -> values, float32."""
        out = np.divide(block, self.divide_by, dtype=np.float32, casting="unsafe")
        if self.missing is not None:
            out[block == self.missing] = np.nan
        return out

    def _places(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.voxels is None else self.voxels[rows]

    def _mapped(self, source: np.ndarray, rows: np.ndarray, start: int, stop: int) -> np.ndarray:
        """From memory or a memory map: the span of trials is one view, voxels are picked from it."""
        if source.ndim == 2 and self.trial_axis == 1:
            return source[self._places(rows), start:stop]
        view = np.moveaxis(source, self.trial_axis, 0)[start:stop]
        if len(rows) == int(np.prod(self.grid)) and self.voxels is None and np.array_equal(rows, np.arange(len(rows))):
            return view.reshape(stop - start, -1).T
        places = self._places(rows)
        if len(self.grid) == 1:
            return view[:, places].T
        return view[(slice(None), *np.unravel_index(places, self.grid))].T

    def _bands(self, source: Any, start: int, stop: int) -> np.ndarray:
        """All voxels of trials ``start`` to ``stop`` from whole bands, which are kept."""
        kept = self.__dict__.get("_open_kept")
        if kept is None:
            kept = self._open_kept = Kept()
        height = max(1, source.chunks[self.trial_axis] if source.chunks else 64)
        places = self._places(np.arange(self.shape[0]))
        parts = []
        for band in range(start // height, -(-stop // height)):
            first, last = band * height, min((band + 1) * height, self.n_trials)
            key = (self.__dict__.setdefault("_open_token", object()), band)
            block = kept.get(key)
            if block is None:
                block = self._decode(source, places, first, last)
                if start > first or stop < last:  # what is used as a whole will hardly be asked for again
                    kept.put(key, block)
            parts.append(block[:, max(start, first) - first : min(stop, last) - first])
        return (
            parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty((len(places), 0), self.stored)], axis=1)
        )

    def _decode(self, source: Any, places: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Read each chunk that holds a wanted voxel once; ``places`` in any order, shape (n_places, stop - start)."""
        out = np.empty((len(places), stop - start), dtype=self.stored)
        coordinates = np.stack(np.unravel_index(places, self.grid), axis=1)  # (place, axis)
        chunk = self._chunk(source)
        longest = _BLOCK // (max(1, stop - start) * int(np.prod(chunk)))
        for members in _groups(coordinates, chunk, self.grid, longest):
            inside = coordinates[members]
            low, high = inside.min(axis=0), inside.max(axis=0) + 1
            key = [slice(int(a), int(b)) for a, b in zip(low, high, strict=True)]
            key.insert(self.trial_axis, slice(start, stop))
            try:
                block = np.moveaxis(source[tuple(key)], self.trial_axis, 0)
            except OSError as error:
                raise UnreadableError(
                    f"{self.path} cannot be read to its end", found=f"trials {start} to {stop}: {str(error).splitlines()[0]}",
                    fix="the file is damaged: copy it again",
                ) from error  # fmt: skip
            out[members] = block[(slice(None), *(inside - low).T)].T
        return out

    def _chunk(self, source: Any) -> tuple[int, ...]:
        """Extent of a chunk along the axes of voxels."""
        if not source.chunks:
            return self.grid
        return tuple(int(n) for axis, n in enumerate(source.chunks) if axis != self.trial_axis)

    def _source(self) -> Any:
        source = self.__dict__.get("_open_source")
        if source is None:
            source = self._open_source = open_array(Path(self.path or ""), self.name)
        return source


class JoinedSignal(Signal):
    """Signals of the same trials one above the other: regions or hemispheres that stand in files of their own.

    Parameters
    ----------
    parts : list of Signal (voxel, trial)
        With the same number of trials.
    """

    slow = True

    def __init__(self, parts: list[Signal]) -> None:
        counts = sorted({p.shape[1] for p in parts})
        if len(counts) != 1:
            raise BraindecError(
                "files of one subject hold different numbers of trials",
                found=", ".join(f"{Path(str(p.path)).name}: {p.shape[1]}" for p in parts[:8]),
                fix="the files are of different subjects or versions, or one was cut short",
            )  # fmt: skip
        self.parts, self.path = parts, parts[0].path
        self.edges = np.cumsum([0, *(p.shape[0] for p in parts)])
        self.shape = (int(self.edges[-1]), counts[0])

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        rows = np.arange(self.shape[0])[channels]
        out = np.empty((len(rows), stop - start), dtype=np.float32)
        owner = np.searchsorted(self.edges, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            out[mine] = self.parts[number].read(rows[mine] - self.edges[number], start, stop)
        return out


def nan_voxels(signals: list[Signal], *, limit: int = 2**28) -> tuple[np.ndarray, str]:
    """Return the voxels with a value that is not finite, and what was looked at.

    Parameters
    ----------
    signals : list of Signal (voxel, trial)
        Of the same voxels.
    limit : int
        Bytes, as float32, up to which everything is looked at. Of larger files only the first and the last trial, and nothing
        where the trials of a voxel stand together, since one trial then costs as much as all.

    Returns
    -------
    voxels : array of int
    looked : {"all", "ends", "nothing"}
    """
    size = 4 * sum(s.shape[0] * s.shape[1] for s in signals)
    looked = "all" if size <= limit else "nothing" if any(_voxel_by_voxel(s) for s in signals) else "ends"
    bad = np.zeros(signals[0].shape[0], dtype=bool)
    for signal in signals if looked != "nothing" else []:
        n, step = signal.shape[1], max(1, 4_000_000 // max(1, signal.shape[0]))
        spans = [(a, min(a + step, n)) for a in range(0, n, step)] if looked == "all" else [(0, 1), (n - 1, n)]
        for start, stop in spans if not signal.finite else []:
            bad |= ~np.isfinite(signal.read(slice(None), start, stop)).all(axis=1)
    return np.flatnonzero(bad), looked


def _voxel_by_voxel(signal: Any) -> bool:
    source = getattr(signal, "source", signal)
    return isinstance(source, BetasSignal) and source.trial_axis == len(source.grid)


def open_array(path: Path, name: str | None) -> Any:
    """Open one array of a file: a memory map, an array (.npz), or the h5py dataset when it is chunked.

    Raises
    ------
    BraindecError, UnreadableError
        If file or array are not there, it is not said which of several is meant, or the file is damaged.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise BraindecError(f"there is no file {path}{did_you_mean(path.name, there)}", found=", ".join(there[:8]))
    if suffix in _HDF5:
        return open_hdf5_dataset(path, name or _only(_datasets(path), path))
    try:
        if suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                if name is not None and name not in archive.files:
                    raise BraindecError(
                        f"{path.name} has no array {name!r}{did_you_mean(name, archive.files)}",
                        allowed=", ".join(archive.files),
                    )
                return archive[name or _only(archive.files, path)]
    except (
        ValueError,
        OSError,
        EOFError,
        BadZipFile,
        SyntaxError,
        TokenError,
    ) as error:  # zip, and headers that are no literal
        raise UnreadableError(
            f"{path} cannot be read", found=" ".join(str(error).split())[:200],
            fix="the file is damaged or holds Python objects: save plain numbers again",
        ) from error  # fmt: skip
    raise UnreadableError(f"{path} is no file of betas", allowed=".h5, .hdf5, .npy, .npz")


def _datasets(path: Path) -> list[str]:
    import h5py

    from braindec.types.storage import hdf5

    found: list[str] = []
    with hdf5(path, "r") as file:
        file.visititems(lambda n, item: found.append(n) if isinstance(item, h5py.Dataset) and item.ndim > 1 else None)
    return found


def _only(names: list[str], path: Path) -> str:
    if len(names) == 1:
        return names[0]
    raise BraindecError(
        f"{path.name} holds {len(names)} arrays: which one is meant?" if names else f"{path.name} holds no array",
        found=", ".join(names[:12]) or None, fix="name it: key: ...",
    )  # fmt: skip


def _groups(coordinates: np.ndarray, chunk: tuple[int, ...], grid: tuple[int, ...], longest: int) -> list[np.ndarray]:
    """Rows of ``coordinates`` that are read together: those of one chunk, or of up to ``longest`` chunks that touch on one line.

    Chunks of a single voxel (long in time) are joined into runs: fewer calls, and nothing more is read.
    """
    counts = tuple(-(-n // c) for n, c in zip(grid, chunk, strict=True))
    number = np.ravel_multi_index(tuple((coordinates // np.array(chunk)).T), counts)
    order = np.argsort(number, kind="stable")
    ordered = number[order]
    starts = np.r_[True, (np.diff(ordered) > 1) | (np.diff(ordered // counts[-1]) != 0)]
    first = ordered[np.maximum.accumulate(np.where(starts, np.arange(len(ordered)), 0))]  # of the run
    part = (ordered - first) // max(1, longest)
    cuts = np.flatnonzero(starts[1:] | (np.diff(part) != 0)) + 1
    return np.split(order, cuts) if len(order) else []


def _is_all(channels: slice | np.ndarray) -> bool:
    return isinstance(channels, slice) and channels in (slice(None), slice(0, None))
