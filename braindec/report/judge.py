"""Which scores may be called above chance, and which control rows are off it.

A unit is called above chance when its p-value holds after correction over all units (false discovery rate, Benjamini &
Hochberg 1995) *and* its 95 % interval lies above chance. A p-value that is the smallest its number of permutations can
give and still does not hold is called undecided. Control rows that must be at chance are tested in the same way, over
all of them together, so that one in twenty is not called off by accident; a p-value that is the smallest it can be is
there sharpened by the interval (normal approximation), because a warning must not wait for more permutations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.report.folder import UnitRecord
from braindec.stats.fdr import fdr_bh

ALPHA = 0.05
LOWER_IS_BETTER = {
    "median_rank",
    "mean_rank",
    "log_loss",
    "brier",
    "mse",
    "mae",
    "rmse",
    "feature_distance",
    "lpips",
    "end_point_error",
}
_AT_CHANCE = {
    "label_shuffle",
    "noise_input",
    "time_only",
    "untrained",
    "refit_null",
    "oasm",
    "jittered_spikes",
    "state_free",
    "shifted_trains",
    "shuffled_brain",
    "noise_brain",
    "mean_brain",
    "prior_only",
}
BEST_BLIND = {"accuracy", "f1_macro", "log_loss"}  # chance is what the best blind guess gets: worse is no finding
_SHARES_FOUND = {
    "tagged_units",
    "tagged_channels",
    "state_gain",
    "bits_saved",
}  # fewer than chance is a careful test, or overfitting: not a leak
_KNOWN = {"metric", "version", "row", "value", "chance", "low", "high", "p", "n", "note"}


@dataclass(frozen=True)
class Judged:
    """A decoded score and what it may be called.

    Parameters
    ----------
    label : str
        The unit.
    call : str
        "above": p after correction and interval both say so. "unclear": only one of them does. "uncorrected": p holds
        only before correction. "undecided": as before, but more permutations could have decided it. "near": the
        interval holds chance. "below": the interval lies below chance.
        "untested": there is no p and the interval lies above chance.
    value, chance, low, high, p, q : float
        The score; q is p after correction over units.
    n : float
        Windows.
    """

    label: str
    call: str
    value: float
    chance: float
    low: float
    high: float
    p: float
    q: float
    n: float


def row_kind(row: str) -> str:
    """Return "decoded", "control" (must be at chance) or "reference" (a baseline or ceiling, may be anywhere)."""
    if row == "decoded":
        return "decoded"
    return "control" if row in _AT_CHANCE or row in registry.names("evaluate.controls") else "reference"


def block_columns(scores: pd.DataFrame, keys: Mapping[str, Any]) -> list[str]:
    """Return the text columns, other than the unit's keys, that tell scores of one metric apart (e.g. direction)."""
    return [
        c
        for c in scores.columns
        if c not in _KNOWN
        and c not in keys
        and scores[c].notna().any()
        and not pd.api.types.is_numeric_dtype(scores[c])
    ]


def block_keys(scores: pd.DataFrame, keys: Mapping[str, Any]) -> pd.Series:
    """Return for each row a text that rows of one metric (and direction, ...) share."""
    parts = scores["metric"].astype(str)
    for column in block_columns(scores, keys):
        values = scores[column].map(lambda v: "" if pd.isna(v) else f", {str(v).replace('_', ' ')}")
        parts = parts + values
    return parts


def judge(
    scores: Sequence[tuple[str, Mapping[str, float]]], *, higher: bool = True, n_permutations: int | None = None
) -> list[Judged]:
    """Judge one decoded score of each unit; p-values are corrected over all that have one."""
    floor = floor_of(n_permutations)
    p = np.array([float(s["p"]) for _, s in scores])
    q = adjusted(p)
    judged = []
    for (label, s), own_q in zip(scores, q, strict=True):
        value, chance, low, high, own_p = (float(s[k]) for k in ("value", "chance", "low", "high", "p"))
        call = _call(value, chance, *((low, high) if higher else (-high, -low)), own_p, own_q, 1 if higher else -1)
        if own_p <= floor and own_q > ALPHA and call in ("uncorrected", "unclear"):
            call = "undecided"
        judged.append(Judged(label, call, value, chance, low, high, own_p, float(own_q), float(s["n"])))
    return judged


def floor_of(n_permutations: int | None) -> float:
    """The smallest p that so many permutations can give; 0 when the number is not known."""
    return 0.0 if n_permutations is None else 1 / (n_permutations + 1) + 1e-9


def _call(value: float, chance: float, low: float, high: float, p: float, q: float, sign: int) -> str:
    chance = sign * chance
    if high < chance:
        return "unclear" if p <= ALPHA else "below"
    beyond = low > chance
    if not np.isfinite(p):
        return "untested" if beyond else "near"
    if q <= ALPHA:
        return "above" if beyond else "unclear"
    if p <= ALPHA:
        return "uncorrected"
    return "unclear" if beyond else "near"


def adjusted(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini & Hochberg (1995); what is no p-value is NaN and not counted."""
    return fdr_bh(np.where((p >= 0) & (p <= 1), p, np.nan))


@dataclass(frozen=True)
class Controls:
    """The control rows of a run.

    Parameters
    ----------
    n : int
        How many there are.
    off : set of (unit name, row)
        Those that are reliably off chance.
    unclear : set of (unit name, row)
        Those whose interval is off chance while their p-value does not say so (or not after correction).
    blind : set of (unit name, row)
        Those that nothing can be said of: no p-value, and an interval that holds every score there is.
    """

    n: int = 0
    off: frozenset = frozenset()
    unclear: frozenset = frozenset()
    blind: frozenset = frozenset()


def judge_controls(units: Sequence[UnitRecord], n_permutations: int | None = None) -> Controls:
    """Judge all control rows of a run together."""
    rows = []
    for unit in units:
        kinds = unit.scores["row"].astype(str).map(row_kind)
        for place in np.flatnonzero((kinds == "control") & np.isfinite(unit.scores["value"])):
            rows.append(((unit.name, int(place)), unit.scores.iloc[place]))
    own = np.array([float(row["p"]) for _, row in rows])
    by_interval = np.array([_interval_p(row) for _, row in rows])
    sharpen = ~np.isfinite(own) | ((own <= floor_of(n_permutations)) & np.isfinite(by_interval))
    tested = adjusted(np.where(sharpen, np.fmin(own, by_interval), own)) <= ALPHA
    outside = np.array([_outside(row) for _, row in rows], dtype=bool)
    apart = adjusted(by_interval) <= ALPHA
    names = [name for name, _ in rows]
    off = {n for n, t, o in zip(names, tested, outside, strict=True) if t and o}
    unclear = {n for n, a, o in zip(names, apart, outside, strict=True) if a and o} - off
    blind = {n for n, (_, row) in zip(names, rows, strict=True) if row["high"] - row["low"] >= 1 and not row["p"] <= 1
             and 0 <= row["low"] <= row["high"] <= 1}  # fmt: skip
    return Controls(len(rows), frozenset(off), frozenset(unclear), frozenset(blind))


def _outside(row: Mapping[str, Any]) -> bool:
    """True when the interval lies off chance; on the better side of it where less than chance is no fault."""
    above, below = bool(row["low"] > row["chance"]), bool(row["high"] < row["chance"])
    if row["metric"] in BEST_BLIND | _SHARES_FOUND:
        return below if row["metric"] in LOWER_IS_BETTER else above
    return above or below


def _interval_p(row: Mapping[str, float]) -> float:
    """Two-sided p of a row from its interval, normal approximation; NaN without an interval."""
    from scipy.stats import norm

    error = (row["high"] - row["low"]) / (2 * norm.ppf(0.975))
    return float(2 * norm.sf(abs(row["value"] - row["chance"]) / error)) if error > 0 else np.nan
