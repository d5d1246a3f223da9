"""Every kernel: a definition beside it, backends that agree, trains that are checked, CUDA versions that are tested.

Kernels are found by their ``backend`` parameter; one that takes trains (``flat``, ``offsets``) is called here with the
values below, so a new one with other settings needs a line in ``VALUES``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import braindec.kernels
from braindec.errors import BraindecError

ROOT = Path(__file__).resolve().parents[2]
MODULES = [m.name for m in pkgutil.iter_modules(braindec.kernels.__path__)]
# multiples of powers of two: nothing is rounded, also not 5,000 s later
VALUES = {
    "start": 0.0, "stop": 4.0, "width": 1 / 8, "n_bins": 16, "max_lag": 1 / 2, "tau": 1 / 16, "tmin": -1 / 4,
    "dt": 1 / 32, "cost": 8.0, "events": np.array([0.5, 1.25, 3.0]), "at": np.arange(64) / 16,
}  # fmt: skip
ALSO = {"exponential_traces": ("at",)}  # settings with a default that are needed all the same
ARE_TIMES = {"start", "stop", "events", "at"}
GIVE_TIMES = {"jitter", "dither", "shuffle_intervals", "shift"}
EXACT = {"bin_spikes", "correlogram", "psth", "coincidences"} | GIVE_TIMES


def kernels() -> list[tuple[str, str]]:
    """Module and name of each function that chooses a backend."""
    found = []
    for name in MODULES:
        module = importlib.import_module(f"braindec.kernels.{name}")
        for public in () if name.startswith("_") else module.__all__:
            made = getattr(module, public)
            if inspect.isfunction(made) and "backend" in inspect.signature(made).parameters:
                found.append((name, public))
    return found


KERNELS = kernels()
OF_TRAINS = [
    k for k in KERNELS
    if {"flat", "offsets"} <= set(inspect.signature(getattr(importlib.import_module(f"braindec.kernels.{k[0]}"), k[1])).parameters)
]  # fmt: skip


def called(kernel: tuple[str, str], flat, offsets, *, later: float = 0.0, **changes):  # type: ignore[no-untyped-def]
    """Call a kernel with the values above, ``later`` s later."""
    make = getattr(importlib.import_module(f"braindec.kernels.{kernel[0]}"), kernel[1])
    needed = {
        n for n, p in inspect.signature(make).parameters.items()
        if p.default is inspect.Parameter.empty and n not in ("flat", "offsets")
    } | set(ALSO.get(kernel[1], ()))  # fmt: skip
    assert needed <= set(VALUES), f"{kernel[1]}: add values of {sorted(needed - set(VALUES))} to this test"
    asked = {n: VALUES[n] + later if n in ARE_TIMES else VALUES[n] for n in needed} | changes
    found = make(np.asarray(flat, dtype=float) + later, np.asarray(offsets), **asked)
    return np.concatenate([np.ravel(part) for part in found]) if isinstance(found, tuple) else np.asarray(found)


def trains() -> tuple[np.ndarray, np.ndarray]:
    """Six units: a busy one, an empty one, one spike, doubled spikes, a copy, spikes at both ends."""
    rng = np.random.default_rng(0)
    busy = np.sort(rng.choice(4096, 60, replace=False)) / 1024
    some = np.sort(rng.choice(4096, 25, replace=False)) / 1024
    parts = [busy, [], [1.5], np.repeat(some[:8], 2), busy, np.concatenate([[0.0], some, [4.0]])]
    return np.concatenate(parts), np.cumsum([0] + [len(p) for p in parts])


def test_kernels_are_found():
    assert {"bin_spikes", "correlogram", "psth", "jitter", "exponential_traces"} <= {name for _, name in OF_TRAINS}


@pytest.mark.parametrize("kernel", KERNELS, ids="-".join)
def test_the_definition_stands_beside_it(kernel):
    module = importlib.import_module(f"braindec.kernels.{kernel[0]}")
    assert callable(getattr(module, f"{kernel[1]}_numpy", None)), f"{kernel[1]}_numpy is missing"
    assert inspect.signature(getattr(module, kernel[1])).parameters["backend"].default is None


@pytest.mark.parametrize("kernel", OF_TRAINS, ids="-".join)
def test_backends_agree(kernel):
    flat, offsets = trains()
    found = called(kernel, flat, offsets)
    definition = called(kernel, flat, offsets, backend="numpy")
    assert found.shape == definition.shape and found.dtype == definition.dtype
    if kernel[1] in EXACT:
        np.testing.assert_array_equal(found, definition)
    else:
        np.testing.assert_allclose(found, definition, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(called(kernel, flat, offsets, backend="numba"), found)
    assert np.nanmax(found) > np.nanmin(found)


@pytest.mark.parametrize("kernel", OF_TRAINS, ids="-".join)
def test_nothing_depends_on_when_time_begins(kernel):
    flat, offsets = trains()
    for backend in ("numba", "numpy"):
        now, later = (called(kernel, flat, offsets, later=s, backend=backend) for s in (0.0, 5000.0))
        np.testing.assert_allclose(later - (5000.0 if kernel[1] in GIVE_TIMES else 0.0), now, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", OF_TRAINS, ids="-".join)
def test_bad_trains_have_a_message(kernel):
    flat, offsets = trains()
    wrong = {
        "not sorted": (np.concatenate([[3.0], flat[1:]]), offsets),
        "finite": (np.where(np.arange(len(flat)) == 5, np.nan, flat), offsets),
        "offsets": (flat, offsets[:-1]),
    }
    for message, (times, starts) in wrong.items():
        with pytest.raises(BraindecError, match=message):
            called(kernel, times, starts)
    with pytest.raises(BraindecError, match="no version for the backend 'numbas'; did you mean 'numba'"):
        called(kernel, flat, offsets, backend="numbas")


@pytest.mark.parametrize("kernel", OF_TRAINS, ids="-".join)
def test_units_without_spikes_are_no_problem(kernel):
    for backend in ("numba", "numpy"):
        assert called(kernel, [], [0, 0, 0], backend=backend).dtype == called(kernel, *trains(), backend=backend).dtype


@pytest.mark.parametrize("name", MODULES)
def test_cuda_versions_are_tested_and_compiled(name):
    text = (ROOT / "braindec" / "kernels" / f"{name}.py").read_text(encoding="utf8")
    if "@cuda.jit" not in text or name == "__init__":
        pytest.skip("it has none")
    module = importlib.import_module(f"braindec.kernels.{name}")
    assert hasattr(module, "PTX_SIGNATURES"), "say the types of its arguments in PTX_SIGNATURES"
    if not name.startswith("_"):
        tests = [p.read_text(encoding="utf8") for p in (ROOT / "tests" / "kernels" / "cuda").glob("test_*.py")]
        assert any(name in text and "cuda" in text for text in tests), f"tests/kernels/cuda/test_{name}.py is missing"
