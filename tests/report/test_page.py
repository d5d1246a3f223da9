"""The page: complete, alone, the same twice, and written whatever is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.report import write_report
from braindec.types import Result

VOID = {"meta", "img", "br", "line", "circle", "rect", "link", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order and gathers what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def page(classification):
    return page_of(classification)


@pytest.fixture
def copy(classification, tmp_path):
    """A copy of the run that a test may damage."""
    return Path(shutil.copytree(classification, tmp_path / "run"))


@pytest.fixture
def small(folders, tmp_path):
    """One subject, few windows."""
    return folders.classification_run(tmp_path / "run", {"01": 1.0}, n=150, maps=False)


def test_it_says_what_was_asked_and_what_was_found(page):
    for words in ("Which kind of event was it?", "Did the person see a target or a nontarget?", "erp_classification", "muse-p300", "2026-11-20 14:03",
                  "2 of 4 subjects are above chance (AUC)", "Near chance, cannot be told from guessing", "None of the 24 control rows is off chance",
                  "mean of 4", "label shuffle", "noise input", "time only", "p corrected", "4e416512aa0c4b1d0f6c3f1e2d9a7b5c8e0f1a2b",
                  "numpy 2.3.4", "lab-laptop", "Krigolson", "@misc{krigolson2017", "sub-01_run-1_eeg.vhdr", "by: run", "leave out one of TP9, TP10",
                  "class predicted from time alone", "1 flat stretch of 0.8 s in TP9"):  # fmt: skip
        assert words in page.text, words


def test_every_score_stands_with_its_interval_chance_p_and_n(page, classification):
    scores = Result.open(classification / "units" / "subject-01").scores
    row = scores[(scores["metric"] == "auc") & (scores["row"] == "decoded")].iloc[0]
    assert f"{row['value']:.3f} {row['low']:.3f} to {row['high']:.3f} 0.500 0.005" in page.text.replace("0.35 0.85", "")
    assert page.text.count("version 1") == 2


def test_it_stands_alone_without_scripts(page):
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    assert all(a["src"].startswith("data:image/") for a in page.all("img"))
    assert not re.search(
        r"url\(|@import", Path(__file__).parents[2].joinpath("braindec/report/templates/report.css").read_text()
    )


def test_pictures_have_words_and_tables_headers(page):
    assert len(page.all("img")) == 1 + 3 * 4
    assert all(len(a.get("alt", "")) > 20 for a in page.all("img"))
    assert all(a.get("scope") in ("row", "col") for a in page.all("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(a["href"][1:] in ids for a in page.all("a") if a["href"].startswith("#"))


def test_the_same_folder_gives_the_same_bytes(folders, tmp_path):
    folder = folders.classification_run(tmp_path / "run", {"01": 1.0}, n=150)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_retrieval_with_pictures_stays_small(folders, tmp_path):
    for subject, strength in (("01", 0.4), ("02", 0.2), ("03", 0.0)):
        folders.write_unit(tmp_path, {"subject": subject}, folders.retrieval_unit(subject, strength))
    folders.write_root(tmp_path, title="Which image was seen?")
    found = page_of(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3.75e6
    assert "top-1 accuracy, brain to image" in found.text and "median rank, brain to image" in found.text
    assert "ridge baseline" in found.text and "60 candidates" in found.text
    assert sum("data:image/jpeg" in a["src"] for a in found.all("img")) == 3


def test_a_run_of_which_nothing_finished(folders, tmp_path):
    folders.write_failed(tmp_path, {"subject": "01"}, "no events\n  fix:     <b>write some</b>")
    folders.write_root(tmp_path)
    found = page_of(tmp_path)
    assert "No unit finished" in found.text and "1 of 1 subjects failed" in found.text
    assert "<b>write some</b>" in found.text and not found.all("b")  # shown as text


def test_failures_come_from_the_table_and_from_units_once(folders, copy):
    folders.write_failed(copy, {"subject": "04"}, "the file is cut short")
    folders.write_root(
        copy, failures=[{"subject": "04", "error": "the file is cut short"}, {"subject": "06", "error": "no channels"}]
    )
    found = page_of(copy)
    assert (
        "4 finished, 2 failed" in found.text
        and "2 of 6 subjects failed and are not in these numbers: sub-04 , sub-06" in found.text
    )
    assert found.text.count("the file is cut short") == 1


def test_missing_and_damaged_arrays_are_told_in_the_place_of_the_figure(copy):
    (copy / "units/subject-01/arrays.h5").unlink()
    (copy / "units/subject-02/arrays.h5").write_bytes(b"\x89HDF\r\n\x1a\n broken")
    found = page_of(copy)
    assert found.text.count("This figure could not be drawn.") == 6
    assert "arrays.h5 is missing" in found.text and "cannot be opened as HDF5" in found.text
    assert len(found.all("img")) == 1 + 3 * 2


@pytest.mark.parametrize(
    ("panel", "words"),
    [
        ({"draw": "confusoin", "args": {}}, "did you mean 'confusion'?"),
        ({"draw": "confusion", "args": {"matrix": "@confusoin"}}, "did you mean 'confusion'?"),
        ({"draw": "confusion", "args": {"matrix": "@null/auc"}}, "must have 2 dimensions"),
        ({"draw": "confusion", "args": {"matrx": 1}}, "TypeError"),
        ("confusion", "a panel must be a table"),
        ({"draw": "../../etc/passwd"}, "has no"),
    ],
)
def test_a_panel_that_cannot_be_drawn_says_why(small, panel, words):
    path = small / "units/subject-01/made_by.json"
    made_by = json.loads(path.read_text())
    path.write_text(json.dumps({**made_by, "panels": [panel]}))
    assert words in page_of(small).text


def test_damaged_score_tables_and_made_by_do_not_stop_the_page(copy):
    (copy / "units/subject-01/scores.csv").write_text("")
    (copy / "units/subject-02/made_by.json").write_text("{")
    (copy / "units/subject-03/status.json").unlink()
    (copy / "summary/scores.csv").write_text("a,b\n1,2\n")
    found = page_of(copy)
    assert "scores.csv cannot be read" in found.text and "subject-02/made_by.json is damaged" in found.text
    assert "3 finished, 1 failed" in found.text and "The summary over all units cannot be shown" in found.text


def test_unfinished_and_left_out_units_are_named(copy, folders):
    (copy / "units/subject-09").mkdir()
    folders.write_root(copy, left_out=["subject-05"])
    found = page_of(copy)
    assert (
        "subject-09 is not finished" in found.text
        and "therefore not shown (the same command runs them again): subject-05" in found.text
    )
    assert "3 finished" in found.text


def test_text_from_files_is_never_markup(small):
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(1)>"
    path = small / "units/subject-01/made_by.json"
    made_by = json.loads(path.read_text())
    made_by.update(warnings=[evil], notes=[evil], overview={evil: evil}, panels=[{"draw": evil, "title": evil, "caption": evil}],
                   citations=[{"key": evil, "text": evil, "doi": '"><script>'}], inputs={evil: evil}, unit={"subject": evil})  # fmt: skip
    made_by["audit"]["findings"] = [
        {"check": evil, "level": "fail", "message": evil, "fix": evil, "evidence": {evil: [evil]}}
    ]
    path.write_text(json.dumps(made_by))
    root = json.loads((small / "made_by.json").read_text())
    (small / "made_by.json").write_text(
        json.dumps({**root, "title": evil, "question": evil, "doc": f"{evil}\n\n{evil}", "config": {evil: evil}})
    )
    found = page_of(small)
    assert not found.all("script") and all(a["src"].startswith("data:") for a in found.all("img"))
    assert "alert(1)" in found.text


def test_parts_of_another_kind_are_told_and_left_out(small):
    path = small / "units/subject-01/made_by.json"
    odd = {
        "audit": {"findings": ["bad"]},
        "panels": "none",
        "overview": [1],
        "versions": "new",
        "inputs": [1],
        "config": 3,
        "citations": "me",
        "warnings": 4,
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), **odd}))
    found = page_of(small)
    assert found.text.count("not used.") == 7 and "panels is a str where a list is meant" in found.text


def test_an_empty_made_by_and_no_panels(tmp_path):
    scores = pd.DataFrame([{"metric": "accuracy", "value": 0.6, "chance": 0.5, "low": 0.5, "high": 0.7, "n": 40}])
    Result(scores).save(tmp_path / "units" / "all")
    found = page_of(tmp_path)
    assert "all is near chance (accuracy)" in found.text and "This unit has no figures." in found.text
    assert "No control rows were run" in found.text and "The design was not audited." in found.text


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(BraindecError, match="holds no results"):
        write_report(tmp_path)
    with pytest.raises(BraindecError, match="there is no folder"):
        write_report(tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_many_subjects_fold_the_long_tables(tmp_path, folders):
    rng = np.random.default_rng(0)
    for i in range(1, 41):
        rows = [{"metric": "auc", "row": "decoded", "value": 0.6, "chance": 0.5, "low": 0.55, "high": 0.65, "p": 0.01, "n": 90},
                {"metric": "auc", "row": "noise_input", "value": 0.5 + 0.01 * rng.standard_normal(), "chance": 0.5, "low": 0.4, "high": 0.6, "p": 0.5, "n": 90}]  # fmt: skip
        folders.write_unit(
            tmp_path,
            {"subject": f"{i}"},
            Result(pd.DataFrame(rows).assign(subject=f"{i}"), {}, {"overview": {"windows": i, "modality": "meg"}}),
        )
    folders.write_root(tmp_path)
    found = page_of(tmp_path)
    assert (
        "All 40 subjects are above chance (AUC)" in found.text
        and "Above chance: 40 subjects, scores 0.600 to 0.600" in found.text
    )
    assert "The same table with all control rows (80 lines)" in found.text
    order = re.findall(r"sub-(\d+) decoded", found.text)
    assert order[:40] == [str(i) for i in range(1, 41)]


def test_print_opens_what_is_folded():
    css = (Path(__file__).parents[2] / "braindec/report/templates/report.css").read_text()
    assert re.search(r"@media print \{.*details::details-content \{ content-visibility: visible", css, re.S)


@pytest.mark.parametrize(
    ("config", "said"),
    [({"data": {"dataset": None, "root": "/studies/one"}}, "one"), ({"data": {"dataset": "nsd"}}, "nsd"),
     ({"data": {}, "text": {"path": "/texts/own.txt"}}, "own.txt"), ({"data": {}, "stimuli": {"texts": "t.txt"}}, "t.txt"),
     ({"data": {}, "text": {"path": None}}, "made up on the spot"), ({"data": {}, "synthetic": {"n": 1}}, "built-in synthetic cohort"),
     ({"data": {}, "model": {"tiny": "gpt2"}}, "made up on the spot")],
)  # fmt: skip
def test_it_says_where_the_data_came_from(config, said):
    from braindec.report.page import _data

    assert _data(config, config["data"], finished=True) == said
    assert _data({"data": {}}, {}, finished=False) == "not said"
