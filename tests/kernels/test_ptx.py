"""CUDA kernels compile to PTX for a device that is not here, where NVIDIA's compiler library (libnvvm) is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HAS_LIBRARY = "from numba.cuda.cudadrv import nvvm; nvvm.NVVM()"


def python(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def kernels() -> list[dict]:
    """One record a kernel, compiled."""
    if python("-c", HAS_LIBRARY).returncode:
        pytest.skip("NVIDIA's libnvvm is not here")
    done = python(str(Path(__file__).with_name("_compile_ptx.py")))
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_compiles(kernels):
    assert kernels, "no module of braindec.kernels offers PTX_SIGNATURES"
    failed = [f"{k['module']}.{k['kernel']}: {k['error']}" for k in kernels if "error" in k]
    assert not failed, "\n".join(failed)
    for k in kernels:
        assert k["entry"] and k["target"] == "sm_90" and k["returns"] == "none", k


def test_kernels_that_count_spikes_are_among_them(kernels):
    assert {"binning"} <= {k["module"] for k in kernels}


def test_device_functions_are_compiled_in():
    """A kernel that calls a device function needs the stand-in for the device; without it this test would fail."""
    program = (
        "import sys; sys.path.insert(0, 'tests/kernels')\n"
        "from _compile_ptx import compiled\n"
        "from numba import cuda, float64\n"
        "def body(x): return 2.0 * x + 1.0\n"
        "device = cuda.jit(device=True)(body)\n"
        "@cuda.jit\n"
        "def kernel(x):\n"
        "    i = cuda.grid(1)\n"
        "    if i < x.shape[0]:\n"
        "        x[i] = device(x[i])\n"
        "print(compiled(kernel, (float64[::1],)))\n"
    )
    if python("-c", HAS_LIBRARY).returncode:
        pytest.skip("NVIDIA's libnvvm is not here")
    done = python("-c", program)
    assert done.returncode == 0 and "'entry': True" in done.stdout, done.stderr[-2000:]
