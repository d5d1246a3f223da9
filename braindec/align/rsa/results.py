"""From RSA inference to a Result: scores, pictures and sentences for a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa.inference import Inference
from braindec.align.rsa.rdm import RDMs
from braindec.types import Result

__all__ = ["CHOSEN", "given_result", "language_result"]

CHOSEN = "chosen layer"
_MANY = 6  # regions with a picture of their own
_ALPHA = 0.05


def given_result(
    found: Inference, models: RDMs, data: RDMs, *, partial: pd.DataFrame | None = None, parts: pd.DataFrame | None = None,
    controls: Sequence[str] = (), citations: Sequence[Mapping[str, str]] = (),
) -> Result:  # fmt: skip
    """Return the result of models that were given as matrices: every model is a score of its own."""
    arrays: dict[str, np.ndarray] = {}
    panels = [p for cell in _cells(found) for p in _bars(found, cell, arrays, controls=controls)]
    tables = [found.scores]
    if partial is not None:
        tables.append(partial)
        panels += _partial_bars(partial, arrays)
    notes = list(found.notes)
    if partial is not None:
        notes.append(
            f"partial_linear: correlation after {', '.join(controls)} were taken away from model and data; a model that is one of these is controlled for the others."
        )
    if parts is not None:
        tables.append(parts.assign(model=parts["part"] + ": " + parts["sets"]).drop(columns=["part", "sets"]))
        notes.append(
            "explained_variance: of single subjects' matrices, with weights that all subjects share, less what chance correlations add; shared parts can be negative."
        )
    overview = {"models": len(models), "conditions": models.n_conditions, "matrices": len(data),
                "subjects": int(found.decoded["n"].max()), "comparator": _label(found.decoded)}  # fmt: skip
    made_by = _made_by(overview, panels, notes, citations) | {"answers": _ranking(found, partial, controls)}
    return Result(pd.concat(tables, ignore_index=True), arrays, made_by)


def language_result(
    chosen: Inference, every: Inference, beyond: pd.DataFrame, *, overview: Mapping[str, Any], notes: Sequence[str] = (),
    citations: Sequence[Mapping[str, str]] = (),
) -> Result:  # fmt: skip
    """Return the result of a language model: the layer chosen on training parts is the score, all else stands beside it.

    Parameters
    ----------
    chosen : Inference
        Held-out scores of "chosen layer", of untrained networks and of nuisance matrices.
    every : Inference
        Scores of every layer, with p-values by permutation.
    beyond : DataFrame
        Partial RSA of every layer given the nuisance matrices.
    overview, notes, citations
        For the report.
    """
    arrays: dict[str, np.ndarray] = {}
    held = chosen.scores.copy()
    own = held["model"] == CHOSEN
    held.loc[(held["row"] == "decoded") & ~own, "row"] = held["model"].str.replace("untrained ", "untrained_")
    layers = every.decoded[every.decoded["model"].str.startswith("layer ")].copy()
    layers["row"] = layers["model"]
    usual = {region: _usual(chosen, str(region)) for region in _cells(chosen)}
    mine = (every.scores["row"] == "label_shuffle") & (every.scores["model"] == every.scores["region"].map(usual))
    shuffled = every.scores[mine].assign(note=every.scores["note"] + ", " + every.scores["model"])
    partial = _partial_rows(beyond, chosen)
    over = _advantages(chosen)
    scores = pd.concat([held, shuffled, layers, over, partial], ignore_index=True).drop(
        columns=["model", "variance", "dof", "layer"], errors="ignore"
    )
    panels = [
        p for cell in _cells(chosen)[:_MANY] for p in _bars(chosen, cell, arrays, controls=_others(chosen), to=CHOSEN)
    ]
    panels = [*_layers(every, arrays), *panels, *_partial_bars(beyond, arrays)]
    told = [
        *notes,
        *_readings(chosen, partial),
        *[n for n in chosen.notes if not n.startswith("untrained")],
        *[n for n in every.notes if n.startswith("p:")],
    ]
    made_by = _made_by(dict(overview) | {"comparator": _label(chosen.decoded)}, panels, told, citations)
    return Result(scores, arrays, made_by | {"answers": _answers(chosen, over, partial)})


def _ranking(found: Inference, partial: pd.DataFrame | None, controls: Sequence[str]) -> list[str]:
    """One sentence a region: the best model, its ceiling, which others it cannot be told from, and what is left beyond the controls."""
    said = []
    for region in _cells(found):
        rows = _of(found.decoded, region).set_index("model")["value"].astype(float).sort_values(ascending=False)
        best, pairs = str(rows.index[0]), _of(found.differences, region)
        told = {
            str(r.other if r.model == best else r.model)
            for r in pairs.itertuples()
            if best in (r.model, r.other) and r.q <= _ALPHA
        }
        like = [str(m) for m in rows.index[1:] if m not in told]
        text = f"{f'{region}: ' if region else ''}{best} is the most similar ({rows.iloc[0]:.2f}"
        lower = _of(found.scores, region).set_index("row")["value"].get("noise_ceiling_lower", np.nan)
        text += f", lower noise ceiling {lower:.2f})" if np.isfinite(lower) else ")"
        text += f"; it cannot be told from {', '.join(like)}" if like else "; it is better than every other"
        text += f"; better than {', '.join(m for m in rows.index if m in told)}" if told and like else ""
        if partial is not None:
            own = _of(partial, region).set_index("model").loc[best]
            text += f"; beyond {', '.join(controls)} {own['value']:.2f} (p = {own['p']:.2g})"
        said.append(text + ".")
    return said


def _label(table: pd.DataFrame) -> str:
    """What the comparator of a table is, in words."""
    name = str(table["metric"].iloc[0])
    return _COMPARATORS.get(name, name.replace("_", " "))


_COMPARATORS = {
    "corr_cov": "whitened correlation",
    "cosine_cov": "whitened cosine",
    "rho_a": "rank correlation rho-a",
    "tau_a": "Kendall's tau-a",
    "kendall_tau_b": "Kendall's tau-b",
}


def _answers(chosen: Inference, over: pd.DataFrame, partial: pd.DataFrame) -> list[dict[str, str]]:
    """For each region: is the chosen layer above chance, above each untrained network and nuisance matrix, and beyond the latter?"""
    said = []
    for region in _cells(chosen):
        own = _of(chosen.decoded, region).set_index("model").loc[CHOSEN]
        leads, left = _of(over, region), _of(partial[partial["row"] == "decoded"], region).iloc[0]
        better = (leads["value"] > 0) & (leads["q"] <= _ALPHA)
        fresh = leads["row"].str.startswith("over untrained")
        beyond = left["p"] <= _ALPHA and left["value"] > 0
        if not own["q"] <= _ALPHA or not own["value"] > 0:
            says = "not above chance in"
        elif better.all() and beyond:
            says = "above every untrained network and nuisance matrix, and beyond the latter, in"
        elif not better[fresh].all():
            says = "above chance, but not above every untrained network, in"
        else:
            says = "above chance and untrained networks, but not shown to be more than length, place, letters or passage, in"
        said.append({"about": "Geometry of the chosen layer", "item": str(region or "the data"), "says": says})
    return said


def _made_by(
    overview: Mapping[str, Any], panels: list, notes: Sequence[str], citations: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    return {"overview": {**overview}, "panels": panels, "notes": list(dict.fromkeys(notes)),
            "citations": [dict(c) for c in citations], "warnings": [n for n in dict.fromkeys(notes) if n.startswith("One subject:")]}  # fmt: skip


def _cells(found: Inference) -> list[str | None]:
    return list(dict.fromkeys(found.scores["region"])) if "region" in found.scores else [None]


def _of(table: pd.DataFrame, region: str | None) -> pd.DataFrame:
    return table if region is None else table[table["region"] == region]


def _others(found: Inference) -> list[str]:
    return [m for m in dict.fromkeys(found.decoded["model"]) if m != CHOSEN]


def _bars(
    found: Inference,
    region: str | None,
    arrays: dict[str, np.ndarray],
    *,
    controls: Sequence[str],
    to: str | None = None,
) -> list[dict[str, Any]]:
    """Models of one region with the ceiling and the pairs that differ (those with ``to`` only, where it is given)."""
    table, key = _of(found.decoded, region), f"bars/{region or 'all'}"
    names = list(table["model"])
    p = np.full((len(names), len(names)), np.nan)
    for row in _of(found.differences, region).itertuples():
        if to not in (None, row.model, row.other):
            continue
        i, j = names.index(row.model), names.index(row.other)
        p[i, j] = p[j, i] = row.q
    ends = _of(found.scores, region).set_index("row")["value"]
    arrays |= {f"{key}/{c}": table[c].to_numpy(dtype=float) for c in ("value", "low", "high", "q")}
    arrays[f"{key}/differences"] = p
    arrays[f"{key}/ceiling"] = np.array([float(ends.get(f"noise_ceiling_{e}", np.nan)) for e in ("lower", "upper")])
    args = {"values": f"@{key}/value", "names": names, "low": f"@{key}/low", "high": f"@{key}/high", "p": f"@{key}/q",
            "differences": f"@{key}/differences", "ceiling": f"@{key}/ceiling", "controls": list(controls), "label": _label(table)}  # fmt: skip
    return [{"draw": "model_bars", "title": f"Models{f' in {region}' if region else ''}", "args": args,
             "caption": "Dark lines: 95 % intervals. Grey band: noise ceiling, from the mean of the other subjects (lower) to the mean of all (upper). "
             "Star: q of the model at most 0.05. Lines above join models that differ (q at most 0.05)."}]  # fmt: skip


def _layers(every: Inference, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    table = every.decoded[every.decoded["model"].str.startswith("layer ")]
    series, regions = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["region"]))
    for column in ("value", "low", "high"):
        wide = table.pivot(index="model", columns="region", values=column).loc[series, regions]
        arrays[f"layers/{column}"] = wide.to_numpy(dtype=float)
    ends = every.scores[every.scores["row"] == "noise_ceiling_lower"].set_index("region")["value"]
    arrays["layers/ceiling"] = ends.reindex(regions).to_numpy(dtype=float)
    return [{"draw": "roi_bars", "title": "Every layer by region", "args": {"values": "@layers/value", "low": "@layers/low", "high": "@layers/high",
             "names": regions, "series": series, "ceiling": "@layers/ceiling", "label": _label(table)},
             "caption": "All conditions and subjects. Grey: what the other subjects' mean reaches (lower noise ceiling). The best of several layers is optimistic: "
             "the pictures below choose it on training parts."}]  # fmt: skip


def _partial_bars(beyond: pd.DataFrame, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    regions = list(dict.fromkeys(beyond["region"])) if "region" in beyond else [""]
    series = list(dict.fromkeys(beyond["model"]))
    rows = beyond if "region" in beyond else beyond.assign(region="")
    by_model = regions == [""]
    for column in ("value", "low", "high"):
        wide = rows.pivot(index="model", columns="region", values=column).loc[series, regions].to_numpy(dtype=float)
        arrays[f"partial/{column}"] = wide[:, 0] if by_model else wide
    args: dict[str, Any] = {"values": "@partial/value", "low": "@partial/low", "high": "@partial/high", "names": series if by_model else regions,
                            "label": "partial correlation"}  # fmt: skip
    if not by_model:
        args["series"] = series
    return [{"draw": "roi_bars", "title": "Beyond the nuisance matrices", "args": args,
             "caption": "Correlation of matrices after the nuisance matrices were taken away from both."}]  # fmt: skip


def _usual(chosen: Inference, region: str) -> str:
    """The layer that most fits of a region chose."""
    names = list(dict.fromkeys(chosen.decoded["model"]))
    found = chosen.bootstraps[(region,)]
    return chosen.labels[CHOSEN][int(np.argmax(found.weights[names.index(CHOSEN)].mean(axis=0)))]


def _partial_rows(beyond: pd.DataFrame, chosen: Inference) -> pd.DataFrame:
    """Partial RSA of the usual layer is the score, with p times the number of layers; the others stand beside it."""
    table = beyond.copy()
    n_layers = table["model"].nunique()
    table["row"] = table["model"]
    for region in dict.fromkeys(table["region"]):
        usual = _usual(chosen, region)
        mine = table[(table["region"] == region) & (table["model"] == usual)].copy()
        mine["row"], mine["p"] = "decoded", np.minimum(mine["p"] * n_layers, 1.0)
        mine["note"] = f"{usual}, {mine['note'].iloc[0]}; p times {n_layers} layers"
        table = pd.concat([table, mine], ignore_index=True)
    return table


def _advantages(chosen: Inference) -> pd.DataFrame:
    """How much better the chosen layer is than what it stands beside."""
    table = chosen.differences[chosen.differences["model"] == CHOSEN].copy()
    table["metric"] = table["metric"] + "_difference"
    table["row"], table["chance"] = "over " + table["other"].str.replace("untrained ", "untrained_"), 0.0
    return table.drop(columns=["other"]).assign(version="1")


def _readings(chosen: Inference, partial: pd.DataFrame) -> list[str]:
    """One sentence a region: the score, its ceiling, the best control, and what is left beyond the nuisance matrices."""
    said = []
    for region in _cells(chosen):
        rows = _of(chosen.decoded, region).set_index("model")
        own, others = rows.loc[CHOSEN], rows.drop(CHOSEN)
        lower = _of(chosen.scores, region).set_index("row")["value"].get("noise_ceiling_lower", np.nan)
        best = others["value"].astype(float).idxmax() if len(others) else ""
        left = _of(partial[partial["row"] == "decoded"], region).iloc[0]
        against = f", best control {best} {others.loc[best, 'value']:.2f}" if best else ""
        ceiling = f" (lower ceiling {lower:.2f})" if np.isfinite(lower) else ""
        said.append(
            f"{region}: {_usual(chosen, str(region))} {own['value']:.2f}{ceiling}{against}; beyond the nuisance matrices {left['value']:.2f}, p = {left['p']:.2g}."
        )
    return said
