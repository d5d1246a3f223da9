"""The long table of an alignment: every score with its controls, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from braindec.align._alignment_data import Layer
from braindec.align.layer_choice import LayerChoice
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.ceilings import Ceiling, normalized
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p

__all__ = ["COLUMNS", "ModelScores", "calls", "finish", "profiles", "rows_of_model", "shared_rows"]

COLUMNS = ["metric", "version", "row", "model", "region", "layer", "value", "chance", "low", "high", "p", "q", "p_max", "n", "n_targets",
           "leaky", "note"]  # fmt: skip
CHOSEN = "chosen on training folds"
EVERY = "every model"
ALPHA = 0.05
_FEW = 8  # pieces below which resamples of them are too narrow (5: 83 % instead of 95 %)
_LONGER = float(np.sqrt(2.0))


@dataclass(frozen=True, eq=False)
class ModelScores:
    """One model by one kind of comparison.

    Parameters
    ----------
    model, score, metric : str
    layers : list of Layer
    whole : list
        Scores of each layer, with all surrogates.
    choice : LayerChoice
    unique : dict or None
        ``metric``, ``value`` (n_regions,), ``null`` (n_surrogates, n_regions) and ``pieces``.
    untrained : list of (array (n_layers, n_regions), array (n_regions,))
        Layer scores and nested scores of each seed.
    random : array of shape (n_sets, n_regions)
    targets : (array, array) of shape (n_targets,) or None
        Correlation of each target, and number of surrogates that reach it.
    """

    model: str
    score: str
    metric: str
    layers: Sequence[Layer]
    whole: Sequence[Any]
    choice: LayerChoice
    unique: Mapping[str, Any] | None
    untrained: Sequence[tuple[np.ndarray, np.ndarray]]
    random: np.ndarray
    targets: tuple[np.ndarray, np.ndarray] | None = None


def rows_of_model(one: ModelScores, shared: Mapping[str, Any], context: Mapping[str, Any]) -> pd.DataFrame:
    """All rows of one model and kind of comparison."""
    rows: list[dict[str, Any]] = []
    full = np.stack([_full(w) for w in one.whole])  # (layer, 1 + n_surrogates, region)
    largest = full[:, 1:].max(axis=(0, 2)) if full.shape[1] > 1 else np.empty(0)  # over layers and regions
    for k, region in enumerate(context["data"].regions):
        base = {
            "metric": one.metric,
            "model": one.model,
            "region": region,
            "n_targets": int(context["data"].regions[region].sum()),
        }
        rows.append({**base, "row": "decoded", **_decoded(one, k, context)})
        rows += [{**base, **r} for r in _normalized(one, k, context)]
        rows += [{**base, **r} for r in _unique(one, k, context)]
        rows += [{**base, **r} for r in _layers(one, k, full, largest, context)]
        rows += [{**base, **r} for r in _controls(one, k, context)]
    return pd.DataFrame(rows)


def shared_rows(shared: Mapping[str, Any], score: str, context: Mapping[str, Any]) -> pd.DataFrame:
    """Rows that no model enters, for each region."""
    words = {"oasm": "neighbourhood in time only (smoothed identity of rows): anything above 0 is a leak",
             "neighbourhood": "neighbourhood in time only (smoothed identity of rows): how much of the geometry is drift",
             "nuisance": "position, length and pace only, fitted like a layer"}  # fmt: skip
    rows = []
    for kind, found in shared.items():
        full = _full(found)
        name = (
            "neighbourhood" if kind == "oasm" and score != "encoding" else kind
        )  # without training rows nothing can leak
        for k, region in enumerate(context["data"].regions):
            low, high, note = interval(found, k, float(full[0, k]), context)
            p = float(permutation_p(full[0, k], full[1:, k])) if len(full) > 1 and name == "oasm" else np.nan
            rows.append({"metric": found.metric if hasattr(found, "metric") else _METRIC[score], "row": name, "model": EVERY, "region": region,
                         "layer": "", "value": full[0, k], "low": low, "high": high, "p": p,
                         "n_targets": int(context["data"].regions[region].sum()), "note": f"{words[name]}; {note}"})  # fmt: skip
    return pd.DataFrame(rows)


_METRIC = {"encoding": "pearson", "rsa": "rsa", "cka": "cka"}


def profiles(found: Sequence[ModelScores], context: Mapping[str, Any]) -> pd.DataFrame:
    """Scores of every layer with the range of untrained networks."""
    rows = []
    for one in found:
        full = np.stack([_full(w)[0] for w in one.whole])  # (layer, region)
        fresh = (
            np.stack([layers for layers, _ in one.untrained])
            if len(one.untrained)
            else np.full((1, *full.shape), np.nan)
        )
        for k, region in enumerate(context["data"].regions):
            for place, layer in enumerate(one.layers):
                low, high, _ = interval(one.whole[place], k, float(full[place, k]), context)
                rows.append({"model": one.model, "metric": one.metric, "region": region, "layer": layer.name, "value": full[place, k], "low": low,
                             "high": high, "untrained_low": fresh[:, place, k].min(), "untrained_high": fresh[:, place, k].max()})  # fmt: skip
    return pd.DataFrame(rows)


def finish(table: pd.DataFrame, context: Mapping[str, Any]) -> pd.DataFrame:
    """Columns in order, what every row shares, and the correction over models and regions."""
    table = table.assign(version="1", n=context["n_rows"], leaky=context["held"].leaky)
    table["chance"] = table["chance"].fillna(0.0) if "chance" in table else 0.0
    for column in ("q", "p_max", "p", "low", "high"):
        if column not in table:
            table[column] = np.nan
    for metric in table["metric"].unique():
        mine = ((table["metric"] == metric) & (table["row"] == "decoded")).to_numpy()
        table.loc[mine, "q"] = fdr_bh(table.loc[mine, "p"].to_numpy(dtype=float))
    if context["held"].leaky:
        table["note"] = "LEAKY SPLIT; " + table["note"].fillna("")
    table = table[COLUMNS]
    for place, (key, value) in enumerate(context["keys"].items()):
        table.insert(place, key, value)
    return table.reset_index(drop=True)


def calls(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """What the rows of each model, region and metric allow to say, in one word and one sentence.

    "language": above chance, adds to nuisance, and above every untrained network. "units": the same without untrained
    networks to compare with. "nuisance": above chance, and nothing is shown beyond position, length and pace. "untrained": no
    better than networks that were never trained. "none": not above chance. "leaky": the split leaks, nothing can be said.
    """
    rows = []
    for (metric, model, region), mine in table[table["model"].isin(models)].groupby(
        ["metric", "model", "region"], sort=False
    ):
        if metric not in _METRIC.values():
            continue
        decoded = mine[mine["row"] == "decoded"].iloc[0]
        unique = table[
            (table["metric"] == _UNIQUE[metric])
            & (table["model"] == model)
            & (table["region"] == region)
            & (table["row"] == "decoded")
        ]
        seeds = mine.loc[mine["row"].str.fullmatch(r"untrained_\d+"), "value"]
        nuisance = table[(table["metric"] == metric) & (table["row"] == "nuisance") & (table["region"] == region)]
        call, words = _call(decoded, unique, seeds, nuisance)
        rows.append(
            {
                "metric": metric,
                "model": model,
                "region": region,
                "call": call,
                "value": decoded["value"],
                "words": words,
            }
        )
    return pd.DataFrame(rows)


_UNIQUE = {"pearson": "unique_r2", "rsa": "rsa_partial", "cka": "cka_partial"}


def _call(decoded: pd.Series, unique: pd.DataFrame, seeds: pd.Series, nuisance: pd.DataFrame) -> tuple[str, str]:
    if decoded["leaky"]:
        return "leaky", "The split puts neighbours on both sides: nothing can be said."
    p = decoded["q"] if np.isfinite(decoded["q"]) else decoded["p"]
    if not np.isfinite(p):
        return "untested", "No p-value was made."
    if not (p <= ALPHA and decoded["value"] > 0):
        return "none", f"Not above chance (q = {p:.2g})."
    if len(unique):
        own = unique.iloc[0]
        q = own["q"] if np.isfinite(own["q"]) else own["p"]
        if not np.isfinite(q) and "drift" in str(own["note"]):
            return "nuisance", "Above chance; whether it adds to position, length and pace cannot be tested on responses that drift so slowly (filter or detrend them): not called language."  # fmt: skip
        if not (q <= ALPHA and own["value"] > 0):
            value = (
                f" (nuisance alone {float(nuisance['value'].iloc[0]):.3f}, units {decoded['value']:.3f})"
                if len(nuisance)
                else ""
            )
            return (
                "nuisance",
                f"Above chance, and nothing is shown beyond position, length and pace{value}: not called language.",
            )
    if len(seeds):
        if decoded["value"] <= seeds.max():
            return (
                "untrained",
                f"Above chance, and no better than the same network before training (up to {seeds.max():.3f}): not called language.",
            )
        return (
            "language",
            f"Above chance, adds to nuisance, and above all {len(seeds)} untrained networks (up to {seeds.max():.3f}).",
        )
    return "units", "Above chance and adds to nuisance; no untrained networks were given to compare with."


def interval(
    found: Any, region: int, value: float, context: Mapping[str, Any], pieces: Any = None, longer: float = _LONGER
) -> tuple[float, float, str]:
    """95 % interval around a score: of held-out pieces, or what the score brought along.

    Models of two folds train on one another's rows: intervals are longer by the root of 2 (Nadeau & Bengio 2003, Machine Learning
    52:239), unless ``longer`` says otherwise.
    """
    if pieces is None and hasattr(found, "low"):
        return float(found.low[region]), float(found.high[region]), found.how
    each = np.concatenate([p[:, region] for p in found.pieces]) if pieces is None else np.asarray(pieces)
    each = each[np.isfinite(each)]
    if len(each) < 2:
        return -1.0, 1.0, "one held-out piece only: the interval is everything"
    centre = each.mean()
    if len(each) < _FEW:
        half = longer * float(stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each)))
        return value - half, value + half, f"t interval over {len(each)} held-out pieces"
    made = bootstrap_interval(each, rng=np.random.default_rng([context["seed"], region]))
    return (
        value + longer * (made.low - centre),
        value + longer * (made.high - centre),
        f"interval over {len(each)} held-out pieces",
    )


def _full(found: Any) -> np.ndarray:
    """(1 + n_surrogates, n_regions)."""
    return found.full if hasattr(found, "full") else found.test.mean(axis=0)


def _decoded(one: ModelScores, k: int, context: Mapping[str, Any]) -> dict[str, Any]:
    choice = one.choice
    value = float(choice.value[k])
    low, high, how = _chosen_interval(one, k, value, context)
    usual = one.layers[int(choice.usual[k])].name
    layer = usual if len(one.layers) == 1 else CHOSEN
    p_max = (
        float(permutation_p(value, choice.null.max(axis=1))) if len(choice.null) else np.nan
    )  # layers are chosen in it
    told = f"layer {usual} in {choice.stability[k]:.0%} of the folds; " if len(one.layers) > 1 else ""
    return {"layer": layer, "value": value, "low": low, "high": high, "p": float(choice.p[k]), "p_max": p_max,
            "note": f"{told}{how}; p: fitted again on {len(choice.null)} surrogates ({context['words'][one.score]})"}  # fmt: skip


def _chosen_interval(one: ModelScores, k: int, value: float, context: Mapping[str, Any]) -> tuple[float, float, str]:
    """Of the layers that the folds chose."""
    usual = one.whole[int(one.choice.usual[k])]
    if hasattr(usual, "low"):
        if len(one.layers) == 1:
            return float(usual.low[k]), float(usual.high[k]), usual.how
        low, high, how = interval(None, k, value, context, one.choice.by_fold[:, k], longer=1.0)  # folds share no items
        return low, high, f"{usual.how.split('; interval')[0]}, mean over the items of each fold; {how}"
    pieces = np.concatenate([one.whole[p].pieces[f][:, k] for f, p in enumerate(one.choice.place[:, k])])
    return interval(usual, k, value, context, pieces)


def _normalized(one: ModelScores, k: int, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ceiling of a region by name, and the score over it; never clamped."""
    ceiling: Ceiling | None = context["ceiling"]
    if one.score != "encoding" or ceiling is None:
        return []
    mask = list(context["data"].regions.values())[k]
    share = np.asarray(ceiling.share)[mask]
    known = np.isfinite(share) & (share >= 0.05)
    about = f"{ceiling.kind} ({ceiling.note})" if ceiling.note else ceiling.kind
    mean = float(share[np.isfinite(share)].mean()) if np.isfinite(share).any() else np.nan
    rows = [{"row": "ceiling", "layer": "", "value": float(np.sign(mean) * np.sqrt(abs(mean))),
             "note": f"largest correlation that could be expected: root of the mean share over targets, with its sign; {about}"}]  # fmt: skip
    if known.any():
        by_target = np.mean([one.whole[p].by_fold[f] for f, p in enumerate(one.choice.place[:, k])], axis=0)[mask]
        value = float(np.mean(normalized(by_target[known], share[known])))
        raw = float(one.choice.value[k])
        low, high, _ = _chosen_interval(one, k, raw, context)
        scale = value / raw if abs(raw) > 1e-9 else np.nan
        ends = (low * scale, high * scale) if np.isfinite(scale) and scale > 0 else (np.nan, np.nan)
        rows.append({"metric": "pearson_normalized", "row": "normalised", "layer": CHOSEN, "value": value, "low": ends[0], "high": ends[1],
                     "note": f"correlation over the square root of the ceiling ({ceiling.kind}), {int(known.sum())} of {len(share)} targets with a ceiling "
                             "of 0.05 or more; not clamped"})  # fmt: skip
    return rows


def _unique(one: ModelScores, k: int, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    if one.unique is None:
        return []
    found, value = one.unique, float(one.unique["value"][k])
    longer = _LONGER if one.score == "encoding" else 1.0
    low, high, how = interval(None, k, value, context, found["pieces"][k], longer)
    null = found["null"][:, k]
    slow = "slow" in found and bool(found["slow"][k])
    p = float(permutation_p(value, null)) if len(null) and np.isfinite(value) and not slow else np.nan
    tested = (
        "no p: responses drift too slowly for surrogates of their residuals"
        if slow
        else "p: residuals of nuisance exchanged"
    )
    return [{"metric": found["metric"], "row": "decoded", "layer": CHOSEN if len(one.layers) > 1 else one.layers[0].name, "value": value, "low": low,
             "high": high, "p": p, "note": f"what the units add to position, length and pace; {how}; {tested}"}]  # fmt: skip


def _layers(
    one: ModelScores, k: int, full: np.ndarray, largest: np.ndarray, context: Mapping[str, Any]
) -> list[dict[str, Any]]:
    if len(one.layers) == 1:
        return []
    rows = []
    for place, layer in enumerate(one.layers):
        value, null = float(full[place, 0, k]), full[place, 1:, k]
        low, high, how = interval(one.whole[place], k, value, context)
        rows.append({"row": "layer", "layer": layer.name, "value": value, "low": low, "high": high,
                     "p": float(permutation_p(value, null)) if len(null) else np.nan,
                     "p_max": float(permutation_p(value, largest)) if len(largest) else np.nan, "note": how})  # fmt: skip
    choice = one.choice
    rows.append({"row": "best_layer", "layer": one.layers[int(choice.best[k])].name, "value": float(choice.largest[k]), "p": float(choice.p_any[k]),
                 "note": f"largest of {len(one.layers)} layers, chosen by the score itself: optimistic by {choice.optimism[k]:+.3f}; p: the largest of all "
                         "layers of each surrogate"})  # fmt: skip
    return rows


def _controls(one: ModelScores, k: int, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    null = one.choice.null[:, k]
    if len(null):
        low, high = np.quantile(null, [0.025, 0.975])
        rows.append({"row": "refit_null", "layer": CHOSEN, "value": float(null.mean()), "low": float(low), "high": float(high),
                     "note": f"{len(null)} surrogates ({context['words'][one.score]}), layers chosen again; 2.5 and 97.5 %"})  # fmt: skip
    nested = np.array([value[k] for _, value in one.untrained])
    for number, value in enumerate(nested):
        rows.append(
            {
                "row": f"untrained_{number + 1}",
                "layer": CHOSEN,
                "value": float(value),
                "note": "the same network before training",
            }
        )
    if len(nested):
        above = int((nested >= one.choice.value[k]).sum())
        rows.append({"row": "untrained_mean", "layer": CHOSEN, "value": float(nested.mean()), "low": float(nested.min()), "high": float(nested.max()),
                     "note": f"{len(nested)} networks before training: mean and range; {above} of them reach the trained one"})  # fmt: skip
    if len(one.random):
        sets = one.random[:, k]
        low, high = np.quantile(sets, [0.025, 0.975])
        rows.append({"row": "random_units", "layer": "all layers", "value": float(sets.mean()), "low": float(low), "high": float(high),
                     "p": float(permutation_p(one.choice.value[k], sets)),
                     "note": f"{len(sets)} sets of as many units as layer {one.layers[int(one.choice.usual[0])].name}, drawn from the whole model; p: the chosen "
                             "layer against them"})  # fmt: skip
    return rows
