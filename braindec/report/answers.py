"""What recipes answer beyond chance, and how well what was planted is found: sentences for the top of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from braindec.report.folder import RunRecord
from braindec.report.judge import block_keys
from braindec.report.words import block_name, metric_name, number

__all__ = ["answers", "planted"]

_TRUTH = ("auc_planted", "planted_auc")
_SHOWN, _FEW = 8, 3  # items in one sentence; units whose own sentences are shown


def answers(run: RunRecord) -> list[str]:
    """What recipes say beyond chance (``made_by["answers"]``): sentences, and tables of about, says and item (or metric) that
    are joined over units."""
    told: dict[str, list[str]] = {}
    tables: dict[str, dict[str, dict[str, list[str]]]] = {}
    for unit in run.units:
        for entry in unit.made_by.get("answers") or []:
            if isinstance(entry, Mapping):
                says = tables.setdefault(str(entry.get("about", "")), {}).setdefault(str(entry.get("says", "")), {})
                item = metric_name(entry["metric"]) if "metric" in entry else str(entry.get("item", ""))
                says.setdefault(item, []).append(unit.label)
            else:
                told.setdefault(str(entry), []).append(unit.label)
    n, bodies = len(run.units), dict[str, list[str]]()
    for about, by_call in tables.items():
        parts = []
        for says, items in by_call.items():
            names = [k if len(v) == n else f"{k} ({len(v)} of {n} {run.noun[1]})" for k, v in items.items()]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{says} {', '.join(names[:_SHOWN])}{more}")
        bodies.setdefault("; ".join(parts), []).append(about)
    sentences = [f"{_joined(abouts)}: {body}." for body, abouts in bodies.items()]
    for text, labels in sorted(told.items(), key=lambda pair: len(pair[1]) < n):  # what holds for all first
        if len(labels) == n:
            sentences.append(text)
        elif n <= _FEW:
            sentences.append(f"{', '.join(labels)}: {text}")
    return sentences


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def planted(run: RunRecord) -> list[str]:
    """How well what a made-up model or brain was given is found again, where that is known."""
    found: dict[str, list[float]] = {}
    for unit in run.units:
        mine = unit.scores[unit.scores["metric"].isin(_TRUTH) & (unit.scores["row"] == "decoded")]
        keys = block_keys(mine, unit.keys)
        for key, value in zip(keys, mine["value"], strict=True):
            if np.isfinite(value):
                found.setdefault(block_name(key).split(", ", 1)[-1].removeprefix("AUC for planted "), []).append(
                    float(value)
                )
    if not found:
        return []
    words = ", ".join(f"{name} {number(float(np.mean(v)))}" for name, v in found.items())
    mean = f", mean over {len(run.units)} {run.noun[1]}" if len(run.units) > 1 else ""
    good = min(float(np.mean(v)) for v in found.values())
    lead = (
        "What was planted is found"
        if good > 0.9
        else "What was planted is found in part"
        if good > 0.7
        else "What was planted is not found everywhere"
    )
    return [f"{lead} (AUC, 0.5 by chance, 1 for all of it{mean}): {words}."]
