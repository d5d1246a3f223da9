"""Sets of units against the brain: chosen on other stimuli, scored on stimuli that the choice never saw, beside random sets.

The best hundred of a hundred thousand units are similar to any brain by chance. So a set is chosen on half of the stimuli (or
came from other stimuli, such as a localizer), scored on the other half, and the other way round; random sets with as many
units of each layer go through the same halves, and are the null of the selection. Top-k by a single-unit score, a mask, or
any function that sees only the items it is given can choose.

Source: Kriegeskorte et al. 2009 (Nat Neurosci 12:535) on circular selection; AlKhamissi et al. 2025 (NAACL) for localized
against random units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._alignment_data import BrainItems, brain_items, values_of, with_item_columns
from braindec.align._alignment_encoding import FoldRows, encode
from braindec.align._alignment_null import make_surrogates
from braindec.align._alignment_splits import Held, hold_out
from braindec.align.alignment_controls import random_sets
from braindec.errors import BraindecError
from braindec.stats.asked import whole
from braindec.stats.permutation import permutation_p
from braindec.types import Features, Windows

__all__ = ["UnitSets", "align_unit_sets", "driving_scores", "rows_of_units", "top_by_brain"]

Chooser = Callable[[np.ndarray, np.ndarray], Any]
Choice = Any  # mask, numbers, table of units, or Chooser


@dataclass(frozen=True, eq=False)
class UnitSets:
    """What :func:`align_unit_sets` found.

    Parameters
    ----------
    table : DataFrame
        metric, version, row ("decoded", "random_units", "refit_null"), set, region, value, chance, low, high, p, n, n_units, note. The p of
        "decoded" is that of fitting again on surrogates; that of "random_units" compares the set with random ones.
    chosen : dict of str to list of array
        Numbers of the units of each set in each half (one array where the set is fixed).
    agreement : dict of str to float
        Share of the units of both halves' sets that both chose; NaN for fixed sets.
    random : dict of str to array of shape (n_sets, n_regions)
    notes : list of str
    """

    table: pd.DataFrame
    chosen: Mapping[str, Sequence[np.ndarray]]
    agreement: Mapping[str, float]
    random: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: Sequence[str] = ()


def align_unit_sets(
    features: Features, sets: Mapping[str, Choice], brain: Windows | Features | BrainItems, *, regions: Any = None, split: Any = "auto",
    groups: Any = None, n_folds: int = 5, ordered: bool | None = None, allow_leaky: bool = False, n_random_sets: int = 20,
    n_surrogates: int = 200, seed: int = 0, keys: Mapping[str, Any] | None = None,
) -> UnitSets:  # fmt: skip
    """Score sets of units by encoding, on stimuli that had no part in choosing them.

    Parameters
    ----------
    features : Features
        Units of one model for the items of the brain.
    sets : mapping of str to choice
        A mask or numbers of units, a table of units (layer, site, index; as a localizer gives them): chosen on *other* stimuli.
        Or a function ``choose(X (n_items, n_units), Y (n_items, n_targets)) -> numbers or mask``, called with half of the items at a
        time (whole groups); for instance :func:`top_by_brain`.
    brain, regions, split, groups, n_folds, ordered, allow_leaky
        As for :func:`braindec.align.alignment.align_units`; folds lie within the half that is scored.
    n_random_sets : int
        Random sets with as many units of each layer and site, none of them in the set.
    n_surrogates, seed, keys
        As there.

    Raises
    ------
    BraindecError
        If a set is empty, names units that are not there, or there are too few groups for two halves.
    """
    if not isinstance(features, Features):
        raise BraindecError("sets are of the units of one model", found=type(features).__name__, allowed="Features")
    if not isinstance(sets, Mapping) or not sets:
        raise BraindecError("which sets of units?", found=repr(sets)[:60], allowed='{"language units": mask, numbers or table, "top 16": top_by_brain(16)}')  # fmt: skip
    for what, value in (("n_folds", n_folds), ("n_surrogates", n_surrogates), ("n_random_sets", n_random_sets), ("seed", seed)):  # fmt: skip
        whole(value, what, least=2 if what == "n_folds" else 0)
    data = brain if isinstance(brain, BrainItems) else brain_items(brain, regions=regions)
    rows = with_item_columns(data, {"": features})
    held = hold_out(
        rows,
        split=split,
        groups=groups,
        n_folds=n_folds,
        runs=data.runs,
        ordered=ordered,
        allow_leaky=allow_leaky,
        kind=data.kind,
    )
    values, units = values_of(features, data, "the model"), pd.DataFrame(features.units)
    masks = np.stack(list(data.regions.values()))
    surrogates = make_surrogates(len(data), n_surrogates, groups=held.groups, runs=data.runs, seed=seed,
                                 kind="time" if held.unnamed else data.kind)  # fmt: skip
    halves = _halves(held.groups)
    tables, chosen, agreement, random = [], {}, {}, {}
    for number, (name, choice) in enumerate(sets.items()):
        picked = (
            [_pick(choice, name, values, data.Y, units, half) for half in halves]
            if callable(choice)
            else [_numbers(choice, units, name)]
        )
        folds = _folds(held, halves if callable(choice) else [None], n_folds)
        parts = list(zip(picked, folds, strict=True))  # chosen without the rows of its folds
        found = [encode(values[:, columns], data.Y, part, masks, surrogates) for columns, part in parts]
        test = np.concatenate([f.test for f in found]).mean(axis=0)  # (1 + n_surrogates, n_regions)
        rng = np.random.default_rng([seed, 31, number])
        draws = [random_sets(units, columns, n_sets=n_random_sets, rng=rng) for columns, _ in parts]
        random[name] = _random_scores(values, data.Y, masks, parts, draws)
        chosen[name] = picked
        agreement[name] = _agreement(picked)
        tables.append(_rows(name, data, found, test, random[name], picked, agreement[name], surrogates.words, seed))
    table = pd.concat(tables, ignore_index=True).assign(version="1", n=len(data), chance=0.0, leaky=held.leaky)
    for place, (key, value) in enumerate((keys or {}).items()):
        table.insert(place, key, value)
    return UnitSets(table, chosen, agreement, random, [*held.notes, *data.notes])


def top_by_brain(k: int, *, region: np.ndarray | None = None) -> Chooser:
    """Return a function that chooses the ``k`` units whose largest absolute correlation with a channel is highest.

    Parameters
    ----------
    k : int
    region : array of bool, shape (n_targets,), optional
        Channels that count.
    """

    whole(k, "k", least=1)
    if region is not None and (np.asarray(region).dtype != bool or not np.any(region)):
        raise BraindecError("region is a mask of the channels that count", found=repr(region)[:60], allowed="at least one True")  # fmt: skip

    def choose(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
        if k > X.shape[1] or (region is not None and len(region) != Y.shape[1]):
            raise BraindecError(f"the top {k} units cannot be chosen", allowed=f"k from 1 to {X.shape[1]}", found=f"{X.shape[1]} units and {Y.shape[1]} channels"
                                + ("" if region is None else f", a mask of {len(region)}"))  # fmt: skip
        scores = driving_scores(X, Y if region is None else Y[:, region])
        return np.sort(np.argsort(-scores, kind="stable")[:k])

    return choose


def driving_scores(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Largest absolute correlation of each unit with any channel, (n_units,); 0 for units that never change."""
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    x_size, y_size = np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0)
    x, y = x / np.where(x_size > 0, x_size, 1.0), y / np.where(y_size > 0, y_size, 1.0)
    best = np.zeros(x.shape[1])
    for start in range(0, y.shape[1], 512):
        best = np.maximum(best, np.abs(x.T @ y[:, start : start + 512]).max(axis=1))
    return best


def rows_of_units(units: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    """Numbers of the units that a table names by layer, site and index.

    Raises
    ------
    BraindecError
        If a unit is not there, or named by too little.
    """
    shared = [c for c in ("model", "layer", "site", "index", "head") if c in units and c in table]
    if "index" not in shared:
        raise BraindecError("units are named by layer, site and index", found=f"columns {', '.join(map(str, table))}")
    if units.duplicated(shared).any():
        raise BraindecError(f"{', '.join(shared)} do not name one unit each", fix="add layer and site to the table")
    place = units.reset_index(drop=True)[shared].assign(_place=np.arange(len(units)))
    for column in shared:
        if pd.api.types.is_numeric_dtype(units[column]) != pd.api.types.is_numeric_dtype(table[column]):
            raise BraindecError(f"the column {column!r} of the table does not name units", found=f"{table[column].iloc[0]!r}" if len(table) else "no rows",
                                allowed=f"values such as {units[column].iloc[0]!r}")  # fmt: skip
    found = table[shared].merge(place, on=shared, how="left")["_place"]
    if found.isna().any():
        missing = table[shared][found.isna().to_numpy()].iloc[0].to_dict()
        raise BraindecError(
            f"{int(found.isna().sum())} of {len(table)} units are not among the features", found=str(missing)
        )
    return np.sort(found.to_numpy(dtype=int))


def _halves(groups: np.ndarray) -> list[np.ndarray]:
    """Rows of two halves: every other group, so that both cover the whole experiment."""
    names, first = np.unique(groups.astype(str), return_index=True)
    order = names[np.argsort(first)]
    if len(order) < 6:  # each half is divided into folds, and what is left of it for training once more
        raise BraindecError("choosing units on half of the items needs 6 groups or more", found=f"{len(order)} groups",
                            fix="give sets that were chosen on other stimuli, or none (top_units=0 of a recipe)")  # fmt: skip
    even = np.isin(groups.astype(str), order[::2])
    return [np.flatnonzero(even), np.flatnonzero(~even)]


def _folds(held: Held, halves: Sequence[np.ndarray | None], n_folds: int) -> list[list[FoldRows]]:
    """Folds inside the half that had no part in the choice; all folds for fixed sets."""
    from braindec.ridge import group_folds

    out = []
    for k, half in enumerate(halves):
        if half is None:
            out.append([FoldRows(s.train, s.test, held.inner(s, 4), [np.arange(len(s.test))]) for s in held.splits])
            continue
        other = halves[1 - k]
        assert other is not None
        labels = held.groups[other]
        made = group_folds(labels, min(n_folds, len(set(labels.tolist()))))
        out.append([FoldRows(other[a], other[b], group_folds(labels[a], min(4, len(set(labels[a].tolist())))), [np.arange(len(b))])
                    for a, b in made])  # fmt: skip
    return out


def _pick(
    choice: Chooser, name: str, X: np.ndarray, Y: np.ndarray, units: pd.DataFrame, half: np.ndarray
) -> np.ndarray:
    return _numbers(choice(X[half], Y[half]), units, name)


def _numbers(choice: Any, units: pd.DataFrame, name: str) -> np.ndarray:
    if isinstance(choice, pd.DataFrame):
        numbers = rows_of_units(units, choice)
    else:
        values = np.asarray(choice)
        if values.ndim != 1 or (values.dtype.kind not in "iub" and values.size):
            raise BraindecError(f"the set {name!r} does not name units", found=repr(choice)[:60], allowed="a mask, numbers, or a table of layer, site and index")  # fmt: skip
        if values.dtype == bool and values.shape != (len(units),):
            raise BraindecError(
                f"the mask {name!r} does not fit the units", found=f"shape {values.shape} for {len(units)} units"
            )
        numbers = np.flatnonzero(values) if values.dtype == bool else np.unique(values.astype(int))
    if not len(numbers) or numbers[0] < 0 or numbers[-1] >= len(units):
        raise BraindecError(
            f"the set {name!r} does not name units", found=f"{len(numbers)} numbers for {len(units)} units"
        )
    return numbers


def _random_scores(
    values: np.ndarray, Y: np.ndarray, masks: np.ndarray, parts: Sequence[Any], draws: Sequence[Sequence[np.ndarray]]
) -> np.ndarray:
    """(n_sets, n_regions): the k-th random set of each half together."""
    out = []
    for k in range(min(map(len, draws))):
        found = [
            encode(values[:, draw[k]], Y, folds, masks, None) for draw, (_, folds) in zip(draws, parts, strict=True)
        ]
        out.append(np.concatenate([f.test for f in found])[:, 0].mean(axis=0))
    return np.stack(out) if out else np.zeros((0, len(masks)))


def _agreement(picked: Sequence[np.ndarray]) -> float:
    if len(picked) < 2:
        return float("nan")
    return 2 * len(np.intersect1d(picked[0], picked[1])) / max(1, len(picked[0]) + len(picked[1]))


def _rows(
    name: str, data: BrainItems, found: Sequence[Any], test: np.ndarray, random: np.ndarray, picked: Sequence[np.ndarray], agreement: float, words: str,
    seed: int,
) -> pd.DataFrame:  # fmt: skip
    from braindec.align._alignment_table import interval

    rows, size = [], round(float(np.mean([len(p) for p in picked])))
    how = (
        "chosen on other stimuli"
        if len(picked) == 1
        else f"chosen on half of the items, scored on the other; {agreement:.0%} chosen by both halves"
    )
    for k, region in enumerate(data.regions):
        base = {
            "metric": "pearson",
            "set": name,
            "region": region,
            "n_units": size,
            "n_targets": int(data.regions[region].sum()),
        }
        value, null = float(test[0, k]), test[1:, k]
        pieces = np.concatenate([np.concatenate([p[:, k] for p in f.pieces]) for f in found])
        low, high, note = interval(None, k, value, {"seed": seed}, pieces)
        rows.append({**base, "row": "decoded", "value": value, "low": low, "high": high, "p": float(permutation_p(value, null)) if len(null) else np.nan,
                     "note": f"{how}; {note}; p: {words}"})  # fmt: skip
        if len(null):
            ends = np.quantile(null, [0.025, 0.975])
            rows.append(
                {
                    **base,
                    "row": "refit_null",
                    "value": null.mean(),
                    "low": ends[0],
                    "high": ends[1],
                    "note": f"{len(null)} surrogates; 2.5 and 97.5 %",
                }
            )
        if len(random):
            ends = np.quantile(random[:, k], [0.025, 0.975])
            rows.append({**base, "row": "random_units", "value": random[:, k].mean(), "low": ends[0], "high": ends[1], "p": float(permutation_p(value, random[:, k])),
                         "note": f"{len(random)} random sets, as many units of each layer; p: the set against them"})  # fmt: skip
    return pd.DataFrame(rows)
