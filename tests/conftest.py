"""Fixtures for all tests: shared recordings (skipped when they are not there) and a few small made-up ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BRAINDEC_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared():
    """Return a function that gives the folder of a shared recording, or skips the test."""

    def find(name: str, *, kind: str = "data") -> Path:
        path = SHARED / kind / name
        if not path.exists():
            pytest.skip(f"shared {kind}/{name} is not here")
        return path

    return find
