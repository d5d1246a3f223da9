"""Features from files: braindec's own HDF5, NPZ (values and stimulus_id), or a table with a column stimulus_id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _arrays, _files
from braindec.types import Features
from braindec.types.signals import as_signal
from braindec.types.storage import hdf5

__all__ = ["load_features"]

_SUFFIXES = (".h5", ".hdf5", ".npz", ".csv", ".tsv")


def load_features(path: str | Path) -> Features:
    """Open features.

    Parameters
    ----------
    path : str or Path
        An HDF5 file that :meth:`Features.save` wrote (stays on disk), or one with datasets ``values`` (item, unit)
        and ``stimulus_id``; an .npz with the same two (and any other text or number column with one value an item); a
        .csv or .tsv with a column ``stimulus_id``, whose numeric columns are the units and whose text columns
        describe the items. A column ``onset`` (s from the start of the stimulus) makes them timed: several rows a
        stimulus.

    Raises
    ------
    UnreadableError
        If the file is damaged, or holds Python objects.
    BraindecError
        If ids are missing or stand twice, shapes do not fit, or values are not finite.
    """
    path = _files.existing(path)
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in _SUFFIXES:
        raise UnreadableError(
            f"{path} cannot be read as features",
            found="a folder" if path.is_dir() else f"ending {suffix}",
            allowed=", ".join(_SUFFIXES),
        )
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="make the features again")
    if suffix in (".csv", ".tsv"):
        found = _table(path)
    elif suffix == ".npz":
        found = _archive(path)
    else:
        found = _hdf5(path)
    ids = found.items["stimulus_id"]
    timed = "onset" in found.items  # several rows a stimulus, each with its time in it
    if not timed and ids.duplicated().any():
        twice = ids[ids.duplicated()].unique()
        raise BraindecError(
            f"{path}: {len(twice)} stimulus ids stand twice",
            found=", ".join(twice[:5]),
            fix="one row a stimulus; rows sampled in time need a column onset (s from the start of the stimulus)",
        )
    if found.values.path is None:  # in memory: a look costs nothing; on disk it would read everything
        _check_finite(found, path)
    return found


def _archive(path: Path) -> Features:
    shapes = _arrays.variables(path)
    _need(shapes, path)
    values = _arrays.read(f"{path.name}:values", path.parent)
    return _assemble(path, values, {n: _arrays.read(f"{path.name}:{n}", path.parent) for n in shapes if n != "values"})


def _hdf5(path: Path) -> Features:
    with hdf5(path, "r") as file:
        own = file.attrs.get("kind") == "features"
    if own:
        return Features.open(path)
    shapes = _arrays.variables(path)
    _need(shapes, path)
    columns = {n: s for n, s in shapes.items() if n != "values" and "/" not in n}
    with hdf5(path, "r") as file:
        table = {n: file[n].asstr()[...] if file[n].dtype.kind == "O" else file[n][...] for n in columns}
        values = file["values"][...]
    return _assemble(path, values, table)


def _assemble(path: Path, values: np.ndarray, columns: dict[str, np.ndarray]) -> Features:
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise BraindecError(
            f"{path}: values must be numbers of (item, unit)", found=f"shape {values.shape}, {values.dtype}"
        )
    ids = np.asarray(columns.pop("stimulus_id")).reshape(-1)
    if len(ids) != len(values):
        raise BraindecError(
            f"{path}: values and stimulus_id differ in number", found=f"{values.shape} and {len(ids)} ids"
        )
    items = {"stimulus_id": [_text(i) for i in ids]}
    for name, column in columns.items():
        if column.ndim == 1 and len(column) == len(ids):
            items[name] = [_text(c) for c in column] if column.dtype.kind in "OSU" else list(column)
    return Features(as_signal(values.astype(np.float32)), pd.DataFrame(items), None, {"path": str(path)})


def _table(path: Path) -> Features:
    try:
        table = pd.read_csv(
            path,
            sep="\t" if path.suffix.lower() == ".tsv" else ",",
            encoding="utf-8-sig",
            dtype={"stimulus_id": str},
            keep_default_na=True,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error).splitlines()[0]) from None
    if "stimulus_id" not in table:
        raise BraindecError(
            f"{path} has no column stimulus_id{did_you_mean('stimulus_id', table.columns)}",
            found=f"columns {list(table.columns)[:10]}",
            fix="name the column of ids stimulus_id: it is what joins features and trials",
        )
    if table["stimulus_id"].isna().any():
        raise BraindecError(f"{path}: {int(table['stimulus_id'].isna().sum())} rows have no stimulus_id")
    numeric = [c for c in table.columns if c != "stimulus_id" and pd.api.types.is_numeric_dtype(table[c])]
    if not numeric:
        raise BraindecError(
            f"{path} has no numeric column",
            found=f"columns {list(table.columns)[:10]}",
            fix="one column of numbers a unit",
        )
    items = table[[c for c in table.columns if c not in numeric]]
    units = pd.DataFrame({"name": [str(c) for c in numeric]})
    return Features(as_signal(table[numeric].to_numpy(dtype=np.float32)), items, units, {"path": str(path)})


def _need(shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    for name in ("values", "stimulus_id"):
        if name not in shapes:
            raise BraindecError(
                f"{path} has no array {name!r}{did_you_mean(name, shapes)}",
                found=", ".join(f"{n} {s}" for n, s in list(shapes.items())[:8]) or "nothing",
                fix="save it with numpy.savez(path, values=values, stimulus_id=ids)",
            )


def _check_finite(found: Features, path: Path) -> None:
    bad = ~np.isfinite(found.load()).all(axis=1)
    if bad.any():
        raise BraindecError(
            f"{path}: {int(bad.sum())} of {len(bad)} items hold values that are not finite",
            found=", ".join(found.ids[bad][:5]),
            fix="leave these stimuli out, or make their features again",
        )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
