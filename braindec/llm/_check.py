"""Checks of what a user hands in: whole numbers, finite numbers, tables of units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError

UNIT_COLUMNS = ("layer", "site", "index")


def whole(value: Any, what: str, *, least: int = 0, none: bool = False) -> int | None:
    """Return ``value`` as int; with ``none``, None stays None.

    Raises
    ------
    BraindecError
        If it is no whole number (a flag, a text and 1.5 are none), or below ``least``.
    """
    if value is None and none:
        return None
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise BraindecError(
        f"{what}={value!r} does not work", allowed=f"a whole number from {least} on" + (", or None" if none else "")
    )


def layer_numbers(layers: Any) -> list[int] | None:
    """Return layers as a list of int without repeats; None stays None.

    Raises
    ------
    BraindecError
        If there are none, or one is no whole number.
    """
    if layers is None:
        return None
    given = [layers] if not isinstance(layers, Iterable) or isinstance(layers, str) else list(layers)
    if wrong := [v for v in given if isinstance(v, (bool, str, np.bool_)) or not isinstance(v, (int, np.integer))]:
        raise BraindecError(
            f"{wrong[0]!r} is no layer", allowed="whole numbers from 0 on, e.g. layers=[0, 3]; None for all"
        )
    if not given:
        raise BraindecError("no layers were asked for", allowed="layers=None for all, or e.g. layers=[0, 3]")
    return list(dict.fromkeys(int(v) for v in given))


def unit_rows(units: Any, *, twice: bool = True) -> pd.DataFrame:
    """Return a units table with layer and index as int.

    Raises
    ------
    BraindecError
        If it is no table, has no rows or lacks columns, a layer or index is missing or no whole number, or (with
        ``twice=False``) a unit stands in two rows.
    """
    if isinstance(units, Mapping):
        units = pd.DataFrame(units)
    if not isinstance(units, pd.DataFrame):
        raise BraindecError(
            "units are named by a table", found=type(units).__name__, allowed="a DataFrame with layer, site, index",
            fix="features.units.iloc[rows]",
        )  # fmt: skip
    if missing := [c for c in UNIT_COLUMNS if c not in units]:
        raise BraindecError(f"a units table needs {', '.join(missing)}", found=", ".join(map(str, units.columns)))
    if len(units) == 0:
        raise BraindecError("the units table has no rows")
    made = {}
    for column in ("layer", "index"):
        numbers = pd.to_numeric(units[column], errors="coerce").to_numpy(dtype=float)
        bad = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.round(numbers)))
        if len(bad):
            raise BraindecError(
                f"column {column!r} of the units table holds no whole number in {len(bad)} rows",
                found=f"{units[column].iloc[bad[0]]!r} in row {bad[0]}",
            )
        made[column] = numbers.astype(int)
    units = units.assign(**made)
    if units["site"].isna().any():
        raise BraindecError("column 'site' of the units table is empty in some rows")
    if not twice and (again := units.duplicated(list(UNIT_COLUMNS))).any():
        row = units.loc[again.to_numpy(), list(UNIT_COLUMNS)].iloc[0]
        raise BraindecError(
            f"a unit of site {row['site']!r}, layer {row['layer']}, stands twice in the units table",
            found=f"index {row['index']}", fix="units.drop_duplicates(['layer', 'site', 'index'])",
        )  # fmt: skip
    return units


def finite(values: Any, what: str) -> np.ndarray:
    """Return ``values`` as float32.

    Raises
    ------
    BraindecError
        If they are no numbers, or not all finite.
    """
    try:
        numbers = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BraindecError(f"{what} must be numbers", found=repr(values)[:60]) from error
    if not np.isfinite(numbers).all():
        raise BraindecError(
            f"{what} must be finite", found=f"{int((~np.isfinite(numbers)).sum())} of {numbers.size} are not"
        )
    return numbers
