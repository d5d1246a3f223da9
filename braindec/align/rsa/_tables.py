"""Names of models and groups of data matrices from the tables of RDMs; one clear message for what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.align.rsa._draws import codes_of
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError

__all__ = ["cells_of", "complete", "names_of"]

_CELLS = ("region", "hemisphere", "roi", "band", "time")


def complete(**named: RDMs) -> None:
    """Refuse missing cells, naming the matrices."""
    for what, rdms in named.items():
        bad = ~np.isfinite(rdms.values)
        if bad.any():
            raise BraindecError(
                f"inference needs every cell of the {what}",
                found=f"{int(bad.sum())} missing, in {int(bad.any(axis=1).sum())} of {len(bad)} matrices",
                fix="keep the conditions that all of them have: rdms.subset(names)",
            )


def names_of(models: RDMs) -> list[str]:
    """Return the names of models: the column ``model`` of the table, else all columns joined, else numbers."""
    table = models.table
    if "model" in table:
        names = table["model"].astype(str)
    elif len(table.columns):
        names = table.astype(str).agg(" ".join, axis=1)
    else:
        names = pd.Series([f"model-{i}" for i in range(len(models))])
    if names.duplicated().any():
        raise BraindecError("two models have one name", found=", ".join(names[names.duplicated()].unique()[:5]),
                            fix="give the models' table a column 'model' with different names")  # fmt: skip
    return list(names)


def cells_of(
    data: RDMs, by: Sequence[str] | None, subject: str
) -> tuple[list[str], dict[tuple, tuple[np.ndarray, np.ndarray]]]:
    """Return the columns that tell cells apart, and for each cell its rows and their subject numbers.

    Raises
    ------
    BraindecError
        If a column is not there.
    """
    by = [c for c in _CELLS if c in data.table] if by is None else list(by)
    missing = [c for c in by if c not in data.table]
    if missing:
        raise BraindecError(
            f"the table of the data has no column {missing[0]!r}", allowed=", ".join(map(str, data.table))
        )
    who = data.table[subject].astype(str).to_numpy() if subject in data.table else np.arange(len(data)).astype(str)
    keys = list(data.table[by].itertuples(index=False, name=None)) if by else [()] * len(data)
    out = {}
    for key in dict.fromkeys(keys):
        rows = np.array([i for i, k in enumerate(keys) if k == key])
        out[key] = rows, codes_of(who[rows], len(rows))
    return by, out
