"""CONTRIBUTING.md is followed to the letter in a copy of the project: one encoder by one file, one cohort by one YAML."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENCODER_TEST = """
import torch
from braindec import registry

def test_linear():
    encoder = registry.get("encoders", "linear").from_preset("tiny", n_chans=4, n_times=50, dim=8)
    assert encoder(torch.zeros(3, 4, 50)).shape == (3, 8)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project, so that nothing is added to this one."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("braindec", "recipes", "datasets", "atlases", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def block(language: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL).group(1)


def call(copy: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "BRAINDEC_CACHE": str(copy / "cache")}
    return subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True)


def test_an_encoder_is_one_file_and_one_test(copy):
    (copy / "braindec/encoders/linear.py").write_text(block("python"), encoding="utf8")
    (copy / "tests/encoders/test_linear.py").write_text(ENCODER_TEST, encoding="utf8")
    listed = call(copy, "-m", "braindec", "list", "encoders")
    assert "linear" in listed.stdout
    contracts = call(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/encoders/test_linear.py",
                     "tests/contracts/test_encoders.py", "-k", "linear")  # fmt: skip
    assert contracts.returncode == 0, contracts.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", contracts.stdout).group(1))
    assert passed >= 3, contracts.stdout[-500:]  # its own test and the contract tests, found without any registration


def test_a_cohort_is_one_yaml(copy):
    made = call(
        copy,
        "-c",
        "from braindec.loaders.synthetic import make_cohort; make_cohort('study', preset='tiny', n_subjects=1)",
    )
    assert made.returncode == 0, made.stderr
    text = block("yaml").replace("/data/my-study", "study")
    text = re.sub(r"task: \w+", "task: images", text)
    concepts = sorted(pd.read_csv(copy / "study/stimuli/stimuli.tsv", sep="\t")["concept_id"].unique())
    halves = ", ".join(f"{name}: {'ab'[i % 2]}" for i, name in enumerate(concepts))
    text = re.sub(r"events: .*", f"events: {{column: concept_id, rename: {{{halves}}}}}", text)
    cohort = copy / "my-cohort.yaml"
    cohort.write_text(text, encoding="utf8")
    done = call(copy, "-m", "braindec", "run", "erp_classification", "--cohort", "my-cohort.yaml", "--out", "out",
                "statistics.n_permutations=20", "statistics.n_bootstrap=100", "epochs.tmax=0.4")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (copy / "out/report.html").is_file() and (copy / "out/scores.csv").is_file()
