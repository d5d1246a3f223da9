"""What an alignment compares: responses as (item, target) with regions, and the layers of a model, joined on stimulus_id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._encoding_table import as_regions
from braindec.align.responses import trial_responses
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import number
from braindec.stats.ceilings import Ceiling, noise_ceiling
from braindec.types import Features, Windows

__all__ = ["BrainItems", "Layer", "brain_items", "layers_of", "values_of"]


@dataclass(frozen=True, eq=False)
class BrainItems:
    """Responses to items.

    Parameters
    ----------
    Y : array of shape (n, n_targets), float32
        Finite and not constant.
    rows : DataFrame
        One row an item (or trial, or volume), with stimulus_id and, where they are known, onset, run, passage, text, ...
    regions : dict of str to array of bool, shape (n_targets,)
        The first is "all channels".
    targets : DataFrame
        One row a target that was kept; ``place`` is its number among all channels.
    n_all : int
        Channels before those that cannot be scored were left out.
    kind : str
        "items" or "time" (volumes).
    runs : array of shape (n,) or None
        Run of each row: rows of a run are neighbours in order.
    notes : list of str
    bands : dict of str to array of shape (n, p)
        Nuisance that came with the responses (the rate of words in volumes).
    ceiling : Ceiling or None
        From repetitions.
    """

    Y: np.ndarray
    rows: pd.DataFrame
    regions: Mapping[str, np.ndarray]
    targets: pd.DataFrame
    n_all: int
    kind: str = "items"
    runs: np.ndarray | None = None
    notes: Sequence[str] = field(default_factory=list)
    bands: Mapping[str, np.ndarray] = field(default_factory=dict)
    ceiling: Ceiling | None = None

    def __len__(self) -> int:
        return len(self.Y)


@dataclass(frozen=True, eq=False)
class Layer:
    """Units of one layer and site.

    Parameters
    ----------
    name : str
        For tables: "3 resid_post".
    columns : array of int
        Which units of the features.
    layer : int or None
    site : str
    """

    name: str
    columns: np.ndarray
    layer: int | None = None
    site: str = ""


def brain_items(
    brain: Windows | Features, *, regions: Any = None, window: tuple[float, float] | None = None, average: bool = True
) -> BrainItems:
    """Return the responses of one subject to items.

    Parameters
    ----------
    brain : Windows or Features
        Betas or epochs (averaged over ``window``, s; over all samples by default), or a table of items.
    regions : str, mapping or labels, optional
        A column of the channels (units), masks by name, or one label a channel; the column "region" by default.
    average : bool
        Average repetitions of an item; their ceiling is found before. Where repetitions come in another order each time, the
        noise of neighbours in time then falls on other items each time.
    """
    notes: list[str] = []
    if window is not None and not (isinstance(brain, Windows) and brain.n_times > 1):
        raise BraindecError("a window of time is averaged over in epochs", found="one value an item and channel", fix="leave window out")  # fmt: skip
    if isinstance(brain, Windows):
        if brain.n_times == 1:
            found = trial_responses(brain)
            values, targets = np.asarray(found[:, :]), found.channels.reset_index(drop=True)
            notes += list(found.notes)
        else:
            values, targets = _averaged(brain, window, notes), brain.channels.reset_index(drop=True)
        rows = brain.trials.copy()
    elif isinstance(brain, Features):
        values, rows = brain.load(), brain.items.copy()
        targets = pd.DataFrame(brain.units).reset_index(drop=True)
    else:
        raise BraindecError(
            f"a {type(brain).__name__} holds no responses to items", allowed="Windows, Features, or a list of runs"
        )
    if "stimulus_id" not in rows:
        raise BraindecError("the responses do not say which stimulus each row was", found=f"columns {', '.join(map(str, rows))}",
                            fix="add stimulus_id to the trials: models are joined on it")  # fmt: skip
    rows = rows.reset_index(drop=True)
    rows["stimulus_id"] = rows["stimulus_id"].astype(str)
    values = np.asarray(values, dtype=np.float32)
    usable = np.isfinite(values).all(axis=0)
    usable &= ~(values == values[:1]).all(axis=0)
    if not usable.any():
        raise BraindecError("no channel can be scored", found=f"{values.shape[1]} channels, all constant or not finite")
    if not usable.all() and not notes:
        notes.append(
            f"{int((~usable).sum()):,} of {len(usable):,} channels are constant or not finite: they get no score."
        )
    masks = as_regions(region_labels(regions, targets), values.shape[1])
    if lost := [name for name, mask in masks.items() if not mask[usable].any()]:
        notes.append(f"No channel of {', '.join(lost)} can be scored: constant or not finite.")
    masks = {name: mask[usable] for name, mask in masks.items() if mask[usable].any()}
    kept = targets[usable].assign(place=np.flatnonzero(usable)).reset_index(drop=True)
    values, ceiling = values[:, usable], None
    if rows["stimulus_id"].duplicated().any():
        count = rows["stimulus_id"].value_counts()
        times = max(1, round(float(count.mean()))) if average else 1
        ceiling = noise_ceiling(values, rows["stimulus_id"].to_numpy(), n_averaged=times)
        if average:
            values, rows = _over_repetitions(values, rows)
            seen = f"{count.min()}" if count.min() == count.max() else f"{count.min()} to {count.max()}"
            notes.append(f"Repetitions of an item ({seen} of each) were averaged: {len(rows):,} items.")
    return BrainItems(values, rows, masks, kept, len(usable), "items", runs_of(rows), notes, ceiling=ceiling)


def runs_of(rows: pd.DataFrame) -> np.ndarray | None:
    """A label of the run (subject, session, run together) of each row; None where nothing tells runs apart."""
    parts = [c for c in ("subject", "session", "run") if c in rows and rows[c].notna().all()]
    if not parts:
        return None
    labels = rows[parts].astype(str).agg("/".join, axis=1).to_numpy(dtype=object)
    return labels if len(set(labels)) > 1 else None


def layers_of(features: Features, name: str) -> list[Layer]:
    """The layers of a model, in order of depth; one for all units where the table names none."""
    units = pd.DataFrame(features.units)
    if "layer" not in units:
        return [Layer("all units", np.arange(len(units)))]
    if units["layer"].isna().any():
        raise BraindecError(f"{int(units['layer'].isna().sum())} units of {name!r} name no layer")
    site = units["site"].astype(str) if "site" in units else pd.Series([""] * len(units))
    layer = pd.to_numeric(units["layer"], errors="coerce")
    if layer.isna().any():
        raise BraindecError(f"layers of {name!r} are not numbers", found=repr(units["layer"][layer.isna()].iloc[0]))
    table = pd.DataFrame({"site": site.to_numpy(), "layer": layer.to_numpy(dtype=int)})
    sites = list(dict.fromkeys(table["site"]))
    out = []
    for (depth, where), rows in table.groupby(["layer", "site"], sort=True).indices.items():
        label = f"{depth} {where}".strip() if where != "embedding" else "embedding"
        out.append(Layer(label, np.sort(rows), int(depth), str(where)))
    return sorted(out, key=lambda found: (found.layer, sites.index(found.site)))


def values_of(features: Features, brain: BrainItems, name: str) -> np.ndarray:
    """Values of a model for the rows of the brain, (n, n_units), float32, checked."""
    if brain.kind == "time":
        values = features.load()
        if len(values) != len(brain):
            raise BraindecError(f"the features of {name!r} do not describe the volumes one by one",
                                found=f"{len(values)} rows for {len(brain)} volumes")  # fmt: skip
    else:
        values = features.of(brain.rows["stimulus_id"])
    bad = ~np.isfinite(values)
    if bad.any():
        raise BraindecError(f"the units of {name!r} hold values that are not finite",
                            found=f"{int(bad.sum())} values in {int(bad.any(axis=0).sum())} of {values.shape[1]} units")  # fmt: skip
    if len(values) > 1 and (values == values[:1]).all():
        raise BraindecError(f"no unit of {name!r} ever changes over the items", found=f"{values.shape[1]} units, {len(values)} rows",
                            fix="another pooling or site: the last token of a sentence is often the same full stop")  # fmt: skip
    return values


def with_item_columns(brain: BrainItems, models: Mapping[str, Features]) -> pd.DataFrame:
    """The rows of the brain with columns of the models' items that they lack (text, text_id, word_index, ...)."""
    rows = brain.rows.copy()
    if brain.kind == "time":
        return rows
    for features in models.values():
        items = features.items.drop_duplicates("stimulus_id").set_index("stimulus_id")
        for column in items:
            if column not in rows:
                rows[column] = items[column].reindex(rows["stimulus_id"]).to_numpy()
    return rows


def _over_repetitions(values: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Means over rows of one item, in order of first appearance; columns that differ between repetitions are left out."""
    codes, names = pd.factorize(rows["stimulus_id"])
    order, counts = np.argsort(codes, kind="stable"), np.bincount(codes)
    mean = np.add.reduceat(values[order].astype(np.float64), np.cumsum(counts) - counts, axis=0) / counts[:, None]
    table = rows.iloc[[int(order[k]) for k in np.cumsum(counts) - counts]].reset_index(drop=True)
    text = rows.astype(str).groupby(codes)
    constant = [c for c in rows if text[c].nunique().max() == 1]
    return mean.astype(np.float32), table[constant].assign(stimulus_id=names.to_numpy(dtype=object))


def _averaged(windows: Windows, window: tuple[float, float] | None, notes: list[str]) -> np.ndarray:
    """Epochs averaged over a span of time, (window, channel)."""
    times = windows.times
    if window is not None and (not isinstance(window, (tuple, list)) or len(window) != 2):
        raise BraindecError(f"window={window!r} is no span of time", allowed="(first, last) in s")
    low, high = (number(t, "a time of window", unit="s") for t in (window or (float(times[0]), float(times[-1]))))
    inside = (times >= low - 1e-9) & (times <= high + 1e-9)
    if not inside.any():
        raise BraindecError(
            f"no sample of the epochs lies between {low:g} and {high:g} s", found=f"{times[0]:g} to {times[-1]:g} s"
        )
    notes.append(
        f"Epochs were averaged from {times[inside][0]:g} to {times[inside][-1]:g} s ({int(inside.sum())} samples)."
    )
    return windows.load()[:, :, inside].mean(axis=2)


def region_labels(regions: Any, targets: pd.DataFrame) -> Any:
    """Regions as masks or labels; the column "region" of the table by default, where it names any."""
    if isinstance(regions, str):
        if regions not in targets:
            raise BraindecError(f"the channels have no column {regions!r}{did_you_mean(regions, targets.columns)}",
                                allowed=", ".join(map(str, targets.columns)))  # fmt: skip
        return targets[regions].to_numpy(dtype=object)
    if regions is None and "region" in targets:
        labels = targets["region"].astype(str)
        return (
            None
            if labels.nunique() == len(labels) > 1
            else labels.where(~labels.isin(["nan", "None"]), "").to_numpy(dtype=object)
        )
    return regions
