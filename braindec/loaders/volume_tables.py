"""Tables with one row a volume: confounds of fMRIPrep, realignment parameters and other text files beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _fmri_tables
from braindec.types import Recording

__all__ = ["confounds_of", "table_of"]


def confounds_of(recording: Recording, columns: str | Sequence[str] = "motion6") -> tuple[np.ndarray, list[str]]:
    """Return the confounds that fMRIPrep wrote beside the image of a run.

    Parameters
    ----------
    recording : Recording
        A run with ``info["path"]``.
    columns : str or list of str
        As the option ``confounds`` of the reader ``fmri``.

    Returns
    -------
    values : array of shape (n_times, n_confounds)
        Centred and scaled; the first row, which derivatives do not have, holds the mean.
    names : list of str

    Raises
    ------
    BraindecError
        If there is no table, a column is missing, or numbers of rows differ.
    """
    if not recording.info.get("path"):
        raise BraindecError(f"{recording.label} comes from no image, so there are no confounds beside it",
                            fix="name a table: {kind: table, path: ...}")  # fmt: skip
    skip = getattr(recording.signal, "first", 0)
    path = _fmri_tables.confounds_path(Path(str(recording.info.get("path"))))
    said: list[str] = []
    values = _fmri_tables.read_confounds(path, columns, recording.n_times + skip, said)[skip:]
    return values, [f"confound {k + 1}" for k in range(values.shape[1])]


def table_of(recording: Recording, path: str, root: str | Path) -> tuple[np.ndarray, list[str]]:
    """Return the rows of a text file that belong to the volumes of a run.

    Parameters
    ----------
    recording : Recording
        A run.
    path : str
        Inside ``root``; ``{subject}``, ``{session}``, ``{task}`` and ``{run}`` are filled in. Without ``{run}`` the file
        covers the whole image, of which the run may be a part. Numbers separated by blanks (.par, .txt, .1D), or a table
        with a header (.tsv, .csv).
    root : str or Path
        The folder of the data.

    Raises
    ------
    BraindecError
        If the file is missing, or has no row for some volume.
    UnreadableError
        If it does not hold numbers.
    """
    if not path:
        raise BraindecError(
            "a band of kind table needs the path of a text file", fix="path: motion/{subject}_{run}.txt"
        )
    filled = str(path)
    for key in ("subject", "session", "task", "run"):
        filled = filled.replace(f"{{{key}}}", str(recording.info.get(key) or ""))
    _files.check_inside(filled)
    folder = Path(root)
    file = (folder if folder.is_dir() else folder.parent) / filled
    if not file.is_file():
        raise BraindecError(f"there is no table {file}", found=f"for {recording.label}", fix="correct the band's path")
    values, names = _numbers(file)
    first = 0 if "{run}" in path else int(getattr(recording.signal, "first", 0))
    if len(values) < first + recording.n_times or ("{run}" in path and len(values) != recording.n_times):
        raise BraindecError(
            f"{file.name} does not cover the volumes of {recording.label}",
            found=f"{len(values)} rows; volumes {first + 1} to {first + recording.n_times} are needed",
            fix="one row a volume, in order; or another table",
        )
    return values[first : first + recording.n_times], names


def _numbers(path: Path) -> tuple[np.ndarray, list[str]]:
    try:
        if path.suffix.lower() in (".tsv", ".csv"):
            table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", na_values=["n/a"])
            values, names = table.to_numpy(dtype=float), [str(c) for c in table]
        else:
            text = path.read_text(encoding="utf-8-sig")
            if not text.strip():
                raise ValueError("an empty file")
            values = np.loadtxt(text.splitlines(), ndmin=2, comments=("#", "%"))
            names = [f"column {k + 1}" for k in range(values.shape[1])]
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} is not a table of numbers", found=str(error).splitlines()[0]) from None
    return values, names
