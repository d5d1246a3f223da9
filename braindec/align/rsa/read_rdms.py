"""Dissimilarity matrices from files: MATLAB structures (fields RDM and name), HDF5 of ours, NumPy arrays.

Names of a MATLAB structure may hold several facts, such as "hIT | BE | Session: 1": the parts between bars become columns
of the table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError, UnreadableError, did_you_mean

__all__ = ["find_rdms", "read_rdms"]

_ENDINGS = (".mat", ".h5", ".hdf5", ".npy")


def find_rdms(path: str | Path) -> Path:
    """Return where a file is: as given, in ``$BRAINDEC_DATA``, or in ``./data``.

    Raises
    ------
    BraindecError
        If it is in none of them.
    """
    if not isinstance(path, (str, Path)) or not str(path):
        raise BraindecError("no file of matrices was named", found=repr(path), allowed=", ".join(_ENDINGS))
    given = Path(path).expanduser()
    homes = [Path(), *(Path(h) for h in (os.environ.get("BRAINDEC_DATA"),) if h), Path("data")]
    tried = [given] if given.is_absolute() else [h / given for h in homes]
    for place in tried:
        if place.is_file():
            return place
    near = [did_you_mean(p.name, [f.name for f in p.parent.iterdir()]) for p in tried if p.parent.is_dir()]
    raise BraindecError(
        f"the matrices in {path} cannot be found", found="nothing at " + ", ".join(map(str, tried)),
        fix=f"check the path, or set BRAINDEC_DATA{next((n for n in near if n), '')}",
    )  # fmt: skip


def read_rdms(path: str | Path, *, fields: Sequence[str] = ("model",), conditions: Sequence[str] | None = None) -> RDMs:
    """Read matrices with their names.

    Parameters
    ----------
    path : str or Path
        ``.mat`` with one structure array that has the fields ``RDM`` (square) and ``name``; ``.h5`` that
        :meth:`RDMs.save` wrote; ``.npy`` of shape (n_rdm, n, n) or (n_rdm, n_pairs).
    fields : sequence of str
        Columns of the table that the parts of a name (between bars) become.
    conditions : sequence of str, optional
        Names of the conditions; numbers from 0 by default. A file of ours has its own.

    Raises
    ------
    BraindecError
        If the file is of another kind, holds no such structure, or names have another number of parts.
    """
    path = find_rdms(path)
    if isinstance(fields, str) or not isinstance(fields, Sequence) or not len(fields):
        raise BraindecError(
            "fields name the columns that names are split into",
            found=repr(fields),
            allowed="e.g. ['region', 'subject']",
        )
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise BraindecError(f"{path.name} is no file of matrices that can be read", allowed=", ".join(_ENDINGS))
    if ending in (".h5", ".hdf5"):
        found = RDMs.open(path)
        if conditions is None:
            return found
        if list(map(str, conditions)) != list(found.conditions):
            raise BraindecError(f"{path.name} names its own conditions", found=f"{found.n_conditions} of them, other than the {len(conditions)} given",
                                fix="leave out conditions; rdms.subset(names) keeps or reorders some")  # fmt: skip
        return found
    if ending == ".npy":
        values, names = _numpy(path), None
    else:
        values, names = _matlab(path)
    square = values.ndim == 3
    n = values.shape[1] if square else round((1 + np.sqrt(1 + 8 * values.shape[1])) / 2)
    labels = [str(i) for i in range(n)] if conditions is None else list(conditions)
    table = (
        pd.DataFrame({fields[0]: [f"matrix-{i}" for i in range(len(values))]})
        if names is None
        else _split(names, list(fields), path)
    )
    return RDMs.from_square(values, labels, table=table) if square else RDMs(values, np.array(labels), table)


def _numpy(path: Path) -> np.ndarray:
    """Return matrices (n_rdm, n, n) or cells (n_rdm, n_pairs); one square matrix is seen by its symmetry."""
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UnreadableError(
            f"{path.name} cannot be read as a NumPy array", found=" ".join(str(error).split())[:100],
            allowed="an array of numbers (n_rdm, n, n) or (n_rdm, n_pairs), without pickled objects",
        ) from None  # fmt: skip
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or values.ndim not in (1, 2, 3):
        raise UnreadableError(f"{path.name} holds no dissimilarity matrices", found=f"{values.dtype} of shape {values.shape}",
                              allowed="numbers of shape (n_rdm, n, n) or (n_rdm, n_pairs)")  # fmt: skip
    if values.ndim == 2 and values.shape[0] == values.shape[1] and np.array_equal(values, values.T, equal_nan=True):
        return values[None]
    return np.atleast_2d(values)


def _matlab(path: Path) -> tuple[np.ndarray, list[str]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path)
    except (MatReadError, ValueError, NotImplementedError, OSError) as error:
        raise UnreadableError(f"{path.name} cannot be read as a MATLAB file", found=str(error)[:120],
                              fix="save it with -v7") from None  # fmt: skip
    for value in found.values():
        names = getattr(getattr(value, "dtype", None), "names", None) or ()
        if {"RDM", "name"} <= set(names):
            entries = value.ravel()
            wrong = [
                k
                for k, e in enumerate(entries)
                if np.ravel(e["name"]).size == 0 or np.asarray(e["RDM"]).dtype.kind not in "fiub"
            ]
            if not len(entries) or wrong:
                raise UnreadableError(f"{path.name}: a matrix has no name or holds no numbers" if wrong else f"{path.name} holds no matrices",
                                      found=f"entry {wrong[0] + 1} of {len(entries)}" if wrong else "an empty structure")  # fmt: skip
            shapes = {np.shape(e["RDM"]) for e in entries}
            if len(shapes) > 1:
                raise UnreadableError(f"{path.name}: matrices differ in size", found=", ".join(map(str, shapes)))
            return np.stack([np.asarray(e["RDM"], dtype=float) for e in entries]), [
                str(np.ravel(e["name"])[0]) for e in entries
            ]
    kept = [k for k in found if not k.startswith("__")]
    raise UnreadableError(
        f"{path.name} holds no structure with the fields RDM and name", found=", ".join(kept) or "nothing"
    )


def _split(names: list[str], fields: list[str], path: Path) -> pd.DataFrame:
    parts = [[part.split(":")[-1].strip() for part in name.split("|")] for name in names]
    if any(len(p) != len(fields) for p in parts):
        raise BraindecError(
            f"{path.name}: names and fields differ in number", found=f"{names[0]!r} for {', '.join(fields)}",
            fix="one field for each part of a name between bars, e.g. fields=['region', 'subject', 'session']",
        )  # fmt: skip
    return pd.DataFrame(parts, columns=fields)
