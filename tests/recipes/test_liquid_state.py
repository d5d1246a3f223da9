"""The liquid-state recipe: a liquid tells what counts of its input do not, and the page says what steering is worth."""

from __future__ import annotations

import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.report import write_report
from braindec.types import Result

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unit .* no interval below:UserWarning")]
SMALL = ("n_liquids=1", "task.n_trials=100", "task.jitter=0.01", "steering.n_trials=30", "steering.stages=2", "steering.probe_seconds=8",
         "liquid.learning=100", "read_out.n_permutations=19", "read_out.n_bootstrap=200")  # fmt: skip


def go(tmp_path, *settings: str) -> tuple[pd.DataFrame, Result]:
    run(load_recipe("liquid_state"), cohort=None, overrides=[*SMALL, *settings], only=None, jobs=1, scheduler=None, out=tmp_path / "out",
        cache=tmp_path / "cache", debug=True, tell=lambda line: None)  # fmt: skip
    found = Result.open(next((tmp_path / "out" / "units").iterdir()))
    assert "could not be drawn" not in write_report(tmp_path / "out").read_text(encoding="utf-8")
    return found.scores, found


def row(scores: pd.DataFrame, metric: str, name: str = "decoded") -> pd.Series:
    return scores[(scores["metric"] == metric) & (scores["row"] == name)].iloc[0]


def test_patterns_are_told_by_the_liquid_and_not_by_counts_of_its_input(tmp_path):
    scores, found = go(tmp_path)
    best, counts, times = (row(scores, "balanced_accuracy", n) for n in ("decoded", "input_counts", "input_times"))
    assert best["low"] > 0.5 and best["p"] == pytest.approx(1 / 20) and times["value"] > 0.9
    assert counts["low"] < 0.25 < counts["high"] + 0.1 and counts["p"] > 0.05
    lead = row(scores, "balanced_accuracy_difference", "over_input_counts")
    assert lead["low"] > 0.2 and lead["value"] == pytest.approx(best["value"] - counts["value"], abs=0.08)
    assert {"steered", "before_steering", "without_astrocyte"} <= set(
        scores.loc[scores["metric"] == "branching", "row"]
    )
    said = {(a["about"], a["says"], a["item"]) for a in found.made_by["answers"]}
    assert ("The steered liquid's read-out", "is better than", "the input's spike counts") in said
    assert {"raster", "rate_curve", "weight_histogram", "confusion"} <= {p["draw"] for p in found.made_by["panels"]}


def test_digits_are_told_by_the_input_alone_and_the_page_says_so(tmp_path):
    scores, found = go(tmp_path, "task.name=digits", "task.n_trials=200")
    best, counts = (row(scores, "balanced_accuracy", n) for n in ("decoded", "input_counts"))
    assert best["low"] > 0.1 and counts["value"] > best["value"]
    said = {(a["says"], a["item"]) for a in found.made_by["answers"]}
    assert ("is better than", "the input's spike counts") not in said
