"""Names of models and groups of data matrices from the tables of RDMs; one clear message for what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa._draws import codes_of
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number, seed_of, whole

__all__ = ["asked", "cells_of", "complete", "labels_of", "names_of"]

_CELLS = ("region", "hemisphere", "roi", "band", "time")


def asked(*, n: Any = None, permutations: Any, level: Any, seed: Any) -> None:
    """Refuse numbers of resamples and orders, a level or a seed that cannot be meant."""
    if n is not None:
        whole(n, "n", least=2)
    whole(permutations, "permutations")
    number(level, "level", least=0.0, most=1.0, ends=False)
    seed_of(seed)


def labels_of(labels: Any, n: int, what: str) -> np.ndarray | None:
    """Return one label a condition, or None; BraindecError for another number of them, or missing ones."""
    if labels is None:
        return None
    if isinstance(labels, str) or not np.iterable(labels) or len(labels) != n or pd.isna(pd.Series(list(labels))).any():
        raise BraindecError(f"{what} says which conditions belong together", found=repr(labels)[:60],
                            allowed=f"one label, none missing, for each of {n} conditions")  # fmt: skip
    return np.asarray(labels)


def complete(**named: RDMs) -> None:
    """Refuse what are no matrices, and missing cells, naming the matrices."""
    for what, rdms in named.items():
        if not isinstance(rdms, RDMs):
            raise BraindecError(
                f"{what} are given as RDMs", found=type(rdms).__name__,
                fix="compute_rdm(values), RDMs(values, conditions) or RDMs.from_square(matrices, conditions)",
            )  # fmt: skip
        if not len(rdms):
            raise BraindecError(f"there are no matrices among the {what}", allowed="at least 1")
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
    if by is not None and not isinstance(by, str) and not np.iterable(by):
        raise BraindecError(
            f"by={by!r} names no columns", allowed=", ".join(map(str, data.table)) or "the table has none"
        )
    by = [c for c in _CELLS if c in data.table] if by is None else [by] if isinstance(by, str) else list(by)
    missing = [c for c in by if c not in data.table]
    if missing:
        raise BraindecError(
            f"the table of the data has no column {missing[0]!r}{did_you_mean(str(missing[0]), map(str, data.table))}",
            allowed=", ".join(map(str, data.table)),
        )
    if subject not in data.table and subject != "subject":
        raise BraindecError(f"subjects: the table of the data has no column {subject!r}{did_you_mean(str(subject), map(str, data.table))}",
                            allowed=", ".join(map(str, data.table)))  # fmt: skip
    for column in (*by, *([subject] if subject in data.table else [])):
        if data.table[column].isna().any():
            raise BraindecError(f"{int(data.table[column].isna().sum())} of {len(data)} matrices have no {column}",
                                fix="complete the column of their table, or leave these matrices out: rdms[mask]")  # fmt: skip
    who = data.table[subject].astype(str).to_numpy() if subject in data.table else np.arange(len(data)).astype(str)
    keys = list(data.table[by].itertuples(index=False, name=None)) if by else [()] * len(data)
    out = {}
    for key in dict.fromkeys(keys):
        rows = np.array([i for i, k in enumerate(keys) if k == key])
        out[key] = rows, codes_of(who[rows], len(rows))
    return by, out
