"""From tables of unit scores to what a page shows: trained networks against untrained ones, curves over layers, flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from braindec.llm.site_names import site_name
from braindec.llm.unit_table import UnitTable
from braindec.stats.fdr import fdr_bh

__all__ = ["atlas_answers", "atlas_notes", "atlas_panels", "compare_networks", "flags_of", "network_value"]

VERSION = "1"
ALPHA = 0.05
_LOWER = ("lape", "language_specificity", "word_class")  # scores of which a lower value is more
_CURVES = {  # score: title, column, axis
    "universal": ("Partners in other networks", "universal_excess", "r beyond rotated partners"),
    "ngram": ("Current token", "ngram", "held-out variance explained"),
    "positional": ("Position", "positional", "variance explained"),
    "vocabulary": ("Logits of neurons", "vocabulary", "kurtosis"),
    "sparsity": ("Sparsity", "sparsity", "lifetime sparseness"),
}
_HEADS = {
    "induction": ("attention", "q ≤ 0.05", "Attention to what followed the earlier occurrence of the current token."),
    "copying": ("copying", "q ≤ 0.05", "Whether a head raises the logit of the token that it looks at: 1 always, 0 chance, -1 it lowers it."),
    "cmr": ("distance", "CMR-like", "Distance of attention by lag from the nearest recall curve; only heads with an induction score and parameters "
            "that lie in no corner of the grid count as CMR-like."),
}  # fmt: skip


def network_value(table: UnitTable, score: str) -> tuple[float, int, str]:
    """Return one number for what a network has of a score, how many units, heads or layers it is of, and what it is.

    Heads: the largest score (of CMR: the share of CMR-like heads). Layers: the last one. Units: the share with q <= 0.05
    where the score is tested, else the mean.
    """
    level = table.about.loc[table.about["score"] == score, "level"].iloc[0]
    part = table.level(level)
    part = part[part[table.columns_of(score)].notna().any(axis=1)]
    sign, values, n = (-1.0 if score in _LOWER else 1.0), part[score].astype(float), len(part)
    minus = "minus " if score in _LOWER else ""
    if score == "cmr":
        return float(part["cmr_selected"].astype(float).mean()), n, "share of heads that are CMR-like"
    if score == "logit_lens":
        return float((part["logit_lens_chance"] - values).iloc[-1]), n, "bits below equal odds, last layer"
    if score == "verbatim_memory":
        return float(part["verbatim_memory_bits"].iloc[-1]), n, "bits a word that hearing the list before saves"
    if score == "universal":
        return (
            float(part["universal_excess"].astype(float).mean()),
            n,
            "mean r with the best partner beyond rotated partners",
        )
    if level == "head":
        return float(values.max()), n, f"largest of {n} heads"
    if level == "layer":
        return sign * float(values.iloc[-1]), n, f"{minus}last layer"
    if f"{score}_q" in part:
        return float((part[f"{score}_q"].astype(float) <= ALPHA).mean()), n, "share of units with q <= 0.05"
    return sign * float(values.mean()), n, f"{minus}mean over units"


def compare_networks(
    trained: Sequence[UnitTable], untrained: Sequence[UnitTable], scores: Sequence[str]
) -> pd.DataFrame:
    """Return what trained networks have of each score, against untrained networks, and one of these against the others.

    ``value`` is the mean of trained networks (of the last untrained one in the control row "untrained", which only the
    first of ``scores`` has), ``chance`` that of (the other) untrained ones, ``low`` and ``high`` the 95 % interval of the
    difference, put around the value; p is one-sided (two-sided for the control), from t over networks with one variance
    for both kinds, because units of one network depend on one another.
    """
    rows = []
    for score in scores:
        if not all(score in t.scores for t in (*trained, *untrained)):
            continue
        told = [network_value(t, score) for t in trained]
        mine, null = [v for v, _, _ in told], [network_value(t, score)[0] for t in untrained]
        if not np.isfinite([*mine, *null]).all():
            continue
        against = f"{told[0][2]}; {_counted(len(mine), 'trained network')} against {len(null)} untrained, whose mean is the chance level"
        among = f"{told[0][2]}; one untrained network against {len(null) - 1} others"
        kinds = [("decoded", mine, null, against)]
        if score == scores[0]:  # one control for the headline: of many, one in twenty is off by chance
            kinds.append(("untrained", null[-1:], null[:-1], among))
        for name, a, b, note in kinds:
            if b and len(a) + len(b) >= 3:
                rows.append({"metric": score, "version": VERSION, "row": name, **_difference(np.array(a), np.array(b), name == "untrained"),
                             "n": told[0][1], "note": note})  # fmt: skip
    return pd.DataFrame(rows)


def atlas_answers(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return for each score of :func:`compare_networks` whether trained networks have more of it than untrained ones."""
    if not len(rows):
        return []
    rows = rows[rows["row"] == "decoded"]
    q = fdr_bh(rows["p"].to_numpy(dtype=float))
    return [
        {
            "about": "Trained against untrained networks (corrected over scores)",
            "metric": str(metric),
            "says": "more than untrained ones:" if own <= ALPHA else "not shown to be more:",
        }
        for metric, own in sorted(zip(rows["metric"], q, strict=True), key=lambda pair: not pair[1] <= ALPHA)
    ]


def _difference(a: np.ndarray, b: np.ndarray, two_sided: bool) -> dict[str, float]:
    """Return value, chance, low, high and p of the networks ``a`` against the networks ``b``."""
    freedom = len(a) + len(b) - 2
    spread = np.sqrt((a.var() * len(a) + b.var() * len(b)) / freedom * (1 / len(a) + 1 / len(b)))
    difference = a.mean() - b.mean()
    size = abs(difference) if two_sided else difference
    p = float(min((1 + two_sided) * stats.t.sf(size / spread, freedom), 1.0)) if spread > 0 else float(size <= 0)
    half = float(stats.t.ppf(0.975, freedom) * spread)
    return {"value": a.mean(), "chance": b.mean(), "low": a.mean() - half, "high": a.mean() + half, "p": p}


def flags_of(table: UnitTable) -> dict[str, str]:
    """Return what is wrong with units: how many are dead, constant or massive, and how many there are."""
    units = table.level("unit")
    found = {"units": f"{len(units):,}", "heads": f"{len(table.level('head')):,}"}
    for name, column, test in (
        ("dead units", "dead", lambda v: v == 1), ("units of one value", "dead_constant", lambda v: v.astype(bool)),
        ("units beyond 100 x the median", "massive_flag", lambda v: v.astype(bool)),
    ):  # fmt: skip
        if column in units:
            hit = units.loc[units[column].notna()]
            hit = hit[test(hit[column])]
            where = ", ".join(
                f"{site} {layer}" for site, layer in hit[["site", "layer"]].drop_duplicates().to_numpy()[:4]
            )
            found[name] = f"{len(hit):,}" + (f" ({where})" if len(hit) else "")
    return found


def atlas_notes(table: UnitTable) -> list[str]:
    """Return a sentence for each score that could not be made."""
    told = {"lacking": "was left out: it", "failed": "could not be computed:"}
    rest = table.about[table.about["status"] != "done"]
    return [f"The score {row.score} {told[row.status]} {row.reason}." for row in rest.itertuples()]


def atlas_panels(
    table: UnitTable, untrained: Sequence[UnitTable] = ()
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Return pictures of a table, and the arrays that they draw: heads, then scores over layers with untrained networks."""
    arrays: dict[str, np.ndarray] = {}
    panels = [p for name in _HEADS if name in table.scores for p in _heads(table, name, arrays)]
    if "logit_lens" in table.scores:
        panels.append(_lens(table, untrained, arrays))
    panels += [p for name in _CURVES if name in table.scores for p in _curve(table, untrained, name, arrays)]
    return panels, arrays


def _heads(table: UnitTable, score: str, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    heads = table.level("head")
    if score not in heads or heads[score].isna().all():
        return []
    label, mark, caption = _HEADS[score]
    wide = heads.pivot(index="layer", columns="head", values=score)
    chosen = heads["cmr_selected"].astype(float) if score == "cmr" else heads[f"{score}_q"].le(ALPHA).astype(float)
    arrays[f"heads/{score}"] = wide.to_numpy(dtype=float)
    arrays[f"heads/{score}_marked"] = (
        heads.assign(chosen=chosen).pivot(index="layer", columns="head", values="chosen").to_numpy() == 1
    )
    args: dict[str, Any] = {
        "values": f"@heads/{score}",
        "layers": wide.index.tolist(),
        "marked": f"@heads/{score}_marked",
        "mark": mark,
        "label": label,
    }
    if f"{score}_chance" in heads:
        args["chance"] = float(heads[f"{score}_chance"].iloc[0])
    title = {"cmr": "Recall curves of CMR"}.get(score, f"{score.replace('_', ' ').capitalize()} heads")
    return [{"draw": "head_matrix", "title": title, "caption": caption, "args": args}]


def _lens(table: UnitTable, untrained: Sequence[UnitTable], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    lens = table.level("layer").dropna(subset=["logit_lens"])
    for column in ("", "_low", "_high"):
        arrays[f"lens/value{column}"] = lens[f"logit_lens{column}"].to_numpy(dtype=float)
    args: dict[str, Any] = {"values": "@lens/value", "low": "@lens/value_low", "high": "@lens/value_high", "layers": lens["layer"].tolist(),
                            "label": "cross-entropy (bits)", "chance": float(lens["logit_lens_chance"].iloc[0])}  # fmt: skip
    others = [
        t.level("layer").dropna(subset=["logit_lens"])["logit_lens"].to_numpy(dtype=float)
        for t in untrained
        if "logit_lens" in t.scores
    ]
    if others:
        arrays["lens/untrained"] = np.stack(others)
        args["controls"] = "@lens/untrained"
    unigram = float(lens["logit_lens_unigram"].iloc[0])
    return {"draw": "layer_curves", "title": "The next token, read from each layer", "args": args,
            "caption": f"Dashed: equal odds. The frequencies of tokens alone give {unigram:.1f} bits."}  # fmt: skip


def _curve(
    table: UnitTable, untrained: Sequence[UnitTable], score: str, arrays: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Return a picture of the mean of a score over layers, one line a site, with the spread over units."""
    title, column, label = _CURVES[score]

    def by_site(part: UnitTable) -> pd.DataFrame:
        units = part.level("unit").dropna(subset=[column])
        values = units.assign(**{column: units[column].astype(float)}).groupby(["site", "layer"])[column]
        return pd.DataFrame({"mean": values.mean(), "low": values.quantile(0.05), "high": values.quantile(0.95)})

    mine = by_site(table)
    if mine.empty:
        return []
    sites = list(dict.fromkeys(mine.index.get_level_values("site")))
    layers = sorted(set(mine.index.get_level_values("layer")))
    index = pd.MultiIndex.from_product([sites, layers])
    for name in ("mean", "low", "high"):
        arrays[f"layers/{score}_{name}"] = mine[name].reindex(index).to_numpy(dtype=float).reshape(len(sites), -1)
    args: dict[str, Any] = {"values": f"@layers/{score}_mean", "low": f"@layers/{score}_low", "high": f"@layers/{score}_high", "layers": layers,
                            "names": [site_name(s) for s in sites], "label": label, "band": "5 to 95 % of units"}  # fmt: skip
    others = [
        by_site(t)["mean"].reindex(index).to_numpy(dtype=float).reshape(len(sites), -1)
        for t in untrained
        if score in t.scores
    ]
    if others:
        arrays[f"layers/{score}_untrained"] = np.concatenate(others)
        args["controls"] = f"@layers/{score}_untrained"
    return [{"draw": "layer_curves", "title": title, "args": args, "caption": _caption(table, score)}]


def _caption(table: UnitTable, score: str) -> str:
    described: Mapping[str, str] = dict(zip(table.about["score"], table.about["describe"], strict=True))
    text = described[score]
    axis = _CURVES[score][2]
    unit = "" if axis in text.lower() else f" ({axis})"
    return f"{text[0].upper()}{text[1:]}{unit}: mean over the units of a layer. Grey: untrained networks, one line a network and site."


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
