"""The rooms keep their order, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_lower_rooms_never_import_higher_ones():
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists() and shutil.which("lint-imports") is None:
        pytest.skip("import-linter is not installed (make env installs it)")
    done = subprocess.run(
        [str(tool) if tool.exists() else "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def loaded(code: str) -> set[str]:
    text = f"import sys; {code}; print(*sorted(m for m in sys.modules if '.' not in m))"
    return set(
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
        .stdout.split("\n")[-2]
        .split()
    )


def test_import_braindec_loads_no_array_library():
    assert not {"numpy", "pandas", "torch", "mne", "pydantic"} & loaded("import braindec")


def test_listing_loads_no_array_library():
    assert not {"numpy", "pandas", "torch", "mne", "pydantic", "yaml"} & loaded(
        "from braindec.cli import main; main(['list'])"
    )


def test_the_types_need_numpy_and_pandas_only():
    assert not {"torch", "mne", "sklearn", "scipy", "h5py", "matplotlib"} & loaded("import braindec.types")


@pytest.mark.parametrize(
    ("code", "limit"), [("import braindec", 0.050), ("from braindec.cli import main; main(['list'])", 0.300)]
)
def test_start_up_time_beyond_the_interpreter(code, limit):
    """The best of several starts, less that of an empty interpreter: robust on a busy machine."""

    def best(text: str) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", text], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best(code) - best("pass") <= limit
