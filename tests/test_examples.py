"""The gallery and the README: what they show runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "docs/examples").glob("plot_*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_gallery(path):
    runpy.run_path(str(path), run_name="__main__")


def test_readme_example(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "decoded" in shown and "label_shuffle" in shown


def test_readme_commands_exist():
    from braindec.cli import _parser

    text = (ROOT / "README.md").read_text(encoding="utf8")
    verbs = set(re.findall(r"^(?:\S*/)?braindec (\w+)", text, re.MULTILINE))
    known = set(_parser()._subparsers._group_actions[0].choices)
    assert verbs and verbs <= known
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    for target in set(re.findall(r"^make (\w+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_guide_to_alignment(tmp_path, monkeypatch):
    """The blocks of the guide run one after the other, with a model from a folder."""
    from braindec.llm.tiny import tiny_model

    lm = tiny_model("gpt2", n_layers=2, n_units=32, n_heads=2)
    lm.model.save_pretrained(tmp_path / "gpt2")
    lm.tokenizer.save_pretrained(tmp_path / "gpt2")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/alignment.md").read_text(encoding="utf8").replace("/models/gpt2", str(tmp_path / "gpt2"))
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "alignment.md", "exec"), names)
    assert set(names["units"].units["layer"]) == {0, 1} and (names["found"].scores["row"] == "decoded").sum() == 3


@pytest.mark.parametrize(
    "guide",
    [
        "spikes",
        "networks",
        "bci",
        pytest.param("speech", marks=pytest.mark.slow),
        pytest.param("pictures", marks=pytest.mark.slow),
    ],
)
def test_guides(guide):
    """The blocks of a guide run one after the other."""
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / f"docs/{guide}.md").read_text(encoding="utf8"), re.DOTALL):
        exec(compile(block, f"{guide}.md", "exec"), names)
    if guide == "spikes":
        assert names["together"].table["p_family"].min() <= 0.05 and names["path"] is not None
    elif guide == "bci":
        decoded = names["scores"][names["scores"]["row"] == "decoded"].set_index("metric")["value"]
        assert decoded["balanced_accuracy"] > 0.7 and len(names["played"].decided) == 32
    elif guide == "speech":
        table = names["found"].scores.query("row == 'decoded' and metric == 'top10' and level == 'segment'")
        pooled = table[table["subject"] == "pooled"].iloc[0]
        assert pooled["value"] > 2 * pooled["chance"] and pooled["p"] < 0.05
        assert names["read"].scores.query("row == 'decoded' and metric == 'balanced_accuracy'")["value"].iloc[0] > 0.6
    elif guide == "pictures":
        scores = names["report"].scores.set_index(["metric", "row"])["value"]
        assert (
            names["made"].shape == (60, 8, 8, 1) and scores[("two_way", "decoded")] > scores[("two_way", "prior_only")]
        )
        assert names["alone"].shape[0] == 5
    else:
        assert len(names["simulation"].spikes.times) > 100 and names["out"].readout.shape == (8, 20)
