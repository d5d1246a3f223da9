"""Random units that are like chosen ones: as many, in the same layers and sites, and of like activation if asked for.

Source: AlKhamissi et al. 2025 (NAACL) for random units as the control of a lesion; matching within quantiles follows
Stuart 2010 (Stat Sci 25:1) on matched controls.

Differs from the reference in: sets have the layers of the chosen units, and optionally their mean and variance of activation;
20 sets or more instead of 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean

_NEAREST = 5  # candidates of like activation that one is drawn from

__all__ = ["chosen_rows", "match_quality", "matched_random_units"]


def matched_random_units(
    units: pd.DataFrame, chosen: np.ndarray, *, n_sets: int = 20, match: Sequence[str] = ("layer", "site"),
    avoid: np.ndarray | None = None, overlap: bool = False, rng: np.random.Generator | int | Sequence[int] = 0,
) -> list[np.ndarray]:  # fmt: skip
    """Draw sets of units that are like a choice, from its complement or from all units.

    Parameters
    ----------
    units : DataFrame
        One row a unit.
    chosen : array of int or bool
        Rows of the choice.
    n_sets : int
    match : sequence of str
        Columns of ``units``. Whole numbers, text and bool (layer, site) are matched exactly; other numbers (mean, variance of
        activation) by rank: for each chosen unit one is drawn among the nearest that are still free.
    avoid : array of int or bool, optional
        Units that no set may hold either.
    overlap : bool
        Sets may hold chosen units. For a p-value this is right: a choice made at random is then a set like the others, whereas
        sets of the complement differ from it more than from one another (21 % false positives at 5 % when 40 % of a layer are
        chosen). For showing that *other* units do no harm, leave it out.
    rng : Generator, int or sequence of int

    Returns
    -------
    list of array of int
        Rows of each set, sorted; within a set no unit stands twice.

    Raises
    ------
    BraindecError
        If a layer has fewer free units than chosen ones, or fewer different sets than asked for.
    """
    match = [match] if isinstance(match, str) else list(match)
    if not isinstance(units, pd.DataFrame):
        raise BraindecError("units are a table", found=type(units).__name__, fix="features.units")
    if missing := [c for c in match if c not in units]:
        raise BraindecError(
            f"units cannot be matched on {missing[0]!r}{did_you_mean(missing[0], map(str, units))}",
            found=", ".join(map(str, units)),
        )
    rows = chosen_rows(chosen, len(units), "chosen")
    closed = np.zeros(len(units), dtype=bool)
    closed[rows] = not overlap
    if avoid is not None:
        closed[chosen_rows(avoid, len(units), "avoid")] = True
    if not len(rows) or n_sets < 1:
        raise BraindecError(
            "random sets need chosen units to be like, and one set or more", found=f"{len(rows)} units, {n_sets} sets"
        )
    exact = [c for c in match if not pd.api.types.is_float_dtype(units[c])]
    stratum = units.groupby(exact, sort=True).ngroup().to_numpy() if exact else np.zeros(len(units), int)
    if (bare := units[list(match)].isna().any(axis=1).to_numpy() & ~closed).any():
        closed |= bare
    strata = [(rows[stratum[rows] == s], np.flatnonzero((stratum == s) & ~closed)) for s in np.unique(stratum[rows])]
    _check(units, strata, exact, n_sets)
    ranks = _ranks(units[[c for c in match if c not in exact]], stratum)
    rng = np.random.default_rng(rng)
    sets: dict[tuple[int, ...], None] = {}
    for _ in range(50 * n_sets):
        drawn = np.concatenate([_draw(own, free, ranks, rng) for own, free in strata])
        sets[tuple(np.sort(drawn))] = None
        if len(sets) == n_sets:
            return [np.array(s, dtype=int) for s in sets]
    raise BraindecError(
        f"fewer than {n_sets} different sets of like units were found",
        found=str(len(sets)),
        fix="match on fewer columns, or ask for fewer sets",
    )


def match_quality(
    units: pd.DataFrame, chosen: np.ndarray, sets: Sequence[np.ndarray], columns: Sequence[str]
) -> pd.DataFrame:
    """Return, for each column of numbers, how far the sets are from the choice.

    Returns
    -------
    DataFrame
        column, chosen (mean), matched (mean over sets), apart (their difference over the standard deviation over all units; below
        0.1 is close, Stuart 2010), unmatched (the same for all other units: what matching had to overcome).
    """
    rows = chosen_rows(chosen, len(units), "chosen")
    if not len(rows) or not len(sets):
        raise BraindecError("there is nothing to compare", found=f"{len(rows)} chosen units, {len(sets)} random sets")
    if wrong := [c for c in columns if c not in units or not pd.api.types.is_numeric_dtype(units[c])]:
        raise BraindecError(
            f"units have no column of numbers {wrong[0]!r}{did_you_mean(wrong[0], units)}",
            found=", ".join(map(str, units)),
        )
    rest = np.setdiff1d(np.arange(len(units)), rows)
    out = []
    for column in columns:
        x = units[column].to_numpy(dtype=float)
        spread = np.nanstd(x)
        spread = spread if spread > 0 else np.nan
        matched = float(np.mean([np.nanmean(x[s]) for s in sets]))
        own = float(np.nanmean(x[rows]))
        out.append((column, own, matched, (matched - own) / spread, (float(np.nanmean(x[rest])) - own) / spread))
    return pd.DataFrame(out, columns=["column", "chosen", "matched", "apart", "unmatched"])


def _draw(own: np.ndarray, free: np.ndarray, ranks: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """One unit for each of ``own`` out of ``free``, no unit twice."""
    if ranks is None:
        return rng.choice(free, len(own), replace=False)
    left = np.ones(len(free), dtype=bool)
    place, drawn = ranks[free], np.empty(len(own), dtype=int)
    for i in rng.permutation(len(own)):  # in random order, so that no unit always has the first choice
        gap = np.where(left & (free != own[i]), np.abs(place - ranks[own[i]]).max(axis=1), np.inf)
        count = min(_NEAREST, int(np.isfinite(gap).sum()))
        if not count:  # only the unit itself is left
            gap, count = np.where(left, 0.0, np.inf), 1
        near = np.argpartition(gap, count - 1)[:count]
        pick = int(rng.choice(near))
        left[pick], drawn[i] = False, free[pick]
    return drawn


def _ranks(table: pd.DataFrame, stratum: np.ndarray) -> np.ndarray | None:
    """Rank of each number within its layer, from 0 to 1, (n_units, n_columns)."""
    return None if not table.shape[1] else table.groupby(stratum).rank(pct=True).to_numpy()


def _check(
    units: pd.DataFrame, strata: Sequence[tuple[np.ndarray, np.ndarray]], exact: Sequence[str], n_sets: int
) -> None:
    ways = 1
    for own, free in strata:
        if len(free) < len(own):
            where = ", ".join(f"{c} {units[c].iloc[own[0]]}" for c in exact) or "all units"
            raise BraindecError(f"{where}: there are fewer free units than chosen ones", found=f"{len(free)} free, {len(own)} chosen",
                                fix="choose fewer units, or match on fewer columns")  # fmt: skip
        ways *= comb(len(free), len(own))
    if ways < n_sets:
        raise BraindecError(
            f"there are not {n_sets} different random sets",
            found=str(ways),
            fix="choose fewer units, or ask for fewer sets",
        )


def chosen_rows(given: np.ndarray, n: int, what: str) -> np.ndarray:
    """Return rows of ``n`` units given as numbers or flags, checked; ``what`` names them in the error."""
    given = np.asarray(given)
    if (given.dtype == bool and given.shape != (n,)) or (given.size and given.dtype.kind not in "iub"):
        raise BraindecError(f"{what} must be rows of the units", found=f"{given.dtype} of shape {given.shape}",
                            allowed=f"whole numbers from 0 to {n - 1}, or {n} flags")  # fmt: skip
    rows = np.flatnonzero(given) if given.dtype == bool else given.astype(int).reshape(-1)
    if len(rows) and (rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) != len(rows)):
        raise BraindecError(
            f"{what} must be different rows of the units",
            found=f"{rows.min()} to {rows.max()}",
            allowed=f"0 to {n - 1}",
        )
    return rows
