"""Tests of CUDA versions: run where there is a device or Numba's simulator.

    NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/kernels/cuda     (simulated, needs no device; tiny sizes only)
    NUMBA_ENABLE_CUDASIM=0 python -m pytest tests/kernels/cuda     (on a device)

In a run that holds ``test_cuda_in_simulator.py`` the simulated ones are left to it: it runs this folder by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from braindec.kernels._backend import cuda_is_available, simulated

HERE = Path(__file__).parent
IN_SIMULATOR = "test_cuda_in_simulator.py"


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    mine = [item for item in items if HERE in item.path.parents]
    if not cuda_is_available():
        why = "neither a CUDA device nor Numba's simulator (NUMBA_ENABLE_CUDASIM=1) is here"
    elif simulated() and any(item.path.name == IN_SIMULATOR for item in items):
        why = f"{IN_SIMULATOR} runs it"
    else:
        for item in mine:  # whole numbers that wrap around are meant; the simulator's are numpy scalars, which warn
            item.add_marker(pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning"))
        return
    for item in mine:
        item.add_marker(pytest.mark.skip(reason=why))
