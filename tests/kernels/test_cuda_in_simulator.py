"""CUDA versions of kernels under Numba's simulator, which must be switched on before Numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 300  # it takes a few tens of them; a machine that is busy takes longer


def test_cuda_versions_agree_with_the_others_in_the_simulator():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", "tests/kernels/cuda"],
        cwd=ROOT, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "is here" not in done.stdout, done.stdout[-2000:]  # not all of them skipped
