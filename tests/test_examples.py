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
