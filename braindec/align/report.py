"""One page of an alignment: models x regions x scores, with every control, as a Result that ``braindec report`` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._alignment_data import Layer
from braindec.align._alignment_table import EVERY
from braindec.align.alignment import Alignment
from braindec.align.unit_sets import UnitSets
from braindec.errors import BraindecError
from braindec.evaluate.audit import Audit
from braindec.evaluate.finding import LEVELS
from braindec.types import Result

__all__ = ["report"]

_NAMES = {"pearson": "Encoding", "rsa": "RSA", "cka": "CKA"}
_LABELS = {"pearson": "held-out r", "rsa": "similarity of RDMs", "cka": "debiased CKA"}
_STARS = {"language": 2, "units": 2, "nuisance": 1, "untrained": 1}
_MANY = 9  # regions in one picture of layers


def report(
    found: Alignment, *, sets: UnitSets | None = None, card: Audit | None = None, overview: Mapping[str, Any] | None = None,
    citations: Sequence[Mapping[str, str]] = (), notes: Sequence[str] = (),
) -> Result:  # fmt: skip
    """Return the Result of one subject: scores in the form that the report judges, pictures, findings, sentences.

    Parameters
    ----------
    found : Alignment
    sets : UnitSets, optional
        Sets of units that were scored beside the layers.
    card : Audit, optional
        Of the design; the findings of the alignment are added.
    overview : mapping, optional
        Facts of the data, shown as a table.
    citations : sequence of mapping
    notes : sequence of str
        More sentences.
    """
    if not isinstance(found, Alignment):
        raise BraindecError("the report is of an Alignment", found=type(found).__name__, fix="report(align_units(models, brain))")  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    scores = _scores(found)
    if sets is not None:
        scores = pd.concat([scores, _set_rows(sets)], ignore_index=True)
    panels = [
        *_matrices(found, arrays),
        *_bars(found, arrays),
        *_profiles(found, arrays),
        *_null(found, arrays),
        *_sets(sets, arrays),
    ]
    findings = sorted(
        [*found.findings, *(card.findings if card is not None else ())], key=lambda f: -LEVELS.index(f.level)
    )
    made_by = {
        "overview": {**_facts(found), **dict(overview or {})}, "audit": Audit(tuple(findings)).to_dict(), "panels": panels,
        "citations": [dict(c) for c in citations], "warnings": [f.message for f in found.findings if f.level == "warn"],
        "answers": _answers(found), "notes": [*found.notes, *(sets.notes if sets is not None else ()), *notes],
    }  # fmt: skip
    return Result(scores, arrays, made_by)


def _scores(found: Alignment) -> pd.DataFrame:
    """The table in blocks of one model, region and metric; a layer is told by the name of its row."""
    table = found.table.copy()
    models = list(dict.fromkeys(m for m, _ in found.choices))
    own = table[table["model"] != EVERY]
    parts = [own, *(table[table["model"] == EVERY].assign(model=m) for m in models)]
    table = pd.concat(parts, ignore_index=True)
    named = table["row"] == "layer"
    table.loc[named, "row"] = "layer " + table.loc[named, "layer"]
    table.loc[table["row"] == "normalised", "row"] = "decoded"
    table["metric"] = table["metric"].replace("unique_r2", "added_r2")
    known = np.isfinite(table[["value", "low", "high"]].to_numpy(dtype=float)).all(axis=1)
    lacking = (table["row"] == "decoded").to_numpy() & ~known
    table = table[~lacking].drop(columns=["layer", "leaky"])
    if len(models) == 1:
        table = table.drop(columns="model")
    place = {
        m: k
        for k, m in enumerate(["pearson", "pearson_normalized", "added_r2", "rsa", "rsa_partial", "cka", "cka_partial"])
    }
    regions = {r: k for k, r in enumerate(found.regions)}
    order = np.lexsort((np.arange(len(table)), table["region"].map(regions), table["metric"].map(place)))
    return table.iloc[order].reset_index(drop=True)


def _set_rows(sets: UnitSets) -> pd.DataFrame:
    table = sets.table.drop(columns="leaky")
    return table.assign(metric="pearson_units").rename(columns={"set": "units"})


def _matrices(found: Alignment, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Models x regions for each kind of score."""
    panels: list[dict[str, Any]] = []
    models = list(dict.fromkeys(m for m, _ in found.choices))
    if len(models) * len(found.regions) == 1:
        return panels  # the bars of its controls show that one number
    for metric in dict.fromkeys(m for _, m in found.choices):
        calls = found.calls[found.calls["metric"] == metric]
        values, stars = (np.full((len(models), len(found.regions)), np.nan) for _ in range(2))
        for row in calls.itertuples():
            at = models.index(str(row.model)), list(found.regions).index(str(row.region))
            values[at], stars[at] = row.value, _STARS.get(str(row.call), 0)
        arrays[f"matrix/{metric}"], arrays[f"matrix/{metric}-stars"] = values, np.nan_to_num(stars)
        args: dict[str, Any] = {"values": f"@matrix/{metric}", "models": models, "regions": list(found.regions), "stars": f"@matrix/{metric}-stars",
                                "label": _LABELS[metric]}  # fmt: skip
        ceiling = _line(found, metric, "ceiling", None)
        if np.isfinite(ceiling).any():
            arrays[f"matrix/{metric}-ceiling"] = ceiling
            args["ceiling"] = f"@matrix/{metric}-ceiling"
        panels.append({"draw": "alignment_matrix", "title": f"{_NAMES[metric]}: models and regions", "args": args,
                       "caption": "Score of the layer that was chosen on training folds. Two stars: above chance after correction, adds to position, length and "
                       "pace, and above every untrained network. One star: above chance only."})  # fmt: skip
    return panels


def _bars(found: Alignment, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The score of each region beside its controls, for each model."""
    panels = []
    for model, metric in found.choices:
        series = {"chosen layer": _rows(found, metric, "decoded", model), "untrained": _rows(found, metric, "untrained_mean", model),
                  "random units": _rows(found, metric, "random_units", model), "nuisance": _rows(found, metric, "nuisance", None),
                  "neighbours in time": _rows(found, metric, "oasm" if metric == "pearson" else "neighbourhood", None)}  # fmt: skip
        kept = {k: v for k, v in series.items() if np.isfinite(v[0]).any()}
        key = f"bars/{model}/{metric}"
        for place, name in enumerate(("value", "low", "high")):
            arrays[f"{key}/{name}"] = np.stack([v[place] for v in kept.values()])
        args: dict[str, Any] = {"values": f"@{key}/value", "names": list(found.regions), "low": f"@{key}/low", "high": f"@{key}/high", "series": list(kept),
                                "label": _LABELS[metric]}  # fmt: skip
        ceiling = _line(found, metric, "ceiling", model)
        if np.isfinite(ceiling).any():
            arrays[f"{key}/ceiling"] = ceiling
            args["ceiling"] = f"@{key}/ceiling"
        panels.append({"draw": "roi_bars", "title": f"{_NAMES[metric]} of {model} and its controls", "args": args,
                       "caption": "Lines: 95 % intervals; for untrained networks their range, for random units 95 % of the sets."
                       + (" Grey: noise ceiling, mean over channels." if "ceiling" in args else "")})  # fmt: skip
    return panels


def _profiles(found: Alignment, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Score of each layer."""
    panels = []
    regions = list(found.regions)[:_MANY]
    for (model, metric), choice in found.choices.items():
        layers = list(choice.layers)
        if len(layers) < 2:
            continue
        mine = found.profiles[(found.profiles["model"] == model) & (found.profiles["metric"] == metric)]
        key, args = (
            f"layers/{model}/{metric}",
            {"layers": _short(found.layers[model]), "regions": regions, "label": _LABELS[metric]},
        )
        for column in ("value", "low", "high", "untrained_low", "untrained_high"):
            grid = (
                mine.pivot(index="region", columns="layer", values=column)
                .reindex(index=regions, columns=layers)
                .to_numpy(dtype=float)
            )
            if np.isfinite(grid).any():
                arrays[f"{key}/{column}"] = grid
                args["values" if column == "value" else column] = f"@{key}/{column}"
        count = len(regions)
        lines = {"nuisance": _line(found, metric, "nuisance", None), "ceiling": _line(found, metric, "ceiling", model),
                 "null_high": _rows(found, metric, "refit_null", model)[2]}  # fmt: skip
        for name, line in lines.items():
            if np.isfinite(line[:count]).any():
                arrays[f"{key}/{name}"] = line[:count]
                args[name] = f"@{key}/{name}"
        arrays[f"{key}/chosen"] = np.stack(
            [np.bincount(p, minlength=len(layers)) / len(choice.place) for p in choice.place.T[:count]]
        )
        args["chosen"] = f"@{key}/chosen"
        panels.append({"draw": "layer_alignment", "title": f"{_NAMES[metric]} of {model}, layer by layer", "args": args,
                       "caption": "Each layer scored by itself; triangles: layers that folds chose inside their training rows."
                       + (f" The first {_MANY} of {len(found.regions)} regions." if len(found.regions) > _MANY else "")})  # fmt: skip
    return panels


def _short(layers: Sequence[Layer]) -> list[str]:
    """Numbers of the layers, where all are of one site."""
    one = len({layer.site for layer in layers if layer.site != "embedding"}) <= 1
    return [
        str(layer.layer) if one and layer.layer is not None and layer.site != "embedding" else layer.name
        for layer in layers
    ]


def _null(found: Alignment, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The strongest region against surrogates, for the first model."""
    (model, metric), choice = next(iter(found.choices.items()))
    if not len(choice.null):
        return []
    k = int(np.nanargmax(choice.value))
    arrays["null/strongest"] = choice.null[:, k]
    return [{"draw": "null_histogram", "title": f"{_NAMES[metric]} of {model} in {found.regions[k]} against surrogates",
             "args": {"observed": float(choice.value[k]), "null": "@null/strongest", "label": _LABELS[metric], "kind": "surrogate responses"},
             "caption": f"Fitted again on {len(choice.null)} surrogates, each of which chose its own layers."}]  # fmt: skip


def _sets(sets: UnitSets | None, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    if sets is None:
        return []
    names, regions = list(dict.fromkeys(sets.table["set"])), list(dict.fromkeys(sets.table["region"]))
    values: dict[str, list[np.ndarray]] = {c: [] for c in ("value", "low", "high")}
    series = []
    for name in names:
        for row in ("decoded", "random_units"):
            mine = (
                sets.table[(sets.table["set"] == name) & (sets.table["row"] == row)]
                .set_index("region")
                .reindex(regions)
            )
            if mine["value"].notna().any():
                series.append(name if row == "decoded" else f"random, as {name}")
                for column, kept in values.items():
                    kept.append(mine[column].to_numpy(dtype=float))
    for column, kept in values.items():
        arrays[f"sets/{column}"] = np.stack(kept)
    return [{"draw": "roi_bars", "title": "Sets of units and random sets", "args": {"values": "@sets/value", "low": "@sets/low", "high": "@sets/high",
             "names": regions, "series": series, "label": "held-out r"},
             "caption": "Units were chosen on other stimuli than they are scored on. Random sets have as many units of each layer; lines: 95 % of them."}]  # fmt: skip


def _rows(found: Alignment, metric: str, row: str, model: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, low and high of a row in each region; NaN where there is none."""
    mine = found.table[(found.table["metric"] == metric) & (found.table["row"] == row)]
    if model is not None:
        mine = mine[mine["model"] == model]
    mine = mine.drop_duplicates("region").set_index("region").reindex(list(found.regions))
    return tuple(mine[c].to_numpy(dtype=float) for c in ("value", "low", "high"))  # type: ignore[return-value]


def _line(found: Alignment, metric: str, row: str, model: str | None) -> np.ndarray:
    return _rows(found, metric, row, model)[0]


def _answers(found: Alignment) -> list[dict[str, str]]:
    """What may be said of each model and region beyond chance, for the words on top of the page."""
    several = len({m for m, _ in found.choices}) > 1
    return [
        {
            "about": f"{_NAMES[str(row.metric)]}, {row.model}" if several else _NAMES[str(row.metric)],
            "item": str(row.region),
            "says": _CALLS[str(row.call)],
        }
        for row in found.calls.itertuples()
    ]


_CALLS = {
    "language": "beyond position, length and pace, and above every untrained network, in",
    "units": "beyond position, length and pace (no untrained networks to compare with) in",
    "nuisance": "above chance, but nothing shown beyond position, length and pace, in",
    "untrained": "above chance, but no better than the same network before training, in",
    "none": "not above chance in",
    "untested": "no p-value in",
    "leaky": "the split leaks, nothing can be said of",
}


def _facts(found: Alignment) -> dict[str, Any]:
    held = found.held
    facts: dict[str, Any] = {
        "models": ", ".join(dict.fromkeys(m for m, _ in found.choices)),
        "regions": ", ".join(found.regions),
    }
    for name, layers in found.layers.items():
        facts[f"units of {name}"] = f"{sum(len(la.columns) for la in layers):,} in {len(layers)} layers"
    if held is not None:
        facts["held out"] = f"{len(held.splits)} folds by {held.by}"
    return facts
