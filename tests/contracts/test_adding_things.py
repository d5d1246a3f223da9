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
NEURON = '''"""Perfect integrator: v' = i, a spike at the threshold."""

from braindec.networks.neuron_model import NeuronModel, Receptor

__all__ = ["perfect"]


def integrate(x, c, u):
    """One step."""
    return (x[0] + c[0],)


def spiked(x, c):
    """Whether the threshold is reached."""
    return x[0] >= c[1]


def reset(x, c):
    """Take the threshold off."""
    return (x[0] - c[1],)


def constants(p, dt):
    """What a step adds, and the threshold."""
    return {"i": p["i"] * dt, "v_threshold": p["v_threshold"]}


perfect = NeuronModel(
    name="perfect", params={"i": 1.0, "v_threshold": 0.010}, states={"v": 0.0},
    receptors={"excitatory": Receptor("v", sign=1)}, constants=constants, integrate=integrate, spiked=spiked, reset=reset,
    current="i",
)
'''
NEURON_RUN = """
from braindec.networks.description import Network, Population
from braindec.networks.simulate import run

network = Network([Population("P", 3, model="perfect")])
for backend in ("numba", "numpy"):
    print(backend, len(run(network, 0.5, dtype="float64", backend=backend).spikes.times))
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


def test_a_neuron_model_is_one_file(copy):
    (copy / "braindec/networks/neurons/perfect.py").write_text(NEURON, encoding="utf8")
    assert "perfect" in call(copy, "-m", "braindec", "list", "neurons").stdout
    done = call(copy, "-c", NEURON_RUN)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert len(counts) == 2 and all(abs(n - 3 * 50) <= 3 for n in counts)  # 0.5 s at 1 V/s over 10 mV, three neurons
