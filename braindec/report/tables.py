"""Tables of the page: scores with a small drawing of each interval, data overview, audit findings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.report.folder import RunRecord, UnitRecord
from braindec.report.judge import adjusted, block_keys, row_kind
from braindec.report.verdict import Verdict
from braindec.report.words import (
    block_name,
    check_name,
    fact,
    modality_name,
    nice_ends,
    number,
    p_number,
    row_name,
    tick,
)

_LEVELS = {"fail": 0, "warn": 1, "pass": 2, "skip": 3}
_PLAIN = {"metric", "k", "version", "row", "value", "chance", "low", "high", "p", "n", "note"}
_WIDTH = 200  # px of the small drawing
_FIRST = ["modality", "windows", "classes", "runs", "channels", "sampling frequency (Hz)", "window (s)"]
MANY = 12  # beyond so many units, long tables are folded


@dataclass(frozen=True)
class Row:
    """One line of a score table, as text, with the places of its small drawing in px."""

    unit: str
    row: str
    kind: str
    off: bool
    unclear: bool
    call: str
    value: str
    chance: str
    interval: str
    p: str
    q: str
    n: str
    note: str
    drawing: Mapping[str, float] | None


@dataclass(frozen=True)
class Block:
    """The score table of one metric."""

    title: str
    version: str
    facts: str
    rows: list[Row]
    n_units: int
    low: str
    high: str
    corrected: bool
    noted: list[str] = field(default_factory=list)

    @property
    def decoded(self) -> list[Row]:
        """Only the decoded rows."""
        return [r for r in self.rows if r.kind == "decoded"]


def score_blocks(run: RunRecord, found: Verdict) -> list[Block]:
    """Return one table a metric (and direction, ...), in the order in which they first occur."""
    tables = []
    for unit in [*run.units, *([run.summary] if run.summary is not None else [])]:
        table = unit.scores.copy()
        table["_block"], table["_unit"], table["_name"] = block_keys(table, unit.keys), unit.label, unit.name
        table["_number"], table["_group"] = range(len(table)), unit is run.summary
        tables.append(table)
    blocks = []
    everything = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"_block": []})
    own = everything[~everything["_group"].astype(bool)] if len(everything) else everything
    for name in dict.fromkeys([*own["_block"], *everything["_block"]]):
        blocks.append(_block(str(name), everything[everything["_block"] == name], found, run.noun[1]))
    return blocks


def _block(name: str, table: pd.DataFrame, found: Verdict, noun: str) -> Block:
    table = table.copy()
    for column in ("chance", "low", "high", "p", "n"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    decoded = (table["row"] == "decoded") & ~table["_group"].astype(bool)
    table["_q"] = np.nan
    table.loc[decoded, "_q"] = adjusted(table.loc[decoded, "p"].to_numpy(dtype=float))
    corrected = int((decoded & np.isfinite(table["p"])).sum()) > 1
    ends = table[["value", "chance", "low", "high"]].to_numpy(dtype=float)
    low, high = (float(np.nanmin(ends)), float(np.nanmax(ends))) if np.isfinite(ends).any() else (0.0, 1.0)
    low, high = nice_ends(low, high)
    calls = {j.label: j.call for j in found.judged} if name == found.block else {}
    if (table["row"] == "untrained_mean").any():  # their mean and range stand for the single networks
        table = table[~table["row"].astype(str).str.fullmatch(r"untrained_\d+")]
    rows, notes = [], []
    for group in (True, False):
        part = table[table["_group"].astype(bool) == group]
        for line in part.sort_values(
            "_name", key=lambda s: s.map({n: i for i, n in enumerate(dict.fromkeys(part["_name"]))}), kind="stable"
        ).to_dict("records"):
            note = str(line["note"]) if "note" in line and not pd.isna(line["note"]) else ""
            if group:
                note = note.replace("over units", f"over {noun}").replace(" units,", f" {noun},")
            mark = ""
            if note:
                notes += [note] if note not in notes else []
                mark = str(notes.index(note) + 1)
            rows.append(_row(line, found, calls, low, high, mark))
    facts = [
        _fact(c, float(table[c].iloc[0]))
        for c in table
        if c not in _PLAIN
        and not c.startswith("_")
        and pd.api.types.is_numeric_dtype(table[c])
        and table[c].notna().all()
        and table[c].nunique() == 1
    ]
    versions = " and ".join(dict.fromkeys(str(v) for v in table["version"].dropna()))
    return Block(
        block_name(name),
        versions,
        ", ".join(facts),
        rows,
        table.loc[~table["_group"].astype(bool), "_name"].nunique(),
        tick(low),
        tick(high),
        corrected,
        notes,
    )


def _fact(column: str, value: float) -> str:
    """A number that all rows share, with the name of its column."""
    text = number(value) if value % 1 else f"{int(value):,}"
    if column.startswith("n_"):
        return f"{text} {column[2:].replace('_', ' ')}"
    return f"{column.replace('_', ' ')} {text}"


def _row(line: Mapping[str, Any], found: Verdict, calls: Mapping[str, str], low: float, high: float, mark: str) -> Row:
    kind = row_kind(str(line["row"]))
    ends = (line["low"], line["high"])
    there = all(np.isfinite(e) for e in ends)
    group = bool(line["_group"])
    span = high - low
    return Row(
        unit=f"mean of {int(line['n'])}"
        if group and np.isfinite(line["n"])
        else "all"
        if group
        else str(line["_unit"]),
        row=row_name(line["row"], str(line["metric"])),
        kind=kind,
        off=(line["_name"], line["_number"]) in found.controls.off and not group,
        unclear=(line["_name"], line["_number"]) in found.controls.unclear and not group,
        call="" if group or kind != "decoded" else calls.get(str(line["_unit"]), ""),
        value=number(line["value"], span=span),
        chance=number(line["chance"], span=span),
        interval=f"{number(ends[0], span=span)} to {number(ends[1], span=span)}" if there else "",
        p=p_number(float(line["p"])),
        q=p_number(float(line["_q"])),
        n=f"{int(line['n']):,}" if np.isfinite(line["n"]) else "",
        note=mark,
        drawing=_drawing(line, low, high),
    )


def _drawing(line: Mapping[str, Any], low: float, high: float) -> dict[str, float] | None:
    """Places in px: value, chance, and the ends of the interval."""
    if not np.isfinite(line["value"]):
        return None

    def place(x: float) -> float:
        return round(float(np.clip((x - low) / (high - low), 0, 1)) * _WIDTH, 1)

    drawing = {"value": place(line["value"])}
    if np.isfinite(line["chance"]):
        drawing["chance"] = place(line["chance"])
    if np.isfinite(line["low"]) and np.isfinite(line["high"]):
        drawing.update(low=place(line["low"]), length=round(max(place(line["high"]) - place(line["low"]), 1.0), 1))
    return drawing


@dataclass(frozen=True)
class Check:
    """What one check of the audit said over all units."""

    check: str
    level: str
    count: str
    says: list[dict[str, Any]]


def audit_checks(units: Sequence[UnitRecord]) -> list[Check]:
    """Return the findings by check, the worst first; units that were told the same stand together."""
    by_check: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for unit in units:
        for finding in unit.findings:
            by_check.setdefault(str(finding.get("check", "check")), []).append((unit.label, finding))
    checks = []
    for name, found in by_check.items():
        level = min((str(f.get("level", "skip")) for _, f in found), key=lambda v: _LEVELS.get(v, 9))
        told: dict[str, dict[str, Any]] = {}
        for label, finding in sorted(found, key=lambda pair: _LEVELS.get(str(pair[1].get("level")), 9)):
            own = {k: finding.get(k) for k in ("level", "message", "fix", "reference")}
            entry = told.setdefault(json.dumps(own, sort_keys=True), {**own, "units": [], "evidence": []})
            if label not in entry["units"]:
                entry["units"].append(label)
            if finding.get("evidence"):
                entry["evidence"].append((label, _evidence(finding["evidence"])))
        worst = [label for label, f in found if str(f.get("level")) == level]
        n = len(dict.fromkeys(worst))
        checks.append(
            Check(check_name(name), level, "" if n == len(units) else f"{n} of {len(units)}", list(told.values()))
        )
    return sorted(checks, key=lambda c: (_LEVELS.get(c.level, 9), c.check))


def _evidence(evidence: Any) -> list[tuple[str, str]]:
    if not isinstance(evidence, dict):
        return [("", _short(evidence))]
    return [(str(k).replace("_", " "), _short(v)) for k, v in evidence.items()]


def _short(value: Any, n: int = 400) -> str:
    text = (
        value
        if isinstance(value, str)
        else f"{value:g}"
        if isinstance(value, float)
        else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= n else f"{text[:n]} … ({len(text):,} characters)"


@dataclass(frozen=True)
class Overview:
    """Facts of the data: those that all units share, and a table of those that differ."""

    shared: list[tuple[str, str]]
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    long: list[tuple[str, list[tuple[str, str]]]]


def overview(units: Sequence[UnitRecord]) -> Overview:
    """Return the data overview of all units; long texts that differ are set apart from the table."""
    tables = [(u.label, {str(k): fact(v) for k, v in (u.made_by.get("overview") or {}).items()}) for u in units]
    for _, facts in tables:
        if "modality" in facts:
            facts["modality"] = modality_name(facts["modality"])
    keys = sorted(
        dict.fromkeys(k for _, t in tables for k in t), key=lambda k: _FIRST.index(k) if k in _FIRST else len(_FIRST)
    )
    shared, columns, long = [], [], []
    for key in keys:
        values = [t.get(key, "") for _, t in tables]
        if len(set(values)) == 1:
            shared.append((key, values[0]))
        elif max(map(len, values)) > 44:
            long.append((key, [(label, t[key]) for label, t in tables if t.get(key)]))
        else:
            columns.append(key)
    return Overview(shared, columns, [(label, [t.get(c, "") for c in columns]) for label, t in tables], long)
