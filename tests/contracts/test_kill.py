"""kill -9 at random moments, the same command again: the same scores, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["synthetic.preset=tiny", "synthetic.n_subjects=3", "decoder.epochs=12", "n_permutations=100", "n_bootstrap=100",
            "controls=[label_shuffle]"]  # fmt: skip


@pytest.mark.slow
def test_killed_ten_times_and_started_again(tmp_path):
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "BRAINDEC_CACHE": str(tmp_path / "shared-cache"),
    }
    script = ROOT / "tests/scripts/kill_nine.py"
    done = subprocess.run(
        [sys.executable, str(script), "--folder", str(tmp_path), "--", "eeg_image_retrieval", *SETTINGS],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 10 times" in done.stdout
