"""Files of CIFTI-2: what kind they are, their axes, and where their numbers lie on disk; only headers are read.

Source: CIFTI-2 specification, sections "File extensions and intent codes" and "Index mapping types". On disk the first
axis (time or maps) runs fastest, so the values of one grayordinate stand together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders._cifti_model import BrainModel
from braindec.loaders._cifti_parcels import ParcelModel

KINDS = ("dtseries", "dscalar", "dlabel", "ptseries", "pscalar", "plabel")
ENDINGS = tuple(f".{k}.nii" for k in KINDS)
SERIES_ENDINGS = (".dtseries.nii", ".ptseries.nii", ".dtseries.nii.gz", ".ptseries.nii.gz")
_FIRST = {"SERIES": "tseries", "SCALARS": "scalar", "LABELS": "label"}
_SECOND = {"BRAIN_MODELS": "d", "PARCELS": "p"}
_MATRICES = ("pconn", "dconn", "pdconn", "dpconn", "pconnseries", "pconnscalar", "dfan", "fiberTemp")


@dataclass(frozen=True)
class Stored:
    """Where the numbers of a file lie: (column, row), a column's rows together; they pickle as a path.

    Parameters
    ----------
    path : str
        The file.
    shape : tuple of int
        (n_columns, n_rows): grayordinates or parcels, then volumes or maps.
    dtype : str
        With the order of bytes.
    offset : int
        First byte.
    slope, inter : float
        value = stored * slope + inter.
    """

    path: str
    shape: tuple[int, int]
    dtype: str
    offset: int
    slope: float = 1.0
    inter: float = 0.0

    def open(self) -> np.ndarray:
        """Return the numbers as they are stored, shape (n_columns, n_rows): a memory map unless they are compressed."""
        if not self.path.endswith(".gz"):
            return np.memmap(self.path, np.dtype(self.dtype), "r", self.offset, self.shape)
        import gzip

        try:
            with gzip.open(self.path) as file:
                file.seek(self.offset)
                found = np.frombuffer(file.read(), dtype=np.dtype(self.dtype))
        except (OSError, EOFError) as error:
            raise UnreadableError(
                f"{self.path} cannot be read to its end", found=str(error), fix="copy it again"
            ) from None
        if found.size < np.prod(self.shape):
            raise UnreadableError(f"{self.path} was cut short", found=f"{found.size} numbers", fix="copy it again")
        return found[: np.prod(self.shape)].reshape(self.shape)

    def scaled(self, block: np.ndarray) -> np.ndarray:
        """Return stored numbers as float32 values."""
        if self.slope == 1.0 and self.inter == 0.0:
            return np.asarray(block, dtype=np.float32)
        return np.asarray(np.asarray(block, dtype=np.float64) * self.slope + self.inter, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class CiftiFile:
    """One CIFTI file (or image in memory).

    Parameters
    ----------
    name : str
        Its path, or "image".
    kind : str
        One of ``KINDS``.
    model : BrainModel or ParcelModel
        What its columns are.
    n_rows : int
        Number of volumes or maps.
    step, start : float, optional
        Of a series, in ``unit``.
    unit : str, optional
        "SECOND", "HERTZ", "METER" or "RADIAN".
    maps : tuple of str
        Names of scalar and label maps.
    tables : tuple of dict of int to (str, (r, g, b, a))
        Key -> label, a map.
    stored : Stored, optional
        Where the numbers are; ``array`` holds them when the image lives in memory.
    """

    name: str
    kind: str
    model: BrainModel | ParcelModel
    n_rows: int
    step: float | None = None
    start: float = 0.0
    unit: str | None = None
    maps: tuple[str, ...] = ()
    tables: tuple[Mapping[int, tuple[str, tuple[float, ...]]], ...] = ()
    stored: Stored | None = None
    array: np.ndarray | None = None

    def values(self, *, keys: bool = False) -> np.ndarray:
        """Return all numbers, shape (n_rows, n_columns): float32, or int32 label keys.

        Raises
        ------
        UnreadableError
            If a label is not a whole number of 32 bits.
        """
        raw = self.stored.open().T if self.stored is not None else np.asarray(self.array)
        if not keys:
            return self.stored.scaled(raw) if self.stored is not None else np.asarray(raw, dtype=np.float32)
        exact = np.asarray(raw, dtype=np.float64)
        if self.stored is not None:
            exact = exact * self.stored.slope + self.stored.inter
        limits = np.iinfo(np.int32)
        if not np.isfinite(exact).all() or (exact != np.round(exact)).any() or (abs(exact) > limits.max).any():
            raise UnreadableError(f"{self.name}: labels must be whole numbers of 32 bits", found=str(exact.ravel()[:5]))
        return exact.astype(np.int32)

    def block(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return some rows (volumes or maps) of some columns, shape (n_rows, n_columns), float32; no others are read."""
        if self.stored is None:
            return np.asarray(np.asarray(self.array)[np.ix_(rows, columns)], dtype=np.float32)
        source = self.stored.open()
        some = source[columns] if len(rows) == self.n_rows else source[np.ix_(columns, rows)]
        some = some if len(rows) < self.n_rows or (np.diff(rows) == 1).all() else some[:, rows]
        return np.ascontiguousarray(self.stored.scaled(some).T)

    def map_number(self, which: int | str | None) -> int:
        """Return the number of a map by its name or number (from 0); the first by default."""
        if which is None:
            return 0
        if isinstance(which, str) and which in self.maps:
            return self.maps.index(which)
        if isinstance(which, (int, np.integer)) and 0 <= which < self.n_rows:
            return int(which)
        raise BraindecError(
            f"{Path(self.name).name} has no map {which!r}{did_you_mean(str(which), self.maps)}",
            allowed=", ".join(f"{k}: {n}" for k, n in enumerate(self.maps[:20])) or f"0 to {self.n_rows - 1}",
        )

    def label_table(self, which: int) -> pd.DataFrame:
        """Return the labels of a map: key, name, red, green, blue, alpha."""
        rows = [(k, n, *c) for k, (n, c) in sorted(self.tables[which].items())]
        return pd.DataFrame(rows, columns=["key", "name", "red", "green", "blue", "alpha"])


def open_cifti(image: Any) -> CiftiFile:
    """Read the header of a CIFTI-2 file, or of a nibabel Cifti2Image.

    Raises
    ------
    UnreadableError
        If it is empty, damaged, cut short, CIFTI-1, or a matrix that has no time or map axis.
    """
    import nibabel as nib

    if isinstance(image, nib.Cifti2Image):
        matrix, proxy, shape = image.header.matrix, image.dataobj, image.shape
        name = str(image.get_filename() or "image")
    else:
        matrix, proxy, shape = _load(Path(image))
        name = str(image)
    kind, first, second = _axes(matrix, len(shape), name)
    n_rows, n_columns = (int(n) for n in shape)
    model: Any = (BrainModel if kind[0] == "d" else ParcelModel).from_map(second, name)
    if model.size != n_columns:
        raise UnreadableError(
            f"{name}: header and numbers differ", found=f"{model.describe()}, but {n_columns} columns",
            fix="write the file again",
        )  # fmt: skip
    on_disk = hasattr(proxy, "offset") and isinstance(proxy.file_like, (str, Path))
    stored = None
    if on_disk:
        shape = (n_columns, n_rows)
        stored = Stored(
            str(proxy.file_like), shape, proxy.dtype.str, int(proxy.offset), float(proxy.slope), float(proxy.inter)
        )
        _check_whole(stored)
    common = {"name": name, "kind": kind, "model": model, "n_rows": n_rows, "stored": stored}
    if not on_disk:
        common["array"] = np.asarray(proxy)
    if kind.endswith("tseries"):
        scale = 10.0 ** int(first.series_exponent or 0)
        unit = str(first.series_unit)
        return CiftiFile(
            **common, step=float(first.series_step) * scale, start=float(first.series_start) * scale, unit=unit
        )
    maps = list(first.named_maps)
    if len(maps) != n_rows:
        raise UnreadableError(f"{name}: header and numbers differ", found=f"{len(maps)} named maps, {n_rows} rows")
    tables = tuple(
        {int(k): (str(v.label), (v.red, v.green, v.blue, v.alpha)) for k, v in (m.label_table or {}).items()}
        for m in maps
    )
    return CiftiFile(**common, maps=tuple(str(m.map_name) for m in maps), tables=tables)


def kind_of_name(path: Path) -> str | None:
    """Return the kind that the ending says ("dtseries", "pconn", ...), or None for a file that is not CIFTI."""
    name = path.name.lower().removesuffix(".gz")
    return next((k for k in (*KINDS, *_MATRICES) if name.endswith(f".{k.lower()}.nii")), None)


def _load(path: Path) -> tuple[Any, Any, tuple[int, ...]]:
    """The index maps of a file, its numbers (not read), and their shape.

    The file is opened as the NIfTI-2 that it is: nibabel's Cifti2Image copies and checks a header of 91,282 grayordinates
    three times, which takes longer than everything else.
    """
    import nibabel as nib

    if not path.is_file():
        there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
        raise UnreadableError(f"there is no file {path}{did_you_mean(path.name, there)}", fix="check the path")
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again from where it was made")
    try:
        image = nib.Nifti2Image.from_filename(path)
        found = [e for e in image.header.extensions if isinstance(e, nib.cifti2.Cifti2Extension)]
        matrix = found[0].get_content().matrix if found else None
    except Exception as error:  # nibabel, gzip and expat each raise their own
        if _is_volume(path):
            raise _not_cifti(path) from error
        raise UnreadableError(
            f"{path} cannot be read as CIFTI-2 (tried nibabel)",
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            fix="the file is damaged or cut short: copy it again; CIFTI-1 is converted by wb_command "
            "-file-convert -cifti-version-convert",
        ) from error
    if matrix is None:
        raise _not_cifti(path)
    shape = tuple(int(n) for n in image.shape[4:])
    return matrix, image.dataobj, shape


def _is_volume(path: Path) -> bool:
    """Whether a file is plain NIfTI."""
    import nibabel as nib

    try:
        return isinstance(nib.load(path), nib.Nifti1Image)
    except Exception:
        return False


def _not_cifti(path: Path) -> UnreadableError:
    return UnreadableError(
        f"{path} is not CIFTI", found="NIfTI without the header of CIFTI-2", allowed=", ".join(ENDINGS),
        fix="for volumes use the reader fmri",
    )  # fmt: skip


def _axes(matrix: Any, n_axes: int, name: str) -> tuple[str, Any, Any]:
    """Kind of the file and the index maps of its two axes."""
    from nibabel.cifti2 import Cifti2HeaderError

    try:
        types = [matrix.get_index_map(d).indices_map_to_data_type for d in range(n_axes)]
    except Cifti2HeaderError as error:
        raise UnreadableError(f"{name}: its header does not describe its {n_axes} axes", found=str(error)) from error
    kinds = [t.removeprefix("CIFTI_INDEX_TYPE_") for t in types]
    if len(kinds) != 2 or kinds[0] not in _FIRST or kinds[1] not in _SECOND:
        raise UnreadableError(
            f"{name} is not a series, scalar or label file: its axes are {' x '.join(kinds).lower()}",
            found="a matrix between brain places has no time and no maps" if "SERIES" not in kinds else None,
            allowed=", ".join(ENDINGS),
        )
    return _SECOND[kinds[1]] + _FIRST[kinds[0]], matrix.get_index_map(0), matrix.get_index_map(1)


def _check_whole(stored: Stored) -> None:
    """Compare the size of the file with what its header promises."""
    path, expected = Path(stored.path), stored.offset + int(np.prod(stored.shape)) * np.dtype(stored.dtype).itemsize
    if path.suffix == ".gz":
        return  # found out on reading
    if path.stat().st_size < expected:
        raise UnreadableError(
            f"{path} was cut short", found=f"{path.stat().st_size} bytes, the header promises {expected}",
            fix="copy the file again from where it was made",
        )  # fmt: skip
