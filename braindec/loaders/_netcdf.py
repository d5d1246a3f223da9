"""NetCDF files of one array with named dimensions and coordinates, as xarray writes them; read without xarray.

Version 4 is HDF5: a variable's dimensions are the dimension scales attached to it. Version 3 is read with scipy; text
is stored there as characters with a last dimension of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import UnreadableError
from braindec.types.storage import hdf5

__all__ = ["Assembly", "read_assembly", "write_assembly"]

# what the netCDF library writes into the scale of a dimension that has no values
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"
_ARRAY = "__xarray_dataarray_variable__"  # the name that xarray gives to an array without one


@dataclass(frozen=True)
class Assembly:
    """An array and the coordinates along each of its dimensions.

    Parameters
    ----------
    values : array
        Numbers.
    dims : tuple of str
        Name of each axis.
    coords : mapping of str to DataFrame
        For each dimension, one row a position and one column a coordinate.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coords: Mapping[str, pd.DataFrame]


def read_assembly(path: str | Path, *, name: str | None = None) -> Assembly:
    """Read the array of a netCDF file (version 3 or 4) and its coordinates.

    Parameters
    ----------
    path : str or Path
    name : str, optional
        The variable; not needed when one has more dimensions than all others.

    Raises
    ------
    UnreadableError
        If the file is damaged, holds no array of two dimensions or more, or several.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read", found=str(error)) from None
    if start[:3] == b"CDF":
        found = _version_3(path)
    elif start == b"\x89HDF":
        found = _version_4(path)
    else:
        raise UnreadableError(f"{path} is no netCDF file", found=f"begins with {start!r}", allowed="netCDF 3 or 4")
    arrays = {key: dims for key, (dims, values) in found.items() if len(dims) >= 2 and values.dtype.kind in "fiu"}
    if name is None:
        most = max((len(d) for d in arrays.values()), default=0)
        arrays = {key: dims for key, dims in arrays.items() if len(dims) == most}
    if (name is not None and name not in arrays) or (name is None and len(arrays) != 1):
        raise UnreadableError(
            f"{path} does not hold one array of two dimensions or more" + (f" called {name!r}" if name else ""),
            found=", ".join(f"{k} ({', '.join(d)})" for k, (d, _) in found.items())[:400] or "nothing",
        )
    wanted = name or next(iter(arrays))
    dims, values = found[wanted]
    coords = {}
    for axis, dim in enumerate(dims):
        table = {key: v for key, (d, v) in found.items() if d == (dim,) and key != wanted}
        coords[dim] = pd.DataFrame(table, index=range(values.shape[axis]))
    return Assembly(values, dims, coords)


def _version_4(path: Path) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    with hdf5(path, "r") as file:
        try:
            for key, item in file.items():
                if (
                    not hasattr(item, "shape")
                    or not item.shape
                    or _text(item.attrs.get("NAME")).startswith(_NO_VARIABLE)
                ):
                    continue
                dims = tuple(_scale_of(item, axis) for axis in range(item.ndim))
                text = item.dtype.kind == "O" or item.dtype.kind == "S"
                values = np.asarray([_text(v) for v in item[...].reshape(-1)], dtype=object) if text else item[...]
                found[key] = dims, _missing(values.reshape(item.shape), item.attrs.get("_FillValue"))
        except (OSError, RuntimeError) as error:
            raise UnreadableError(f"{path} cannot be read to its end", found=str(error).splitlines()[0]) from None
    return found


def _scale_of(item: Any, axis: int) -> str:
    """Name of the dimension along an axis; a variable that is its own scale is a dimension itself."""
    scales = item.dims[axis]
    if len(scales):
        return scales[0].name.rsplit("/", 1)[-1]
    return item.name.rsplit("/", 1)[-1] if item.is_scale and item.ndim == 1 else f"axis {axis}"


def _version_3(path: Path) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    from scipy.io import netcdf_file

    found = {}
    try:
        with netcdf_file(str(path), "r", mmap=False) as file:
            for key, item in file.variables.items():
                values, dims = np.array(item.data), tuple(item.dimensions)
                if values.dtype.kind in "SU" and values.ndim >= 1:
                    rows = values.reshape(*values.shape[:-1], -1)
                    joined = [b"".join(row).rstrip(b"\x00") for row in rows.reshape(-1, rows.shape[-1])]
                    values = np.array([_text(v) for v in joined], dtype=object).reshape(values.shape[:-1])
                    dims = dims[:-1]
                values = values if values.dtype.kind == "O" else values.astype(values.dtype.newbyteorder("="))
                found[key] = dims, _missing(values, getattr(item, "_FillValue", None))
    except (OSError, ValueError, TypeError, IndexError, KeyError) as error:  # scipy: of damaged headers
        raise UnreadableError(f"{path} is a damaged netCDF 3 file", found=str(error)[:200]) from None
    return found


def _missing(values: np.ndarray, fill: Any) -> np.ndarray:
    """Numbers that stand for "no value" become NaN."""
    if values.dtype.kind == "f" and fill is not None and np.isfinite(np.asarray(fill, dtype=float)).all():
        values[values == np.asarray(fill).reshape(-1)[0]] = np.nan
    return values


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.decode("utf8", errors="replace") if isinstance(value, bytes) else str(value)


def write_assembly(path: str | Path, assembly: Assembly, *, name: str = _ARRAY) -> None:
    """Write a netCDF 4 file as xarray does for an array whose indices were reset: coordinates without an index variable."""
    import h5py

    with hdf5(path, "w") as file:
        for dim, size in zip(assembly.dims, assembly.values.shape, strict=True):
            scale = file.create_dataset(dim, data=np.zeros(size, dtype=">f4"))
            scale.make_scale(f"{_NO_VARIABLE}. {size:>10}")
        data = file.create_dataset(name, data=assembly.values)
        for axis, dim in enumerate(assembly.dims):
            data.dims[axis].attach_scale(file[dim])
        for dim, table in assembly.coords.items():
            for column in table:
                values = table[column].to_numpy()
                if values.dtype.kind not in "fiub":
                    values = np.array([str(v) for v in values], dtype=h5py.string_dtype())
                file.create_dataset(str(column), data=values).dims[0].attach_scale(file[dim])
        every = " ".join(str(c) for table in assembly.coords.values() for c in table)
        data.attrs["coordinates"] = every
