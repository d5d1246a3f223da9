"""From tags of units and channels to the rows and pictures of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

from braindec.align.tagging import SpectraSimilarity, Tagging, layer_curve
from braindec.stats.auc import auc
from braindec.stats.binomial import clopper_pearson

__all__ = ["answers", "auc_row", "channel_rows", "panels", "shares", "similarity_rows", "unit_notes", "unit_rows"]

ALPHA = 0.05
VERSION = "1"
_LINES = 4


def shares(tagging: Tagging) -> dict[str, float]:
    """Return the share of units with p <= 0.05 at each rate."""
    rates = sorted(tagging.rates, key=tagging.rates.get)
    return {rate: float((tagging.of(rate)["p"].dropna() <= ALPHA).mean()) for rate in rates}


def _row(metric: str, row: str, region: str, band: str, value: float, chance: float, low: float, high: float, p: float, n: int,
         note: str) -> dict[str, Any]:  # fmt: skip
    return {"metric": metric, "version": VERSION, "row": row, "region": region, "band": band, "value": value, "chance": chance,
            "low": low, "high": high, "p": p, "n": n, "note": note}  # fmt: skip


def _spread(values: Sequence[float]) -> float:
    """Half the 95 % interval of one more network: networks differ, and their units are no independent draws."""
    return float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)) if len(values) > 1 else np.nan


def _beyond(value: float, null: Sequence[float]) -> float:
    """p of a share against one more untrained network (t over networks, by rank where all are alike); NaN for fewer than two."""
    if len(null) < 2:
        return np.nan
    error = np.std(null, ddof=1) * np.sqrt(1 + 1 / len(null))
    if not error > 0:
        return float(1 + sum(v >= value for v in null)) / (1 + len(null))
    return float(t.sf((value - np.mean(null)) / error, len(null) - 1))


def unit_rows(
    found: Mapping[str, Tagging], untrained: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[dict[str, Any]]:
    """Return rows of shares of tagged units, against each control, beside untrained networks.

    The first control is the headline. What a share is compared with is the same share in untrained networks: p and interval are
    those of one more such network (t over networks), because units of one network depend on one another, and a control that
    moves word classes tags untrained units too, so that ``chance`` is their mean. Where the control keeps word classes
    (slot_shuffle) chance is 5 %, and untrained networks must be there: that is the row "untrained".
    """
    rows = []
    for place, (control, tagging) in enumerate(found.items()):
        n_units = len(tagging.units)
        strict = control == "slot_shuffle"
        for rate, value in shares(tagging).items():
            null = [s[rate] for s in untrained.get(control, [])]
            mean, spread = (float(np.mean(null)), _spread(null)) if null else (ALPHA, np.nan)
            p = _beyond(value, null)
            if not np.isfinite(spread):
                ends = clopper_pearson(round(value * n_units), n_units)
            else:
                ends = max(value - spread, 0.0), min(value + spread, 1.0)
            told = f"p ≤ {ALPHA} against {control}; p and interval from {len(null)} untrained networks on texts dealt anew" if null else (
                f"p ≤ {ALPHA} against {control}; no untrained networks: the interval takes units for independent")  # fmt: skip
            rows.append(_row("tagged_units", "decoded" if place == 0 else f"against {control}", "units", rate, value,
                             ALPHA if strict else mean, *ends, p, n_units, told))  # fmt: skip
            if null:
                error = spread / np.sqrt(len(null))
                rows.append(_row("tagged_units", "untrained" if strict else f"untrained against {control}", "units", rate, mean,
                                 ALPHA if strict else mean, max(mean - error, 0.0), min(mean + error, 1.0), np.nan, len(null),
                                 f"mean over {len(null)} untrained networks, against {control}" + ("; must be at 5 %" if strict else "")))  # fmt: skip
    return rows


def unit_notes(headline: str) -> list[str]:
    """Say in a sentence what a share of tagged units means, where the control needs it."""
    if headline != "slot_shuffle":
        return []
    return [
        "Slot shuffle keeps every word class in its place: what is tagged against it follows how words go together, not what they are."
    ]


def answers(
    rows: Sequence[Mapping[str, Any]],
    channels: Tagging,
    planted: Mapping[str, np.ndarray],
    control: str,
    broken: str | None,
) -> list[str]:
    """Say in sentences which channels and units are tagged, and how that fits with what was planted.

    Parameters
    ----------
    rows : sequence of dict
        Of the result.
    channels : Tagging
    planted : mapping of str to array of shape (n_channels,)
        Rate -> which channels follow it in the condition and not in its control; empty for recordings.
    control : str
        Of the channels.
    broken : str, optional
        Control that breaks what the planted units follow; None for a model in which nothing was planted.
    """
    said = []
    parts = []
    for rate, there in planted.items():
        tagged = (channels.of(rate)["p"] <= ALPHA).to_numpy()
        regions = channels.of(rate)["region"] if "region" in channels.units else None
        where = (
            ""
            if regions is None or not there.any()
            else f" (in {', '.join(dict.fromkeys(regions[there].astype(str)))})"
        )
        parts.append(f"{rate} rate {int(tagged[there].sum())} of {int(there.sum())} planted channels{where} and {int(tagged[~there].sum())} of "
                     f"{int((~there).sum())} others")  # fmt: skip
    if parts:
        said.append(f"Tagged channels (p ≤ {ALPHA} against {_plain(control)}; 1 in 20 by chance): {'; '.join(parts)}.")
    units = {(r["row"], r["band"]): r["value"] for r in rows if r["metric"] == "tagged_units"}
    for rate in dict.fromkeys(band for row, band in units if row == "decoded"):
        first = _first_control(rows)
        fresh = units.get(("untrained", rate), units.get((f"untrained against {first}", rate)))
        shown = [
            f"{units['decoded', rate]:.1%} against {_plain(first)}"
            + ("" if fresh is None else f" ({fresh:.1%} in untrained networks)")
        ]
        if broken is not None and (f"against {broken}", rate) in units:
            plain = units.get((f"untrained against {broken}", rate))
            shown.append(
                f"{units[f'against {broken}', rate]:.1%} against {_plain(broken)}"
                + (
                    ""
                    if plain is None
                    else f" ({plain:.1%} in untrained networks, so that this share says little by itself)"
                )
            )
        said.append(f"Units of the model tagged at the {rate} rate: {', '.join(shown)}; 5 % by chance.")
    if broken is not None:
        said.append(f"The planted units follow the order of word classes: slot shuffle keeps that order, so that nothing should be found against it; {_plain(broken)} "
                    "breaks it.")  # fmt: skip
    return said


def _first_control(rows: Sequence[Mapping[str, Any]]) -> str:
    note = next(str(r["note"]) for r in rows if r["metric"] == "tagged_units" and r["row"] == "decoded")
    return note.split(" against ", 1)[1].split(";")[0]


def _plain(name: str) -> str:
    return name.replace("_", " ")


def channel_rows(tagging: Tagging, control: str, *, region: str | None = "region") -> list[dict[str, Any]]:
    """Return rows of shares of tagged channels, of all and of each region; p is family-wise (the largest statistic)."""
    rows = []
    for rate in sorted(tagging.rates, key=tagging.rates.get):  # the slowest first: sentences
        table = tagging.of(rate)
        parts = {"all channels": table} | (
            {str(k): part for k, part in table.groupby(region)} if region and region in table else {}
        )
        for name, part in parts.items():
            known = part[part["p"].notna()]
            k, n = int((known["p"] <= ALPHA).sum()), len(known)
            if not n:
                continue
            # p_max is corrected over all channels; with q where the test has no permutations
            p = (
                float(known["p_max"].min())
                if known["p_max"].notna().any()
                else float(min(1.0, known["p"].min() * len(table)))
            )
            rows.append(_row("tagged_channels", "decoded", name, rate, k / n, ALPHA, *clopper_pearson(k, n), p, n,
                             f"share with p ≤ {ALPHA} against {control}; p: any channel here, corrected over all of them"))  # fmt: skip
    return rows


def similarity_rows(
    found: SpectraSimilarity, untrained: SpectraSimilarity | None = None, *, best: str = "all layers"
) -> list[dict[str, Any]]:
    """Return one row a region, over units of all layers together, beside the same of an untrained network."""
    rows = []
    for name, similarity in (("decoded", found), ("untrained network", untrained)):
        if similarity is None:
            continue
        for r in similarity.table.itertuples():
            note = (
                f"{best}; chance is the mean of the null; halves of the brain's trials agree with rho = {r.ceiling:.2f}"
            )
            rows.append(_row("spectra_rho", name, str(r.region), "", r.value, r.chance, r.low, r.high, r.p, r.n, note))
    return rows


def auc_row(what: str, rate: str, statistic: np.ndarray, planted: np.ndarray, note: str) -> dict[str, Any] | None:
    """Return the row that says how well what was planted is told from the rest; None where nothing was planted."""
    found = auc(statistic, planted)
    if not np.isfinite(found.value):
        return None
    known = np.isfinite(statistic)
    n = int((known & planted).sum())
    return _row("auc_planted", "decoded", what, rate, found.value, 0.5, found.low, found.high, found.p, n,
                f"{n} planted of {known.sum()}; {note}")  # fmt: skip


def _relative(spectra: np.ndarray) -> np.ndarray:
    """Mean over units (bin, unit) of power relative to each unit's own mean, so that loud units do not stand for all."""
    level = spectra.mean(axis=0)
    kept = level > 0
    return (spectra[:, kept] / level[kept]).mean(axis=1) if kept.any() else spectra.mean(axis=1)


def panels(
    units: Mapping[str, Tagging], channels: Tagging, similarity: SpectraSimilarity | None, *, condition: str, control: str,
    top: float | None = None,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:  # fmt: skip
    """Return the pictures of the report and their arrays."""
    arrays: dict[str, np.ndarray] = {}
    made: list[dict[str, Any]] = []
    headline = next(iter(units))
    first = units[headline]
    for key, tagging, names, what in (
        ("units", first, ["sentence", *units], "units"), ("channels", channels, [condition, control], "channels"),
    ):  # fmt: skip
        if tagging.spectra is None or tagging.frequencies is None:
            continue
        inside = tagging.frequencies <= (top or np.inf)
        lines = [_relative(tagging.spectra[inside])]
        for one in [*units.values()] if key == "units" else [channels]:
            if one.control_spectra is not None and len(lines) < _LINES:
                lines.append(_relative(one.control_spectra[inside]))
        arrays[f"{key}/frequencies"], arrays[f"{key}/spectra"] = tagging.frequencies[inside], np.stack(lines)
        made.append({
            "draw": "tag_spectrum", "title": f"Spectrum of {what}",
            "args": {"frequencies": f"@{key}/frequencies", "spectra": f"@{key}/spectra", "rates": tagging.rates, "labels": [_plain(n) for n in names[: len(lines)]],
                     "ylabel": "evoked power (relative)", "n": len(tagging.units), "what": what},
            "caption": f"Power of the mean response over {tagging.n_trials} trials ({tagging.n_control} of the control), of each of the {what} relative "
            "to its own mean over frequencies, then averaged over all, tagged or not." + (" What a model knows of "
            "positions has power in any bin: compare conditions, not bins." if key == "units" else " Compare the tagged bins with those beside them."),
        })  # fmt: skip
    slowest = min(first.rates, key=first.rates.get)
    made += _bars({rate: (first, rate) for rate in sorted(first.rates, key=first.rates.get)}, "layer", "units", f"Tagged units by layer, against {_plain(headline)}",
                  f"Share of units with p ≤ {ALPHA} against {_plain(headline)}; dashed: by chance. Dark lines: 95 % intervals as if units were independent, so "
                  "too narrow.", arrays)  # fmt: skip
    if len(units) > 1:
        made += _bars({_plain(name): (found, slowest) for name, found in units.items()}, "layer", "controls", f"Units tagged at the {slowest} rate, by control",
                      "The same condition against each control. Only slot shuffle keeps word classes in their places: against the others "
                      "units that follow single words are tagged too, in untrained networks as well (rows \"untrained against ...\").", arrays)  # fmt: skip
    if "region" in channels.units:
        made += _bars({rate: (channels, rate) for rate in sorted(channels.rates, key=channels.rates.get)}, "region", "channels",
                      "Tagged channels by region", f"Share of the channels of a region with p ≤ {ALPHA} against {_plain(control)}; dashed: by chance. Dark lines: "
                      "95 % intervals.", arrays)  # fmt: skip
    if similarity is not None:
        regions = list(dict.fromkeys(similarity.table["region"]))
        layers = list(dict.fromkeys(similarity.table["layer"]))
        arrays["similarity/value"] = similarity.matrix()
        for column in ("p", "q", "p_max", "ceiling"):
            arrays[f"similarity/{column}"] = similarity.table[column].to_numpy().reshape(len(layers), len(regions))
        made.append({
            "draw": "roi_bars", "title": "Similarity of layers and regions",
            "args": {"values": "@similarity/value", "names": [str(r) for r in regions], "series": [f"layer {x}" for x in layers], "label": "Spearman's rho"},
            "caption": "Do a layer and a region tell the conditions apart alike? Dissimilarities of their spectra between conditions, rank-correlated; how much "
            "chance and an untrained network reach stands in the table of scores.",
        })  # fmt: skip
    return made, arrays


def _bars(
    series: Mapping[str, tuple[Tagging, str]],
    by: str,
    key: str,
    title: str,
    caption: str,
    arrays: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
    """Bars of the share of tagged units in each group, one series for each (tagging, rate)."""
    tables = [
        layer_curve(tagging, rate=rate, by=by, on="p", alpha=ALPHA).set_index(by) for tagging, rate in series.values()
    ]
    groups = list(tables[0].index)
    for column in ("share", "low", "high"):
        arrays[f"{key}/by_{by}/{column}"] = np.stack([t[column].to_numpy(dtype=float) for t in tables])
    names = [f"layer {g}" if by == "layer" else str(g) for g in groups]
    return [{
        "draw": "roi_bars", "title": title,
        "args": {"values": f"@{key}/by_{by}/share", "low": f"@{key}/by_{by}/low", "high": f"@{key}/by_{by}/high", "names": names,
                 "series": list(series), "chance": ALPHA, "label": "share tagged"},
        "caption": caption,
    }]  # fmt: skip
