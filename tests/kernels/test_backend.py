"""Which version of a kernel runs: what was asked for, or an error; nothing falls back in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels.binning import bin_spikes

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import numpy as np
from braindec.errors import BraindecError
from braindec.kernels._backend import cuda_is_available, simulated
from braindec.kernels.binning import bin_spikes
assert not simulated()
if cuda_is_available():
    print("there is a device")
else:
    try:
        bin_spikes(np.array([0.5]), np.array([0, 1]), start=0.0, width=1.0, n_bins=1, backend="cuda")
    except BraindecError as problem:
        print(problem)
"""


def test_numba_is_what_runs_by_itself():
    assert choose(None, kernel="it") == "numba"
    assert choose("numpy", kernel="it") == "numpy"


def test_unknown_backends_are_named():
    with pytest.raises(BraindecError, match=r"binning has no version for the backend 'numab'; did you mean 'numba'"):
        choose("numab", kernel="binning")
    with pytest.raises(BraindecError, match="no version for the backend 'cuda'"):
        choose("cuda", has=("numpy", "numba"), kernel="it")
    with pytest.raises(BraindecError, match="bin_spikes has no version"):
        bin_spikes(np.array([0.5]), np.array([0, 1]), start=0.0, width=1.0, n_bins=1, backend="jax")


def test_cuda_that_is_not_there_is_an_error():
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    if "there is a device" in done.stdout:
        pytest.skip("there is a CUDA device here")
    assert "bin_spikes was asked for on CUDA, and no CUDA device can be used here" in done.stdout
