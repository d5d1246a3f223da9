"""Arrays in files: .npy, .npz, HDF5 and MATLAB, named ``file`` or ``file:variable``; lazily mapped, never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._formats import line_ends_converted
from braindec.types import Signal
from braindec.types.signals import open_hdf5_dataset

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".mat")
TO_SI = {
    "V": ("V", 1.0), "mV": ("V", 1e-3), "uV": ("V", 1e-6), "nV": ("V", 1e-9), "T": ("T", 1.0), "mT": ("T", 1e-3),
    "uT": ("T", 1e-6), "nT": ("T", 1e-9), "pT": ("T", 1e-12), "fT": ("T", 1e-15), "T/m": ("T/m", 1.0), "fT/cm": ("T/m", 1e-13),
    "pT/cm": ("T/m", 1e-10), "fT/mm": ("T/m", 1e-12),
}  # fmt: skip


def si(unit: str | None) -> tuple[str, float]:
    """Return the SI unit and the factor to it; a unit that is not electric or magnetic is kept as it is."""
    if unit is None:
        return "n/a", 1.0
    return TO_SI.get(str(unit).replace("µ", "u").replace("μ", "u"), (str(unit), 1.0))


def read(spec: str | Path, folder: Path) -> np.ndarray:
    """Read an array named ``file`` or ``file:variable`` in ``folder``; a .npy file is mapped, not loaded.

    Raises
    ------
    UnreadableError
        If the file is damaged, or the array holds Python objects.
    BraindecError
        If the file or the variable is not there.
    """
    path, name = locate(spec, folder)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        elif suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                array = archive[_choose(name, archive.files, path)]
        elif suffix in (".h5", ".hdf5"):
            array = _hdf5(path, name, transposed=False)
        elif suffix == ".mat":
            array = _matlab(path, name)
        else:
            raise UnreadableError(
                f"{path} is not a file of arrays", found=f"ending {suffix}", allowed=", ".join(SUFFIXES)
            )
    except BraindecError:
        raise
    except Exception as error:  # numpy, zipfile, scipy and h5py each raise their own
        raise _explain(error, path) from error
    if array.dtype.kind not in "biufUS":
        raise UnreadableError(
            f"{spec} holds {array.dtype} values, not numbers or text", found=f"shape {array.shape}",
            fix="save plain numbers or strings: numpy.save('name.npy', numpy.asarray(values))",
        )  # fmt: skip
    return array


def locate(spec: str | Path, folder: Path) -> tuple[Path, str | None]:
    """Split ``file:variable`` and return the path, which must be inside ``folder``."""
    text = str(spec)
    file, _, name = text.partition(":")
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise BraindecError(f"the file {file!r} must be inside {folder}", fix="write it relative to root, without '..'")
    path = folder / file
    if not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise BraindecError(
            f"there is no file {path}{did_you_mean(path.name, there)}", found=", ".join(there[:8]) or "nothing"
        )
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    return path, name or None


def variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the arrays in a file, without reading them."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            return {"": np.load(path, mmap_mode="r", allow_pickle=False).shape}
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {n: archive[n].shape for n in archive.files}
        if suffix == ".mat" and not _is_hdf5(path):
            import scipy.io

            return {n: tuple(s) for n, s, _ in scipy.io.whosmat(path)}
        import h5py

        out: dict[str, tuple[int, ...]] = {}
        with h5py.File(path, "r") as file:
            file.visititems(lambda n, item: out.update({n: item.shape}) if isinstance(item, h5py.Dataset) else None)
        return {n: s[::-1] for n, s in out.items()} if suffix == ".mat" else out
    except Exception as error:
        raise _explain(error, path) from error


def _choose(name: str | None, names: list[str], path: Path) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name in names:
        return str(name)
    asked = f"no array {name!r}{did_you_mean(name, names)}" if name else "several arrays: which one is meant?"
    raise BraindecError(
        f"{path.name} has {asked}", allowed=", ".join(names), fix=f"write {path.name}:{names[0] if names else 'name'}"
    )


def _hdf5(path: Path, name: str | None, *, transposed: bool) -> np.ndarray:
    name = _choose(name, list(variables(path)), path)
    source = open_hdf5_dataset(path, name)
    array = source if isinstance(source, np.ndarray) else source[()]
    return array.T if transposed else array


def _matlab(path: Path, name: str | None) -> np.ndarray:
    if _is_hdf5(path):
        return _hdf5(path, name, transposed=True)  # MATLAB's order of axes, reversed in HDF5
    import scipy.io

    name = _choose(name, [n for n, _, _ in scipy.io.whosmat(path)], path)
    return scipy.io.loadmat(path, variable_names=[name])[name]


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\x89HDF" in file.read(520)


def _explain(error: Exception, path: Path) -> UnreadableError:
    text = " ".join(str(error).split())
    if "pickle" in text.lower() or "Object arrays" in text:
        return UnreadableError(
            f"{path} holds Python objects, which are not unpickled", found=text[:200],
            fix="save plain numbers or strings: numpy.save('name.npy', numpy.asarray(values), allow_pickle=False)",
        )  # fmt: skip
    if line_ends_converted(path):
        text = "every line feed follows a carriage return: its line ends were converted"
    return UnreadableError(
        f"{path} cannot be read (tried {path.suffix})", found=f"{type(error).__name__}: {text[:200]}",
        fix="the file is damaged, cut short or of another kind: copy it again",
    )  # fmt: skip


class ScaledSignal(Signal):
    """Another signal times a factor; float32.

    Parameters
    ----------
    source : Signal
        What is read.
    factor : float
        To SI units.
    """

    def __init__(self, source: Signal, factor: float) -> None:
        self.source, self.factor = source, float(factor)
        self.shape, self.path, self.slow = source.shape, source.path, source.slow

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        block = self.source.read(channels, start, stop)
        return np.multiply(block, self.factor, dtype=np.float32, casting="unsafe")


class ArrayFileSignal(Signal):
    """An array of a file as (channel, time); read when it is first used, once in each process.

    Parameters
    ----------
    spec, folder
        See :func:`read`.
    axes : tuple of int
        Order of the array's axes that gives (channel, time) or (window, channel, time).
    keep : array of int, optional
        Channels that are used.
    one_channel : bool
        The array has no axis of channels: ``axes`` are those of (window, time).
    """

    def __init__(
        self,
        spec: str,
        folder: Path,
        axes: tuple[int, ...],
        keep: np.ndarray | None = None,
        *,
        one_channel: bool = False,
    ) -> None:
        self.spec, self.folder, self.axes, self.keep = str(spec), str(folder), tuple(axes), keep
        self.one_channel = one_channel
        self.path = str(locate(spec, Path(folder))[0])
        view = self._view()
        self.n_times = int(view.shape[-1])
        self.n_windows = int(view.shape[0]) if view.ndim == 3 else 1
        self.shape = (int(view.shape[-2]), self.n_windows * self.n_times)
        self.dtype = np.dtype(np.float32) if view.dtype.kind != "f" else view.dtype

    def _view(self) -> np.ndarray:
        view = self.__dict__.get("_open_view")
        if view is None:
            array = read(self.spec, Path(self.folder))
            if array.ndim != len(self.axes):
                raise BraindecError(
                    f"{self.spec} has {array.ndim} axes, expected {len(self.axes)}", found=f"shape {array.shape}"
                )
            view = np.asarray(array).transpose(self.axes)
            if self.one_channel:
                view = view[:, None]
            if self.keep is not None:
                view = view[..., self.keep, :]
            self._open_view = view
        return view

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        view, n = self._view(), self.n_times
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        if view.ndim == 2:
            return view[channels, start:stop]
        first, inside = divmod(start, n)
        if inside + stop - start <= n and first < self.n_windows:  # inside one window, the usual case
            return view[first, channels, inside : inside + stop - start]
        block = view[first : -(-stop // n), channels].swapaxes(0, 1)
        return block.reshape(block.shape[0], -1)[:, inside : inside + stop - start]


def column(values: Any, n: int, name: str) -> np.ndarray:
    """Return a label array as one column of length ``n``; (n, 1) and (1, n) are flattened."""
    array = np.asarray(values)
    flat = array.reshape(-1) if array.size == max(array.shape, default=0) else array
    if flat.ndim != 1 or len(flat) != n:
        raise BraindecError(f"{name} does not fit the windows", found=f"shape {array.shape}", allowed=f"({n},)")
    return flat.astype(str).astype(object) if flat.dtype.kind in "US" else flat
