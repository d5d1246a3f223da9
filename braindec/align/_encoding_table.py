"""The score table of an encoding model: means over all targets and over regions, with intervals, p-values and controls.

Intervals are over held-out pieces (runs or contiguous parts of them, groups of whole stimuli); models are not trained
again. Folds train on one another: where nothing is there, the agreement of each two folds counts in the score of both, so
that a mean over folds varies twice as much as its parts say (Nadeau & Bengio 2003, Machine Learning 52:239, find the same
share for overlapping training sets). Intervals over several folds are longer by the root of 2 therefore.
At a nominal 0.95, 0.92 to 0.97 of them held the expected correlation in simulations of smooth runs (3 to 12) and of single
trials, with an effect and without; where the effect is strong they are up to half as long again as needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p

__all__ = ["RELIABLE", "RegionMeans", "as_regions", "score_table", "with_reliable"]

ALL = "all channels"
RELIABLE = "reliable"
JOINT = "all bands"
_METRICS = {"r": "pearson", "r2": "r2", "normalized": "pearson_normalized"}
_CONTROLS = {"one_penalty": "plain ridge, one penalty a target for all bands together",
             "time_only": "place within the run only", "oasm": "neighbourhood in time only (smoothed identity of rows)"}  # fmt: skip


def as_regions(regions: Any, n_targets: int) -> dict[str, np.ndarray]:
    """Return a mask of the targets of each region; "all channels" comes first.

    Parameters
    ----------
    regions : None, mapping of str to (mask or target numbers), or array of shape (n_targets,) of labels
        A target with the label "", "n/a" or None belongs to no region.
    n_targets : int
    """
    out = {ALL: np.ones(n_targets, dtype=bool)}
    if regions is None:
        return out
    if not isinstance(regions, Mapping):
        if not np.iterable(regions):
            raise BraindecError(f"regions={regions!r} name no targets", allowed=f"a column, masks by name, or {n_targets} labels")  # fmt: skip
        labels = np.array(
            ["" if v is None or v != v else str(v) for v in np.asarray(regions, dtype=object)], dtype=object
        )
        if labels.shape != (n_targets,):
            raise BraindecError(
                "regions need one label for each target", found=f"shape {labels.shape} for {n_targets} targets"
            )
        regions = {name: labels == name for name in sorted(set(labels) - {"", "n/a"})}
    for name, members in regions.items():
        members = np.asarray(members)
        mask = members if members.dtype == bool else np.isin(np.arange(n_targets), members)
        if mask.shape != (n_targets,) or not mask.any():
            raise BraindecError(f"region {name!r} does not fit the targets", found=f"{int(mask.sum())} of {mask.shape} targets",
                                allowed=f"a mask of ({n_targets},), or target numbers")  # fmt: skip
        if str(name) in out:
            raise BraindecError(
                f"a region cannot be called {name!r}", allowed=f'any other name than "{ALL}", each once'
            )
        out[str(name)] = mask
    return out


def with_reliable(masks: dict[str, np.ndarray], n_targets: int) -> dict[str, np.ndarray]:
    """Return the masks with "reliable" in second place, empty: its targets are chosen in each fold."""
    if RELIABLE in masks:
        raise BraindecError(
            f"a region cannot be called {RELIABLE!r}", fix="that name is for the targets chosen in each fold"
        )
    return {ALL: masks[ALL], RELIABLE: np.zeros(n_targets, dtype=bool), **masks}


@dataclass(eq=False)
class RegionMeans:
    """Means over the targets of each region, gathered block by block; of "reliable" over folds and the targets of each fold.

    Parameters
    ----------
    names : list of str
    masks : array of bool, shape (n_regions, n_targets)
    """

    names: list[str]
    masks: np.ndarray
    sums: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, name: str, block: slice, values: np.ndarray) -> None:
        """Add scores (..., n_targets of the block); targets that are NaN do not count."""
        mask = self.masks[:, block].T.astype(np.float64)
        known = np.isfinite(values)
        self._add(name, np.where(known, values, 0.0) @ mask, known.astype(np.float64) @ mask)

    def add_folds(self, name: str, block: slice, values: np.ndarray, chosen: np.ndarray | None) -> None:
        """Add scores of each fold (..., n_folds, n_targets); ``chosen`` (n_folds, n_targets) are the reliable ones.

        Every pair of fold and target that is finite has the same weight. A mean over the known folds of each target would
        be biased where it depends on the data which those are: a ceiling that is known only without a run tells that the
        run differs.
        """
        mask, n_folds = self.masks[:, block].T.astype(np.float64), values.shape[-2]
        known = np.isfinite(values)
        filled = np.where(known, values, 0.0)
        self._add(name, filled.sum(axis=-2) @ mask / n_folds, known.sum(axis=-2) @ mask / n_folds)
        if chosen is not None:
            self.add_reliable(
                name, (filled * chosen).sum(axis=(-2, -1)) / n_folds, (known & chosen).sum(axis=(-2, -1)) / n_folds
            )

    def add_reliable(self, name: str, sums: np.ndarray, counts: np.ndarray) -> None:
        """Add sums and counts, (...), over the reliable targets of a mean fold: divided by the number of folds."""
        if RELIABLE not in self.names:
            return
        place = self.names.index(RELIABLE)
        total, count = np.zeros((*np.shape(sums), len(self.names))), np.zeros((*np.shape(sums), len(self.names)))
        total[..., place], count[..., place] = sums, counts
        self._add(name, total, count)

    def drop(self, region: str) -> None:
        """Leave a region out."""
        place = self.names.index(region)
        self.names, self.masks = [n for n in self.names if n != region], np.delete(self.masks, place, axis=0)
        self.sums = {k: np.delete(v, place, axis=-1) for k, v in self.sums.items()}
        self.counts = {k: np.delete(v, place, axis=-1) for k, v in self.counts.items()}

    def _add(self, name: str, total: np.ndarray, count: np.ndarray) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0.0) + count

    def of(self, name: str) -> np.ndarray:
        """Means, (..., n_regions); NaN where no target counts."""
        count = self.counts[name]
        return np.divide(self.sums[name], count, out=np.full(count.shape, np.nan), where=count > 0)


def score_table(
    means: RegionMeans,
    *,
    n_rows: int,
    n_folds: int,
    keys: Mapping[str, Any],
    seed: int,
    surrogate: str,
    n_surrogates: int,
) -> pd.DataFrame:
    """Return the long table of scores.

    ``means`` holds "value/NAME" (n_regions,), "unit/NAME" (n_units, n_regions) and, with surrogates, "null/r" and
    "null/unique_r2/BAND" (n_surrogates, n_regions), correlations all; NAME is "r", "r2", "normalized", "unique_r2/BAND", "split_r2/BAND" or "control/NAME".
    """
    rows: list[dict[str, Any]] = []
    longer = np.sqrt(2.0) if n_folds > 1 else 1.0
    scores = [k.split("/", 1)[1] for k in means.sums if k.startswith("value/") and not k.startswith("value/control/")]
    for region, name in enumerate(means.names):
        for score in scores:
            kind, _, band = score.partition("/")
            row = _row(means, score, region, seed, longer)
            if row is not None:
                rows.append(
                    {"metric": _METRICS.get(kind, kind), "row": "decoded", "region": name, "band": band or JOINT, **row}
                )
        if n_surrogates and np.isfinite(means.of("value/r")[region]):
            null = means.of("null/r")[:, region]
            low, high = np.quantile(null, [0.025, 0.975])
            rows.append({"metric": "pearson", "row": "refit_null", "region": name, "band": JOINT, "value": null.mean(),
                         "low": low, "high": high, "n_targets": round(float(means.counts["value/r"][region])),
                         "note": f"fitted again on {n_surrogates} {surrogate}; 2.5 and 97.5 %"})  # fmt: skip
        for control in [k.removeprefix("value/control/") for k in means.sums if k.startswith("value/control/")]:
            row = _row(means, f"control/{control}", region, seed, longer)
            if row is not None:
                rows.append({"metric": "pearson", "row": control, "region": name, "band": JOINT, **row,
                             "note": _CONTROLS.get(control, "")})  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["metric", "row", "region", "band", "value", "low", "high", "p", "n_targets", "note"]
    )
    table.insert(1, "version", "1")
    table.insert(table.columns.get_loc("low"), "chance", 0.0)
    table["n"] = n_rows
    for place, (key, value) in enumerate(keys.items()):
        table.insert(place, key, value)
    return table


def _row(means: RegionMeans, score: str, region: int, seed: int, longer: float) -> dict[str, Any] | None:
    """Value, interval, p and number of targets; None where nothing can be said."""
    value = float(means.of(f"value/{score}")[region])
    if not np.isfinite(value):
        return None
    pieces = means.of(f"unit/{score}")[:, region]
    pieces = pieces[np.isfinite(pieces)]
    note = f"mean over targets; interval over {len(pieces)} held-out pieces"
    if len(pieces) >= 2:
        found = bootstrap_interval(pieces, rng=np.random.default_rng([seed, region]))
        centre = pieces.mean()  # a piece is a part of a fold: its spread counts, the fold's score stays
        low, high = value + longer * (found.low - centre), value + longer * (found.high - centre)
    else:
        low, high, note = -1.0, 1.0, "one held-out piece only: the interval is everything"
    p = np.nan
    if f"null/{score}" in means.sums:  # a band's own null is that of the full model's correlation, too
        p = float(permutation_p(means.of("value/r")[region], means.of(f"null/{score}")[:, region]))
    return {
        "value": value,
        "low": low,
        "high": high,
        "p": p,
        "n_targets": round(float(means.counts[f"value/{score}"][region])),
        "note": note,
    }
