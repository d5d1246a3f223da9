"""The engine on a small real recipe: caching, failures, selection, several processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braindec.engine import load_recipe, run
from braindec.engine.recipe import parse_unit, unit_name
from braindec.errors import BraindecError
from braindec.types import Result

RECIPE = '''
"""Mean of numbers in a file, a subject at a time."""
from pathlib import Path
import numpy as np, pandas as pd
from braindec.config import RecipeConfig
from braindec.errors import BraindecError
from braindec.types import Result


class Config(RecipeConfig):
    scale: float = 1.0


def units(config):
    names = [p.stem for p in sorted(Path(config.data.root).glob("*.txt"))]
    return [{"subject": n} for n in names if config.select.subjects is None or n in config.select.subjects]


def inputs(config, unit):
    return [Path(config.data.root) / f"{unit['subject']}.txt"]


def run(config, unit, work):
    text = inputs(config, unit)[0].read_text()
    work.folder.mkdir(parents=True, exist_ok=True)
    with (work.folder / "runs.log").open("a") as log:
        log.write("ran\\n")
    if text == "bad":
        raise BraindecError("this subject cannot be read", fix="look at the file")
    if text == "worse":
        raise ZeroDivisionError("deep inside")
    noise = work.rng("noise").standard_normal()
    scores = pd.DataFrame({"metric": ["mean"], "value": [config.scale * float(text) + noise], "chance": [0.0],
                           "low": [0.0], "high": [9.0], "p": [0.5], "n": [1]})
    return Result(scores, {"x": np.arange(3)}, {"overview": {"n": 1}})
'''


@pytest.fixture
def study(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name, text in {"01": "1", "02": "2", "03": "3"}.items():
        (data / f"{name}.txt").write_text(text)
    (tmp_path / "tiny.py").write_text(RECIPE)
    return tmp_path


def go(study, *words, **options):
    return run(study / "tiny.py", overrides=[f"data.root={study / 'data'}", *words], out=study / "out", cache=study / "cache",
               tell=lambda line: None, **options)  # fmt: skip


def states(summary):
    return [o["state"] for o in summary.outcomes]


def times_run(study, subject):
    return sum(
        len(p.read_text().splitlines()) for p in (study / f"out/units/subject-{subject}").glob("work-*/runs.log")
    )


def test_done_then_found_finished(study):
    assert states(go(study)) == ["done"] * 3
    before = (study / "out/scores.csv").read_bytes()
    assert states(go(study)) == ["cached"] * 3
    assert (study / "out/scores.csv").read_bytes() == before
    scores = pd.read_csv(study / "out/scores.csv", dtype={"subject": str})
    assert list(scores["subject"]) == ["01", "02", "03"]
    made_by = json.loads((study / "out/units/subject-01/made_by.json").read_text())
    assert {"config", "versions", "commit", "inputs", "seconds", "host", "unit"} <= set(made_by)
    assert made_by["inputs"].keys() == {"01.txt"}


def test_selecting_others_keeps_finished_units_and_their_scores(study):
    go(study, "select.subjects=[01, 02]")
    assert states(go(study, "select.subjects=[02, 03]")) == ["cached", "done"]
    assert times_run(study, "01") == 1
    assert list(pd.read_csv(study / "out/scores.csv", dtype=str)["subject"]) == ["01", "02", "03"]


def test_scores_are_kept_when_the_data_are_out_of_reach(study):
    from braindec.cli import main

    go(study)
    before = (study / "out/scores.csv").read_text()
    (study / "data").rename(study / "moved")
    assert main(["report", str(study / "out")]) == 0
    assert (study / "out/scores.csv").read_text() == before and before.count("\n") == 4


def test_other_settings_or_other_data_run_again(study):
    go(study)
    assert states(go(study, "scale=2")) == ["done"] * 3
    (study / "data/02.txt").write_text("5")
    assert states(go(study, "scale=2")) == ["cached", "done", "cached"]


def test_a_unit_alone_gives_the_same_numbers(study):
    go(study)
    whole = Result.open(study / "out/units/subject-02").scores
    alone = run(study / "tiny.py", overrides=[f"data.root={study / 'data'}"], only={"subject": "02"}, out=study / "other",
                cache=study / "cache", tell=lambda line: None)  # fmt: skip
    assert states(alone) == ["done"]
    pd.testing.assert_frame_equal(Result.open(study / "other/units/subject-02").scores, whole)


def test_a_failure_does_not_stop_the_others(study):
    (study / "data/02.txt").write_text("bad")
    (study / "data/03.txt").write_text("worse")
    summary = go(study)
    assert states(summary) == ["done", "failed", "failed"] and summary.exit_code == 1
    assert "cannot be read" in summary.failed[0]["error"] and "look at the file" in summary.failed[0]["error"]
    assert "deep inside" in (study / "out/units/subject-03/error.txt").read_text()
    assert len(pd.read_csv(study / "out/failures.csv")) == 2
    (study / "data/02.txt").write_text("2")
    (study / "data/03.txt").write_text("3")
    summary = go(study)
    assert states(summary) == ["cached", "done", "done"] and summary.exit_code == 0
    assert not (study / "out/units/subject-03/error.txt").exists()


def test_all_units_failed_still_ends_well(study):
    for path in (study / "data").glob("*.txt"):
        path.write_text("bad")
    assert go(study).exit_code == 1
    assert len(pd.read_csv(study / "out/scores.csv")) == 0


def test_a_failed_rerun_keeps_the_finished_result(study):
    go(study)
    (study / "data/01.txt").write_text("bad")
    assert states(go(study))[0] == "failed"
    assert np.isfinite(Result.open(study / "out/units/subject-01").scores["value"]).all()


def test_a_damaged_result_is_made_again(study):
    go(study)
    path = study / "out/units/subject-01/arrays.h5"
    path.write_bytes(path.read_bytes()[:-10])
    assert states(go(study)) == ["done", "cached", "cached"]


def test_workers_give_the_same_scores_and_survive_failures(study):
    pytest.importorskip("distributed")
    go(study)
    expected = (study / "out/scores.csv").read_bytes()
    (study / "out").rename(study / "first")
    assert states(go(study, jobs=2)) == ["done"] * 3
    assert (study / "out/scores.csv").read_bytes() == expected
    (study / "data/02.txt").write_text("worse")
    assert states(go(study, jobs=2)) == ["cached", "failed", "cached"]


def test_ctrl_c_keeps_finished_units(study, monkeypatch):
    told = []

    def stop_after_first(line):
        told.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            study / "tiny.py",
            overrides=[f"data.root={study / 'data'}"],
            out=study / "out",
            cache=study / "cache",
            tell=stop_after_first,
        )
    assert states(go(study)) == ["cached", "done", "done"]


def test_wrong_calls(study):
    with pytest.raises(BraindecError, match="no unit of work is subject=09"):
        go(study, only={"subject": "09"})
    (study / "broken.py").write_text('"""Nothing here."""\n')
    with pytest.raises(BraindecError, match="not a recipe"):
        load_recipe(study / "broken.py")
    with pytest.raises(BraindecError, match="did you mean 'erp_classification'"):
        load_recipe("erp_clasification")
    with pytest.raises(BraindecError, match="key=value"):
        parse_unit(["subject"])


def test_unit_names_are_safe_folder_names():
    assert unit_name({"subject": "../../etc", "fold": "a b"}) == "subject-..-..-etc_fold-a-b"
    assert unit_name({}) == "all"


def test_inputs_named_from_here_and_from_the_root_have_a_key(tmp_path, monkeypatch):
    from braindec.engine.recipe import _short

    (tmp_path / "data").mkdir()
    for name in ("data/a.nii", "b.h5"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("voxelwise_encoding")
    given = [Path("data/a.nii"), tmp_path / "b.h5"]
    monkeypatch.setattr(recipe.module, "inputs", lambda config, unit: given)
    _, inputs = recipe.key(recipe.config(None, ["data.root=data", "data.reader=fmri"]), {"subject": "01"})
    assert sorted(inputs) == ["b.h5", "data/a.nii"]
    assert _short(tmp_path / "b.h5", [tmp_path / "b.h5"]) == "b.h5"
