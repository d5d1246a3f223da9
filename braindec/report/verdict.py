"""What the scores say, in words that claim no more than they show (the rules are in :mod:`braindec.report.judge`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.report.answers import answers, planted
from braindec.report.folder import NAMED, RunRecord, UnitRecord
from braindec.report.judge import (
    ALPHA,
    BEST_BLIND,
    LOWER_IS_BETTER,
    Controls,
    Judged,
    block_keys,
    judge,
    judge_controls,
)
from braindec.report.words import block_name, check_name, is_decoded, metric_name, number, p_phrase, row_name


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
    controls : Controls
        Which control rows are off chance.
    doubts : dict of str to str
        Why the score of a unit is not to be taken at face value.
    block : str
        Key of the scores that are judged (:func:`braindec.report.judge.block_keys`).
    """

    state: str
    headline: str
    points: list[str] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    metric: str = ""
    controls: Controls = field(default_factory=Controls)
    doubts: Mapping[str, str] = field(default_factory=dict)
    block: str = ""

    @property
    def rule(self) -> str:
        """When a score is called above chance."""
        tested = sum(np.isfinite(j.p) for j in self.judged)
        if not tested:
            return ""
        how = (
            f"p after correction over {tested} tests (false discovery rate, Benjamini & Hochberg)"
            if tested > 1
            else "p"
        )
        return (
            f"A score is called above chance when {how} is at most {ALPHA:g} and its 95 % interval lies beyond chance."
        )


def verdict(run: RunRecord) -> Verdict:
    """Put the outcome of a run into words."""
    failed = _failed(run)
    if not run.units and run.made_by.get("left_out"):
        return Verdict(
            "empty",
            "Nothing to show: the results were made with other settings or another version of the recipe",
            failed,
        )
    if not run.units:
        return Verdict("empty", "No unit finished: there is no score to judge", failed)
    n_permutations = permutations_of(run.made_by.get("config"))
    controls = judge_controls(run.units, n_permutations)
    first = first_block(run.units)
    if first is None:
        return Verdict("empty", "No score was made", failed, controls=controls)
    scores = []
    for unit in run.units:
        mine = (
            (unit.scores["row"] == "decoded")
            & (block_keys(unit.scores, unit.keys) == first)
            & np.isfinite(unit.scores["value"])
        )
        if mine.any():
            scores.append((unit.label, unit.scores[mine].iloc[0]))
    metric = first.split(",")[0]
    judged = judge(scores, higher=metric not in LOWER_IS_BETTER, n_permutations=n_permutations)
    name = block_name(first)
    state, headline = _headline(judged, name, run.noun)
    points = [
        *_words(judged, run.noun, n_permutations, blind=metric in BEST_BLIND, decoded=is_decoded(metric)),
        *answers(run),
        *planted(run),
        *_group(run, first),
        *_baselines(run, first),
        *_controls(run.units, controls),
    ]
    audit, worst = _audit(run.units)
    if worst == "fail":
        points = [
            audit[0],
            f"At face value: {headline[0].lower() if headline[:3] in ('All', 'Bot', 'No ') else headline[0]}{headline[1:]}.",
            *points,
        ]
        state, headline, audit = "bad", "The audit found a failure: do not trust these scores yet", []
    elif (controls.off or controls.unclear) and state == "good":
        state = "mixed"
    doubts = _doubts(run.units, controls.off)
    return Verdict(state, headline, [*points, *audit, *failed], judged, name, controls, doubts, first)


def first_block(units: Sequence[UnitRecord]) -> str | None:
    """Return the key of the scores that the page is about: of the first decoded metric, the first that most units have."""
    had: dict[str, int] = {}
    for unit in units:
        decoded = (unit.scores["row"] == "decoded") & np.isfinite(unit.scores["value"])
        for key in dict.fromkeys(block_keys(unit.scores, unit.keys)[decoded]):
            had[str(key)] = had.get(str(key), 0) + 1
    metric = next(iter(had), "").split(",")[0]
    return max((k for k in had if k.split(",")[0] == metric), key=lambda k: had[k], default=None)


_BASELINES = ("ridge_baseline", "one_penalty", "from_scratch", "class_known")
_ONE = {
    "above": "above chance",
    "near": "near chance",
    "below": "below chance",
    "unclear": "not clearly above chance",
    "uncorrected": "not clearly above chance",
    "undecided": "not decided: too few permutations",
    "untested": "above chance by its interval; no test was made",
}


def permutations_of(config: Any) -> int | None:
    """Return the setting n_permutations, wherever it stands in the settings."""
    if not isinstance(config, dict):
        return None
    if isinstance(config.get("n_permutations"), int):
        return config["n_permutations"]
    return next((n for n in map(permutations_of, config.values()) if n is not None), None)


def _headline(judged: Sequence[Judged], metric: str, noun: tuple[str, str]) -> tuple[str, str]:
    n = len(judged)
    above = sum(j.call == "above" for j in judged)
    untested = sum(j.call == "untested" for j in judged)
    if n == 1:
        one = judged[0]
        state = {"above": "good", "untested": "mixed", "unclear": "mixed", "undecided": "mixed"}.get(one.call, "null")
        if noun[0] in {*NAMED, "population"}:  # its name says less than what was measured
            return state, f"{metric[0].upper()}{metric[1:]}: {_ONE[one.call]}"
        return state, f"{one.label} is {_ONE[one.call]} ({metric})"
    if untested and not above:
        return "mixed", f"{untested} of {n} {noun[1]} lie above chance by their intervals ({metric}); no test was made"
    undecided = sum(j.call == "undecided" for j in judged)
    if undecided and not above:
        return "mixed", f"Not decided for {undecided} of {n} {noun[1]}: too few permutations ({metric})"
    if not above:
        return "null", f"No {noun[0]} of {n} is reliably above chance ({metric})"
    if above == n:
        return "good", f"{'Both' if n == 2 else f'All {n}'} {noun[1]} are above chance ({metric})"
    return "mixed", f"{above} of {n} {noun[1]} {'is' if above == 1 else 'are'} above chance ({metric})"


def _words(
    judged: Sequence[Judged],
    noun: tuple[str, str],
    n_permutations: int | None,
    *,
    blind: bool = False,
    decoded: bool = True,
) -> list[str]:
    points, tested = [], sum(np.isfinite(j.p) for j in judged)
    fault = "Chance is the best blind guess here." if blind else "Look for a fault in labels, folds or design."
    if not decoded:
        fault = "What chance is here stands in the notes of the table."
    elif len(judged) > 1 and not blind:
        fault = f"By accident that happens to one interval in 40; if not, {fault[0].lower()}{fault[1:]}"
    phrases = {
        "above": "Above chance: {}.",
        "untested": "Interval above chance, not tested: {}.",
        "uncorrected": f"Above chance only before correction over {tested} {noun[1]}, so not shown to be: {{}}.",
        "undecided": f"Not decided: {{}}. No p can be smaller with {n_permutations} permutations, and it does not hold "
        f"after correction over {tested} {noun[1]}; run with n_permutations of at least {round(tested / ALPHA)}.",
        "unclear": "Not clear, test and interval disagree: {}.",
        "near": "Near chance, cannot be told from guessing: {}.",
        "below": f"Below chance by the interval: {{}}. {fault}",
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
    p = p_phrase(row["p"]).removeprefix(", ")
    how = "Cauchy, for tests that share stimuli" if "Cauchy" in str(row.get("note", "")) else "Fisher"
    tested = (
        f" Tests combined ({how}): {p}, against no {run.noun[0]} having information; it may come from one." if p else ""
    )
    return [
        f"Mean over {count} {run.noun[1]}: {number(row['value'])} {interval}, chance {number(row['chance'])}.{tested}{few}"
    ]


def _baselines(run: RunRecord, first: str) -> list[str]:
    """Simpler models that score higher than what was decoded, in the mean over the units that have them."""
    pairs: dict[str, list[tuple[float, float]]] = {}
    for unit in run.units:
        mine = unit.scores[(block_keys(unit.scores, unit.keys) == first) & np.isfinite(unit.scores["value"])]
        decoded = mine.loc[mine["row"] == "decoded", "value"]
        for row, value in mine[["row", "value"]].itertuples(index=False):
            if len(decoded) and row in _BASELINES:
                pairs.setdefault(str(row), []).append((float(value), float(decoded.iloc[0])))
    sign = -1 if first.split(",")[0] in LOWER_IS_BETTER else 1
    words = []
    for row, both in pairs.items():
        other, own = np.mean(both, axis=0)
        if sign * (other - own) > 0.0005:
            n, higher = len(both), sum(sign * (a - b) > 0 for a, b in both)
            where = f" in {higher} of {n} {run.noun[1]} (mean {{}} against {{}})" if n > 1 else " ({} against {})"
            words.append(row_name(row) + where.format(number(other), number(own)))
    return (
        [f"A baseline scores {'higher' if sign > 0 else 'lower, which is better'}: {'; '.join(words)}."]
        if words
        else []
    )


def group_row(run: RunRecord, block: str) -> pd.Series | None:
    """Return the decoded row of the summary for one block of scores, if there is one."""
    if run.summary is None or not len(run.summary.scores):
        return None
    scores = run.summary.scores
    keys = {k: "" for u in run.units for k in u.keys}
    names = block_keys(scores, keys)
    mine = (
        (scores["row"] == "decoded")
        & np.isfinite(scores["value"])
        & ((names == block) | (names == block.split(",")[0]))
    )
    return scores[mine].iloc[0] if mine.any() else None


def _controls(units: Sequence[UnitRecord], controls: Controls) -> list[str]:
    n, off, unclear = controls.n, len(controls.off), len(controls.unclear)
    if not n:
        return ["No control rows were run: nothing shows that the score comes from the signal."]
    if controls.blind:
        return [
            f"{len(controls.blind)} of {n} control rows cannot be judged (too few independent blocks for an interval or a "
            f"p): {_named(units, controls.blind)}."
        ]
    if not off and not unclear:
        return [f"None of the {n} control rows is off chance." if n > 1 else "The control row is not off chance."]
    points = []
    if off:
        points.append(
            f"{off} of {n} control rows {'is' if off == 1 else 'are'} off chance, so part of the score may not come "
            f"from the brain signal: {_named(units, controls.off)}."
        )
    if unclear:
        points.append(
            f"{unclear} of {n} control rows {'is' if unclear == 1 else 'are'} not clear, the interval is off chance "
            f"and the test does not say so: {_named(units, controls.unclear)}."
        )
    return points


def _named(units: Sequence[UnitRecord], some: frozenset) -> str:
    """Control rows in words, by the name of the control."""
    by_name: dict[str, list[str]] = {}
    for unit in units:
        for place in sorted(i for name, i in some if name == unit.name):
            row = unit.scores.iloc[place]
            text = f"{unit.label} {metric_name(row['metric'])} {number(row['value'])} (chance {number(row['chance'])})"
            by_name.setdefault(row_name(row["row"]), []).append(text)
    return "; ".join(
        f"{name}: {', '.join(v[:4])}{f' and {len(v) - 4} more' if len(v) > 4 else ''}" for name, v in by_name.items()
    )


def _audit(units: Sequence[UnitRecord]) -> tuple[list[str], str]:
    levels: dict[str, set[str]] = {"fail": set(), "warn": set(), "pass": set(), "skip": set()}
    for unit in units:
        for finding in unit.findings:
            levels.setdefault(str(finding.get("level")), set()).add(check_name(finding.get("check")))
    if not any(levels.values()):
        return ["The design was not audited."], "skip"
    words = []
    for level, text in (("fail", "fails"), ("warn", "warns about")):
        if levels[level]:
            words.append(f"{text} {', '.join(sorted(levels[level]))}")
    if not words:
        n = len(levels["pass"])
        return [f"The audit found nothing wrong ({n} check{'s' if n != 1 else ''} passed)."], "pass"
    return [f"The audit {' and '.join(words)} (see Audit)."], "fail" if levels["fail"] else "warn"


def _doubts(units: Sequence[UnitRecord], off: frozenset) -> dict[str, str]:
    """Why a unit's score is not to be taken at face value: a control off chance, or a failed check."""
    doubts = {unit.label: "control off chance" for unit in units if any(name == unit.name for name, _ in off)}
    for unit in units:
        if any(f.get("level") == "fail" for f in unit.findings):
            doubts[unit.label] = "audit failed"
    return doubts


def _failed(run: RunRecord) -> list[str]:
    if not run.failures:
        return []
    n, names = len(run.failures), [f["label"] for f in run.failures]
    more = f" and {n - 6} more" if n > 6 else ""
    return [
        f"{n} of {n + len(run.units)} {run.noun[1]} failed and {'is' if n == 1 else 'are'} not in these numbers: "
        f"{', '.join(names[:6])}{more}."
    ]
