"""One dissimilarity matrix for each group of units: every layer or site of a model, every region of a brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.align.rsa.measure import Measure
from braindec.align.rsa.rdm import RDMs, compute_rdm, measure_of
from braindec.errors import BraindecError, did_you_mean
from braindec.types import Features

__all__ = ["rdms_by_units"]


def rdms_by_units(
    features: Features,
    by: str | Sequence[str],
    *,
    measure: str | Measure = "correlation",
    conditions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    noise: Any = None,
    min_units: int = 2,
    table: Mapping[str, Any] | None = None,
) -> RDMs:
    """Return the dissimilarity matrix of each group of units; groups are read one after the other.

    Parameters
    ----------
    features : Features
        With a units table (model, layer, site, region, ...).
    by : str or list of str
        Columns of the units table; one matrix for each combination that occurs, in order of first appearance. Units
        without a value (NaN) belong to no group.
    measure, conditions, runs
        See :func:`braindec.align.rsa.rdm.compute_rdm`.
    noise : array of shape (n_units,), optional
        Precision of each unit of ``features``; a full one is per group: use ``compute_rdm``.
    min_units : int
        A group with fewer units is an error.
    table : mapping, optional
        Further columns that all matrices share: subject, model, ...

    Returns
    -------
    RDMs
        Table columns: those of ``table``, of ``by``, and n_units.

    Raises
    ------
    BraindecError
        For an unknown column, a group with too few units, or what :func:`compute_rdm` refuses.
    """
    measure = measure_of(measure)
    columns = [by] if isinstance(by, str) else list(by)
    if not isinstance(features, Features) or not columns:
        raise BraindecError(
            "matrices of groups of units need Features, and columns of their units that say which group each is in",
            found=f"{type(features).__name__}, by={by!r}", fix="for one matrix of an array: compute_rdm(values)",
        )  # fmt: skip
    units = features.units
    assert units is not None
    for column in columns:
        if column not in units:
            raise BraindecError(
                f"the units have no column {column!r}{did_you_mean(column, units.columns)}",
                allowed=", ".join(map(str, units)),
            )
    if noise is not None and np.shape(noise) != (len(units),):
        raise BraindecError(
            "noise of groups of units is the precision of each unit",
            found=f"shape {np.shape(noise)}",
            allowed=f"({len(units)},)",
        )
    conditions = features.ids if conditions is None else conditions
    grouped = units.groupby(columns, sort=False, dropna=True).indices
    made, rows = [], []
    for key, members in tqdm(grouped.items(), desc="dissimilarities", disable=None):
        members = np.sort(np.asarray(members))
        named = dict(zip(columns, key if isinstance(key, tuple) else (key,), strict=True))
        if len(members) < min_units:
            raise BraindecError(
                f"{', '.join(f'{k} {v}' for k, v in named.items())} has {len(members)} units", allowed=f"at least {min_units}",
                fix="leave it out: rows of the units table without a value belong to no group",
            )  # fmt: skip
        low, high = int(members[0]), int(members[-1]) + 1
        values = np.asarray(features.values.read(slice(None), low, high))
        values = values if len(members) == high - low else values[:, members - low]
        part = None if noise is None else np.asarray(noise)[members]
        made.append(compute_rdm(values, measure=measure, conditions=conditions, runs=runs, noise=part))
        rows.append({**(table or {}), **named, "n_units": len(members)})
    if not made:
        raise BraindecError(f"no unit has a value of {', '.join(columns)}", found=f"{len(units)} units")
    return RDMs(np.concatenate([one.values for one in made]), made[0].conditions, pd.DataFrame(rows), measure.name,
                {"version": measure.version, "unit": measure.unit})  # fmt: skip
