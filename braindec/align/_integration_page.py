"""From sites of integration to a Result: rows, pictures and sentences, of one subject or of several together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._integration_fit import JOINED, LOW_LEVEL
from braindec.align._integration_table import CONTROLLED, correct_sites, region_table
from braindec.align.integration_sites import IntegrationSites
from braindec.errors import BraindecError
from braindec.stats.auc import auc
from braindec.stats.binomial import clopper_pearson
from braindec.stats.bootstrap import bootstrap_interval
from braindec.types import Result

__all__ = ["group_sites", "sites_result"]

_SHOWN = 6  # electrodes whose courses are drawn
_UNTRAINED = "untrained twin"
_ROWS = {"vision": "over_vision", "language": "over_language", JOINED: "over_concatenation", "random": "over_untrained_twin",
         LOW_LEVEL: "over_low_level"}  # fmt: skip


def sites_result(found: IntegrationSites, *, keys: Mapping[str, Any], overview: Mapping[str, Any], audit: Mapping[str, Any] | None = None,
                 planted: pd.DataFrame | None = None, citations: Sequence[Mapping[str, str]] = ()) -> Result:  # fmt: skip
    """Return the result of one subject.

    Parameters
    ----------
    found : IntegrationSites
    keys : mapping
        Columns put before the scores.
    overview, audit, citations
        For the page.
    planted : DataFrame, optional
        ``subject``, ``name`` and ``type`` of simulated electrodes.
    """
    arrays = found.arrays() | _stored(found.table)
    panels = [*_map_panel(found.table, arrays), *_curve_panel(found, arrays), *_region_panel(found.table, arrays)]
    rows = score_rows(found.table, found.alpha, "over this subject's electrodes", planted)
    notes, said = list(found.notes), _answers(found.table, found.alpha, planted)
    if not found.table["mapped"].any():
        notes.insert(0, "No electrode has a position that can be drawn: there is no map.")
    made_by = {"overview": dict(overview), "panels": panels, "notes": notes, "answers": said, "citations": list(citations),
               **({"audit": dict(audit)} if audit else {})}  # fmt: skip
    return Result(pd.DataFrame([{**keys, **row} for row in rows]), arrays, made_by)


def group_sites(results: Sequence[Result], *, correction: str, alpha: float) -> Result | None:
    """Put the electrodes of all subjects together and correct over all of them; None for fewer than two subjects."""
    if len(results) < 2:
        return None
    if any("table/p" not in r.arrays for r in results):
        raise BraindecError("a result holds no table of electrodes", found=f"{len(results)} results")
    tables = [pd.DataFrame({c: r.arrays[f"table/{c}"] for c in map(str, r.arrays["columns"])}) for r in results]
    table = correct_sites(pd.concat(tables, ignore_index=True), correction=correction, alpha=alpha)
    table["mapped"] = table["mapped"].astype(bool)
    arrays = _stored(table)
    panels = [*_map_panel(table, arrays), *_region_panel(table, arrays), *_lead_panel(table, arrays)]
    rows = score_rows(table, alpha, "over the electrodes of all subjects", None)
    notes = [f"All {len(results)} subjects together: p-values are corrected over their {len(table)} electrodes, which is not what each subject's own "
             "table does."]  # fmt: skip
    for row in (
        rows
    ):  # what a page calls a mean is over subjects, and electrodes stand in the note; their p is no test of subjects
        if row["metric"].startswith("pearson"):
            row["note"] = f"{row['note']}; {row['n']} sites"
        row |= {
            "n": len(results),
            "p": np.nan,
            "subject": "mean",
            "note": row["note"].removesuffix("; p: that none is a site"),
        }
    return Result(pd.DataFrame(rows), arrays, {"panels": panels, "notes": notes})


def score_rows(table: pd.DataFrame, alpha: float, over: str, planted: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of the long table: share of sites, with the untrained twin, by region; r and leads at sites."""
    n, sites = int(table["p"].notna().sum()), table[table["is_site"]]
    rows = [_row("integration_sites", "decoded", len(sites), n, p=table["q"].min(),
                 note=f"{len(sites)} of {n} electrodes, false discovery rate {alpha:g} {over}; p: that none is a site")]  # fmt: skip
    if "untrained_q" in table:
        passed = int((table["untrained_q"] <= alpha).sum())
        rows.append(_row("integration_sites", "untrained", passed, n, p=table["untrained_q"].min(),
                         note="the randomly initialised twin in place of the multimodal model; must be at 0"))  # fmt: skip
    for region in region_table(table).itertuples():
        rows.append(_row("sites_by_region", str(region.region), int(region.sites), int(region.n), note=f"{region.sites} of {region.n} electrodes; "
                         "the interval takes electrodes for independent"))  # fmt: skip
    at_sites = "mean over sites, interval over sites; sites were called by these leads, which makes them a little large"
    for comparison, name in _ROWS.items():
        if len(sites) and f"d_{comparison}" in sites:
            rows.append(_mean("pearson_lead", name, sites[f"d_{comparison}"], at_sites))
    for column, name in _models_of(table).items():
        if len(sites):
            rows.append(_mean("pearson_at_sites", name, sites[column], at_sites))
    if len(sites) and f"d_{CONTROLLED}" in sites:
        rows.append(_mean("pearson_lead", "controlled_pair", sites[f"d_{CONTROLLED}"], at_sites))
    if planted is not None:
        kind = table[["subject", "name"]].merge(planted, how="left")["type"]
        found = auc(-table["p"].to_numpy(dtype=float), kind.eq("multimodal").to_numpy())
        if np.isfinite(found.value):
            rows.append({"metric": "auc_planted", "version": 1, "row": "decoded", "value": found.value, "chance": 0.5, "low": found.low,
                         "high": found.high, "p": found.p, "n": n, "note": "electrodes ranked by p against those that were planted"})  # fmt: skip
    return rows


def _row(metric: str, row: str, k: int, n: int, *, p: float = np.nan, note: str) -> dict[str, Any]:
    low, high = clopper_pearson(k, n) if n else (np.nan, np.nan)
    return {"metric": metric, "version": 1, "row": row, "value": k / n if n else np.nan, "chance": 0.0, "low": low, "high": high,
            "p": p, "n": n, "note": note}  # fmt: skip


def _mean(metric: str, row: str, values: pd.Series, note: str) -> dict[str, Any]:
    numbers = values.to_numpy(dtype=float)
    low, high = bootstrap_interval(numbers) if len(numbers) > 1 else (np.nan, np.nan)
    return {"metric": metric, "version": 1, "row": row, "value": float(numbers.mean()), "chance": 0.0, "low": low, "high": high,
            "p": np.nan, "n": len(numbers), "note": note}  # fmt: skip


def _models_of(table: pd.DataFrame) -> dict[str, str]:
    """Column of r -> name of the row, the multimodal model first."""
    return {
        "r_best": "multimodal model",
        **{
            c: c[2:]
            for c in table
            if str(c).startswith("r_") and c != "r_best" and not (table[c] == table["r_best"]).all()
        },
    }


def _map_panel(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Where the sites are; electrodes without a place that can be drawn are counted below."""
    if not table["mapped"].any():
        return []
    places = np.where(
        table["mapped"].to_numpy(dtype=bool)[:, None], table[["x", "y", "z"]].to_numpy(dtype=float), np.nan
    )
    spaces = set(table.loc[table["mapped"], "space"].astype(str))
    template = all(s.lower().startswith(("mni", "icbm", "fsaverage")) for s in spaces)
    if not template and table["subject"].nunique() > 1:
        return []  # places of different heads in one picture would mean nothing
    arrays["map/positions"], arrays["map/groups"] = places.astype(np.float32), _plain(table["agreement"].map(_kind))
    caption = "Colours: the events at which a site holds by itself." + (
        "" if template else f" Space: {', '.join(sorted(spaces))}."
    )
    return [{"draw": "site_map", "title": "Where vision meets language", "caption": caption,
             "args": {"positions": "@map/positions", "groups": "@map/groups", "template": template}}]  # fmt: skip


def _kind(agreement: str) -> str:
    return {"": "", "both": "site at both event types", "together": "site only by both types together"}.get(agreement, f"site at {agreement} events")  # fmt: skip


def _curve_panel(found: IntegrationSites, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """r over time at the surest sites (or the electrodes that come nearest)."""
    table = found.table.dropna(subset=["p"]).sort_values("p")
    if not len(table):
        return []
    chosen = table[table["is_site"]][:_SHOWN] if table["is_site"].any() else table[:3]
    models, courses, marked, heads = found.models, [], [], []
    for place, row in zip(chosen.index, chosen.itertuples(), strict=True):
        r = {k: v[place] for k, v in found.r[row.best_type].items()}
        best = row.best_model
        twin = models.random.get(best)
        lines = [
            r[best],
            r[JOINED],
            np.max([r[k] for k in models.vision], axis=0),
            np.max([r[k] for k in models.language], axis=0),
        ]
        courses.append([*lines, *([r[twin] if twin else np.full(len(found.times), np.nan)] if models.random else [])])
        marked.append(found.p[row.best_type][place] <= 0.05)
        heads.append(f"{row.name}, at {row.best_type} events\n{row.region}")
    names = ["multimodal", "vision and language joined", "best vision model", "best language model", _UNTRAINED]
    arrays["curves/values"], arrays["curves/marked"] = np.array(courses, dtype=np.float32), np.array(marked)
    arrays["curves/names"] = np.array(heads, dtype=object)
    what = "The surest sites" if table["is_site"].any() else "No electrode is a site; those that come nearest"
    return [{"draw": "site_curves", "title": "Prediction over time", "caption": f"{what}. Bars below: every comparison holds in this bin, p ≤ 0.05, "
             "not corrected (pictures only: the test of an electrode is made once, at bins chosen in training events).",
             "args": {"times": "@times", "values": "@curves/values", "models": names[: len(courses[0])], "names": "@curves/names", **({"reference": _UNTRAINED} if models.random else {}),
                      "marked": "@curves/marked"}}]  # fmt: skip


def _region_panel(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Share of sites in each region."""
    regions = region_table(table)
    if len(regions) < 2:
        return []
    arrays |= {
        "regions/sites": regions["sites"].to_numpy(),
        "regions/n": regions["n"].to_numpy(),
        "regions/names": _plain(regions["region"]),
    }
    return [{"draw": "region_shares", "title": "Sites by region", "caption": "Exact binomial intervals, which take electrodes for independent.",
             "args": {"counts": "@regions/sites", "totals": "@regions/n", "names": "@regions/names"}}]  # fmt: skip


def _lead_panel(table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """By how much the multimodal model is ahead at sites, of each rival."""
    sites = table[table["is_site"]]
    leads = [c for c in _ROWS if f"d_{c}" in sites and c != LOW_LEVEL]
    if not len(sites):
        return []
    shown = [_mean("", c, sites[f"d_{c}"], "") for c in leads]
    arrays |= {f"leads/{k}": np.array([row[k] for row in shown], dtype=float) for k in ("value", "low", "high")}
    named = {
        "vision": "best vision",
        "language": "best language",
        JOINED: "both joined",
        "random": _UNTRAINED,
    }
    arrays["leads/points"] = sites[[f"d_{c}" for c in leads]].to_numpy(dtype=np.float32)
    return [{"draw": "roi_bars", "title": "Lead of the multimodal model at sites", "caption": "Difference of held-out r; bars: mean over sites, dots: "
             "sites. Sites were called by these leads, which makes them a little large.",
             "args": {"values": "@leads/value", "low": "@leads/low", "high": "@leads/high", "points": "@leads/points",
                      "names": [named[c] for c in leads], "label": "lead in r over"}}]  # fmt: skip


def _answers(table: pd.DataFrame, alpha: float, planted: pd.DataFrame | None) -> list[str]:
    """Sentences for the top of the page."""
    n, sites = int(table["p"].notna().sum()), table[table["is_site"]]
    if not len(sites):
        said = [f"no site of integration among {n} electrodes (false discovery rate {alpha:g})."]
    else:
        where = ", ".join(f"{k} {v}" for k, v in sites["region"].value_counts().items())
        lead = sites[f"d_{JOINED}"]
        span = f"{lead.min():.2f} to {lead.max():.2f}" if len(sites) > 1 else f"{lead.iloc[0]:.2f}"
        said = [f"{len(sites)} of {n} electrodes are sites of integration ({where}); there the multimodal model is ahead of vision and "
                f"language joined by {span} in r."]  # fmt: skip
        if f"d_{CONTROLLED}" in sites:
            held = int((correct_sites(sites.assign(p=sites[f"{CONTROLLED}_p"]))["q"] <= 0.05).sum())
            said[0] = f"{said[0][:-1]}; supervision by language alone (controlled pair) helps at {held} of them."
    if planted is not None:
        kind = table[["subject", "name"]].merge(planted, how="left")["type"].to_numpy(dtype=object)
        called = table["is_site"].to_numpy(dtype=bool)
        there = kind == "multimodal"
        linear = kind == "linear"
        said.append(f"Planted: {int((called & there).sum())} of {int(there.sum())} sites found, {int((called & ~there).sum())} of {int((~there).sum())} other "
                    f"electrodes called ({int((called & linear).sum())} of {int(linear.sum())} that follow vision and language side by side).")  # fmt: skip
    return said


def _stored(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The table of electrodes as arrays, and the order of its columns, which a file does not keep."""
    return {f"table/{c}": _plain(table[c]) for c in table} | {"columns": np.array(list(table), dtype=object)}


def _plain(column: pd.Series) -> np.ndarray:
    """A column as an array that HDF5 takes."""
    return column.to_numpy(dtype=object if column.dtype == object or str(column.dtype).startswith("str") else None)
