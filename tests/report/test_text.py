"""The table for the terminal."""

from __future__ import annotations

import shutil

import pytest

from braindec.errors import BraindecError
from braindec.report import report_summary_text
from braindec.types import Result


def test_scores_controls_and_verdict_are_there(classification):
    text = report_summary_text(classification)
    scores = Result.open(classification / "units" / "subject-05").scores
    decoded = scores[(scores["metric"] == "auc") & (scores["row"] == "decoded")].iloc[0]
    line = next(x for x in text.splitlines() if x.startswith("sub-05"))
    assert line.split()[1:] == ["decoded", f"{decoded['value']:.3f}", f"{decoded['low']:.3f}", "to", f"{decoded['high']:.3f}", "0.500", "0.005", "900",
                                "above", "chance"]  # fmt: skip
    assert (
        "2 of 4 subjects are above chance (AUC)" in text and text.count("  noise input") == 10 and "mean of 4" in text
    )
    assert max(map(len, text.splitlines())) <= 120 and "\u00a0" not in text


def test_columns_stand_below_their_heads(classification):
    lines = report_summary_text(classification).splitlines()
    head = next(i for i, x in enumerate(lines) if x.startswith("subject "))
    end = lines[head].index("chance") + len("chance")
    assert {line[:end].split()[-1] for line in lines[head + 1 : head + 21]} == {"0.500"}


def test_failures_are_told_with_their_whole_message(folders, classification, tmp_path):
    folder = shutil.copytree(classification, tmp_path / "run")
    folders.write_failed(folder, {"subject": "04"}, "no events\n  fix:     write some")
    text = report_summary_text(folder)
    assert "failed subjects:\n  sub-04\n    no events\n      fix:     write some" in text


def test_nothing_finished_and_nothing_there(folders, tmp_path):
    with pytest.raises(BraindecError, match="holds no results"):
        report_summary_text(tmp_path)
    folders.write_failed(tmp_path, {"subject": "01"}, "no events")
    assert "No unit finished" in report_summary_text(tmp_path)
