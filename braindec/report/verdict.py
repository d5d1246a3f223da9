"""What the scores say, in words that claim no more than they show.

A unit is called above chance when its p-value holds after correction over all units (false discovery rate, Benjamini &
Hochberg 1995) *and* its 95 % interval lies above chance. Control rows that must be at chance are tested in the same
way, over all of them together, so that one in twenty is not called off by accident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.report.folder import RunRecord, UnitRecord
from braindec.report.words import metric_name, number, p_phrase

ALPHA = 0.05
LOWER_IS_BETTER = {"median_rank", "mean_rank", "log_loss", "brier", "mse", "mae", "rmse"}
_AT_CHANCE = {"label_shuffle", "noise_input", "time_only", "untrained"}
_KNOWN = {"metric", "version", "row", "value", "chance", "low", "high", "p", "n", "note"}


@dataclass(frozen=True)
class Judged:
    """A decoded score and what it may be called.

    Parameters
    ----------
    label : str
        The unit.
    call : str
        "above": p after correction and interval both say so. "unclear": only one of them does. "uncorrected": p holds
        only before correction. "near": the interval holds chance. "below": the interval lies below chance.
        "untested": there is no p and the interval lies above chance.
    value, chance, low, high, p, q : float
        The score; q is p after correction over units.
    n : float
        Windows.
    """

    label: str
    call: str
    value: float
    chance: float
    low: float
    high: float
    p: float
    q: float
    n: float


@dataclass(frozen=True)
class Verdict:
    """The words on top of the report.

    Parameters
    ----------
    state : str
        "good", "mixed", "null", "bad" or "empty".
    headline : str
    points : list of str
        One sentence or two each.
    judged : list of Judged
        The first metric of each unit.
    metric : str
        Name of that metric.
    off : set of (unit name, row number)
        Control rows that are off chance.
    doubts : dict of str to str
        Why the score of a unit is not to be taken at face value.
    """

    state: str
    headline: str
    points: list[str] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    metric: str = ""
    off: frozenset = frozenset()
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """When a score is called above chance."""
        tested = sum(np.isfinite(j.p) for j in self.judged)
        if not tested:
            return ""
        how = f"p after correction over {tested} tests (false discovery rate, Benjamini & Hochberg)" if tested > 1 else "p"
        return f"A score is called above chance when {how} is at most {ALPHA:g} and its 95 % interval lies beyond chance."


def row_kind(row: str) -> str:
    """Return "decoded", "control" (must be at chance) or "reference" (a baseline or ceiling, may be anywhere)."""
    if row == "decoded":
        return "decoded"
    return "control" if row in _AT_CHANCE or row in registry.names("evaluate.controls") else "reference"


def block_columns(scores: pd.DataFrame, keys: Mapping[str, Any]) -> list[str]:
    """Return the text columns, other than the unit's keys, that tell scores of one metric apart (e.g. direction)."""
    return [c for c in scores.columns if c not in _KNOWN and c not in keys and scores[c].notna().any()
            and not pd.api.types.is_numeric_dtype(scores[c])]  # fmt: skip


def block_keys(scores: pd.DataFrame, keys: Mapping[str, Any]) -> pd.Series:
    """Return for each row a text that rows of one metric (and direction, ...) share."""
    parts = scores["metric"].astype(str)
    for column in block_columns(scores, keys):
        values = scores[column].map(lambda v: "" if pd.isna(v) else f", {str(v).replace('_', ' ')}")
        parts = parts + values
    return parts


def judge(scores: Sequence[tuple[str, Mapping[str, float]]], *, higher: bool = True) -> list[Judged]:
    """Judge one decoded score of each unit; p-values are corrected over all that have one."""
    p = np.array([float(s["p"]) for _, s in scores])
    q = adjusted(p)
    judged = []
    for (label, s), own_q in zip(scores, q, strict=True):
        value, chance, low, high, own_p = (float(s[k]) for k in ("value", "chance", "low", "high", "p"))
        call = _call(value, chance, *((low, high) if higher else (-high, -low)), own_p, own_q, 1 if higher else -1)
        judged.append(Judged(label, call, value, chance, low, high, own_p, float(own_q), float(s["n"])))
    return judged


def _call(value: float, chance: float, low: float, high: float, p: float, q: float, sign: int) -> str:
    chance = sign * chance
    if high < chance:
        return "below"
    beyond = low > chance
    if not np.isfinite(p):
        return "untested" if beyond else "near"
    if q <= ALPHA:
        return "above" if beyond else "unclear"
    if p <= ALPHA:
        return "uncorrected"
    return "unclear" if beyond else "near"


def adjusted(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini & Hochberg (1995); NaN stays NaN and is not counted."""
    from scipy.stats import false_discovery_control

    out = np.full(len(p), np.nan)
    there = np.isfinite(p)
    if there.any():
        out[there] = false_discovery_control(p[there], method="bh")
    return out


def controls_off(units: Sequence[UnitRecord]) -> tuple[frozenset, int]:
    """Return (unit name, row) of the control rows that are off chance, and how many control rows there are.

    With p-values: those that hold after correction over all control rows of the run. Without: the interval does not
    hold chance. An interval around the mean of permutations holds chance unless something is wrong.
    """
    rows = []
    for unit in units:
        kinds = unit.scores["row"].astype(str).map(row_kind)
        for place in np.flatnonzero((kinds == "control") & np.isfinite(unit.scores["value"])):
            rows.append((unit.name, int(place), unit.scores.iloc[place]))
    q = adjusted(np.array([float(r["p"]) for *_, r in rows]))
    off = set()
    for (name, place, row), own in zip(rows, q, strict=True):
        outside = row["low"] > row["chance"] or row["high"] < row["chance"]
        if own <= ALPHA and outside or not np.isfinite(own) and outside:
            off.add((name, place))
    return frozenset(off), len(rows)


def verdict(run: RunRecord) -> Verdict:
    """Put the outcome of a run into words."""
    failed = _failed(run)
    if not run.units:
        return Verdict("empty", "No unit finished: there is no score to judge", failed)
    off, n_controls = controls_off(run.units)
    first = _first_block(run.units)
    if first is None:
        return Verdict("empty", "No score was made", failed, off=off)
    scores = []
    for unit in run.units:
        mine = (unit.scores["row"] == "decoded") & (block_keys(unit.scores, unit.keys) == first) & np.isfinite(unit.scores["value"])
        if mine.any():
            scores.append((unit.label, unit.scores[mine].iloc[0]))
    metric = first.split(",")[0]
    judged = judge(scores, higher=metric not in LOWER_IS_BETTER)
    name = metric_name(metric) + first[len(metric) :]
    state, headline = _headline(judged, name, run.noun)
    points = [*_words(judged, run.noun), *_group(run, first), *_controls(run.units, off, n_controls)]
    audit, worst = _audit(run.units)
    if worst == "fail":
        points = [audit[0], f"At face value: {headline[0].lower() if headline[:3] in ('All', 'No ') else headline[0]}{headline[1:]}.", *points]
        state, headline, audit = "bad", "The audit found a failure: do not trust these scores yet", []
    elif off and state == "good":
        state = "mixed"
    return Verdict(state, headline, [*points, *audit, *failed], judged, name, off, _doubts(run.units, off))


def _first_block(units: Sequence[UnitRecord]) -> str | None:
    for unit in units:
        decoded = unit.scores[(unit.scores["row"] == "decoded") & np.isfinite(unit.scores["value"])]
        if len(decoded):
            return str(block_keys(unit.scores, unit.keys).loc[decoded.index[0]])
    return None


def _headline(judged: Sequence[Judged], metric: str, noun: tuple[str, str]) -> tuple[str, str]:
    n = len(judged)
    above = sum(j.call == "above" for j in judged)
    untested = sum(j.call == "untested" for j in judged)
    if n == 1:
        one = judged[0]
        text = {"above": "above chance", "near": "near chance", "below": "below chance", "unclear": "not clearly above chance",
                "uncorrected": "not clearly above chance", "untested": "above chance by its interval; no test was made"}[one.call]  # fmt: skip
        state = {"above": "good", "untested": "mixed", "unclear": "mixed"}.get(one.call, "null")
        return state, f"{one.label} is {text} ({metric})"
    if untested and not above:
        return "mixed", f"{untested} of {n} {noun[1]} lie above chance by their intervals ({metric}); no test was made"
    if not above:
        return "null", f"No {noun[0]} of {n} is reliably above chance ({metric})"
    text = f"{'All' if above == n else above} {'' if above == n else 'of '}{n} {noun[1]} {'is' if above == 1 and n > 1 else 'are'} above chance ({metric})"
    return ("good" if above == n else "mixed"), text


def _words(judged: Sequence[Judged], noun: tuple[str, str]) -> list[str]:
    points, tested = [], sum(np.isfinite(j.p) for j in judged)
    phrases = {
        "above": "Above chance: {}.",
        "untested": "Interval above chance, not tested: {}.",
        "uncorrected": f"Above chance only before correction over {tested} {noun[1]}, so not shown to be: {{}}.",
        "unclear": "Not clear, test and interval disagree: {}.",
        "near": "Near chance, cannot be told from guessing: {}.",
        "below": "Below chance: {}. Look for a fault in labels, folds or design.",
    }
    for call, phrase in phrases.items():
        some = [j for j in judged if j.call == call]
        if some:
            points.append(phrase.format(_list(some, noun)))
    return points


def _list(some: Sequence[Judged], noun: tuple[str, str]) -> str:
    if len(some) > 8:
        values = [j.value for j in some]
        return f"{len(some)} {noun[1]}, scores {number(min(values))} to {number(max(values))}"
    words = [f"{j.label} ({number(j.value)} [{number(j.low)}, {number(j.high)}]{p_phrase(j.p)})" for j in some]
    return ", ".join(words)


def _group(run: RunRecord, first: str) -> list[str]:
    row = group_row(run, first)
    if row is None:
        return []
    count = int(row["n"]) if np.isfinite(row["n"]) else len(run.units)
    few = " With so few, it says little about people in general." if count < 6 else ""
    interval = f"[{number(row['low'])}, {number(row['high'])}]"
    return [f"Mean over {count} {run.noun[1]}: {number(row['value'])} {interval}, chance {number(row['chance'])}{p_phrase(row['p'])}.{few}"]


def group_row(run: RunRecord, block: str) -> pd.Series | None:
    """Return the decoded row of the summary for one block of scores, if there is one."""
    if run.summary is None or not len(run.summary.scores):
        return None
    scores = run.summary.scores
    keys = {k: "" for u in run.units for k in u.keys}
    names = block_keys(scores, keys)
    mine = (scores["row"] == "decoded") & np.isfinite(scores["value"]) & ((names == block) | (names == block.split(",")[0]))
    return scores[mine].iloc[0] if mine.any() else None


def _controls(units: Sequence[UnitRecord], off: frozenset, n: int) -> list[str]:
    if not n:
        return ["No control rows were run: nothing shows that the score comes from the signal."]
    if not off:
        return [f"All {n} control rows are at chance." if n > 1 else "The control row is at chance."]
    by_name: dict[str, list[str]] = {}
    for unit in units:
        for place in sorted(i for name, i in off if name == unit.name):
            row = unit.scores.iloc[place]
            text = f"{unit.label} {metric_name(row['metric'])} {number(row['value'])} (chance {number(row['chance'])})"
            by_name.setdefault(str(row["row"]).replace("_", " "), []).append(text)
    words = "; ".join(f"{name}: {', '.join(v[:4])}{f' and {len(v) - 4} more' if len(v) > 4 else ''}" for name, v in by_name.items())
    return [f"{len(off)} of {n} control rows are off chance, so part of the score may not come from the brain signal: {words}."]


def _audit(units: Sequence[UnitRecord]) -> tuple[list[str], str]:
    levels: dict[str, set[str]] = {"fail": set(), "warn": set(), "pass": set(), "skip": set()}
    for unit in units:
        for finding in (unit.made_by.get("audit") or {}).get("findings", []):
            levels.setdefault(str(finding.get("level")), set()).add(str(finding.get("check")).replace("_", " "))
    if not any(levels.values()):
        return ["The design was not audited."], "skip"
    words = []
    for level, text in (("fail", "fails"), ("warn", "warns about")):
        if levels[level]:
            words.append(f"{text} {', '.join(sorted(levels[level]))}")
    if not words:
        return [f"The audit found nothing wrong ({len(levels['pass'])} checks passed)."], "pass"
    return [f"The audit {' and '.join(words)} (see Audit)."], "fail" if levels["fail"] else "warn"


def _doubts(units: Sequence[UnitRecord], off: frozenset) -> dict[str, str]:
    """Why a unit's score is not to be taken at face value: a control off chance, or a failed check."""
    doubts = {unit.label: "control off chance" for unit in units if any(name == unit.name for name, _ in off)}
    for unit in units:
        card = unit.made_by.get("audit") or {}
        if any(f.get("level") == "fail" for f in card.get("findings", [])):
            doubts[unit.label] = "audit failed"
    return doubts


def _failed(run: RunRecord) -> list[str]:
    if not run.failures:
        return []
    n, names = len(run.failures), [f["label"] for f in run.failures]
    more = f" and {n - 6} more" if n > 6 else ""
    return [f"{n} of {n + len(run.units)} {run.noun[1]} failed and {'is' if n == 1 else 'are'} not in these numbers: {', '.join(names[:6])}{more}."]
